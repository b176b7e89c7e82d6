//! A backup is put back under a life that has gone on: what chain and cluster know counts, and nothing is done twice.

use jiff::SignedDuration;
use lessor::{
    domain::{BidState, LeaseId},
    provider::port::{MaintenanceState, Store as _},
};

use super::{
    ground::machine,
    world::{Worker, World},
};

fn no_violations(world: &World) {
    assert_eq!(world.violations(), Vec::<String>::new());
}

async fn world() -> (World, Worker) {
    let world = World::new(7, vec![machine("one", 16)]).await;
    let worker = world.worker().await;
    (world, worker)
}

/// A lease whose manifest runs.
async fn served(world: &mut World, worker: &Worker, cpu_milli: u64) -> LeaseId {
    let lease = world.lease(worker, cpu_milli).await;
    world.upload(worker, lease.deployment()).await.unwrap();
    worker.step().await;
    assert!(world.ground().running.contains_key(&lease));
    lease
}

/// Blocks and steps until the restore is settled.
async fn settle(world: &World, worker: &Worker) {
    worker.provider.begin(worker.now()).await.unwrap();
    for _ in 0..60 {
        world.block();
        worker.step().await;
        let restore = world.reader.last_restore().await.unwrap().unwrap();
        if restore.settled_at.is_some() {
            return;
        }
    }
    panic!("not settled: {:?}", world.reader.last_restore().await);
}

#[tokio::test]
async fn a_backup_under_a_live_lease_is_put_back_and_chain_and_cluster_count() {
    let (mut world, worker) = world().await;
    let old = served(&mut world, &worker, 1000).await;
    let gone = world.order_with_bid(&worker, 500).await;
    let backup = world.back_up().await;

    // Life goes on: another lease is served, another bid is open, a bid of the backup is lost, the first tenant updates.
    let new = served(&mut world, &worker, 2000).await;
    let open = world.order_with_bid(&worker, 3000).await;
    world.close(gone.deployment());
    world.update(old.deployment(), 1000, 1, 2);
    world.tell(&worker).await;
    let updated = world.upload(&worker, old.deployment()).await.unwrap();
    worker.step().await;
    assert_eq!(world.ground().running[&old].manifest_hash, updated.hash);
    drop(worker);

    world.put_back(&backup).await;
    assert!(world.row(&new.order).await.is_none(), "the backup does not know it");
    assert!(world.is_reserved(&gone).await);
    let worker = world.worker().await;
    // Nobody tells of this order; it is not decided before everything was compared.
    let late = world.ask("tenant", 1500, 1);
    settle(&world, &worker).await;

    let restore = world.reader.last_restore().await.unwrap().unwrap();
    assert_eq!((restore.number, restore.behind), (1, 0));
    for (order, phase) in [(&old.order, "won"), (&new.order, "won"), (&open, "open")] {
        assert_eq!(world.row(order).await.unwrap().phase, phase, "{order}");
        assert!(world.is_reserved(order).await, "{order}");
    }
    assert!(!world.is_reserved(&gone).await);
    assert_eq!(world.ground().running[&old].manifest_hash, updated.hash, "what runs is kept");
    for lease in [&old, &new] {
        assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));
    }
    world.go_on(&worker, 3).await;
    assert_eq!(world.row(&late).await.unwrap().phase, "open", "decided once it was settled");
    let held: Vec<_> = world.reserved().await.into_iter().map(|held| held.order).collect();
    let mut alive = world.market().own_open_bids();
    alive.extend(world.market().own_leases().into_iter().map(|lease| lease.id.order));
    assert_eq!(held.len(), alive.len());
    assert!(alive.iter().all(|order| held.contains(order)));

    // Long after every time-out, the lease whose upload the backup lost still runs.
    world.block_after(SignedDuration::from_secs(1000));
    world.go_on(&worker, 3).await;
    assert_eq!(world.market().own_leases().len(), 2);
    assert!(world.ground().torn_down.is_empty());
    no_violations(&world);
}

#[tokio::test]
async fn a_lease_that_waited_for_its_manifest_in_the_backup_is_not_closed_for_want_of_it() {
    let (mut world, worker) = world().await;
    let lease = world.lease(&worker, 1000).await;
    let backup = world.back_up().await;
    world.upload(&worker, lease.deployment()).await.unwrap();
    worker.step().await;
    drop(worker);
    // The deadline of the backup is long over when it is put back, and the cluster says nothing at first.
    world.block_after(SignedDuration::from_secs(2000));
    world.put_back(&backup).await;
    let worker = world.worker().await;
    worker.provider.begin(worker.now()).await.unwrap();
    world.ground().faults.rates.cluster_fails = 100;
    world.go_on(&worker, 20).await;
    let restore = world.reader.last_restore().await.unwrap().unwrap();
    assert!(restore.holds_decisions(), "not settled without the cluster");
    world.ground().faults.rates.cluster_fails = 0;
    settle(&world, &worker).await;
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));
    world.go_on(&worker, 3).await;
    assert_eq!(world.market().own_leases().len(), 1);
    assert!(world.ground().torn_down.is_empty());
    no_violations(&world);
}

