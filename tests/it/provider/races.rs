//! What happens at once, or in the wrong order: each test is one such case.

use std::sync::{Arc, Mutex};

use jiff::SignedDuration;
use lessor::{
    domain::{BidState, CloseReason, Height, LeaseState, OrderId},
    event::{
        envelope::{BlockEvent, BlockRef, ChainEvent},
        hash::{BlockHash, TxHash},
    },
    provider::{port::Store as _, submit::SubmitError},
    wire::event::ChainEvent as Typed,
};

use super::{
    ground::machine,
    market::address,
    world::{Worker, World},
};

async fn small() -> (World, Worker) {
    let world = World::new(1, vec![machine("one", 4)]).await;
    let worker = world.worker().await;
    (world, worker)
}

fn no_violations(world: &World) {
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_deployment_is_bid_on_leased_run_and_released() {
    let (mut world, worker) = small().await;
    let lease = world.lease(&worker, 1000).await;
    let id = lease.deployment().clone();
    let submitted = world.upload(&worker, &id).await.unwrap();
    assert_eq!(submitted.leases, std::slice::from_ref(&lease));
    worker.step().await;
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));
    assert_eq!(world.ground().running[&lease].manifest_hash, submitted.hash);

    world.close(&id);
    world.tell(&worker).await;
    world.wait(SignedDuration::from_secs(1));
    worker.step().await;
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("gone"));
    assert!(world.ground().running.is_empty());
    assert!(world.reserved().await.is_empty());
    assert_eq!(world.market().bid(&lease.order).unwrap().state, BidState::Closed);
    no_violations(&world);
}

#[tokio::test]
async fn an_order_costs_three_commits_eight_calls_and_three_one_after_the_other_before_its_bid_is_sent()
 {
    let (mut world, worker) = small().await;
    // A process that stays has asked ahead of time, looks at the newest block every second, and its stream has reads to spend.
    world.order_with_bid(&worker, 100).await;
    world.go_on(&worker, 2).await;
    world.ask("tenant", 100, 1);
    world.block();
    worker.step().await;
    worker.provider.keep_warm().await;
    let calls_before = worker.gate.calls();
    let commits = world.commits();
    let handed = Arc::new(Mutex::new(None));
    let (told, count, gate) = (handed.clone(), world.commits(), worker.gate.clone());
    world.market().on_broadcast = Some(Box::new(move |calls| {
        told.lock().unwrap().get_or_insert((calls, count(), gate.rounds()));
    }));
    worker.gate.count_rounds();
    world.deliver_newest(&worker).await;
    let after_the_delivery = commits();
    worker.step().await;
    let (calls, commits, rounds) = handed.lock().unwrap().unwrap();
    assert!(commits - after_the_delivery <= 3, "{} commits", commits - after_the_delivery);
    let calls = calls - calls_before;
    assert!(calls <= 8, "{calls} calls");
    assert!(rounds <= 3, "{rounds} calls one after the other");
    no_violations(&world);
}

#[tokio::test]
async fn an_order_that_closes_while_the_bid_is_in_flight_holds_its_capacity_until_the_bid_cannot_land()
 {
    let (mut world, worker) = small().await;
    let order = world.ask("tenant", 1000, 1);
    world.tell(&worker).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "bidding");
    // The closing overtakes the bid.
    world.close(order.deployment());
    world.market().mempool.rotate_right(1);
    let bid = world.market().mempool.pop().unwrap();
    world.tell(&worker).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "close_wanted");
    assert!(world.is_reserved(&order).await, "the bid can still land");

    // The bid lands on a closed order, and fails there.
    world.market().mempool.push(bid);
    world.go_on(&worker, 2).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "done");
    assert!(world.reserved().await.is_empty());
    assert!(world.market().bid(&order).is_none());
    no_violations(&world);
}

