//! Blocks and batches at and beyond the limits of a delivery.

use lessor::{
    domain::Height,
    event::{BlockHash, BlockRef, ChainEvent, TxHash, link::Link},
    relay::{
        Settings,
        follow::Found,
        pack::{Batch, BatchLimits, Packed, block},
    },
};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::world::{Node, Receiver, Running, settings};

#[tokio::test]
async fn a_large_block_comes_in_parts_and_small_ones_share_a_delivery() {
    let data = tempfile::tempdir().unwrap();
    let (node, receiver) = (Node::start(true).await, Receiver::start().await);
    node.push_orders(&[1, 1, 1, 23, 1, 1]);
    let limits = BatchLimits { events: 5, bytes: 8 * 1024 };
    let small = Settings { limits, ..settings(&node, &receiver, data.path()) };
    let relay = Running::start(small);
    receiver.until_at(node.block_ref(6)).await;
    relay.stop().await;
    assert_eq!(receiver.identities().len(), 28);
    let mut parts = Vec::new();
    for received in receiver.taken() {
        assert!(received.body.len() <= limits.bytes);
        let blocks: Vec<_> = received.events.iter().filter_map(|event| event.block()).collect();
        assert!(blocks.iter().map(|block| block.events.len()).sum::<usize>() <= limits.events);
        parts.extend(blocks.iter().filter(|b| b.at.height == Height(4)).map(|b| (b.part, b.parts)));
    }
    assert_eq!(parts, [(0, 5), (1, 5), (2, 5), (3, 5), (4, 5)]);
}

fn found(sizes: &[usize]) -> Found {
    let event = |(i, size): (u32, &usize)| ChainEvent {
        i,
        tx_hash: TxHash::Block,
        msg_index: 0,
        event_index: i,
        kind: "akash.market.v1.EventOrderCreated".to_owned(),
        attributes: Map::from_iter([("id".to_owned(), Value::from("x".repeat(*size)))]),
    };
    Found {
        chain_id: "local".to_owned(),
        at: BlockRef { height: Height(9), hash: BlockHash([9; 32]) },
        time: jiff::Timestamp::UNIX_EPOCH,
        events: (0..).zip(sizes).map(event).collect(),
    }
}

#[test]
fn an_event_that_fits_no_delivery_is_left_out_and_the_block_says_so() {
    let limits = BatchLimits { events: 10, bytes: 4096 };
    let parts = block(&found(&[10, 5000, 10]), None, "urn:x", limits);
    let [part] = parts.as_slice() else { panic!("one part") };
    let part = part.block().unwrap();
    assert_eq!(part.events.iter().map(|event| event.i).collect::<Vec<_>>(), [0, 2]);
    assert!(!part.complete);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn parts_keep_the_limits_and_lose_nothing(
        sizes in prop::collection::vec(0_usize..800, 1..60),
        events in 1_usize..9, bytes in 3000_usize..9000,
    ) {
        let limits = BatchLimits { events, bytes };
        let found = found(&sizes);
        let parts = block(&found, None, "urn:x", limits);
        let mut link = Link::default();
        let mut all = Vec::new();
        for part in &parts {
            let body = serde_json::to_vec(&json!([part])).unwrap();
            prop_assert!(body.len() <= bytes, "{} of {bytes}", body.len());
            let part = part.block().unwrap();
            prop_assert!(part.events.len() <= events && part.complete);
            link.receive(part);
            all.extend(part.events.clone());
        }
        prop_assert_eq!(link.cursor(), Some(found.at));
        prop_assert_eq!(all, found.events);
    }

    #[test]
    fn a_batch_says_its_size_right_and_takes_nothing_beyond_it(
        sizes in prop::collection::vec(0_usize..800, 1..60), events in 1_usize..9, bytes in 3000_usize..9000,
    ) {
        let limits = BatchLimits { events, bytes };
        let mut batch = Batch::new(limits);
        for size in sizes {
            for event in block(&found(&[size]), None, "urn:x", limits) {
                if let Err(item) = batch.push(Packed::from(&event)) {
                    batch = Batch::new(limits);
                    prop_assert!(batch.push(item).is_ok());
                }
                prop_assert!(batch.body().len() <= bytes && batch.chain_events() <= events);
                prop_assert!(serde_json::from_str::<Vec<Value>>(&batch.body()).is_ok());
            }
        }
    }
}
