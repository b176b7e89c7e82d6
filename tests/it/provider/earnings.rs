//! What leases earn: withdrawn at the operator's pace and when the escrow must be used up, never twice in a block for one
//! deployment, and nothing left behind.

use jiff::SignedDuration;
use lessor::{
    domain::{CloseReason, DeploymentId, Height, LeaseId, LeaseState, Payment, PaymentState},
    provider::port::{Chain, Store as _, TransactionState},
};

use super::{
    ground::machine,
    world::{Worker, World},
};

async fn world(every: Option<SignedDuration>) -> (World, Worker) {
    let mut world = World::new(1, vec![machine("one", 16)]).await;
    world.settings.withdraw_every = every;
    world.settings.manifest_timeout = None;
    let worker = world.worker().await;
    (world, worker)
}

fn no_violations(world: &World) {
    assert_eq!(world.violations(), Vec::<String>::new());
}

/// Leases of ours for all groups of a new deployment.
async fn leases(world: &mut World, worker: &Worker, groups: usize) -> (DeploymentId, Vec<LeaseId>) {
    let id = world.ask_groups("tenant", 1000, groups);
    world.tell(worker).await;
    world.tell(worker).await;
    let orders = (1..=groups).map(|number| id.group(u32::try_from(number).unwrap()).order(1));
    let taken: Vec<LeaseId> = orders.map(|order| world.take(&order, "provider")).collect();
    world.tell(worker).await;
    world.go_on(worker, 1).await;
    (id, taken)
}

/// The codes of our transactions with withdrawals, and the blocks that hold them.
async fn withdrawals(world: &World) -> Vec<(u64, Option<u32>)> {
    let rows = world.reader.transactions(false, None, 200).await.unwrap().rows;
    let ours = rows.into_iter().filter(|row| row.effects[0].starts_with("withdraw/"));
    ours.map(|row| match row.state {
        TransactionState::Included(included) => {
            (included.height.0, included.failure.map(|failure| failure.code))
        }
        other => panic!("{other:?}"),
    })
    .collect()
}

#[tokio::test]
async fn two_leases_of_one_deployment_are_withdrawn_from_in_different_blocks() {
    let (mut world, worker) = world(Some(SignedDuration::from_secs(60))).await;
    let (id, leases) = leases(&mut world, &worker, 2).await;
    world.go_on(&worker, 30).await;
    let made = withdrawals(&world).await;
    assert!(made.len() >= 4, "{made:?}");
    assert!(made.iter().all(|(_, code)| code.is_none()), "{made:?}");
    let mut blocks: Vec<u64> = made.iter().map(|(height, _)| *height).collect();
    blocks.sort_unstable();
    assert!(blocks.windows(2).all(|pair| pair[0] < pair[1]), "{blocks:?}");
    let node = world.node();
    let payments = node.payments(&id, Height(0)).await.unwrap().value;
    for lease in &leases {
        let payment = payments.iter().find(|payment| payment.lease == *lease).unwrap();
        assert!(payment.withdrawn.amount > 0, "{payment:?}");
    }
    no_violations(&world);
}

#[tokio::test]
async fn without_a_pace_nothing_is_withdrawn_until_the_escrow_must_be_used_up_and_then_the_lease_ends()
 {
    let (mut world, worker) = world(None).await;
    world.deposit = 500_000;
    let lease = world.lease(&worker, 16_000).await;
    world.go_on(&worker, 5).await;
    assert_eq!(withdrawals(&world).await, []);
    let row = world.row(&lease.order).await.unwrap();
    let until =
        row.body.pointer("/lease/funded_until").and_then(serde_json::Value::as_u64).unwrap();
    world.pass_blocks_to(until + 2);
    world.go_on(&worker, 15).await;
    let ended = world.market().lease(&lease).unwrap();
    assert_eq!(
        (ended.state, ended.reason),
        (LeaseState::InsufficientFunds, CloseReason::InsufficientFunds)
    );
    assert_eq!(withdrawals(&world).await.len(), 1);
    assert_eq!(world.lease_phase(&lease.order).await.as_deref(), Some("gone"));
    assert!(world.reserved().await.is_empty());
    no_violations(&world);
}

#[tokio::test]
async fn leases_of_one_deployment_that_close_together_leave_no_payment_open() {
    let (mut world, _) = world(None).await;
    world.settings.manifest_timeout = Some(SignedDuration::from_secs(120));
    let worker = world.worker().await;
    let (id, leases) = leases(&mut world, &worker, 3).await;
    // Nobody uploads a manifest: all are closed for that, at once.
    world.go_on(&worker, 60).await;
    for lease in &leases {
        assert_eq!(world.market().lease(lease).unwrap().reason, CloseReason::ManifestTimeout);
    }
    let node = world.node();
    let payments = node.payments(&id, Height(0)).await.unwrap().value;
    assert_eq!(payments.len(), 3);
    assert!(payments.iter().all(|payment| payment.state != PaymentState::Open), "{payments:?}");
    no_violations(&world);
}

#[tokio::test]
async fn a_payment_that_somebody_left_open_is_withdrawn_from_until_its_deployment_is_closed() {
    let (mut world, worker) = world(None).await;
    let (id, leases) = leases(&mut world, &worker, 2).await;
    // An older program closes both in one transaction: the second payment goes on.
    world.market().close_as_provider(&leases, CloseReason::Unspecified);
    world.tell(&worker).await;
    let node = world.node();
    let left_open = async || {
        let payments = node.payments(&id, Height(0)).await.unwrap().value;
        let open: Vec<_> = payments.into_iter().filter(Payment::is_left_open).collect();
        open.iter().map(|payment| payment.withdrawn.amount).collect::<Vec<u128>>()
    };
    assert_eq!(left_open().await, [0]);
    world.go_on(&worker, 6).await;
    let [first] = left_open().await[..] else { panic!("a payment is open") };
    assert!(first > 0);
    world.block_after(SignedDuration::from_hours(24));
    world.go_on(&worker, 6).await;
    let [second] = left_open().await[..] else { panic!("a payment is open") };
    assert!(second > first);
    world.close(&id);
    world.tell(&worker).await;
    world.go_on(&worker, 6).await;
    assert_eq!(left_open().await, []);
    let made = withdrawals(&world).await.len();
    world.block_after(SignedDuration::from_hours(48));
    world.go_on(&worker, 6).await;
    assert_eq!(withdrawals(&world).await.len(), made, "there is nothing to withdraw any more");
    no_violations(&world);
}
