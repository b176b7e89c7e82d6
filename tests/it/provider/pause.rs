//! Pausing and resuming, and blocks that an operator wants pulled.

use jiff::SignedDuration;
use lessor::{
    domain::Height,
    provider::{
        port::{Clock as _, MaintenanceState, Store as _},
        settings::Window,
    },
};

use super::{
    ground::machine,
    world::{STREAM, World},
};

async fn reason(world: &World, order: &lessor::domain::OrderId) -> Option<String> {
    let row = world.row(order).await?;
    row.body.pointer("/decided/reason")?.as_str().map(str::to_owned)
}

#[tokio::test]
async fn a_pause_stops_bidding_and_a_resume_bids_on_what_is_still_open() {
    let mut world = World::new(1, vec![machine("one", 8)]).await;
    let worker = world.worker().await;
    let lease = world.lease(&worker, 500).await;
    let paused = MaintenanceState::Paused;
    worker.provider.set_maintenance(paused, "new disks", "operator").await.unwrap();

    let stays = world.ask("tenant", 500, 1);
    let goes = world.ask("tenant2", 500, 1);
    world.tell(&worker).await;
    for order in [&stays, &goes] {
        assert_eq!(world.row(order).await.unwrap().phase, "declined");
        assert_eq!(reason(&world, order).await.as_deref(), Some("paused"));
        let decision = world.reader.decision(order).await.unwrap().unwrap();
        let check = decision.failures().next().unwrap();
        assert_eq!((check.name.reason(), check.passed), ("paused", false));
        assert!(check.there.contains("new disks"), "{check:?}");
    }
    // What is leased goes on: its manifest is taken and runs.
    world.upload(&worker, lease.deployment()).await.unwrap();
    world.go_on(&worker, 4).await;
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));
    world.close(goes.deployment());
    world.tell(&worker).await;
    assert!(
        world.market().bids(stays.deployment()).is_empty()
            && world.market().bids(goes.deployment()).is_empty()
    );

    let bidding = MaintenanceState::Bidding;
    worker.provider.set_maintenance(bidding, "", "operator").await.unwrap();
    worker.step().await;
    world.tell(&worker).await;
    assert_eq!(world.row(&stays).await.unwrap().phase, "open");
    assert!(world.market().bids(goes.deployment()).is_empty());
    assert_eq!(world.violations(), [] as [String; 0]);
}

#[tokio::test]
async fn in_a_window_there_are_no_bids_and_when_it_ends_they_go_on_by_themselves() {
    let mut world = World::new(4, vec![machine("one", 8)]).await;
    let now = world.clock.now();
    let at = |seconds: i64| now.saturating_add(SignedDuration::from_secs(seconds)).unwrap();
    let reason = "new disks".to_owned();
    world.settings.windows = vec![Window { from: at(0), until: at(60), reason }];
    let worker = world.worker().await;
    worker.provider.begin(worker.now()).await.unwrap();
    let order = world.ask("tenant", 500, 1);
    world.tell(&worker).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "declined");
    let decision = world.reader.decision(&order).await.unwrap().unwrap();
    let there = &decision.failures().next().unwrap().there;
    assert!(there.contains("maintenance until") && there.contains("new disks"), "{there}");

    // Nobody tells of it again.
    world.go_on(&worker, 12).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "open");
}

#[tokio::test]
async fn a_bid_that_was_decided_before_the_pause_and_not_signed_waits_for_its_end() {
    let mut world = World::new(2, vec![machine("one", 8)]).await;
    let worker = world.worker().await;
    let keyless = world.worker_without_key().await;
    let order = world.ask("tenant", 500, 1);
    world.tell(&keyless).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "bidding");
    let state = MaintenanceState::Maintenance;
    worker.provider.set_maintenance(state, "node 3", "operator").await.unwrap();
    world.go_on(&worker, 3).await;
    assert!(world.market().bids(order.deployment()).is_empty());
    assert!(world.is_reserved(&order).await);

    let bidding = MaintenanceState::Bidding;
    worker.provider.set_maintenance(bidding, "done", "operator").await.unwrap();
    world.go_on(&worker, 2).await;
    assert_eq!(world.market().bids(order.deployment()).len(), 1);
    world.tell(&worker).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "open");
}

#[tokio::test]
async fn a_gap_that_is_asked_for_is_pulled_at_once_and_a_known_range_changes_nothing() {
    let mut world = World::new(3, vec![machine("one", 8)]).await;
    let worker = world.worker().await;
    let mut orders = Vec::new();
    for _ in 0..3 {
        orders.push(world.ask("tenant", 500, 1));
        world.block();
    }
    let blocks = world.market().sent.clone();
    let [first, .., last] = blocks.as_slice() else { panic!("{} blocks", blocks.len()) };
    world.deliver(&worker, "first", std::slice::from_ref(first)).await;
    world.deliver(&worker, "last", std::slice::from_ref(last)).await;
    worker.step().await;
    let gap = |world: &World| {
        let reader = world.reader.clone();
        async move { reader.stream(STREAM).await.unwrap().unwrap().state.link.gap() }
    };
    let open = gap(&world).await.unwrap();
    assert!(world.row(&orders[1]).await.is_none());

    // Long before the gap would be pulled by itself.
    let wanted = worker.provider.backfill(STREAM, None, None, "operator").await.unwrap();
    assert_eq!(wanted, open);
    worker.step().await;
    let row = world.reader.stream(STREAM).await.unwrap().unwrap();
    assert_eq!((row.state.link.gap(), row.state.pull_wanted), (None, None));
    assert_eq!(row.state.link.cursor(), Some(last.at));
    assert!(world.row(&orders[1]).await.is_some());

    let (from, to) = (Some(Height(1)), Some(first.at.height));
    worker.provider.backfill(STREAM, from, to, "operator").await.unwrap();
    world.wait(SignedDuration::from_secs(1));
    worker.step().await;
    let again = world.reader.stream(STREAM).await.unwrap().unwrap();
    assert_eq!((again.state.pull_wanted, again.state.link), (None, row.state.link));
    assert_eq!(again.events, row.events);
    assert!(again.duplicates > row.duplicates);
}
