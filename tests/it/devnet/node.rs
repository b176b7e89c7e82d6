//! The node itself: restart, journal, time, websocket, the shapes of its answers.

use std::{collections::BTreeSet, fs, io::Write, time::Duration};

use futures_util::{SinkExt, StreamExt};
use jiff::SignedDuration;
use lessor::{
    devnet::{
        control::World as Standing,
        node::{NodeError, journal},
        server::{StartError, start},
    },
    domain::Height,
    wire::{
        google::Any,
        market,
        rpc::{
            Call, ResponseError,
            answer::{Block, BlockResults, NewBlockHeader, Status},
        },
        tx::Sequencing,
    },
};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use super::world::{
    PROVIDER, TENANT, World, address, bid_id, create_bid, create_deployment, draft, group, key,
    now, send, settings, sign,
};
use crate::corpus;

#[tokio::test]
async fn the_same_folder_goes_on_where_it_was() {
    let world = World::start().await;
    world.done(TENANT, vec![Any::pack(&create_deployment(TENANT, 5, group()))]).await;
    let bid = market::QueryBidRequest { id: bid_id(TENANT, 5, 1, PROVIDER) };
    world.done(PROVIDER, vec![Any::pack(&create_bid(bid.id.clone()))]).await;
    world.blocks(3).await;
    let status: Status = world.call(&Call::Status).await.unwrap();
    let found = world.query(&bid).await.unwrap();

    let world = world.restart().await;
    assert_eq!(world.call::<Status>(&Call::Status).await.unwrap(), status);
    assert_eq!(world.query(&bid).await.unwrap(), found);
    world.blocks(1).await;
    let next: Status = world.call(&Call::Status).await.unwrap();
    assert_eq!(next.sync_info.latest_block_height, status.sync_info.latest_block_height + 1);
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_and_a_broken_one_before_it_is_not_accepted() {
    let world = World::start().await;
    world.blocks(4).await;
    world.running.shutdown().await;
    let path = settings(&world.folder).data.join(journal::FILE);
    let mut file = fs::OpenOptions::new().append(true).open(&path).unwrap();
    file.write_all(br#"{"height":6,"time":"2026-03-0"#).unwrap();
    drop(file);
    let world = World::in_folder(world.folder).await.unwrap();
    assert_eq!(world.running.node().production().height, 5);
    world.blocks(1).await;
    world.running.shutdown().await;
    assert_eq!(journal::read(&settings(&world.folder).data).unwrap().len(), 6);

    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"height\":3", "\"height\":33", 1)).unwrap();
    let Err(StartError::Node(NodeError::Journal(error))) = World::in_folder(world.folder).await
    else {
        panic!("a gap in the journal was accepted");
    };
    assert!(error.to_string().ends_with("line 4: height 33 follows 2"), "{error}");
}

#[tokio::test]
async fn a_folder_is_used_by_one_process_and_holds_one_chain() {
    let world = World::start().await;
    let second = start(settings(&world.folder)).await.unwrap_err();
    assert!(second.to_string().ends_with("is in use by another process"), "{second}");
    world.running.shutdown().await;
    let mut other = settings(&world.folder);
    other.genesis.chain_id = "another".to_owned();
    let refused = start(other).await.unwrap_err();
    assert!(matches!(refused, StartError::Node(NodeError::Chain { .. })), "{refused}");
}

#[tokio::test]
async fn an_address_beyond_loopback_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut open = settings(&folder);
    open.listen = ([0, 0, 0, 0], 0).into();
    assert!(matches!(start(open).await, Err(StartError::NotLoopback(_))));
    assert!(!settings(&folder).data.exists(), "nothing was written");
}

#[tokio::test]
async fn an_unordered_transaction_is_carried_out_once_also_after_a_restart_and_a_failure() {
    let world = World::start().await;
    let key = key(PROVIDER);
    let me = address(PROVIDER);
    let timeout = now() + SignedDuration::from_secs(60);
    let mut first = draft(vec![Any::pack(&send(&me, &address(TENANT), 1))], 0);
    first.sequencing = Sequencing::Unordered { timeout };
    let mut again = first.clone();
    again.memo = "the same nonce in another transaction".to_owned();
    let mut failing = draft(vec![Any::pack(&create_bid(bid_id(TENANT, 9, 1, PROVIDER)))], 0);
    let later = timeout + SignedDuration::from_nanos(1);
    failing.sequencing = Sequencing::Unordered { timeout: later };
    let mut after_failure = again.clone();
    after_failure.sequencing = Sequencing::Unordered { timeout: later };

    let [first, again, failing, after_failure] =
        [first, again, failing, after_failure].map(|draft| sign(key, 1, &draft));
    assert_eq!(world.broadcast(first.clone()).await.code, 0);
    assert_eq!(world.broadcast(failing.clone()).await.code, 0);
    let twice = world.call::<Value>(&Call::BroadcastTxSync { tx: first.clone() }).await;
    let Err(ResponseError::Node(error)) = twice else { panic!("{twice:?}") };
    assert!(error.is_known_transaction(), "{error}");
    world.blocks(1).await;
    assert_eq!(world.account(&me).await.sequence, 0, "no sequence is used");

    let world = world.restart().await;
    for (tx, nanos) in [(first, 0), (again, 0), (failing, 1), (after_failure, 1)] {
        let refused = world.broadcast(tx).await;
        assert_eq!((refused.codespace.as_str(), refused.code), ("sdk", 18));
        assert_eq!(
            refused.log,
            format!(
                "failed to add unordered nonce: sender {me} has already used timeout {}: invalid \
                 request",
                timeout.as_nanosecond() + nanos
            )
        );
    }
    let journal = journal::read(&settings(&world.folder).data).unwrap();
    let codes: Vec<u32> =
        journal.iter().flat_map(|block| block.txs.iter().map(|tx| tx.code)).collect();
    assert_eq!(codes, [0, 15]);
    world.running.shutdown().await;
}