#[tokio::test]
async fn an_order_that_closes_while_the_bid_never_lands_is_released_after_the_time_out_on_chain() {
    let (mut world, worker) = small().await;
    let order = world.ask("tenant", 1000, 1);
    world.tell(&worker).await;
    world.close(order.deployment());
    world.market().mempool.rotate_right(1);
    world.market().mempool.truncate(1);
    world.block();
    // The node forgets it whenever it is handed over again.
    for _ in 0..12 {
        worker.step().await;
        world.market().mempool.clear();
        assert!(world.is_reserved(&order).await);
        world.block_after(SignedDuration::from_secs(4));
    }
    world.market().mempool.clear();
    world.block_after(SignedDuration::from_secs(10));
    worker.step().await;
    world.wait(SignedDuration::from_secs(1));
    worker.step().await;
    assert_eq!(world.row(&order).await.unwrap().phase, "done");
    assert!(world.reserved().await.is_empty());
    no_violations(&world);
}

#[tokio::test]
async fn a_lease_event_before_the_bids_own_inclusion_is_seen_is_a_won_bid() {
    let (mut world, worker) = small().await;
    let order = world.ask("tenant", 1000, 1);
    world.tell(&worker).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "bidding");
    // Bid and lease are in blocks before a step looks again.
    world.block();
    let lease = world.take(&order, "provider");
    world.block();
    world.deliver_newest(&worker).await;
    worker.step().await;
    let row = world.row(&order).await.unwrap();
    assert_eq!((row.phase.as_str(), row.lease.as_deref()), ("won", Some("active")));
    let reserved = world.reserved().await;
    assert!(reserved.iter().all(|held| held.leased && held.order == lease.order));
    assert_eq!(reserved.len(), 1);
    world.go_on(&worker, 3).await;
    let unsettled = world.reader.transactions(true, None, 10).await.unwrap();
    assert!(unsettled.rows.is_empty(), "the bid's transaction is settled too");
    no_violations(&world);
}

#[tokio::test]
async fn a_manifest_that_comes_before_the_lease_event_is_taken_and_runs() {
    let (mut world, worker) = small().await;
    let order = world.order_with_bid(&worker, 1000).await;
    let early = world.upload(&worker, order.deployment()).await;
    assert!(matches!(early, Err(SubmitError::NoLease)), "{early:?}");
    let lease = world.take(&order, "provider");
    world.block();
    // No delivery and no step since: the rows know of no lease.
    let submitted = world.upload(&worker, order.deployment()).await.unwrap();
    worker.step().await;
    assert_eq!(world.ground().running[&lease].manifest_hash, submitted.hash);
    assert_eq!(world.lease_phase(&order).await.as_deref(), Some("running"));
    no_violations(&world);
}

#[tokio::test]
async fn a_manifest_that_is_superseded_between_upload_and_apply_is_not_applied() {
    let (mut world, worker) = small().await;
    let lease = world.lease(&worker, 1000).await;
    let id = lease.deployment().clone();
    let first = world.upload(&worker, &id).await.unwrap();
    world.update(&id, 1000, 1, 2);
    world.block();
    worker.step().await;
    assert!(world.ground().applied.is_empty());

    let second = world.upload(&worker, &id).await.unwrap();
    worker.step().await;
    assert_eq!(world.ground().applied, [(lease.clone(), second.hash.clone())]);

    // An update without its manifest keeps what runs.
    world.update(&id, 1000, 1, 3);
    world.tell(&worker).await;
    assert_eq!(world.ground().running[&lease].manifest_hash, second.hash);
    let third = world.upload(&worker, &id).await.unwrap();
    worker.step().await;
    assert_eq!(world.ground().running[&lease].manifest_hash, third.hash);
    assert_ne!(first.hash, third.hash);
    assert!(world.ground().torn_down.is_empty());
    no_violations(&world);
}

#[tokio::test]
async fn an_order_that_another_bidder_gets_gives_the_capacity_back_and_leaves_no_bid_open() {
    let (mut world, worker) = small().await;
    let order = world.order_with_bid(&worker, 1000).await;
    world.rival_bids(&order);
    world.block();
    world.take(&order, "provider2");
    world.tell(&worker).await;
    world.go_on(&worker, 2).await;
    let bid = world.market().bid(&order).unwrap();
    assert!(matches!(bid.state, BidState::Lost | BidState::Closed), "{bid:?}");
    assert_eq!(world.row(&order).await.unwrap().phase, "lost");
    assert!(world.reserved().await.is_empty());
    no_violations(&world);
}

