//! Resident memory of the gateway and worker: idle, after a million questions, and with a thousand leases.

use std::{path::Path, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use lessor::{
    client::{gateway::Gateway, token},
    cmd::host,
    wire::key::SecretKey,
};

use super::{
    report::{Figure, Goal},
    world::{World, ask, http_client, until},
};

const QUESTIONS: u32 = 1_000_000;
const ASKERS: u32 = 16;
const LEASES: u64 = 1000;
/// Messages in one transaction.
const TOGETHER: u64 = 100;

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
pub(super) async fn measure(lessor: &Path) -> anyhow::Result<()> {
    let world = World::new(Duration::from_secs(1)).await?;
    let gateway = world.serve_one_stream(lessor)?;
    let relay = world.relay(&gateway.url)?;
    let http = http_client()?;
    // Idle means that it has looked at chain and cluster, hears its stream, and nothing happens.
    let overview = format!("{}/v1/overview", gateway.url);
    until("a gateway that would bid", || async {
        Ok((ask(&http, &overview).await?["verdict"] == "bidding").then_some(()))
    })
    .await?;
    let idle = gateway.process.resident_mb()?;
    Figure::new("memory_idle", "resident memory of `serve`, idle", idle, "MB", 1)
        .goal(Goal::AtMost(25.0))
        .today("155 MiB, and 140 + 151 + 134 a node for its operators")
        .print();

    let status = format!("{}/status", gateway.url);
    ask_often(&http, &status, QUESTIONS / 2).await?;
    let half = gateway.process.resident_mb()?;
    ask_often(&http, &status, QUESTIONS / 2).await?;
    let after = gateway.process.resident_mb()?;
    // What the first half needed once is there; flat is what the second half adds nothing to but noise.
    let kept = (after - half) * 1e6 / f64::from(QUESTIONS / 2);
    Figure::new(
        "memory_status",
        "bytes kept by each `/status` of the second half of a million",
        kept.max(0.0),
        "B",
        1,
    )
    .goal(Goal::AtMost(0.5))
    .floor(format!("{idle:.1} MB idle, {half:.1} after half a million, {after:.1} after a million"))
    .today("2,400 B")
    .print();
    drop(http);
    drop(gateway);

    // Another process, so that what many connections needed is not counted.
    let gateway = world.serve(lessor, &[])?;
    relay.end().await;
    let relay = world.relay(&gateway.url)?;
    lease_all(&world, &gateway.url).await?;
    let full = gateway.process.resident_mb()?;
    Figure::new("memory_leases", "resident memory of `serve` with 1,000 leases", full, "MB", 1)
        .goal(Goal::AtMost(64.0))
        .floor(format!("{:.1} kB a lease", (full - idle) * 1000.0 / LEASES as f64))
        .today("176 MiB with 51 leases")
        .print();
    relay.end().await;
    drop(gateway);
    world.end().await;
    Ok(())
}

async fn ask_often(http: &reqwest::Client, url: &str, count: u32) -> anyhow::Result<()> {
    let askers = (0..ASKERS).map(|_| async {
        for _ in 0..count / ASKERS {
            http.get(url).send().await?.error_for_status()?.bytes().await?;
        }
        anyhow::Ok(())
    });
    try_join_all(askers).await?;
    Ok(())
}

async fn lease_all(world: &World, gateway: &str) -> anyhow::Result<()> {
    let tenant_side = Arc::new(Gateway::new(gateway)?);
    let key: &SecretKey = &world.tenant.key;
    let provider = tenant_side.provider().await?;
    let manifest = world.compiled.manifest.to_json();
    let mut first = 10_000;
    while first < 10_000 + LEASES {
        let height = world.order(first, TOGETHER).await?;
        world.wait_for_bids(height, usize::try_from(TOGETHER)?).await?;
        world.lease(first, TOGETHER).await?;
        for dseq in first..first + TOGETHER {
            let token = token::sign(key, &provider, host::now());
            let manifest = &manifest;
            until("a manifest that is taken", || async {
                let put = tenant_side.put_manifest(dseq, manifest.clone(), &token).await;
                Ok(put.is_ok().then_some(()))
            })
            .await?;
        }
        first += TOGETHER;
    }
    let http = http_client()?;
    let url = format!("{gateway}/v1/leases?limit=1");
    until("all leases to be deployed", || async {
        // The newest lease is the last to be deployed.
        let page = ask(&http, &url).await?;
        let phase = page["items"][0]["phase"].as_str().unwrap_or_default().to_owned();
        Ok((phase == "running" || phase == "ready").then_some(()))
    })
    .await
}
