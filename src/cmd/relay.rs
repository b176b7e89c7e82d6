//! `lessor relay`: the reference indexer for any CometBFT node.

use std::{net::SocketAddr, path::PathBuf, str::FromStr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use clap::Args;
use tokio_util::sync::CancellationToken;

use super::{host, webhook::read_signing_key};
use crate::{
    domain::Height,
    relay::{Relay, Settings, SinkSettings, Start, pull},
};

/// Follows a node and pushes the events of each block, signed, to one or more gateways.
#[derive(Debug, Args)]
pub struct RelayArgs {
    /// The node's RPC address.
    #[arg(long, default_value = "http://127.0.0.1:26657")]
    node: reqwest::Url,
    /// Where each stream's place and journal are kept.
    #[arg(long)]
    data: PathBuf,
    /// A stream's name and where to post it; repeat for more.
    #[arg(long = "sink", value_name = "STREAM=URL", required = true)]
    sinks: Vec<SinkArg>,
    /// A file with the key that signs (`whsk_…` or `whsec_…`), mode 0600; repeat while keys are rotated.
    #[arg(long = "key-file", required = true)]
    keys: Vec<PathBuf>,
    /// The indexer's name in each event's source.
    #[arg(long, default_value = "lessor")]
    name: String,
    /// Where a new stream begins: earliest, newest, or a height.
    #[arg(long, default_value = "newest")]
    start: StartArg,
    /// The longest silence, in seconds.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    heartbeat: u64,
    /// Send the events whose type begins with this, in place of market, deployment, provider and audit; repeat for more.
    #[arg(long = "filter", value_name = "PREFIX")]
    filter: Vec<String>,
    /// Serve the pull API for missed blocks here (loopback only).
    #[arg(long, value_name = "ADDR")]
    listen: Option<SocketAddr>,
}

/// `STREAM=URL`.
#[derive(Debug, Clone)]
struct SinkArg {
    stream: String,
    url: reqwest::Url,
}

/// `earliest`, `newest` or a height.
#[derive(Debug, Clone, Copy)]
struct StartArg(Start);

impl FromStr for SinkArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (stream, url) = text.split_once('=').ok_or("expected STREAM=URL")?;
        let url = url.parse().map_err(|error| format!("URL of stream {stream:?}: {error}"))?;
        Ok(Self { stream: stream.to_owned(), url })
    }
}

impl FromStr for StartArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(Self(match text {
            "earliest" => Start::Earliest,
            "newest" => Start::Newest,
            height => Start::At(Height(
                height.parse().map_err(|_| "expected earliest, newest or a height")?,
            )),
        }))
    }
}

/// Runs until `stop`.
///
/// # Errors
/// Whatever keeps the relay from running: a setting, a key file, its folder, another chain than before.
pub async fn run(args: RelayArgs, stop: CancellationToken) -> anyhow::Result<()> {
    let keys =
        args.keys.iter().map(|file| read_signing_key(file)).collect::<anyhow::Result<Vec<_>>>()?;
    let sinks = args.sinks.into_iter().map(|sink| SinkSettings {
        stream: sink.stream,
        url: sink.url,
        keys: keys.clone(),
    });
    let settings = Settings {
        sinks: sinks.collect(),
        name: args.name,
        start: args.start.0,
        filter: args.filter,
        heartbeat: Duration::from_secs(args.heartbeat),
        ..Settings::new(args.node, args.data)
    };
    let clock: crate::relay::Clock = Arc::new(host::now);
    let relay = Relay::open(settings, &clock)?;
    if let Some(address) = args.listen {
        serve_pulls(&relay, address, stop.clone()).await?;
    }
    relay.run(stop).await?;
    Ok(())
}

async fn serve_pulls(
    relay: &Relay,
    address: SocketAddr,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    if let Err(reason) = pull::check_listen(address) {
        bail!(reason);
    }
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .with_context(|| format!("listen on {address}"))?;
    tracing::info!(address = %listener.local_addr()?, "pull API");
    let router = relay.pull_router();
    tokio::spawn(async move {
        let served =
            axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned()).await;
        if let Err(error) = served {
            tracing::error!(%error, "pull API ended");
        }
    });
    Ok(())
}
