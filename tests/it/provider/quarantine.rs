//! The data of a lease that has ended is kept for a while, where an operator wants that.

use jiff::SignedDuration;
use lessor::{
    domain::LeaseId,
    provider::port::{HostnameClaim, Store as _},
};

use super::{
    ground::machine,
    world::{Worker, World},
};

/// A lease that runs, where data is kept for an hour.
async fn running() -> (World, Worker, LeaseId) {
    let mut world = World::new(51, vec![machine("one", 8)]).await;
    world.settings.quarantine = Some(SignedDuration::from_hours(1));
    world.settings.teardown_limit = Some(1);
    world.ground().stopped = Some(Vec::new());
    let worker = world.worker().await;
    let lease = world.lease(&worker, 500).await;
    world.upload(&worker, lease.deployment()).await.unwrap();
    world.go_on(&worker, 3).await;
    (world, worker, lease)
}

async fn phase(world: &World, lease: &LeaseId) -> String {
    world.lease_phase(&lease.order).await.unwrap_or_default()
}

#[tokio::test]
async fn a_lease_that_ended_is_stopped_at_once_and_its_data_removed_when_its_time_is_over() {
    let (world, worker, lease) = running().await;
    world.close(lease.deployment());
    world.tell(&worker).await;
    world.go_on(&worker, 3).await;
    assert_eq!(phase(&world, &lease).await, "quarantined");
    assert_eq!(world.ground().stopped, Some(vec![lease.clone()]));
    assert!(world.ground().torn_down.is_empty());
    assert!(!world.is_reserved(&lease.order).await, "its capacity is free");
    assert_eq!(world.reader.hostnames(&lease).await.unwrap(), [] as [HostnameClaim; 0]);
    let due = world.reader.deadlines(9).await.unwrap();
    let name = format!("quarantine/{}", lease.order);
    assert!(due.iter().any(|(_, deadline)| deadline.name == name), "{due:?}");

    for _ in 0..50 {
        world.block_after(SignedDuration::from_secs(60));
        worker.step().await;
    }
    assert_eq!(phase(&world, &lease).await, "quarantined", "its time is not over");
    for _ in 0..20 {
        world.block_after(SignedDuration::from_secs(60));
        worker.step().await;
    }
    assert_eq!(phase(&world, &lease).await, "gone");
    assert_eq!(world.ground().torn_down.first(), Some(&lease));
    let lines = world.reader.audit_lines(None, 50).await.unwrap().rows;
    let teardowns = lines.iter().filter(|line| line.action == "teardown").count();
    assert_eq!(teardowns, 1, "it is decided once");
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_cluster_that_cannot_keep_data_alone_has_it_removed() {
    let (world, worker, lease) = running().await;
    world.ground().stopped = None;
    world.close(lease.deployment());
    world.tell(&worker).await;
    world.go_on(&worker, 4).await;
    assert_eq!(phase(&world, &lease).await, "gone");
}

#[tokio::test]
async fn a_lease_that_never_ran_anything_is_not_kept() {
    let (mut world, worker, _) = running().await;
    let lease = world.lease(&worker, 500).await;
    world.close(lease.deployment());
    world.tell(&worker).await;
    world.go_on(&worker, 4).await;
    assert_eq!(phase(&world, &lease).await, "gone");
    assert_eq!(world.ground().stopped, Some(Vec::new()));
}