#[tokio::test]
async fn a_chain_that_stands_still_for_two_hours_of_its_time_fires_no_deadline_early_and_goes_on() {
    let (mut world, worker) = small().await;
    let waiting = world.order_with_bid(&worker, 1000).await;
    let lease = world.lease(&worker, 1000).await;
    let in_flight = world.ask("tenant", 1000, 1);
    world.tell(&worker).await;
    assert_eq!(world.row(&in_flight).await.unwrap().phase, "bidding");
    // Two hours of the host's clock without a block.
    for _ in 0..24 {
        world.wait(SignedDuration::from_mins(5));
        worker.step().await;
    }
    assert_eq!(world.row(&waiting).await.unwrap().phase, "open");
    assert_eq!(world.row(&in_flight).await.unwrap().phase, "bidding");
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("awaiting_manifest"));
    assert_eq!(world.market().mempool.len(), 1, "nothing was sent but the bid");

    // The first block after it carries a time two hours later, and the bid, whose time-out that is past: it comes again.
    world.market().block(SignedDuration::from_hours(2));
    for _ in 0..4 {
        worker.step().await;
        world.block();
    }
    worker.step().await;
    assert_eq!(world.row(&in_flight).await.unwrap().phase, "open");
    // By the chain's own time the bid and the manifest are late.
    assert_eq!(world.row(&waiting).await.unwrap().phase, "done");
    let ended = world.market().lease(&lease).unwrap();
    assert_eq!((ended.state, ended.reason), (LeaseState::Closed, CloseReason::ManifestTimeout));
    no_violations(&world);
}

#[tokio::test]
async fn a_store_without_its_rows_under_a_live_lease_picks_the_lease_up_and_runs_a_later_manifest()
{
    let (mut world, worker) = small().await;
    let lease = world.lease(&worker, 1000).await;
    let id = lease.deployment().clone();
    world.upload(&worker, &id).await.unwrap();
    worker.step().await;
    let open = world.order_with_bid(&worker, 2000).await;
    assert_eq!(world.ground().running.len(), 1);

    world.lose_the_rows().await;
    let worker = world.worker().await;
    worker.provider.begin(worker.now()).await.unwrap();
    world.block();
    worker.step().await;
    assert_eq!(world.row(&lease.order).await.unwrap().phase, "won");
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));
    assert!(world.is_reserved(&lease.order).await);
    assert_eq!(world.row(&open).await.unwrap().phase, "open");
    assert!(world.is_reserved(&open).await, "a bid that is found is reserved for");
    let held = world.reserved().await.into_iter().find(|held| held.order == lease.order).unwrap();
    assert!(held.applied_at.is_some(), "what runs is counted by the inventory");

    world.update(&id, 1000, 1, 2);
    world.block();
    let submitted = world.upload(&worker, &id).await.unwrap();
    worker.step().await;
    assert_eq!(world.ground().running[&lease].manifest_hash, submitted.hash);
    assert!(world.ground().torn_down.is_empty());
    no_violations(&world);
}

/// A block that says that there are these orders.
fn claim(height: Height, prev: BlockRef, orders: &[OrderId]) -> BlockEvent {
    let events = orders.iter().zip(0..).map(|(id, i)| {
        let typed = Typed::OrderCreated { id: id.clone() };
        ChainEvent {
            i,
            tx_hash: TxHash::of(&height.0.to_be_bytes()),
            msg_index: 0,
            event_index: i,
            kind: typed.kind().to_owned(),
            attributes: typed.to_attributes(),
        }
    });
    BlockEvent {
        chain_id: lessor::devnet::genesis::CHAIN_ID.to_owned(),
        at: BlockRef { height, hash: BlockHash([7; 32]) },
        prev: Some(prev),
        cursor: None,
        complete: true,
        part: 0,
        parts: 1,
        events: events.collect(),
    }
}

