//! The relay over the recorded blocks of a real node.

use std::collections::BTreeMap;

use lessor::{
    event::{envelope::Payload, subject::concern},
    relay::Settings,
};

use super::world::{Node, Receiver, Running, settings};
use crate::corpus;

#[tokio::test]
async fn every_recorded_event_of_the_market_arrives_once_and_concerns_something() {
    let Some(folder) = corpus::find("vectors/chain") else { return };
    let node = Node::start(true).await;
    let results: BTreeMap<_, _> =
        corpus::json_files(&folder.join("block_results")).into_iter().collect();
    for (name, block) in corpus::json_files(&folder.join("block")) {
        let Some(results) = results.get(&name) else { continue };
        let height = block["result"]["block"]["header"]["height"].as_str().unwrap();
        node.record(height.parse().unwrap(), block["result"].clone(), results["result"].clone());
    }
    node.fill();

    // What the recording itself lists, by transaction.
    let index = corpus::json(&folder.join("index.json"));
    let mut expected: BTreeMap<(u64, String), Vec<String>> = BTreeMap::new();
    for step in index["steps"].as_array().unwrap() {
        let kinds: Vec<String> = step["akash_events"]
            .as_array()
            .unwrap()
            .iter()
            .map(|kind| kind.as_str().unwrap().to_owned())
            .collect();
        let name = step["name"].as_str().unwrap();
        if !kinds.is_empty() && results.contains_key(name) {
            let key = (step["height"].as_u64().unwrap(), step["hash"].as_str().unwrap().to_owned());
            expected.insert(key, kinds);
        }
    }

    let data = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let relay =
        Running::start(Settings { prefetch: 16, ..settings(&node, &receiver, data.path()) });
    let last = expected.keys().map(|(height, _)| *height).max().unwrap();
    receiver.until_at(node.block_ref(last)).await;
    relay.stop().await;

    let mut arrived: BTreeMap<(u64, String), Vec<String>> = BTreeMap::new();
    let (mut blocks, mut events) = (0, 0);
    for event in receiver.taken().iter().flat_map(|received| &received.events) {
        let Payload::Block(block) = &event.payload else { continue };
        blocks += 1;
        for event in &block.events {
            events += 1;
            assert!(concern(event).unwrap().is_some(), "{event:?}");
            let key = (block.at.height.0, event.tx_hash.to_string());
            arrived.entry(key).or_default().push(event.kind.clone());
        }
    }
    println!("{blocks} blocks with {events} events, {} transactions", arrived.len());
    for (key, kinds) in &expected {
        assert_eq!(arrived.get(key), Some(kinds), "{key:?}");
    }
    assert_eq!(receiver.identities().len(), events);
    assert!(events > 100, "{events}");
}
