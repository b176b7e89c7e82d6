//! From the start of the process to its first answer, and to the first delivery that it takes.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::bail;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    floor,
    ingest::Indexer,
    process::Process,
    report::{Figure, Goal, percentile},
    world::{World, free_port},
};

const RUNS: usize = 21;

pub(super) async fn measure(lessor: &Path) -> anyhow::Result<()> {
    let world = World::new(Duration::from_secs(1)).await?;
    // The first start makes the store; those that are measured find it.
    drop(world.serve(lessor, &["--no-worker"])?);
    let port = free_port()?;
    let environment = world.environment().with("LISTEN__PUBLIC", &format!("127.0.0.1:{port}"));
    let mut indexer = Indexer::new(&world, 0, &format!("http://127.0.0.1:{port}"))?;
    let (mut live, mut taken) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let delivery = indexer.delivery(1, 5)?;
        let began = Instant::now();
        let child = Process::spawn(lessor, &["serve"], &environment, &world.log())?;
        is_live(port).await?;
        live.push(began.elapsed().as_secs_f64() * 1000.0);
        indexer.send(&delivery).await?;
        taken.push(began.elapsed().as_secs_f64() * 1000.0);
        drop(child);
    }
    let round_trip = format!("loopback {:.2} ms", floor::round_trip_ms()?);
    let p50 = percentile(&mut live, 50.0);
    Figure::new("start_livez", "process start → `/livez`, p50", p50, "ms", RUNS)
        .goal(Goal::AtMost(50.0))
        .floor(round_trip)
        .today("416 ms (`/status`)")
        .print();
    let p50 = percentile(&mut taken, 50.0);
    Figure::new("start_webhook", "process start → first delivery durable, p50", p50, "ms", RUNS)
        .goal(Goal::AtMost(250.0))
        .floor(format!("fsync {:.2} ms", floor::fsync_ms(world.folder())?))
        .print();
    world.end().await;
    Ok(())
}

/// The median from the start of a process beside those that work on the same store to its first answer.
pub(super) async fn beside_ms(world: &World, lessor: &Path) -> anyhow::Result<f64> {
    let port = free_port()?;
    let environment = world.environment().with("LISTEN__PUBLIC", &format!("127.0.0.1:{port}"));
    let mut live = Vec::new();
    for _ in 0..RUNS {
        let began = Instant::now();
        let child = Process::spawn(lessor, &["serve", "--no-worker"], &environment, &world.log())?;
        is_live(port).await?;
        live.push(began.elapsed().as_secs_f64() * 1000.0);
        drop(child);
    }
    Ok(percentile(&mut live, 50.0))
}

/// Asks until somebody answers.
async fn is_live(port: u16) -> anyhow::Result<()> {
    let give_up = Instant::now() + Duration::from_secs(30);
    let mut pace = tokio::time::interval(Duration::from_millis(1));
    while Instant::now() < give_up {
        pace.tick().await;
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
        let request = b"GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
        stream.write_all(request).await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        if answer.starts_with(b"HTTP/1.1 200") {
            return Ok(());
        }
    }
    bail!("nobody listens on {port}")
}