#[tokio::test]
async fn five_hundred_orders_that_do_not_exist_cost_no_more_reads_than_the_budget_and_hide_no_true_one()
 {
    let (mut world, worker) = small().await;
    world.order_with_bid(&worker, 500).await;
    let order = world.ask("tenant", 1000, 1);
    world.block();
    let newest = world.market().sent.last().unwrap().clone();
    let lies: Vec<OrderId> =
        (0..500).map(|n| OrderId::new(address("tenant2"), 10_000 + n, 1, 1)).collect();
    let before = world.market().reads;
    let lie = claim(newest.at.height, newest.prev.unwrap(), &lies);
    world.deliver(&worker, "a lie", &[lie]).await;
    worker.step().await;
    world.deliver_newest(&worker).await;
    for _ in 0..55 {
        world.wait(SignedDuration::from_secs(1));
        worker.step().await;
    }
    let reads = world.market().reads - before;
    // What the loop itself reads: the tip, some per pass, and the registration.
    assert!(reads < 300 + 56 * 4, "{reads} reads");
    assert_eq!(world.row(&order).await.unwrap().phase, "bidding");
    world.go_on(&worker, 1).await;
    assert_eq!(world.market().bid(&order).unwrap().state, BidState::Open);
    assert!(world.row(&lies[0]).await.is_none());
    no_violations(&world);
}

#[tokio::test]
async fn a_bid_that_nobody_takes_in_time_is_closed_and_its_capacity_given_back() {
    let (mut world, worker) = small().await;
    let order = world.order_with_bid(&worker, 1000).await;
    for _ in 0..46 {
        world.block();
        worker.step().await;
    }
    assert_eq!(world.market().bid(&order).unwrap().state, BidState::Open, "276 seconds");
    world.go_on(&worker, 8).await;
    assert_eq!(world.market().bid(&order).unwrap().state, BidState::Closed);
    assert_eq!(world.row(&order).await.unwrap().phase, "done");
    assert!(world.reserved().await.is_empty());
    no_violations(&world);
}

#[tokio::test]
async fn a_lease_without_a_manifest_in_time_is_closed_for_that_reason_and_its_capacity_given_back()
{
    let (mut world, worker) = small().await;
    let lease = world.lease(&worker, 1000).await;
    for _ in 0..46 {
        world.block();
        worker.step().await;
    }
    assert_eq!(world.market().lease(&lease).unwrap().state, LeaseState::Active, "276 seconds");
    world.go_on(&worker, 10).await;
    let ended = world.market().lease(&lease).unwrap();
    assert_eq!((ended.state, ended.reason), (LeaseState::Closed, CloseReason::ManifestTimeout));
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("gone"));
    assert!(world.reserved().await.is_empty());
    no_violations(&world);
}

#[tokio::test]
async fn a_declined_order_has_its_decision_and_holds_nothing() {
    let (mut world, worker) = small().await;
    let order = world.ask("tenant", 5000, 1);
    world.tell(&worker).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "declined");
    let decision = world.reader.decision(&order).await.unwrap().unwrap();
    let text = serde_json::to_string(&decision).unwrap();
    assert!(text.contains("cpu milli") && text.contains("5000") && text.contains("4000"), "{text}");
    assert!(world.reserved().await.is_empty());
    world.go_on(&worker, 2).await;
    assert!(world.market().bid(&order).is_none());
    assert!(world.market().mempool.is_empty());
    no_violations(&world);
}

#[tokio::test]
async fn a_bid_that_is_found_on_chain_waits_for_an_inventory_and_is_not_given_up_without_one() {
    let (mut world, worker) = small().await;
    let order = world.order_with_bid(&worker, 1000).await;
    world.lose_the_rows().await;
    let worker = world.worker().await;
    worker.provider.begin(worker.now()).await.unwrap();
    world.ground().faults.rates.cluster_fails = 100;
    world.go_on(&worker, 3).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "open");
    assert!(!world.is_reserved(&order).await);
    world.ground().faults.rates.cluster_fails = 0;
    world.go_on(&worker, 2).await;
    assert!(world.is_reserved(&order).await);
    assert_eq!(world.market().bid(&order).unwrap().state, BidState::Open);

    // A young inventory without room is another matter.
    world.ground().nodes[0].cpu_milli.allocatable = 500;
    world.lose_the_rows().await;
    let worker = world.worker().await;
    worker.provider.begin(worker.now()).await.unwrap();
    world.go_on(&worker, 4).await;
    assert_eq!(world.market().bid(&order).unwrap().state, BidState::Closed);
    assert_eq!(world.row(&order).await.unwrap().phase, "done");
    no_violations(&world);
}

