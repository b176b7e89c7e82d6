//! What must be true at the end of a life, however often its provider died. The world's journals are the witnesses; the
//! provider's own file is asked only for what nobody else can know: what it still holds, and what it has heard.

use std::collections::{BTreeMap, BTreeSet};

use lessor::{
    devnet::node::journal,
    domain::Height,
    event::envelope::{
        EventIdentity, Payload,
        read::{Limits, Mode, parse},
    },
    provider::port::{OrderFilter, Store as _},
    relay::{follow::Follower, node::Node},
    store::{Settings, Sqlite},
};
use serde_json::{Value, value::RawValue};
use sqlx::{Connection as _, sqlite::SqliteConnectOptions};

use crate::world::{STREAM, World};

/// How a life ended: equal for every life of the same kind.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct End {
    /// What every block did, without the moments: message and what it was about.
    chain: Vec<String>,
    /// What changed in the cluster.
    cluster: Vec<String>,
    /// Where the provider sees its orders.
    orders: Vec<String>,
}

/// Judges a world whose gateway and relay have ended.
pub(crate) async fn judge(world: &World) -> End {
    let end = End { chain: chain(world), cluster: cluster(world).await, orders: rows(world).await };
    no_event_is_lost(world).await;
    end
}

/// Every transaction was carried out, and no order was bid on twice.
fn chain(world: &World) -> Vec<String> {
    let mut done = Vec::new();
    let mut bids: BTreeMap<String, u32> = BTreeMap::new();
    for block in journal::read(&world.chain_folder()).unwrap() {
        for transaction in block.txs {
            assert_eq!(transaction.code, 0, "refused in a block: {transaction:?}");
            for message in transaction.messages {
                if message.type_url.ends_with("MsgCreateBid") {
                    *bids.entry(message.subject.clone()).or_default() += 1;
                }
                done.push(format!("{} {}", message.type_url, message.subject));
            }
        }
    }
    assert!(bids.values().all(|count| *count == 1), "an order was bid on twice: {bids:?}");
    assert!(!bids.is_empty(), "no order was bid on");
    done.sort();
    done
}

/// Nothing runs; each manifest was applied with an effect once, and each lease torn down.
async fn cluster(world: &World) -> Vec<String> {
    let running = world.cluster("/leases").await;
    assert_eq!(running, Value::Array(Vec::new()), "runs still");
    let inventory = world.cluster("/inventory").await;
    for node in inventory["nodes"].as_array().unwrap() {
        assert_eq!(node["cpu_milli"]["allocated"], 0, "is held still: {node}");
    }
    let journal = world.cluster("/journal").await;
    let text = |entry: &Value, key: &str| entry[key].as_str().unwrap_or_default().to_owned();
    let mut acts: Vec<String> = journal
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| {
            entry["act"] == "teardown" || !entry["changed"].as_array().unwrap().is_empty()
        })
        .map(|entry| {
            let parts = ["act", "lease", "manifest_hash"].map(|key| text(entry, key));
            parts.join(" ")
        })
        .collect();
    acts.sort();
    acts
}

/// The file holds nothing for anybody: no reservation, no deadline, no transaction without an end, no hostname.
async fn rows(world: &World) -> Vec<String> {
    let store = Sqlite::open(&world.store(), Settings::default()).await.unwrap();
    let held = store.reservations().await.unwrap().held;
    assert!(held.is_empty(), "reserved still: {held:?}");
    let deadlines = store.deadlines(100).await.unwrap();
    assert!(deadlines.is_empty(), "deadlines are left: {deadlines:?}");
    let unsettled = store.transactions(true, None, 100).await.unwrap().rows;
    assert!(unsettled.is_empty(), "transactions have no end: {unsettled:?}");
    let stream = store.stream(STREAM).await.unwrap().expect("the stream was heard");
    assert!(stream.state.link.gap().is_none(), "blocks are missing: {:?}", stream.state);
    let page = store.orders(&OrderFilter::default(), None, 500).await.unwrap();
    let mut orders: Vec<String> = page
        .rows
        .iter()
        .map(|row| format!("{} {} {:?} {:?}", row.id, row.phase, row.bid, row.lease))
        .collect();
    orders.sort();
    store.close().await;
    orders
}

/// What the node's blocks hold, what the relay's journal says was taken, and what is in the inbox is the same.
async fn no_event_is_lost(world: &World) {
    let taken = taken(world);
    let inbox = inbox(world).await;
    let upto = taken.iter().map(|event| event.height).max().expect("the relay sent events");
    let blocks = blocks(world, upto).await;
    let texts = |events: &BTreeSet<EventIdentity>| -> BTreeSet<String> {
        events.iter().map(ToString::to_string).collect()
    };
    let (taken, blocks) = (texts(&taken), texts(&blocks));
    let lost: Vec<_> = blocks.difference(&inbox).collect();
    assert!(lost.is_empty(), "in a block and not in the inbox: {lost:?}");
    let lost: Vec<_> = taken.difference(&inbox).collect();
    assert!(lost.is_empty(), "answered to the relay and not in the inbox: {lost:?}");
    let invented: Vec<_> = inbox.difference(&blocks).collect();
    assert!(invented.is_empty(), "in the inbox and in no block: {invented:?}");
}

async fn blocks(world: &World, upto: Height) -> BTreeSet<EventIdentity> {
    let node = Node::new(world.http.clone(), world.node.parse().unwrap());
    let found = Follower::new(node, Vec::new(), 8).range(Height(1), upto).await.unwrap();
    let events = found.into_iter().flat_map(|block| {
        let (chain_id, height) = (block.chain_id, block.at.height);
        block.events.into_iter().map(move |event| EventIdentity {
            chain_id: chain_id.clone(),
            height,
            tx_hash: event.tx_hash,
            msg_index: event.msg_index,
            event_index: event.event_index,
        })
    });
    events.collect()
}

/// The events of the deliveries that the relay was told are durable.
fn taken(world: &World) -> BTreeSet<EventIdentity> {
    #[derive(serde::Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        body: &'a RawValue,
    }
    let journal = world.path(&format!("relay/{STREAM}.journal.jsonl"));
    let text = std::fs::read_to_string(journal).unwrap();
    let mut taken = BTreeSet::new();
    for line in text.lines() {
        let line: Line<'_> = serde_json::from_str(line).unwrap();
        let body = line.body.get().as_bytes();
        for event in parse(Mode::Batch, body, &Limits::default()).unwrap() {
            if let Payload::Block(block) = event.payload {
                taken.extend(block.events.iter().map(|event| block.identity(event)));
            }
        }
    }
    taken
}

async fn inbox(world: &World) -> BTreeSet<String> {
    const EVENTS: &str = "
        SELECT chain_id || '/' || height || '/' || tx_hash || '/' || msg_index || '/' || event_index
        FROM events WHERE variant = 0";
    let options = SqliteConnectOptions::new().filename(world.store()).read_only(true);
    let mut connection = sqlx::SqliteConnection::connect_with(&options).await.unwrap();
    let events = sqlx::query_scalar(EVENTS).fetch_all(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    events.into_iter().collect()
}
