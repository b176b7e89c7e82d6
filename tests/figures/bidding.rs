//! From a block with orders to the bids: one order at a time, and a hundred in one block.

use std::{path::Path, time::Duration};

use anyhow::Context;
use jiff::Timestamp;

use super::{
    floor,
    report::{Figure, Goal, percentile},
    world::{World, ask, http_client, until},
};

const ORDERS: u64 = 60;
const RUNS: u64 = 20;
const BURST: u64 = 100;

fn milliseconds(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64() * 1000.0
}

/// One order a block: the block, the decision, the bid at the node.
pub(super) async fn one_order(lessor: &Path) -> anyhow::Result<()> {
    let world = World::new(Duration::from_millis(500)).await?;
    let gateway = world.serve(lessor, &[])?;
    let relay = world.relay(&gateway.url)?;
    let http = http_client()?;
    let (mut whole, mut told) = (Vec::new(), Vec::new());
    let (mut decided, mut signed, mut handed) = (Vec::new(), Vec::new(), Vec::new());
    for dseq in 1..=ORDERS {
        let height = world.order(1000 + dseq, 1).await?;
        let order = world.order_of(1000 + dseq);
        let bids = world.wait_for_bids(height, 1).await?;
        let (heard_at, _) = *bids.get(&order).context("a bid on another order")?;
        let block = world.journal(height).remove(0);
        let answered = world.answered_at(height)?;
        let decision = decided_at(&http, &gateway.url, &order).await?;
        whole.push(milliseconds(block.time, heard_at));
        told.push(milliseconds(block.time, answered));
        decided.push(milliseconds(answered, decision));
        signed.push(milliseconds(answered, signed_at(&http, &gateway.url).await?));
        handed.push(milliseconds(answered, heard_at));
        world.close(1000 + dseq, 1).await?;
    }
    let n = whole.len();
    let machine = format!(
        "fsync {:.2} ms, loopback {:.2} ms",
        floor::fsync_ms(world.folder())?,
        floor::round_trip_ms()?
    );
    Figure::new(
        "bid_p50",
        "block with one order → bid at the node, p50",
        percentile(&mut whole, 50.0),
        "ms",
        n,
    )
    .goal(Goal::AtMost(15.0))
    .floor(&*machine)
    .today("18.9–21.7 ms")
    .print();
    Figure::new("bid_p99", "the same, p99", percentile(&mut whole, 99.0), "ms", n)
        .today("42–92 ms (max)")
        .print();
    let print = |figure: &str, what: &str, values: &mut [f64], percent| {
        Figure::new(figure, what, percentile(values, percent), "ms", n).print();
    };
    print("delivered_p50", "block → its delivery answered, p50", &mut told, 50.0);
    print("decided_p50", "delivery answered → decided, p50", &mut decided, 50.0);
    print("decided_p99", "the same, p99", &mut decided, 99.0);
    print(
        "signed_p50",
        "delivery answered → decision stored, its transaction tried and signed, p50",
        &mut signed,
        50.0,
    );
    print("signed_p99", "the same, p99", &mut signed, 99.0);
    print("handed_p50", "delivery answered → bid at the node, p50", &mut handed, 50.0);
    print("handed_p99", "the same, p99", &mut handed, 99.0);
    relay.end().await;
    drop(gateway);
    world.end().await;
    Ok(())
}

/// When the engine decided on an order: its line in the audit log.
async fn decided_at(
    http: &reqwest::Client,
    gateway: &str,
    order: &str,
) -> anyhow::Result<Timestamp> {
    let page = ask(http, &format!("{gateway}/v1/audit?limit=20")).await?;
    let lines = page["items"].as_array().context("audit lines")?;
    let line = lines
        .iter()
        .find(|line| line["action"] == "bid" && line["subject"].to_string().contains(order));
    Ok(line.and_then(|line| line["at"].as_str()).context("no line about the bid")?.parse()?)
}

/// When the newest transaction was signed. Its decision was stored before, its bytes are stored next, then they are sent.
async fn signed_at(http: &reqwest::Client, gateway: &str) -> anyhow::Result<Timestamp> {
    let page = ask(http, &format!("{gateway}/v1/transactions?limit=1")).await?;
    Ok(page["items"][0]["signed_at"].as_str().context("a transaction")?.parse()?)
}

/// A hundred orders in one block, blocks of a second.
#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(super) async fn burst(lessor: &Path) -> anyhow::Result<()> {
    let world = World::new(Duration::from_secs(1)).await?;
    let gateway = world.serve(lessor, &[])?;
    let relay = world.relay(&gateway.url)?;
    let http = http_client()?;
    let count = usize::try_from(BURST)?;
    let mut complete = 0_u64;
    let mut last = Vec::new();
    for run in 1..=RUNS {
        let first = run * 1000;
        let height = world.order(first, BURST).await?;
        let made_at = world.journal(height).remove(0).time;
        // A run that misses bids is an incomplete one, not the end of the measurement.
        let whole = world.wait_for_bids(height, count).await;
        let bids = world.bids(height);
        if whole.is_err() {
            eprintln!("run {run}: {} bids of {count}", bids.len());
        } else {
            let newest = bids.values().map(|(_, block)| *block).max().unwrap_or(u64::MAX);
            complete += u64::from(newest <= height.0 + 2);
            let sent = bids.values().map(|(heard_at, _)| *heard_at).max().context("bids")?;
            last.push(milliseconds(made_at, sent));
        }
        world.close(first, BURST).await?;
        settled(&http, &gateway.url).await?;
    }
    Figure::new(
        "burst_complete",
        "runs in which 100 orders of one block had all bids within 2 blocks of 1 s",
        complete as f64,
        &format!("of {RUNS}"),
        usize::try_from(RUNS)?,
    )
    .goal(Goal::AtLeast(RUNS as f64))
    .today("1 of 8; median 58 bids")
    .print();
    Figure::new(
        "burst_last_ms",
        "that block → last of its 100 bids at the node, p50",
        percentile(&mut last, 50.0),
        "ms",
        last.len(),
    )
    .floor(format!("fsync {:.2} ms", floor::fsync_ms(world.folder())?))
    .today("1,700–2,000 ms, when complete")
    .print();
    relay.end().await;
    drop(gateway);
    world.end().await;
    Ok(())
}

/// Nothing is held for closed orders any more.
async fn settled(http: &reqwest::Client, gateway: &str) -> anyhow::Result<()> {
    let url = format!("{gateway}/v1/transactions?unsettled=true&limit=1");
    until("an empty outbox", || async {
        let page = ask(http, &url).await?;
        Ok(page["items"].as_array().is_some_and(Vec::is_empty).then_some(()))
    })
    .await
}