#[tokio::test]
async fn a_lease_whose_manifest_is_lost_and_never_ran_waits_for_it_anew() {
    let (mut world, worker) = world().await;
    let lease = world.lease(&worker, 1000).await;
    let backup = world.back_up().await;
    drop(worker);
    world.block_after(SignedDuration::from_secs(2000));
    world.put_back(&backup).await;
    let worker = world.worker().await;
    settle(&world, &worker).await;
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("awaiting_manifest"));
    world.upload(&worker, lease.deployment()).await.unwrap();
    worker.step().await;
    assert!(world.ground().running.contains_key(&lease));
    no_violations(&world);
}

#[tokio::test]
async fn a_transaction_that_the_backup_does_not_know_may_land_and_is_not_sent_twice() {
    let (mut world, worker) = world().await;
    let order = world.ask("tenant", 1000, 1);
    world.block();
    let backup = world.back_up().await;
    world.deliver_newest(&worker).await;
    worker.step().await;
    assert_eq!(world.market().mempool.len(), 1, "the bid is on its way");
    let waiting = std::mem::take(&mut world.market().mempool);
    drop(worker);

    world.put_back(&backup).await;
    let worker = world.worker().await;
    worker.provider.begin(worker.now()).await.unwrap();
    world.block();
    world.deliver_newest(&worker).await;
    worker.step().await;
    assert!(world.market().mempool.is_empty(), "nothing is signed while it may still land");
    world.market().mempool = waiting;
    settle(&world, &worker).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "open");
    assert_eq!(world.market().bid(&order).unwrap().state, BidState::Open);
    assert!(world.is_reserved(&order).await);
    no_violations(&world);
}

#[tokio::test]
async fn a_transaction_that_was_pending_in_the_backup_is_looked_up_and_not_signed_again() {
    let (mut world, worker) = world().await;
    let order = world.ask("tenant", 1000, 1);
    world.block();
    world.deliver_newest(&worker).await;
    worker.step().await;
    let backup = world.back_up().await;
    let signed = world.reader.transactions(true, None, 10).await.unwrap().rows;
    assert_eq!(signed.len(), 1);
    drop(worker);
    world.block();
    world.put_back(&backup).await;
    let worker = world.worker().await;
    settle(&world, &worker).await;
    let after = world.reader.transactions(false, None, 10).await.unwrap().rows;
    assert_eq!(after.len(), 1, "one transaction in all");
    assert!(after[0].state.is_settled());
    assert_eq!(world.row(&order).await.unwrap().phase, "open");
    no_violations(&world);
}

#[tokio::test]
async fn rows_that_were_put_back_are_paused_until_an_operator_resumes() {
    let (mut world, worker) = world().await;
    let lease = served(&mut world, &worker, 1000).await;
    let backup = world.back_up().await;
    // The pause of the lost time is lost; what it was for is not known to the rows.
    let paused = MaintenanceState::Paused;
    worker.provider.set_maintenance(paused, "a disk is bad", "operator").await.unwrap();
    drop(worker);

    world.put_back_paused(&backup).await;
    let kept = world.reader.maintenance().await.unwrap();
    assert_eq!((kept.state, kept.actor.as_str()), (paused, "lessor"));
    assert!(kept.reason.starts_with("restored from a backup of 2026-01-01T"), "{}", kept.reason);
    let worker = world.worker().await;
    settle(&world, &worker).await;
    let order = world.ask("tenant2", 500, 1);
    world.tell(&worker).await;
    world.go_on(&worker, 3).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "declined");
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));

    let bidding = MaintenanceState::Bidding;
    worker.provider.set_maintenance(bidding, "", "operator").await.unwrap();
    worker.step().await;
    world.tell(&worker).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "open");
    no_violations(&world);
}

#[tokio::test]
async fn a_pause_that_the_backup_knows_keeps_its_own_reason() {
    let (mut world, worker) = world().await;
    let state = MaintenanceState::Maintenance;
    worker.provider.set_maintenance(state, "node 3", "operator").await.unwrap();
    let backup = world.back_up().await;
    drop(worker);
    world.put_back_paused(&backup).await;
    let kept = world.reader.maintenance().await.unwrap();
    assert_eq!((kept.state, kept.reason.as_str()), (state, "node 3"));
}
