//! Workloads that fail: a lease is closed for it when its time is over, and for nothing that the cluster is to blame for.

use jiff::SignedDuration;
use lessor::{
    domain::{CloseReason, LeaseId, LeaseState},
    provider::port::MaintenanceState,
};

use super::{
    ground::machine,
    world::{Worker, World},
};

const CRASHES: &str = "CrashLoopBackOff: exit code 1";
const LOST: &str = "NodeNotReady: node one";

/// A lease that runs, where failing for an hour is failing for long.
async fn running() -> (World, Worker, LeaseId) {
    let mut world = World::new(5, vec![machine("one", 8)]).await;
    world.settings.failing_limit = Some(SignedDuration::from_hours(1));
    let worker = world.worker().await;
    let lease = world.lease(&worker, 500).await;
    world.upload(&worker, lease.deployment()).await.unwrap();
    world.go_on(&worker, 4).await;
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));
    (world, worker, lease)
}

/// Lets so many minutes pass, with blocks near enough that a transaction is in one before its time is over.
async fn minutes(world: &World, worker: &Worker, minutes: u32) {
    for _ in 0..3 * minutes {
        world.block_after(SignedDuration::from_secs(20));
        worker.step().await;
    }
}

fn state_of(world: &World, lease: &LeaseId) -> (LeaseState, CloseReason) {
    let found = world.market().lease(lease).unwrap();
    (found.state, found.reason)
}

#[tokio::test]
async fn a_workload_that_fails_for_too_long_ends_its_lease_as_unstable() {
    let (world, worker, lease) = running().await;
    world.ground().failing = Some(CRASHES);
    minutes(&world, &worker, 55).await;
    assert_eq!(state_of(&world, &lease).0, LeaseState::Active, "its time is not over");
    minutes(&world, &worker, 20).await;
    assert_eq!(state_of(&world, &lease), (LeaseState::Closed, CloseReason::Unstable));
    world.go_on(&worker, 6).await;
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("gone"));
}

#[tokio::test]
async fn a_workload_that_recovers_in_between_keeps_its_lease() {
    let (world, worker, lease) = running().await;
    for _ in 0..4 {
        world.ground().failing = Some(CRASHES);
        minutes(&world, &worker, 50).await;
        world.ground().failing = None;
        minutes(&world, &worker, 5).await;
    }
    assert_eq!(state_of(&world, &lease).0, LeaseState::Active);
}

#[tokio::test]
async fn what_the_cluster_is_to_blame_for_ends_no_lease() {
    let (world, worker, lease) = running().await;
    world.ground().failing = Some(LOST);
    minutes(&world, &worker, 200).await;
    assert_eq!(state_of(&world, &lease).0, LeaseState::Active);
}

#[tokio::test]
async fn while_an_operator_works_on_the_provider_nothing_that_fails_ends_a_lease() {
    let (world, worker, lease) = running().await;
    let state = MaintenanceState::Maintenance;
    worker.provider.set_maintenance(state, "new disks", "operator").await.unwrap();
    world.ground().failing = Some(CRASHES);
    minutes(&world, &worker, 150).await;
    assert_eq!(state_of(&world, &lease).0, LeaseState::Active);
    // When the work is done its time begins anew.
    worker.provider.set_maintenance(MaintenanceState::Bidding, "", "operator").await.unwrap();
    minutes(&world, &worker, 50).await;
    assert_eq!(state_of(&world, &lease).0, LeaseState::Active);
    minutes(&world, &worker, 20).await;
    assert_eq!(state_of(&world, &lease).0, LeaseState::Closed);
}

#[tokio::test]
async fn a_time_in_which_nobody_looked_does_not_count() {
    let (world, worker, lease) = running().await;
    world.ground().failing = Some(CRASHES);
    minutes(&world, &worker, 10).await;
    world.block_after(SignedDuration::from_hours(5));
    minutes(&world, &worker, 30).await;
    assert_eq!(state_of(&world, &lease).0, LeaseState::Active, "it may have been well meanwhile");
}

#[tokio::test]
async fn a_workload_that_fails_for_hours_is_looked_at_as_seldom_as_one_that_runs() {
    let (world, worker, lease) = running().await;
    world.ground().failing = Some(LOST);
    minutes(&world, &worker, 60).await;
    let before = world.market().reads;
    for _ in 0..600 {
        world.wait(SignedDuration::from_secs(1));
        worker.step().await;
    }
    let looks = (world.market().reads - before) / 4;
    assert_eq!(state_of(&world, &lease).0, LeaseState::Active);
    // Each pass reads the tip, and a few more what the chain holds of us.
    assert!(looks < 600 * 2, "{looks} looks in ten minutes");
}
