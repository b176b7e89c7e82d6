//! Simulation, broadcast and look-up, by what a real node answered.

use std::collections::BTreeMap;

use lessor::{
    domain::Height,
    provider::port::{Broadcast, Chain, ChainErrorKind},
    wire::rpc::Call,
};
use serde_json::Value;

use super::always;
use crate::{
    corpus,
    wire::{bytes_at, text_at},
};

fn recorded(path: &str) -> Option<Value> {
    corpus::find(&format!("vectors/chain/{path}.json")).map(|path| corpus::json(&path))
}

#[tokio::test]
async fn a_simulation_gives_the_gas_used() {
    let Some(json) = recorded("simulate/create_bid_with_fee") else { return };
    let chain = always(json["abci_response"].clone()).await;
    let tx = bytes_at(&json, "/request_tx_b64").unwrap();
    assert_eq!(chain.node.simulate(&tx).await.unwrap(), 127_550);
    let request = bytes_at(&json, "/abci_request_b64").unwrap();
    let path = text_at(&json, "/abci_path").to_owned();
    assert_eq!(chain.asked(), [Call::AbciQuery { path, data: request, height: Height(0) }]);
}

#[tokio::test]
async fn a_simulation_that_fails_says_the_chains_reason_alone() {
    for (name, expected) in [
        (
            "failing_message",
            "failed to execute message; message index: 0: invalid order: order not found",
        ),
        (
            "wrong_sequence",
            "account sequence mismatch, expected 79, got 80: incorrect account sequence",
        ),
        ("panic", "recovered: invalid coin denominations; uact, uakt"),
    ] {
        let Some(json) = recorded(&format!("simulate/{name}")) else { return };
        let chain = always(json["abci_response"].clone()).await;
        let error = chain.node.simulate(&[]).await.unwrap_err();
        assert_eq!(error.kind, ChainErrorKind::Refused, "{name}");
        assert_eq!(error.detail, expected, "{name}");
    }
}

#[tokio::test]
async fn every_recorded_answer_to_a_broadcast_is_told_apart() {
    let Some(chain) = corpus::find("vectors/chain") else { return };
    let mut told: BTreeMap<String, &'static str> = BTreeMap::new();
    for folder in ["tx_errors", "unordered"] {
        for (name, json) in corpus::json_files(&chain.join(folder)) {
            let method = json["method"].as_str().unwrap_or("broadcast_tx_sync");
            let answer = &json["response"];
            let simulated = answer.pointer("/result/response").is_some();
            if method != "broadcast_tx_sync" || answer.is_null() || simulated {
                continue;
            }
            let node = always(answer.clone()).await;
            let word = match node.node.broadcast(&[1]).await.unwrap() {
                Broadcast::Accepted => "accepted",
                Broadcast::Known => "known",
                Broadcast::Busy(_) => "busy",
                Broadcast::Refused(refusal) => {
                    let code = answer.pointer("/result/code").and_then(Value::as_u64);
                    assert!(code.is_none_or(|code| code == u64::from(refusal.code)), "{name}");
                    "refused"
                }
            };
            told.insert(format!("{folder}/{name}"), word);
        }
    }
    println!("{} answers: {told:#?}", told.len());
    for (name, word) in [
        ("tx_errors/ok_sync", "accepted"),
        // Refused in its block, not by the mempool.
        ("tx_errors/bid_duplicate", "accepted"),
        ("tx_errors/already_in_cache", "known"),
        ("tx_errors/already_committed", "known"),
        ("tx_errors/wrong_sequence_low", "known"),
        ("tx_errors/wrong_sequence_high", "busy"),
        ("tx_errors/timeout_height_passed", "known"),
        ("tx_errors/timeout_timestamp_passed", "known"),
        ("tx_errors/insufficient_fee", "refused"),
        ("tx_errors/insufficient_funds_for_fee", "refused"),
        ("tx_errors/unauthorized_bad_signature", "refused"),
        ("tx_errors/bid_zero_price", "refused"),
        ("tx_errors/tx_decode", "refused"),
        ("tx_errors/tx_too_large", "refused"),
        ("unordered/send_60s", "accepted"),
        ("unordered/duplicate_nonce_other_tx", "known"),
        ("unordered/nonce_reuse_after_failed", "known"),
        ("unordered/timeout_601s", "busy"),
        ("unordered/timeout_past", "known"),
        ("unordered/timeout_missing", "refused"),
    ] {
        assert_eq!(told.get(name), Some(&word), "{name}");
    }
    assert!(told.len() > 70);
}

#[tokio::test]
async fn a_transaction_in_a_block_is_found_with_what_it_came_to() {
    let Some(json) = recorded("tx/bid_create_a3") else { return };
    let chain = always(json.clone()).await;
    let hash = text_at(&json, "/result/hash");
    let found = chain.node.transaction(hash).await.unwrap().unwrap();
    assert_eq!((found.height, found.gas_used, found.failure), (Height(228), 122_636, None));
    assert!(matches!(&chain.asked()[0], Call::Tx { hash } if hash.len() == 32));

    let json = recorded("tx_errors/bid_duplicate").unwrap();
    let chain = always(json["tx_response"].clone()).await;
    let failed = chain.node.transaction(hash).await.unwrap().unwrap();
    let failure = failed.failure.unwrap();
    assert_eq!((failure.codespace.as_str(), failure.code), ("market", 21));
    assert!(failure.log.ends_with("bid exists from provider"));
}

#[tokio::test]
async fn a_transaction_that_the_node_does_not_know_is_none_and_a_wrong_hash_is_refused() {
    let Some(json) = recorded("rpc/tx_not_found") else { return };
    let chain = always(json).await;
    assert_eq!(chain.node.transaction(&"0".repeat(64)).await.unwrap(), None);
    let error = chain.node.transaction("xyz").await.unwrap_err();
    assert_eq!(error.kind, ChainErrorKind::Refused);
    assert_eq!(chain.asked().len(), 1);
}
