//! Too many teardowns at once are held until an operator agrees.

use jiff::SignedDuration;
use lessor::{
    domain::LeaseId,
    provider::{port::Store as _, views},
};

use super::{
    ground::machine,
    world::{Worker, World},
};

/// So many leases that run.
async fn running(world: &mut World, worker: &Worker, count: u64) -> Vec<LeaseId> {
    let mut leases = Vec::new();
    for _ in 0..count {
        let lease = world.lease(worker, 500).await;
        world.upload(worker, lease.deployment()).await.unwrap();
        world.go_on(worker, 4).await;
        assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("running"));
        leases.push(lease);
    }
    leases
}

async fn phases(world: &World, leases: &[LeaseId]) -> Vec<String> {
    let mut phases = Vec::new();
    for lease in leases {
        phases.push(world.lease_phase(&lease.order).await.unwrap_or_default());
    }
    phases
}

#[tokio::test]
async fn more_teardowns_than_are_likely_wait_for_an_operator_and_lose_nothing_meanwhile() {
    let mut world = World::new(11, vec![machine("one", 64)]).await;
    world.settings.teardown_limit = Some(2);
    let worker = world.worker().await;
    let leases = running(&mut world, &worker, 4).await;

    world.close(leases[0].deployment());
    world.tell(&worker).await;
    world.go_on(&worker, 6).await;
    assert_eq!(phases(&world, &leases[..1]).await, ["gone"], "one is likely enough");

    for lease in &leases[1..] {
        world.close(lease.deployment());
    }
    world.tell(&worker).await;
    world.go_on(&worker, 6).await;
    let breaker = world.reader.breaker().await.unwrap();
    assert!(breaker.held_since.is_some() && breaker.decided == 4, "{breaker:?}");
    assert_eq!(phases(&world, &leases[1..]).await, ["tearing_down"; 3]);
    let shown = views::lease(&worker.provider, &leases[1]).await.unwrap().unwrap();
    assert!(
        shown.phase_reason.is_some_and(|why| why.contains("an operator must agree")),
        "it says what it waits for"
    );
    for lease in &leases[1..] {
        assert!(world.is_reserved(&lease.order).await, "what runs still takes its capacity");
    }

    // Time alone agrees to nothing, and neither does another process.
    world.wait(SignedDuration::from_mins(30));
    let worker = world.worker().await;
    world.go_on(&worker, 6).await;
    assert_eq!(phases(&world, &leases[1..]).await, ["tearing_down"; 3]);

    let agreed = worker.provider.agree_to_teardowns("operator").await.unwrap();
    assert_eq!((agreed.held_since, agreed.agreed_by.as_deref()), (None, Some("operator")));
    world.wait(SignedDuration::from_secs(10));
    world.go_on(&worker, 6).await;
    assert_eq!(phases(&world, &leases[1..]).await, ["gone"; 3]);
    assert_eq!(world.violations(), Vec::<String>::new());
}
