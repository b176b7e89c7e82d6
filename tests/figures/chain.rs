//! How fast the chain's own words become events: the answer of a node about one busy block.

use std::{hint::black_box, time::Instant};

use anyhow::Context;
use lessor::{
    domain::OrderId,
    wire::{
        event::{ChainEvent, events_of_block, is_of_akash},
        rpc::{Response, answer::BlockResults},
        text::to_upper_hex,
    },
};
use serde_json::json;

use super::report::{Figure, Goal, percentile};

const TENANT: &str = "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww";
/// Events of the market in the block; each transaction has the seven of its fee and one of its message beside.
const EVENTS: usize = 500;
const EVENTS_OF_A_TRANSACTION: usize = 10;
const ROUNDS: usize = 50;

/// Measures the way from a node's answer to typed events.
pub(super) fn measure() -> anyhow::Result<()> {
    let (body, hashes) = block()?;
    let mut times = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        let decoded = decode(&body, &hashes)?;
        times.push(begin.elapsed().as_secs_f64() * 1000.0);
        anyhow::ensure!(black_box(decoded) == EVENTS, "{EVENTS} events were in it");
    }
    Figure::new(
        "block_decode",
        "a block with 500 events of the market, JSON to typed events, p50",
        percentile(&mut times, 50.0),
        "ms",
        ROUNDS,
    )
    .goal(Goal::AtMost(2.0))
    .floor(format!("{} KiB of JSON", body.len() / 1024))
    .print();
    Ok(())
}

/// How many events of the market are in a node's answer.
fn decode(body: &[u8], hashes: &[String]) -> anyhow::Result<usize> {
    let results: BlockResults = Response::decode(body)?;
    let placed = events_of_block(&results, hashes)?;
    let of_akash = placed.into_iter().filter(|(_, event)| is_of_akash(&event.r#type));
    let typed: Vec<ChainEvent> =
        of_akash.map(|(_, event)| ChainEvent::decode(event)).collect::<Result<_, _>>()?;
    Ok(typed.len())
}

/// A node's answer about a block of transactions that make orders, and the hashes of these.
fn block() -> anyhow::Result<(Vec<u8>, Vec<String>)> {
    let attribute = |key: &str, value: &str| json!({"key": key, "value": value, "index": true});
    let fee = |kind: &str| {
        json!({"type": kind, "attributes": [
            attribute("spender", TENANT), attribute("amount", "5000uakt"),
        ]})
    };
    let kinds =
        ["coin_spent", "coin_received", "transfer", "message", "tx", "tx", "tx"].map(fee).to_vec();
    let (mut transactions, mut hashes) = (Vec::new(), Vec::new());
    for first in (0..EVENTS).step_by(EVENTS_OF_A_TRANSACTION) {
        let mut events = kinds.clone();
        events.push(json!({"type": "message", "attributes": [
            attribute("action", "/akash.deployment.v1beta4.MsgCreateDeployment"),
            attribute("msg_index", "0"),
        ]}));
        for at in first..first + EVENTS_OF_A_TRANSACTION {
            let id: OrderId =
                format!("{TENANT}/{}/1/1", at + 1).parse().context("an order's id")?;
            let event = ChainEvent::OrderCreated { id }.encode(0);
            events.push(serde_json::to_value(event)?);
        }
        transactions.push(json!({
            "code": 0, "data": null, "log": "", "info": "", "gas_wanted": "200000",
            "gas_used": "150000", "events": events, "codespace": "",
        }));
        hashes.push(to_upper_hex(&[u8::try_from(first / EVENTS_OF_A_TRANSACTION)?; 32]));
    }
    let answer = json!({"jsonrpc": "2.0", "id": 1, "result": {
        "height": "1000", "txs_results": transactions, "finalize_block_events": null,
        "validator_updates": null, "consensus_param_updates": null, "app_hash": "",
    }});
    Ok((answer.to_string().into_bytes(), hashes))
}
