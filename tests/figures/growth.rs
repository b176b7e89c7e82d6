//! How it grows: a delivery with an ever larger inbox, and a bid with ever more orders.

use std::{path::Path, time::Instant};

use anyhow::Context;
use lessor::domain::Height;

use super::{
    ingest::Indexer,
    report::{Figure, Goal, percentile},
    start,
    world::{TOKEN, World, http_client, until},
};

/// Events in the inbox.
const EVENTS: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Orders that were bid on and are open.
const ORDERS: [u64; 4] = [10, 100, 1_000, 10_000];
/// Measurements at each size.
const EACH: u64 = 40;
/// Events in a delivery that is measured: so few that the inbox hardly grows by being measured.
const MEASURED: u64 = 5;
/// Messages in one transaction.
const TOGETHER: u64 = 100;

pub(super) async fn measure(lessor: &Path) -> anyhow::Result<()> {
    events(lessor).await?;
    orders(lessor).await
}

/// The median of a small delivery.
async fn delivery_ms(indexer: &mut Indexer) -> anyhow::Result<f64> {
    let mut taken = Vec::new();
    for _ in 0..EACH {
        let signed = indexer.delivery(1, MEASURED)?;
        let began = Instant::now();
        indexer.send(&signed).await?;
        taken.push(began.elapsed().as_secs_f64() * 1000.0);
    }
    Ok(percentile(&mut taken, 50.0))
}

async fn events(lessor: &Path) -> anyhow::Result<()> {
    let world = World::new(std::time::Duration::from_secs(1)).await?;
    let gateway = world.serve(lessor, &["--no-worker"])?;
    let mut indexer = Indexer::new(&world, 0, &gateway.url)?;
    // Orders would wait for a worker; the inbox alone is to grow.
    indexer.orders = 0;
    let empty = delivery_ms(&mut indexer).await?;
    let mut told = EACH * MEASURED;
    for size in EVENTS {
        while told < size {
            let count = 500.min(size - told);
            let batch = indexer.delivery(usize::try_from(count / 50)?.max(1), count.min(50))?;
            indexer.send(&batch).await?;
            told += count;
        }
        let p50 = delivery_ms(&mut indexer).await?;
        told += EACH * MEASURED;
        let what = format!("a delivery with {size} events in the inbox, against an empty one");
        print(&format!("growth_events_{size}"), &what, p50, empty, EACH);
    }
    drop(gateway);
    world.end().await;
    Ok(())
}

async fn orders(lessor: &Path) -> anyhow::Result<()> {
    let world = World::new(std::time::Duration::from_millis(500)).await?;
    // No bid is taken back for its age while others are made.
    let settings = world.environment().with("BID__TIMEOUT_S", &0);
    let gateway = world.serve_with(lessor, &[], &settings)?;
    let relay = world.relay(&gateway.url)?;
    let http = http_client()?;
    let mut dseq = 1000;
    let empty = bid_ms(&world, &mut dseq).await?;
    let empty_start = start::beside_ms(&world, lessor).await?;
    let mut open = 0;
    for size in ORDERS {
        while open < size {
            let count = TOGETHER.min(size - open);
            let height = world.order(dseq, count).await?;
            world.wait_for_bids(height, usize::try_from(count)?).await?;
            dseq += count;
            open += count;
        }
        are_open(&http, &gateway.url, size).await?;
        let p50 = bid_ms(&world, &mut dseq).await?;
        let what = format!("block → bid with {size} orders open, against none");
        print(&format!("growth_orders_{size}"), &what, p50, empty, EACH);
    }
    let full_start = start::beside_ms(&world, lessor).await?;
    let what = format!("process start → `/livez` with {open} orders open, against none");
    print("growth_start", &what, full_start, empty_start, 21);
    relay.end().await;
    drop(gateway);
    world.end().await;
    Ok(())
}

/// Waits until so many orders have an open bid of ours and no other has.
async fn are_open(http: &reqwest::Client, gateway: &str, orders: u64) -> anyhow::Result<()> {
    let wanted = format!("lessor_orders{{phase=\"open\"}} {orders}");
    until(&format!("{orders} open orders"), || async {
        let answer = http.get(format!("{gateway}/metrics")).bearer_auth(TOKEN).send().await?;
        let text = answer.error_for_status()?.text().await?;
        Ok(text.lines().any(|line| line == wanted).then_some(()))
    })
    .await
}

/// The median from a block with one order to the bid at the node. Each order is closed again.
async fn bid_ms(world: &World, dseq: &mut u64) -> anyhow::Result<f64> {
    let mut taken = Vec::new();
    for _ in 0..EACH {
        let height: Height = world.order(*dseq, 1).await?;
        let bids = world.wait_for_bids(height, 1).await?;
        let block = world.journal(height).remove(0);
        let (heard_at, _) = bids.get(&world.order_of(*dseq)).context("a bid on another order")?;
        taken.push(heard_at.duration_since(block.time).as_secs_f64() * 1000.0);
        world.close(*dseq, 1).await?;
        *dseq += 1;
    }
    Ok(percentile(&mut taken, 50.0))
}

fn print(figure: &str, what: &str, value: f64, empty: f64, n: u64) {
    Figure::new(figure, what, value / empty, "×", usize::try_from(n).unwrap_or(0))
        .goal(Goal::AtMost(2.0))
        .floor(format!("{empty:.2} ms when empty, {value:.2} ms now"))
        .print();
}
