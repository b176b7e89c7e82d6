//! Missed blocks from the node itself.

use std::collections::BTreeMap;

use lessor::{
    domain::Height,
    provider::port::{ChainErrorKind, Indexer, Missed},
    wire::{event, rpc::Call},
};
use serde_json::Value;

use super::{Playback, always, playback};
use crate::corpus;

/// The longest run of recorded blocks that follow each other, by height.
fn recorded_run() -> Option<BTreeMap<u64, (Value, Value)>> {
    let chain = corpus::find("vectors/chain")?;
    let mut all = BTreeMap::new();
    for (name, block) in corpus::json_files(&chain.join("block")) {
        let height = block["result"]["block"]["header"]["height"].as_str().unwrap();
        let results = corpus::json(&chain.join("block_results").join(format!("{name}.json")));
        all.insert(height.parse().unwrap(), (block, results));
    }
    let mut best: Vec<u64> = Vec::new();
    let mut run: Vec<u64> = Vec::new();
    for height in all.keys() {
        if run.last().is_some_and(|last| last + 1 != *height) {
            run.clear();
        }
        run.push(*height);
        if run.len() > best.len() {
            best.clone_from(&run);
        }
    }
    all.retain(|height, _| best.contains(height));
    Some(all)
}

async fn node(run: BTreeMap<u64, (Value, Value)>) -> Playback {
    playback(move |call| match call {
        Call::Block { height: Some(height) } => run[&height.0].0.clone(),
        Call::BlockResults { height: Some(height) } => run[&height.0].1.clone(),
        other => panic!("not asked for: {other:?}"),
    })
    .await
}

#[tokio::test]
async fn blocks_come_in_order_and_each_joins_the_one_before() {
    let Some(run) = recorded_run() else { return };
    let (first, last) = (*run.keys().next().unwrap(), *run.keys().last().unwrap());
    println!("blocks {first} to {last}");
    assert!(last > first + 1);
    let chain = node(run).await;
    let missed = chain.node.blocks("any", Height(first), Height(last)).await.unwrap();
    let Missed { blocks, through, complete } = missed;
    assert!(complete);
    assert_eq!(through.unwrap().height, Height(last));
    assert_eq!(blocks.last().unwrap().at.height, Height(last));
    assert_eq!(blocks[0].prev.unwrap().height, Height(first - 1));
    for pair in blocks.windows(2) {
        assert_eq!(pair[1].prev, Some(pair[0].at));
    }
    let events = blocks.iter().flat_map(|block| &block.events);
    assert!(events.clone().count() > 2);
    assert!(events.clone().all(|found| event::is_of_akash(&found.kind)));
    assert!(blocks.iter().all(|block| block.complete && block.chain_id == "local"));
}

#[tokio::test]
async fn a_height_that_the_node_does_not_have_is_an_error() {
    let Some(path) = corpus::find("vectors/chain/rpc/block_results_future.json") else { return };
    let chain = always(corpus::json(&path)).await;
    let error = chain.node.blocks("any", Height(100_980), Height(100_981)).await.unwrap_err();
    assert_eq!(error.kind, ChainErrorKind::Behind);
}

#[tokio::test]
async fn another_block_than_the_one_asked_for_is_an_error() {
    let Some(mut run) = recorded_run() else { return };
    let (first, content) = run.pop_first().unwrap();
    let chain = node(BTreeMap::from([(first + 500, content)])).await;
    let at = Height(first + 500);
    let error = chain.node.blocks("any", at, at).await.unwrap_err();
    assert!(error.detail.starts_with("asked for block"), "{error}");
}
