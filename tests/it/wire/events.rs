//! Events of recorded blocks.

use std::collections::{BTreeMap, BTreeSet};

use lessor::{
    domain::{CloseReason, Height},
    wire::{
        event::{self, BLOCK, ChainEvent, Position},
        rpc::{
            Response,
            answer::{Block, BlockResults, Event, EventAttribute},
        },
        tx,
    },
};
use serde_json::{Value, json};

use crate::corpus;

fn result<T: serde::de::DeserializeOwned>(json: &Value) -> T {
    Response::decode(json.to_string().as_bytes()).unwrap()
}

#[test]
fn every_akash_event_of_recorded_blocks_is_typed_and_encodes_back() {
    let Some(folder) = corpus::find("vectors/chain/block_results") else { return };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut others: BTreeMap<String, usize> = BTreeMap::new();
    for (name, json) in corpus::json_files(&folder) {
        let results: BlockResults = result(&json);
        for recorded in results.txs_results.iter().flatten().flat_map(|tx| &tx.events) {
            if !event::is_of_akash(&recorded.r#type) {
                continue;
            }
            let typed = ChainEvent::decode(recorded).unwrap_or_else(|e| panic!("{name}: {e}"));
            if let ChainEvent::Other { kind, .. } = typed {
                *others.entry(kind).or_default() += 1;
                continue;
            }
            let msg_index = recorded.attribute("msg_index").unwrap().parse().unwrap();
            assert_eq!(&typed.encode(msg_index), recorded, "{name}");
            let attributes = typed.to_attributes();
            assert_eq!(ChainEvent::from_attributes(typed.kind(), &attributes), Ok(typed.clone()));
            *counts.entry(typed.kind().to_owned()).or_default() += 1;
        }
    }
    println!(
        "{} events: {counts:#?}, not of the market: {others:?}",
        counts.values().sum::<usize>()
    );
    assert!(counts.len() >= 16, "{counts:?}");
    assert_eq!(others, BTreeMap::new());
}

#[test]
fn positions_are_those_of_the_unfiltered_block() {
    let Some(chain) = corpus::find("vectors/chain") else { return };
    let mut seen = BTreeSet::new();
    let mut blocks = 0;
    for (name, json) in corpus::json_files(&chain.join("block_results")) {
        let results: BlockResults = result(&json);
        let block: Block = result(&corpus::json(&chain.join("block").join(format!("{name}.json"))));
        let hashes: Vec<String> = block.block.data.txs.iter().map(|tx| tx::hash(tx)).collect();
        let placed = event::events_of_block(&results, &hashes).unwrap();
        let of_txs: usize = results.txs_results.iter().flatten().map(|tx| tx.events.len()).sum();
        assert_eq!(placed.len(), of_txs + results.finalize_block_events.len(), "{name}");
        for (position, found) in placed {
            let of_tx = hashes.iter().position(|hash| *hash == position.tx_hash);
            let events = of_tx.map_or(&results.finalize_block_events, |at| {
                &results.txs_results.as_ref().unwrap()[at].events
            });
            assert_eq!(of_tx.is_none(), position.tx_hash == BLOCK);
            assert_eq!(&events[position.event_index as usize], found);
            // Several recordings share a block.
            seen.insert(position);
        }
        blocks += 1;
    }
    println!("{blocks} recorded blocks, {} different positions", seen.len());
    assert!(blocks > 100 && seen.len() > 2000);
    let (first, last) = (seen.first().unwrap(), seen.last().unwrap());
    assert!(first.height < last.height);
}

#[test]
fn results_without_their_transactions_are_refused() {
    let results: BlockResults = serde_json::from_value(json!({
        "height": "5", "txs_results": [{"code": 0}], "finalize_block_events": null
    }))
    .unwrap();
    let refused = event::events_of_block(&results, &[]).unwrap_err();
    assert_eq!(refused.to_string(), "block 5 has 0 transactions and 1 results");
    let empty: BlockResults =
        serde_json::from_value(json!({"height": 5, "txs_results": null})).unwrap();
    assert_eq!(event::events_of_block(&empty, &[]), Ok(vec![]));
}

