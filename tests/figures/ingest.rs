//! Deliveries made durable: large batches, single blocks, and how long one takes.
//!
//! A delivery holds what a market's blocks hold: an order among twenty events, bids of other providers, and events of
//! types that lessor keeps and does not read. Each connection is an indexer's own stream, in order.

use std::{path::Path, time::Instant};

use anyhow::bail;
use bytes::Bytes;
use futures_util::future::try_join_all;
use lessor::{
    cmd::host,
    event::{
        key::{PrivateKey, SigningKey},
        signature::sign,
    },
};
use serde_json::{Value, json};

use super::{
    floor,
    report::{Figure, Goal, percentile},
    world::{STREAMS, World, http_client, stream_key},
};

const MEDIA: &str = "application/cloudevents-batch+json";
/// Tenant and another provider, as events name them.
const OWNER: &str = "akash1dge0lcc5rqxkw52rgav4q0fyhx7arcufmrkyww";
const RIVAL: &str = "akash1sdv7sz7y4j2z9l6nyrk9g4ztjh9dvml75gfgra";

/// Who sends on one stream.
pub(super) struct Indexer {
    stream: String,
    key: SigningKey,
    chain_id: String,
    height: u64,
    http: reqwest::Client,
    url: String,
    /// One event in so many is an order; 0 for none.
    pub(super) orders: u64,
}

/// A delivery that was signed.
pub(super) struct Signed {
    headers: Vec<(http::HeaderName, http::HeaderValue)>,
    body: Bytes,
}

fn hash(height: u64, kind: u64) -> String {
    format!("{kind:032X}{height:032X}")
}

impl Indexer {
    pub(super) fn new(world: &World, number: usize, gateway: &str) -> anyhow::Result<Self> {
        let stream = format!("s{number}");
        let key: PrivateKey = stream_key(number);
        Ok(Self {
            url: format!("{gateway}/webhooks/{stream}"),
            stream,
            key: SigningKey::Private(key),
            chain_id: world.chain_id(),
            // Streams tell different blocks, so that none repeats another's events.
            height: 1 + 10_000_000 * u64::try_from(number)?,
            http: http_client()?,
            orders: 20,
        })
    }

    fn event(&self, i: u64) -> Value {
        let dseq = (self.height * 1000 + i).to_string();
        let id = json!({ "owner": OWNER, "dseq": dseq, "gseq": 1, "oseq": 1 });
        let (kind, attributes) = if self.orders > 0 && i.is_multiple_of(self.orders) {
            ("akash.market.v1.EventOrderCreated", json!({ "id": id }))
        } else if i.is_multiple_of(2) {
            let mut id = id;
            id["provider"] = RIVAL.into();
            let price = json!({ "denom": "uact", "amount": "12.500000000000000000" });
            ("akash.market.v1.EventBidCreated", json!({ "id": id, "price": price }))
        } else {
            let amount = json!({ "denom": "uact", "amount": "5000000" });
            ("akash.escrow.v1.EventPaymentWithdrawn", json!({ "owner": OWNER, "amount": amount }))
        };
        json!({
            "i": i, "tx_hash": hash(self.height, i / 5), "msg_index": 0, "event_index": i % 5,
            "type": kind, "attributes": attributes,
        })
    }

    fn block(&mut self, events: u64) -> Value {
        let prev = self.height;
        self.height += 1;
        let height = self.height;
        let events: Vec<Value> = (0..events).map(|i| self.event(i)).collect();
        json!({
            "specversion": "1.0", "id": format!("{}:{height}:0", self.chain_id),
            "source": "urn:figures", "type": "network.akash.block.v1",
            "subject": format!("{}/{height}", self.chain_id), "time": host::now().to_string(),
            "data": {
                "chain_id": self.chain_id, "height": height, "block_hash": hash(height, 9),
                "prev_height": prev, "prev_hash": hash(prev, 9),
                "complete": true, "part": 0, "parts": 1, "events": events,
            },
        })
    }

    /// A delivery of so many blocks with so many events each.
    pub(super) fn delivery(&mut self, blocks: usize, events: u64) -> anyhow::Result<Signed> {
        let blocks: Vec<Value> = (0..blocks).map(|_| self.block(events)).collect();
        let body = serde_json::to_vec(&blocks)?;
        let id = format!("{}-{}", self.stream, self.height);
        let signed = sign(&id, host::now(), &body, std::slice::from_ref(&self.key))?;
        let header = |(name, value): (&str, String)| -> anyhow::Result<_> {
            Ok((name.parse()?, value.parse()?))
        };
        let headers = signed.0.into_iter().map(header).collect::<anyhow::Result<_>>()?;
        Ok(Signed { headers, body: body.into() })
    }

