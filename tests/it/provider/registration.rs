//! What the chain holds of us counts as it stands, not as it stood when a process began; and what we hold shows as it stands.

use jiff::SignedDuration;
use lessor::{
    domain::{Attribute, BidState, Coin, Denom, DeploymentId, OrderId, Provider, Requirements},
    provider::port::Chain,
    telemetry::Metrics,
    wire::{deployment, google::Any, provider::MsgUpdateProvider},
};

use super::{
    document::{group, manifest},
    ground::machine,
    market::address,
    world::{Worker, World},
};

async fn world() -> (World, Worker) {
    let world = World::new(1, vec![machine("one", 4)]).await;
    let worker = world.worker().await;
    (world, worker)
}

/// An order that only a provider with this attribute may have.
fn ask_for(world: &World, attribute: Attribute) -> OrderId {
    let id = DeploymentId::new(address("tenant"), 900);
    let mut spec = group(1000, 1);
    spec.requirements = Requirements { attributes: vec![attribute], ..Requirements::default() };
    let deposit = Coin { denom: Denom::uact(), amount: 5_000_000 };
    let hash = manifest(1000, 1, 1).hash();
    let message = deployment::MsgCreateDeployment::new(&id, &[spec], &hash, &deposit, None);
    world.market().send("tenant", vec![Any::pack(&message)]);
    id.group(1).order(1)
}

#[tokio::test]
async fn attributes_that_we_change_on_chain_count_for_orders_from_the_next_look_on() {
    let (world, worker) = world().await;
    let tier = Attribute { key: "grade".to_owned(), value: "gold".to_owned() };
    let order = ask_for(&world, tier.clone());
    world.tell(&worker).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "declined");
    let node = world.node();
    let height = lessor::domain::Height(0);
    let before = node.provider(&address("provider"), height).await.unwrap().value.unwrap();
    let changed =
        Provider { attributes: [before.attributes.clone(), vec![tier]].concat(), ..before };
    world.market().send("provider", vec![Any::pack(&MsgUpdateProvider::new(&changed))]);
    world.block();
    world.wait(SignedDuration::from_secs(60));
    world.go_on(&worker, 25).await;
    assert_eq!(world.market().bid(&order).unwrap().state, BidState::Open);
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn a_process_that_ends_closes_no_bid_and_the_next_one_goes_on_with_it() {
    let (mut world, worker) = world().await;
    let order = world.order_with_bid(&worker, 1000).await;
    drop(worker);
    for _ in 0..10 {
        world.block();
    }
    assert_eq!(world.market().bid(&order).unwrap().state, BidState::Open);
    let next = world.worker().await;
    world.go_on(&next, 2).await;
    assert_eq!(world.market().bid(&order).unwrap().state, BidState::Open);
    world.take(&order, "provider");
    world.tell(&next).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "won");
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[tokio::test]
async fn what_is_held_shows_in_the_metrics_and_so_does_its_end() {
    let (mut world, worker) = world().await;
    let metrics = Metrics::default();
    let held = async || {
        let page = metrics.render(&worker.provider, false).await;
        let line = page.lines().find(|line| line.starts_with("lessor_reservations_held "));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
    };
    assert_eq!(held().await, Some(0));
    let order = world.order_with_bid(&worker, 1000).await;
    assert_eq!(held().await, Some(1));
    world.close(order.deployment());
    world.tell(&worker).await;
    world.go_on(&worker, 3).await;
    assert_eq!(held().await, Some(0));
}