#[tokio::test]
async fn chain_time_jumps_and_a_transaction_that_waited_past_its_time_out_does_nothing() {
    let world = World::start().await;
    let key = key(PROVIDER);
    let mut waits = draft(vec![Any::pack(&send(&address(PROVIDER), &address(TENANT), 1))], 0);
    waits.sequencing = Sequencing::Unordered { timeout: now() + SignedDuration::from_secs(60) };
    let (status, answer) = world.control("halt", &json!({})).await;
    assert_eq!(status, 200);
    assert!(serde_json::from_str::<Standing>(&answer).unwrap().halted);
    assert_eq!(world.broadcast(sign(key, 1, &waits)).await.code, 0);
    assert_eq!(world.control("jump", &json!({ "seconds": 7_200 })).await.0, 200);
    assert_eq!(world.control("jump", &json!({ "seconds": -1 })).await.0, 422);
    world.blocks(1).await;

    let results: BlockResults = world.call(&Call::BlockResults { height: None }).await.unwrap();
    let result = &results.txs_results.unwrap()[0];
    assert_eq!((result.code, result.codespace.as_str()), (42, "sdk"));
    assert!(result.events.is_empty(), "no fee is taken");
    let status: Status = world.call(&Call::Status).await.unwrap();
    assert_eq!(status.sync_info.latest_block_time, now() + SignedDuration::from_secs(7_200));
    // A chain that is ahead stays ahead.
    let world = world.restart().await;
    world.blocks(1).await;
    assert!(world.running.node().production().time > now() + SignedDuration::from_secs(7_200));
    world.running.shutdown().await;
}

