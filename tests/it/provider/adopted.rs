//! Workloads that run before lessor has heard of their leases: another program took them in, or the rows are lost.

use jiff::SignedDuration;
use lessor::domain::{CloseReason, LeaseId, LeaseState};

use super::{
    ground::machine,
    world::{Worker, World},
};

/// A lease that another program serves, under rows that know nothing of it.
async fn served_by_another() -> (World, Worker, LeaseId) {
    let mut world = World::new(31, vec![machine("one", 8)]).await;
    let worker = world.worker().await;
    let lease = world.lease(&worker, 1000).await;
    world.upload(&worker, lease.deployment()).await.unwrap();
    worker.step().await;
    world.ground().running.get_mut(&lease).unwrap().manifest_hash = String::new();
    world.ground().applied.clear();
    world.lose_the_rows().await;
    let worker = world.worker().await;
    worker.provider.begin(worker.now()).await.unwrap();
    (world, worker, lease)
}

fn state(world: &World, lease: &LeaseId) -> LeaseState {
    world.market().lease(lease).unwrap().state
}

#[tokio::test]
async fn what_another_program_serves_is_neither_closed_for_want_of_a_manifest_nor_written() {
    let (mut world, worker, lease) = served_by_another().await;
    world.go_on(&worker, 2).await;
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));
    for _ in 0..20 {
        world.block_after(SignedDuration::from_secs(60));
        worker.step().await;
    }
    assert_eq!(state(&world, &lease), LeaseState::Active);
    assert!(world.ground().applied.is_empty(), "it stays as it is");

    // Its tenant sends a manifest: from now on it is lessor's like any other.
    world.update(lease.deployment(), 1000, 1, 2);
    world.tell(&worker).await;
    let submitted = world.upload(&worker, lease.deployment()).await.unwrap();
    worker.step().await;
    assert_eq!(world.ground().running[&lease].manifest_hash, submitted.hash);
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_lease_is_closed_for_want_of_a_manifest_only_when_the_cluster_says_that_nothing_runs() {
    let (world, worker, lease) = served_by_another().await;
    world.ground().faults.rates.cluster_fails = 100;
    for _ in 0..20 {
        world.block_after(SignedDuration::from_secs(60));
        worker.step().await;
    }
    assert_eq!(state(&world, &lease), LeaseState::Active, "nobody knows what runs");
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("awaiting_manifest"));

    world.ground().running.clear();
    world.ground().faults.rates.cluster_fails = 0;
    world.go_on(&worker, 6).await;
    assert_eq!(state(&world, &lease), LeaseState::Closed);
    let reason = world.market().lease(&lease).unwrap().reason;
    assert_eq!(reason, CloseReason::ManifestTimeout);
    assert_eq!(world.violations(), Vec::<String>::new());
}
