//! Versions of policy and prices: every process over the same store has the newest.

use lessor::provider::{
    policy::{Change, Rules},
    port::Store as _,
};

use super::{ground::machine, world::World};

fn change(rules: Rules, cpu: &str) -> Change {
    let mut rules = rules;
    rules.prices.cpu = cpu.parse().unwrap();
    Change { rules, reason: "a test".to_owned() }
}

#[tokio::test]
async fn a_version_is_in_force_in_every_process_from_its_next_decision_on() {
    let mut world = World::new(3, vec![machine("one", 8)]).await;
    let (here, there) = (world.worker().await, world.worker().await);
    let first = world.order_with_bid(&there, 1000).await;
    let (seen, rules) = here.provider.rules();
    let version = here.provider.change_policy(seen, &change(rules, "0.4")).await.unwrap();
    assert_eq!(version, 1);
    let second = world.order_with_bid(&there, 1000).await;
    assert_eq!(there.provider.rules(), here.provider.rules());
    let price = |order| world.market().bid(order).unwrap().price.amount;
    assert!(price(&second) > price(&first));
    for (order, version) in [(&first, 0), (&second, 1)] {
        let decision = world.reader.decision(order).await.unwrap().unwrap();
        assert_eq!(decision.policy_version, version);
    }
}

#[tokio::test]
async fn an_order_that_was_declined_is_decided_again_by_the_new_policy() {
    let mut world = World::new(3, vec![machine("one", 8)]).await;
    let worker = world.worker().await;
    let (seen, mut rules) = worker.provider.rules();
    rules.policy.max_order.cpu_milli = Some(500);
    worker.provider.change_policy(seen, &change(rules.clone(), "0.004")).await.unwrap();
    let order = world.ask("tenant", 1000, 1);
    world.tell(&worker).await;
    assert_eq!(world.row(&order).await.unwrap().phase, "declined");
    rules.policy.max_order.cpu_milli = None;
    worker.provider.change_policy(1, &change(rules, "0.004")).await.unwrap();
    worker.step().await;
    assert_eq!(world.row(&order).await.unwrap().phase, "bidding");
}

#[tokio::test]
async fn settings_make_a_version_only_when_they_say_something_new() {
    let world = World::new(3, vec![machine("one", 8)]).await;
    let worker = world.worker().await;
    let (_, rules) = worker.provider.rules();
    worker.provider.take_rules_of_settings(&rules).await.unwrap();
    worker.provider.change_policy(1, &change(rules.clone(), "0.5")).await.unwrap();
    // A restart with the same settings: what the operator put stays.
    let again = world.worker().await;
    again.provider.take_rules_of_settings(&rules).await.unwrap();
    assert_eq!(again.provider.rules().0, 2);
    assert_eq!(again.provider.rules().1.prices.cpu, "0.5".parse().unwrap());
    again.provider.take_rules_of_settings(&change(rules, "0.7").rules).await.unwrap();
    worker.step().await;
    assert_eq!(worker.provider.rules().1.prices.cpu, "0.7".parse().unwrap());
    assert!(
        worker.provider.change_policy(2, &change(worker.provider.rules().1, "1")).await.is_err()
    );
}
