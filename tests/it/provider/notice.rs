//! Leases that were agreed with a notice: they end only when it was given and is over.

use lessor::{
    domain::{CloseReason, LeaseState},
    provider::port::Store as _,
};

use super::{ground::machine, world::World};

#[tokio::test]
async fn a_lease_with_a_notice_is_given_it_once_and_closed_when_it_is_over() {
    let mut world = World::new(1, vec![machine("one", 4)]).await;
    let worker = world.worker().await;
    let order = world.ask_with_notice("tenant", 1000, 3_600);
    world.tell(&worker).await;
    world.tell(&worker).await;
    let lease = world.take(&order, "provider");
    world.tell(&worker).await;
    assert_eq!(world.lease_phase(&order).await.as_deref(), Some("awaiting_manifest"));
    // Nobody uploads a manifest: the notice is given, and until it is over the lease runs and is paid.
    world.go_on(&worker, 60).await;
    assert_eq!(world.lease_phase(&order).await.as_deref(), Some("close_wanted"));
    let found = world.market().lease(&lease).unwrap();
    assert_eq!(found.state, LeaseState::Reclaiming);
    assert!(world.is_reserved(&order).await);
    let before = world.market().reads;
    world.go_on(&worker, 500).await;
    assert_eq!(world.market().lease(&lease).unwrap().state, LeaseState::Reclaiming);
    let reads = world.market().reads - before;
    assert!(reads < 500 * 6, "{reads} reads");
    world.go_on(&worker, 120).await;
    let ended = world.market().lease(&lease).unwrap();
    assert_eq!((ended.state, ended.reason), (LeaseState::Closed, CloseReason::ManifestTimeout));
    let lines = world.reader.audit_lines(None, 500).await.unwrap().rows;
    let count = |action: &str| lines.iter().filter(|line| line.action == action).count();
    assert_eq!((count("start_reclaim"), count("close_bid")), (1, 1));
    assert_eq!(world.lease_phase(&order).await.as_deref(), Some("gone"));
    assert_eq!(world.violations(), Vec::<String>::new());
}
