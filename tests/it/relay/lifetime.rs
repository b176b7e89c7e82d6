//! A relay that is killed, started again, started twice, or shown another chain.

use std::{collections::BTreeMap, fs};

use lessor::relay::{Relay, RelayError, place::PlaceError};
use serde_json::Value;

use super::world::{Node, Receiver, Running, clock, settings};

const ORDERS: [u64; 12] = [1, 0, 2, 1, 0, 0, 3, 1, 1, 0, 1, 1];

#[tokio::test]
async fn a_relay_that_is_killed_at_any_delivery_loses_nothing() {
    for deaths in [1, 4, 9] {
        let data = tempfile::tempdir().unwrap();
        let (node, receiver) = (Node::start(true).await, Receiver::start().await);
        for (i, count) in ORDERS.iter().enumerate() {
            node.push_orders(&[*count]);
            if i % 10 < deaths {
                let before = receiver.all().len();
                let relay = Running::start(settings(&node, &receiver, data.path()));
                receiver.until(|receiver| receiver.all().len() > before).await;
                relay.kill().await;
            }
        }
        let relay = Running::start(settings(&node, &receiver, data.path()));
        receiver.until_at(node.block_ref(12)).await;
        relay.stop().await;
        assert_eq!(receiver.link().gap(), None);
        let sum: u64 = ORDERS.iter().sum();
        assert_eq!(receiver.identities().len() as u64, sum);
    }
}

#[tokio::test]
async fn an_old_place_repeats_deliveries_and_never_an_id_with_another_body() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    let place = data.path().join("s.place.json");
    let mut old = Vec::new();
    for count in ORDERS {
        let relay = Running::start(settings(&node, &receiver, data.path()));
        node.push_orders(&[count]);
        let sent = (1..=node.tip()).zip(ORDERS).filter(|(_, count)| *count > 0);
        let (last, _) = sent.last().unwrap();
        receiver.until_at(node.block_ref(last)).await;
        relay.stop().await;
        old.push(fs::read(&place).unwrap());
    }
    for place_then in old.into_iter().step_by(3) {
        fs::write(&place, place_then).unwrap();
        let before = receiver.taken().len();
        let relay = Running::start(settings(&node, &receiver, data.path()));
        receiver.until(|receiver| receiver.taken().len() > before).await;
        relay.stop().await;
    }
    let mut bodies: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    for received in receiver.all() {
        let known = bodies.entry(received.id.clone()).or_insert_with(|| received.body.clone());
        assert_eq!(*known, received.body, "{}", received.id);
    }
    assert_eq!(receiver.link().cursor(), Some(node.block_ref(12)));
    assert_eq!(receiver.link().gap(), None);
}

#[tokio::test]
async fn the_journal_holds_every_delivery_that_was_taken() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&ORDERS);
    let relay = Running::start(settings(&node, &receiver, data.path()));
    receiver.until_at(node.block_ref(12)).await;
    relay.stop().await;
    let journal = fs::read_to_string(data.path().join("s.journal.jsonl")).unwrap();
    let lines: Vec<Value> =
        journal.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let taken = receiver.taken();
    // The last line may be lost when the relay is stopped right after the receiver's answer.
    assert!(lines.len() == taken.len() || lines.len() + 1 == taken.len());
    for (line, received) in lines.iter().zip(&taken) {
        assert_eq!(line["id"], received.id.as_str());
        assert_eq!(line["body"], serde_json::from_slice::<Value>(&received.body).unwrap());
    }
}

#[tokio::test]
async fn a_second_relay_on_the_same_folder_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    let first = Relay::open(settings(&node, &receiver, data.path()), &clock()).unwrap();
    let second = Relay::open(settings(&node, &receiver, data.path()), &clock());
    assert!(matches!(second, Err(RelayError::Place(PlaceError::Taken { .. }))));
    drop(first);
    assert!(Relay::open(settings(&node, &receiver, data.path()), &clock()).is_ok());
}

#[tokio::test]
async fn another_chain_and_another_history_of_the_same_chain_are_refused() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[1, 1]);
    let relay = Running::start(settings(&node, &receiver, data.path()));
    receiver.until_at(node.block_ref(2)).await;
    node.push_orders(&[1]);
    receiver.until_at(node.block_ref(3)).await;
    relay.stop().await;

    node.reset("other");
    node.push_orders(&[1, 1, 1, 1]);
    let ended = Running::start(settings(&node, &receiver, data.path())).ended().await;
    assert!(matches!(ended, Err(RelayError::OtherChain { .. })), "{ended:?}");

    // The same name, and every hash another.
    let place = data.path().join("s.place.json");
    let text = fs::read_to_string(&place).unwrap();
    fs::write(&place, text.replace("\"local\"", "\"other\"")).unwrap();
    let ended = Running::start(settings(&node, &receiver, data.path())).ended().await;
    assert!(matches!(ended, Err(RelayError::OtherChain { .. })), "{ended:?}");
}

#[tokio::test]
async fn blocks_that_the_node_has_deleted_show_as_a_gap_and_the_stream_goes_on() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[1, 1]);
    let relay = Running::start(settings(&node, &receiver, data.path()));
    receiver.until_at(node.block_ref(2)).await;
    relay.stop().await;
    node.push_orders(&[1, 1, 1, 1]);
    node.prune(5);
    let relay = Running::start(settings(&node, &receiver, data.path()));
    receiver.until(|receiver| receiver.link().highest() == Some(node.block_ref(6))).await;
    relay.stop().await;
    let gap = receiver.link().gap().unwrap();
    assert_eq!((gap.from.0, gap.to.0), (3, 4));
}

#[tokio::test]
async fn a_place_file_that_is_damaged_is_an_error_that_names_it() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    fs::write(data.path().join("s.place.json"), "{").unwrap();
    let error = Relay::open(settings(&node, &receiver, data.path()), &clock()).unwrap_err();
    assert!(error.to_string().contains("s.place.json"), "{error}");
}
