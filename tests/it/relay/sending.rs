//! What is sent, in which order, and what happens when it is not taken.

use std::time::Duration;

use lessor::{
    domain::Height,
    event::envelope::{BlockEvent, Payload},
    relay::{Relay, Settings, Start},
};
use serde_json::json;

use super::world::{
    Chosen, Node, Receiver, Running, clock, coin_spent, order_created, settings, sink, tx_hash,
};

#[tokio::test]
async fn blocks_with_events_come_in_order_linked_and_the_others_do_not_come() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[0, 1, 0, 0, 3, 0]);
    node.push(&[vec![coin_spent()], vec![coin_spent(), coin_spent(), order_created(7)]]);
    node.push_orders(&[0, 0]);
    let relay = Running::start(settings(&node, &receiver, data.path()));
    receiver.until_at(node.block_ref(7)).await;
    relay.stop().await;

    let taken = receiver.taken();
    let events: Vec<_> = taken.iter().flat_map(|received| &received.events).collect();
    let blocks: Vec<&BlockEvent> = events.iter().filter_map(|event| event.block()).collect();
    let links: Vec<_> = blocks.iter().map(|block| (block.prev, block.at)).collect();
    let at = |height| node.block_ref(height);
    assert_eq!(links, [(None, at(2)), (Some(at(2)), at(5)), (Some(at(5)), at(7))]);
    assert_eq!(blocks.iter().map(|block| block.events.len()).collect::<Vec<_>>(), [1, 3, 1]);
    let last = &blocks[2].events[0];
    assert_eq!((last.tx_hash, last.event_index, last.i), (tx_hash(7, 1), 2, 0));
    assert_eq!(last.attributes["id"]["dseq"], "7");
    assert!(!last.attributes.contains_key("msg_index"));

    let Payload::Heartbeat(heartbeat) = &events[0].payload else { panic!("a heartbeat first") };
    assert_eq!(heartbeat.tip_height, Height(9));
    assert!(taken.iter().all(|received| received.signature.starts_with("v1a,")));
}

#[tokio::test]
async fn a_new_block_is_pushed_when_the_websocket_wakes_long_before_the_next_poll() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[1]);
    let slow =
        Settings { poll: Duration::from_hours(1), ..settings(&node, &receiver, data.path()) };
    let relay = Running::start(slow);
    for height in 2..20 {
        receiver.until_at(node.block_ref(height - 1)).await;
        node.push_orders(&[1]);
    }
    receiver.until_at(node.block_ref(19)).await;
    relay.stop().await;
}

#[tokio::test]
async fn without_a_websocket_polling_is_enough() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(false).await, Receiver::start().await);
    let relay = Running::start(settings(&node, &receiver, data.path()));
    for _ in 0..5 {
        node.push_orders(&[0, 1]);
        receiver.until_at(node.block_ref(node.tip())).await;
    }
    relay.stop().await;
}

#[tokio::test]
async fn a_delivery_that_is_not_taken_comes_again_with_the_same_id_and_body_before_any_other() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[1]);
    let refusals = [500, 503, 401, 302, 429].map(|status| Chosen(status, "0", json!({})));
    receiver.choose([Chosen(202, "0", json!({}))].into_iter().chain(refusals));
    let relay = Running::start(settings(&node, &receiver, data.path()));
    receiver.until_at(node.block_ref(1)).await;
    node.push_orders(&[1]);
    receiver.until_at(node.block_ref(2)).await;
    relay.stop().await;

    let all = receiver.all();
    let tried: Vec<u16> = all.iter().map(|received| received.status).collect();
    assert_eq!(tried, [202, 500, 503, 401, 302, 429, 202, 202]);
    assert!(
        all[1..=6].iter().all(|received| received.id == all[1].id && received.body == all[1].body)
    );
    assert_ne!(all[7].id, all[6].id);
}

#[tokio::test]
async fn a_stream_that_is_gone_ends_and_the_others_go_on() {
    let data = tempfile::tempdir().unwrap();
    let node = Node::start(true).await;
    let (gone, alive) = (Receiver::start().await, Receiver::start().await);
    gone.choose([Chosen(410, "0", json!({}))]);
    node.push_orders(&[1]);
    let both = Settings {
        sinks: vec![sink("gone", &gone), sink("alive", &alive)],
        ..settings(&node, &gone, data.path())
    };
    let relay = Relay::open(both, &clock()).unwrap();
    let mut states = relay.states();
    let relay = Running::of(relay);
    states[0].wait_for(|state| state.gone).await.unwrap();
    node.push_orders(&[1, 1]);
    alive.until_at(node.block_ref(3)).await;
    relay.stop().await;
    assert_eq!(gone.all().len(), 1);
}