#[test]
fn events_of_the_block_come_before_and_after_its_transactions() {
    let of = |kind: &str, key: &str, value: &str| {
        let index = true;
        let attribute = EventAttribute { key: key.to_owned(), value: value.to_owned(), index };
        json!(Event { r#type: kind.to_owned(), attributes: vec![attribute] })
    };
    let results: BlockResults = serde_json::from_value(json!({
        "height": "7",
        "txs_results": [{"code": 0, "events": [of("fee", "x", "y"), of("message", "msg_index", "1")]}],
        "finalize_block_events": [of("begin", "mode", "BeginBlock"), of("end", "mode", "EndBlock")],
    }))
    .unwrap();
    let placed = event::events_of_block(&results, &["AB".to_owned()]).unwrap();
    let shown: Vec<(&str, Position)> =
        placed.into_iter().map(|(position, event)| (event.r#type.as_str(), position)).collect();
    let at = |tx_hash: &str, msg_index, event_index| {
        let tx_hash = tx_hash.to_owned();
        Position { height: Height(7), tx_hash, msg_index, event_index }
    };
    assert_eq!(
        shown,
        [
            ("begin", at(BLOCK, 0, 0)),
            ("fee", at("AB", 0, 0)),
            ("message", at("AB", 1, 1)),
            ("end", at(BLOCK, 0, 1)),
        ]
    );
}

fn read(kind: &str, attributes: Value) -> Result<ChainEvent, String> {
    let Value::Object(attributes) = attributes else { panic!("attributes are an object") };
    ChainEvent::from_attributes(kind, &attributes).map_err(|error| error.to_string())
}

const TENANT: &str = "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww";
const PROVIDER: &str = "akash18tdthhtcvfmzl60r0r6gvjdcelc0wtwfumqsdz";

#[test]
fn numbers_may_be_quoted_or_bare_and_bseq_may_be_missing() {
    let kind = event::kind::LEASE_CLOSED;
    let quoted = json!({
        "id": {"owner": TENANT, "dseq": "5", "gseq": "1", "oseq": "2", "provider": PROVIDER},
        "reason": "lease_closed_owner", "unknown": {"x": 1},
    });
    let bare = json!({
        "id": {"owner": TENANT, "dseq": 5, "gseq": 1, "oseq": 2, "provider": PROVIDER, "bseq": 0},
        "reason": "lease_closed_owner",
    });
    let as_text = json!({"id": bare["id"].to_string(), "reason": "\"lease_closed_owner\""});
    let id = format!("{TENANT}/5/1/2/{PROVIDER}").parse().unwrap();
    let expected = Ok(ChainEvent::LeaseClosed { id, reason: CloseReason::Owner });
    assert_eq!(read(kind, quoted), expected);
    assert_eq!(read(kind, bare), expected);
    assert_eq!(read(kind, as_text), expected);
}

#[test]
fn a_wrong_attribute_is_named() {
    let order = |id: Value| read(event::kind::ORDER_CREATED, json!({ "id": id })).unwrap_err();
    assert_eq!(
        read(event::kind::ORDER_CREATED, json!({})).unwrap_err(),
        "akash.market.v1.EventOrderCreated, attribute \"id\": missing"
    );
    assert!(
        order(json!({"owner": TENANT, "dseq": "0", "gseq": 1, "oseq": 1}))
            .ends_with("attribute \"id\": dseq: is 0, sequence numbers start at 1")
    );
    assert!(
        order(json!({"owner": TENANT, "dseq": "-5", "gseq": 1, "oseq": 1}))
            .contains("\"-5\" is not a whole number")
    );
    assert!(
        order(json!({"owner": "akash1xyz", "dseq": "5", "gseq": 1, "oseq": 1}))
            .contains("owner: address")
    );
    assert!(
        read(
            event::kind::BID_CLOSED,
            json!({"id": {
                "owner": TENANT, "dseq": "5", "gseq": 1, "oseq": 1, "provider": PROVIDER, "bseq": 1
            }}),
        )
        .unwrap_err()
        .contains("bseq: is 1")
    );
    assert!(
        read(
            event::kind::DEPLOYMENT_UPDATED,
            json!({"id": {"owner": TENANT, "dseq": "5"}, "hash": "AAAA"}),
        )
        .unwrap_err()
        .contains("has 3 bytes")
    );
}

#[test]
fn an_unknown_event_keeps_its_attributes() {
    let attributes = json!({"a": {"b": [1]}, "c": "plain"});
    let other = read("akash.bme.v1.EventSomething", attributes.clone()).unwrap();
    assert_eq!(other.kind(), "akash.bme.v1.EventSomething");
    assert_eq!(Value::Object(other.to_attributes()), attributes);
    assert_eq!(other.deployment(), None);
}