#[tokio::test]
async fn an_update_back_to_a_manifest_that_ran_before_is_applied_again() {
    let (mut world, worker) = small().await;
    let lease = world.lease(&worker, 1000).await;
    let id = lease.deployment().clone();
    let first = world.upload(&worker, &id).await.unwrap();
    worker.step().await;
    world.update(&id, 1000, 1, 2);
    world.block();
    let second = world.upload(&worker, &id).await.unwrap();
    worker.step().await;
    assert_eq!(world.ground().running[&lease].manifest_hash, second.hash);
    // The manifest is stored already: the update alone is enough.
    world.update(&id, 1000, 1, 1);
    world.tell(&worker).await;
    assert_eq!(world.ground().running[&lease].manifest_hash, first.hash);
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));
    no_violations(&world);
}

#[tokio::test]
async fn what_ran_before_a_refused_update_runs_again() {
    let (mut world, worker) = small().await;
    let lease = world.lease(&worker, 1000).await;
    let id = lease.deployment().clone();
    let first = world.upload(&worker, &id).await.unwrap();
    worker.step().await;
    let before = world.ground().running[&lease].clone();
    world.update(&id, 1000, 1, 2);
    world.block();
    let second = world.upload(&worker, &id).await.unwrap();
    world.ground().refused = Some(second.hash.clone());
    worker.step().await;
    let applied: Vec<String> =
        world.ground().applied.iter().map(|(_, hash)| hash.clone()).collect();
    assert_eq!(applied, [first.hash.clone(), second.hash, first.hash]);
    assert_eq!(world.ground().running[&lease], before);
    no_violations(&world);
}

#[tokio::test]
async fn an_apply_that_is_tried_again_after_the_teardown_brings_nothing_back() {
    let (mut world, worker) = small().await;
    let lease = world.lease(&worker, 1000).await;
    let id = lease.deployment().clone();
    world.ground().faults.rates.cluster_fails = 100;
    world.upload(&worker, &id).await.unwrap();
    for _ in 0..8 {
        worker.step().await;
        world.wait(SignedDuration::from_secs(10));
    }
    world.ground().faults.rates.cluster_fails = 0;
    world.close(&id);
    world.market().block(SignedDuration::from_secs(1));
    world.deliver_newest(&worker).await;
    for _ in 0..20 {
        worker.step().await;
        world.wait(SignedDuration::from_secs(10));
    }
    assert!(world.ground().running.is_empty());
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("gone"));
    assert!(world.reserved().await.is_empty());
    assert_eq!(world.unfinished_effects().await, Vec::<String>::new());
    no_violations(&world);
}

#[tokio::test]
async fn a_claim_about_a_block_far_above_the_tip_waits_and_costs_no_reads_of_its_own() {
    let (world, worker) = small().await;
    worker.step().await;
    let lie = OrderId::new(address("tenant2"), 77, 1, 1);
    let prev = BlockRef { height: Height(1), hash: BlockHash([1; 32]) };
    world.deliver(&worker, "far", &[claim(Height(1_000_000), prev, &[lie])]).await;
    let before = world.market().reads;
    for _ in 0..60 {
        world.wait(SignedDuration::from_secs(1));
        worker.step().await;
    }
    let reads = world.market().reads - before;
    // Two looks at the tip a pass, now and then the registration, and a reconciliation.
    assert!(reads < 60 * 3 + 40, "{reads} reads");
    no_violations(&world);
}

#[tokio::test]
async fn a_process_that_dies_between_signing_and_sending_leaves_the_bytes_to_the_next() {
    let (mut world, mut worker) = small().await;
    let order = world.ask("tenant", 1000, 1);
    world.block();
    world.deliver_newest(&worker).await;
    // However far it comes, the next one goes on from the rows: one bid, one reservation.
    for calls in 0..40 {
        worker.gate.die_after(calls % 20);
        worker.step().await;
        worker = world.worker().await;
        world.wait(SignedDuration::from_secs(31));
    }
    world.go_on(&worker, 3).await;
    assert_eq!(world.market().bid(&order).unwrap().state, BidState::Open);
    assert_eq!(world.row(&order).await.unwrap().phase, "open");
    assert_eq!(world.reserved().await.len(), 1);
    let sent = world.reader.transactions(false, None, 10).await.unwrap().rows;
    assert_eq!(sent.len(), 1, "{sent:?}");
    no_violations(&world);
}