#[tokio::test]
async fn a_strict_receiver_gets_the_blocks_that_it_asks_for_again() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[1, 1, 1, 1]);
    let relay = Running::start(settings(&node, &receiver, data.path()));
    receiver.until_at(node.block_ref(4)).await;
    let before = receiver.all().len();
    receiver.choose([Chosen(409, "0", json!({"code": "gap", "expected_prev_height": 2}))]);
    node.push_orders(&[1]);
    receiver.until_at(node.block_ref(5)).await;
    relay.stop().await;
    let after = &receiver.all()[before..];
    assert_eq!(after[0].status, 409);
    let again: Vec<_> = after[1..]
        .iter()
        .flat_map(|received| &received.events)
        .filter_map(|event| event.block().map(|block| (block.prev, block.at)))
        .collect();
    let at = |height| node.block_ref(height);
    assert_eq!(again, [(Some(at(2)), at(3)), (Some(at(3)), at(4)), (Some(at(4)), at(5))]);
}

#[tokio::test]
async fn heartbeats_come_while_nothing_happens_and_each_has_an_id_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[0]);
    let quick =
        Settings { heartbeat: Duration::from_millis(2), ..settings(&node, &receiver, data.path()) };
    // A clock that moves with every look, as a real one does between heartbeats.
    let ticks = std::sync::atomic::AtomicI64::new(0);
    let clock: lessor::relay::Clock = std::sync::Arc::new(move || {
        let tick = ticks.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        jiff::Timestamp::from_millisecond(super::world::NOW * 1000 + tick).unwrap()
    });
    let relay = Running::of(Relay::open(quick, &clock).unwrap());
    receiver.until(|receiver| receiver.heartbeats() >= 5).await;
    relay.stop().await;
    let mut ids: Vec<String> = receiver.all().into_iter().map(|received| received.id).collect();
    let count = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), count);
}

#[tokio::test]
async fn a_heartbeat_that_is_not_taken_is_made_anew_and_holds_no_block_back() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    receiver.choose([Chosen(500, "3600", json!({}))]);
    node.push_orders(&[1]);
    let relay = Running::start(settings(&node, &receiver, data.path()));
    receiver.until_at(node.block_ref(1)).await;
    relay.stop().await;
    let statuses: Vec<u16> = receiver.all().iter().map(|received| received.status).collect();
    assert_eq!(statuses[..2], [500, 202]);
    assert!(receiver.all()[1].events[0].block().is_some());
}

#[tokio::test]
async fn a_stream_begins_where_it_is_told_to() {
    for (start, first) in [(Start::Earliest, 1), (Start::At(Height(3)), 3), (Start::Newest, 6)] {
        let data = tempfile::tempdir().unwrap();
        let (node, receiver) = (Node::start(true).await, Receiver::start().await);
        node.push_orders(&[1, 1, 1, 1, 1]);
        let begun = Settings { start, ..settings(&node, &receiver, data.path()) };
        let relay = Running::start(begun);
        receiver.until(|receiver| receiver.heartbeats() == 1).await;
        node.push_orders(&[1]);
        receiver.until_at(node.block_ref(6)).await;
        relay.stop().await;
        let heights: Vec<u64> =
            receiver.identities().iter().map(|identity| identity.height.0).collect();
        assert_eq!(heights, (first..=6).collect::<Vec<_>>(), "{start:?}");
    }
}

#[tokio::test]
async fn only_what_the_filter_asks_for_is_sent() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[1]);
    node.push(&[vec![coin_spent()]]);
    let only =
        Settings { filter: vec!["coin_".to_owned()], ..settings(&node, &receiver, data.path()) };
    let relay = Running::start(only);
    receiver.until_at(node.block_ref(2)).await;
    relay.stop().await;
    // Of each block: the one at its beginning, and the one of its transaction.
    assert_eq!(receiver.identities().len(), 4);
}