    /// Sends one and waits for the answer.
    pub(super) async fn send(&self, signed: &Signed) -> anyhow::Result<()> {
        let mut request = self.http.post(&self.url).header("content-type", MEDIA);
        for (name, value) in &signed.headers {
            request = request.header(name, value);
        }
        let answer = request.body(signed.body.clone()).send().await?;
        let status = answer.status();
        let text = answer.bytes().await?;
        if status != 202 {
            bail!("{status}: {}", String::from_utf8_lossy(&text));
        }
        Ok(())
    }
}

/// All deliveries of all indexers, each indexer's one after the other; how many seconds it took.
async fn all(indexers: &[(Indexer, Vec<Signed>)]) -> anyhow::Result<f64> {
    let began = Instant::now();
    try_join_all(indexers.iter().map(|(indexer, deliveries)| async move {
        for signed in deliveries {
            indexer.send(signed).await?;
        }
        anyhow::Ok(())
    }))
    .await?;
    Ok(began.elapsed().as_secs_f64())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(super) async fn measure(lessor: &Path) -> anyhow::Result<()> {
    const BATCHES: usize = 50;
    const SINGLES: usize = 500;
    let world = World::new(std::time::Duration::from_secs(1)).await?;
    let gateway = world.serve(lessor, &["--no-worker"])?;
    let mut indexers = Vec::new();
    for number in 0..STREAMS {
        indexers.push(Indexer::new(&world, number, &gateway.url)?);
    }
    let mut rates = Vec::new();
    let mut singles = Vec::new();
    let mut raw = Vec::new();
    for _ in 0..3 {
        let mut prepared = Vec::new();
        for mut indexer in indexers.drain(..) {
            let deliveries =
                (0..BATCHES).map(|_| indexer.delivery(10, 50)).collect::<anyhow::Result<_>>()?;
            prepared.push((indexer, deliveries));
        }
        let seconds = all(&prepared).await?;
        rates.push((STREAMS * BATCHES * 500) as f64 / seconds);
        raw.push(floor::commits_per_second(world.folder()).await?);
        for (indexer, deliveries) in &mut prepared {
            *deliveries =
                (0..SINGLES).map(|_| indexer.delivery(1, 5)).collect::<anyhow::Result<_>>()?;
        }
        let seconds = all(&prepared).await?;
        singles.push((STREAMS * SINGLES) as f64 / seconds);
        indexers.extend(prepared.into_iter().map(|(indexer, _)| indexer));
    }
    let mut one = indexers.swap_remove(0);
    let mut taken = Vec::new();
    for _ in 0..1000 {
        let signed = one.delivery(1, 50)?;
        let began = Instant::now();
        one.send(&signed).await?;
        taken.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    let n = rates.len();
    let raw = percentile(&mut raw, 50.0);
    let fsync = format!("fsync {:.2} ms", floor::fsync_ms(world.folder())?);
    Figure::new(
        "ingest_events",
        "events made durable, batches of 500, 8 connections",
        percentile(&mut rates, 50.0),
        "/s",
        n,
    )
    .goal(Goal::AtLeast(50_000.0))
    .floor(&*fsync)
    .print();
    Figure::new(
        "ingest_singles",
        "deliveries of one block made durable, 8 connections",
        percentile(&mut singles, 50.0),
        "/s",
        n,
    )
    .goal(Goal::AtLeast(raw / 3.0))
    .floor(format!("{raw:.0} raw commits/s"))
    .print();
    let p50 = percentile(&mut taken, 50.0);
    Figure::new("ingest_p50", "a delivery of 50 events, p50", p50, "ms", taken.len())
        .floor(&*fsync)
        .print();
    Figure::new(
        "ingest_p99",
        "a delivery of 50 events, p99",
        percentile(&mut taken, 99.0),
        "ms",
        taken.len(),
    )
    .goal(Goal::AtMost(50.0))
    .floor(format!("{fsync}, loopback {:.2} ms", floor::round_trip_ms()?))
    .print();
    drop(gateway);
    world.end().await;
    Ok(())
}