#[tokio::test]
async fn two_workers_over_one_store_bid_once_and_promise_no_more_than_there_is() {
    let mut world = World::new(1, vec![machine("one", 4)]).await;
    let (one, two) = (world.worker().await, world.worker().await);
    let orders: Vec<OrderId> = (0..8).map(|_| world.ask("tenant", 1000, 1)).collect();
    world.block();
    world.deliver_newest(&one).await;
    tokio::join!(one.step(), two.step());
    assert_eq!(world.promised_cores().await, 4000);
    for _ in 0..3 {
        world.block();
        tokio::join!(one.step(), two.step());
    }
    assert_eq!(world.market().own_open_bids().len(), 4);
    let mut declined = 0;
    for order in &orders {
        declined += usize::from(world.row(order).await.unwrap().phase == "declined");
    }
    assert_eq!(declined, 4);
    let sent = world.reader.transactions(false, None, 50).await.unwrap().rows;
    assert_eq!(sent.iter().map(|sent| sent.effects.len()).sum::<usize>(), 4);
    no_violations(&world);
}

#[tokio::test]
async fn limits_of_bids_and_leases_hold_for_orders_of_one_block() {
    let mut world = World::new(5, vec![machine("one", 8)]).await;
    world.settings.policy.max_open_bids = Some(2);
    world.settings.policy.max_leases = Some(3);
    let worker = world.worker().await;
    let orders: Vec<OrderId> = (0..4).map(|_| world.ask("tenant", 100, 1)).collect();
    world.tell(&worker).await;
    world.tell(&worker).await;
    let open = world.market().own_open_bids();
    assert_eq!(open.len(), 2, "two of four orders of one block are bid on");
    let declined = orders.iter().find(|order| !open.contains(order)).unwrap();
    let decision = world.reader.decision(declined).await.unwrap().unwrap();
    assert_eq!(decision.hints(), ["open_bids_limit needs fewer than 2, there is 2"], "{decision}");

    for order in &open {
        world.take(order, "provider");
    }
    world.tell(&worker).await;
    let later: Vec<OrderId> = (0..2).map(|_| world.ask("tenant2", 100, 1)).collect();
    world.tell(&worker).await;
    world.tell(&worker).await;
    assert_eq!(world.market().own_open_bids().len(), 1, "a third lease may come of one bid");
    let mut reasons = Vec::new();
    for order in &later {
        reasons.extend(world.reader.decision(order).await.unwrap().unwrap().hints());
    }
    let full = "leases_limit needs fewer than 3, there is 3: 2 leases, 1 bids that may be won";
    assert_eq!(reasons, [full]);
    no_violations(&world);
}

#[tokio::test]
async fn a_cluster_without_inventory_is_asked_ever_more_rarely_and_who_waits_is_woken() {
    let (mut world, worker) = small().await;
    let order = world.order_with_bid(&worker, 1000).await;
    world.lose_the_rows().await;
    let worker = world.worker().await;
    worker.provider.begin(worker.now()).await.unwrap();
    world.ground().faults.rates.cluster_fails = 100;
    let asked = world.ground().asked;
    for _ in 0..600 {
        world.wait(SignedDuration::from_secs(1));
        worker.step().await;
    }
    assert_eq!(world.row(&order).await.unwrap().phase, "open");
    let asked = world.ground().asked - asked;
    assert!((6..=25).contains(&asked), "asked {asked} times in ten minutes");

    // Another deployment's step finds the cluster back; the first one need not sleep its minute out.
    world.ground().faults.rates.cluster_fails = 0;
    world.ask("tenant2", 100, 1);
    world.block_after(SignedDuration::from_secs(2));
    world.deliver_newest(&worker).await;
    worker.step().await;
    assert!(world.is_reserved(&order).await);
    no_violations(&world);
}