#[tokio::test]
async fn new_headers_come_over_the_websocket_as_blocks_are_made() {
    let world = World::start().await;
    let url = format!("ws://{}/websocket", world.running.addr());
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let query = "tm.event='NewBlockHeader'";
    let subscribe = Call::Subscribe { query: query.to_owned() }.to_json(7);
    socket.send(Message::text(subscribe.to_string())).await.unwrap();
    let ack = socket.next().await.unwrap().unwrap();
    assert_eq!(ack.to_text().unwrap(), r#"{"jsonrpc":"2.0","id":7,"result":{}}"#);

    // From here on blocks make themselves.
    let (status, _) = world.control("interval", &json!({ "ms": 20 })).await;
    assert_eq!(status, 200);
    for expected in 2..5 {
        let message = socket.next().await.unwrap().unwrap();
        let message: Value = serde_json::from_str(message.to_text().unwrap()).unwrap();
        assert_eq!(message["id"], 7);
        let header: NewBlockHeader = serde_json::from_value(message["result"].clone()).unwrap();
        assert_eq!(header.query, query);
        let header = header.data.unwrap().value.header;
        assert_eq!(header.height, expected);
        let block: Block =
            world.call(&Call::Block { height: Some(Height(expected)) }).await.unwrap();
        assert_eq!(block.block.header, header, "the block is there when its header is told");
    }
    world.running.shutdown().await;
}

#[tokio::test]
async fn the_journal_says_what_every_transaction_was_about() {
    let world = World::start().await;
    world.done(TENANT, vec![Any::pack(&create_deployment(TENANT, 5, group()))]).await;
    world.done(PROVIDER, vec![Any::pack(&create_bid(bid_id(TENANT, 5, 1, PROVIDER)))]).await;
    let url = format!("{}/devnet/journal?from=2", world.running.rpc_url());
    let text = world.http.get(url).send().await.unwrap().text().await.unwrap();
    let blocks: Vec<journal::BlockLine> =
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let subjects: Vec<(u64, &str, &str)> = blocks
        .iter()
        .flat_map(|block| block.txs.iter().map(move |tx| (block.height, tx)))
        .flat_map(|(height, tx)| tx.messages.iter().map(move |message| (height, message)))
        .map(|(height, message)| (height, message.type_url.as_str(), message.subject.as_str()))
        .collect();
    let order = format!("{}/5", address(TENANT));
    let bid = format!("{order}/1/1/{}", address(PROVIDER));
    assert_eq!(
        subjects,
        [
            (2, "/akash.deployment.v1beta4.MsgCreateDeployment", order.as_str()),
            (3, "/akash.market.v1beta5.MsgCreateBid", bid.as_str()),
        ]
    );
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_height_is_answered_as_it_was_and_the_future_is_refused() {
    let world = World::start().await;
    world.done(TENANT, vec![Any::pack(&create_deployment(TENANT, 5, group()))]).await;
    let path = "/akash.market.v1beta5.Query/Orders";
    let before = world.raw_query(path, Vec::new(), 1).await;
    let after = world.raw_query(path, Vec::new(), 2).await;
    assert_eq!((before.height, after.height), (1, 2));
    assert!(before.value.len() < after.value.len());
    let future = world.raw_query(path, Vec::new(), 100).await;
    assert_eq!(future.code, 26);
    assert_eq!(
        future.log,
        "cannot query with height in the future; please provide a valid height: invalid height"
    );
    world.running.shutdown().await;
}

/// The paths of all keys in a document; a list counts as its first element.
fn keys(path: &str, value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let path = format!("{path}.{key}");
                keys(&path, value, found);
                found.insert(path);
            }
        }
        Value::Array(list) => list.iter().take(1).for_each(|value| keys(path, value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn answers_have_the_fields_of_a_real_node() {
    let Some(folder) = corpus::find("vectors/chain") else { return };
    let world = World::start().await;
    world.blocks(1).await;
    world.done(TENANT, vec![Any::pack(&create_deployment(TENANT, 5, group()))]).await;
    let hash = {
        let block: Block = world.call(&Call::Block { height: None }).await.unwrap();
        lessor::wire::tx::hash(&block.block.data.txs[0])
    };
    for (recorded, path) in [
        ("rpc/status.json", "/status".to_owned()),
        ("rpc/health.json", "/health".to_owned()),
        ("block/deployment_create_a.json", "/block".to_owned()),
        ("block_results/deployment_create_a.json", "/block_results".to_owned()),
        ("rpc/block_empty.json", "/block_results?height=1".to_owned()),
        ("tx/deployment_create_a.json", format!("/tx?hash=0x{hash}&prove=false")),
        ("rpc/tx_not_found.json", format!("/tx?hash=0x{}", "00".repeat(32))),
        ("rpc/block_results_future.json", "/block_results?height=100980".to_owned()),
        ("rpc/block_results_zero.json", "/block_results?height=0".to_owned()),
    ] {
        let (mut wanted, mut found) = (BTreeSet::new(), BTreeSet::new());
        keys("", &corpus::json(&folder.join(recorded)), &mut wanted);
        keys("", &world.get(&path).await, &mut found);
        let missing: Vec<&String> = wanted
            .difference(&found)
            // The development chain has no validator, mints nothing, and nobody signs its blocks.
            .filter(|key| {
                !["pub_key.", "last_commit.signatures.", "finalize_block_events."]
                    .iter()
                    .any(|part| key.contains(part))
            })
            .collect();
        assert!(missing.is_empty(), "{path}: {missing:?}");
    }
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_body_that_is_no_call_gets_json_rpcs_own_error() {
    let world = World::start().await;
    let post = |body: String| world.http.post(world.running.rpc_url()).body(body).send();
    for (body, code) in [
        ("{not json".to_owned(), -32700),
        (json!({ "jsonrpc": "2.0", "id": 1, "method": "nope" }).to_string(), -32601),
        ("x".repeat(1_000_001), -32600),
        (json!(vec![json!({ "id": 1, "method": "health" }); 11]).to_string(), -32600),
    ] {
        let answer: Value = post(body).await.unwrap().json().await.unwrap();
        assert_eq!(answer["error"]["code"], code, "{answer}");
    }
    let batch = json!(vec![json!({ "id": 3, "method": "health" }); 2]).to_string();
    let answers: Value = post(batch).await.unwrap().json().await.unwrap();
    assert_eq!(answers, json!(vec![json!({ "jsonrpc": "2.0", "id": 3, "result": {} }); 2]));
    world.running.shutdown().await;
}

#[tokio::test]
async fn blocks_make_themselves_in_the_interval() {
    let folder = tempfile::tempdir().unwrap();
    let mut quick = settings(&folder);
    quick.interval = Duration::from_millis(10);
    let running = start(quick).await.unwrap();
    let mut headers = running.node().headers();
    let first = headers.recv().await.unwrap().height;
    let second = headers.recv().await.unwrap();
    assert_eq!(second.height, first + 1);
    assert!(second.time > now());
    running.shutdown().await;
}
