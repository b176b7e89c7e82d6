//! How it grows: a delivery with an ever larger inbox, and a bid with ever more orders.

use std::{path::Path, time::Instant};

use lessor::domain::Height;

use super::{
    ingest::Indexer,
    report::{Figure, Goal, percentile},
    world::World,
};

/// Events in the inbox.
const EVENTS: [u64; 4] = [1_000, 10_000, 100_000, 1_000_000];
/// Orders that were bid on and are open.
const ORDERS: [u64; 4] = [10, 100, 1_000, 10_000];
/// Measurements at each size.
const EACH: u64 = 40;
/// Messages in one transaction.
const TOGETHER: u64 = 100;

pub(super) async fn measure(lessor: &Path) -> anyhow::Result<()> {
    events(lessor).await?;
    orders(lessor).await
}

/// The median of a delivery of 50 events.
async fn delivery_ms(indexer: &mut Indexer) -> anyhow::Result<f64> {
    let mut taken = Vec::new();
    for _ in 0..EACH * 5 {
        let signed = indexer.delivery(1, 50)?;
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
    let mut told = EACH * 5 * 50;
    for size in EVENTS {
        while told + 500 <= size {
            let batch = indexer.delivery(10, 50)?;
            indexer.send(&batch).await?;
            told += 500;
        }
        let p50 = delivery_ms(&mut indexer).await?;
        told += EACH * 5 * 50;
        let what = format!("a delivery with {size} events in the inbox, against an empty one");
        print(&format!("growth_events_{size}"), &what, p50, empty, EACH * 5);
    }
    drop(gateway);
    world.end().await;
    Ok(())
}

async fn orders(lessor: &Path) -> anyhow::Result<()> {
    let world = World::new(std::time::Duration::from_millis(500)).await?;
    let gateway = world.serve(lessor, &[])?;
    let relay = world.relay(&gateway.url)?;
    let mut dseq = 1000;
    let empty = bid_ms(&world, &mut dseq).await?;
    let mut open = EACH;
    for size in ORDERS {
        while open < size {
            let count = TOGETHER.min(size - open);
            let height = world.order(dseq, count).await?;
            world.wait_for_bids(height, usize::try_from(count)?).await?;
            dseq += count;
            open += count;
        }
        let p50 = bid_ms(&world, &mut dseq).await?;
        open += EACH;
        let what = format!("block → bid with {size} orders open, against none");
        print(&format!("growth_orders_{size}"), &what, p50, empty, EACH);
    }
    relay.end().await;
    drop(gateway);
    world.end().await;
    Ok(())
}

/// The median from a block with one order to the bid at the node.
async fn bid_ms(world: &World, dseq: &mut u64) -> anyhow::Result<f64> {
    let mut taken = Vec::new();
    for _ in 0..EACH {
        let height: Height = world.order(*dseq, 1).await?;
        let bids = world.wait_for_bids(height, 1).await?;
        let block = world.journal(height).remove(0);
        if let Some((heard_at, _)) = bids.get(&world.order_of(*dseq)) {
            taken.push(heard_at.duration_since(block.time).as_secs_f64() * 1000.0);
        }
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
