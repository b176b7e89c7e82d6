//! `lessor devnet`: the development world alone, so that any number of lessor processes can share it.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::Context;

use super::{dev::PROVIDER_INDEX, host, output, serve};
use crate::{
    devnet::{
        self, cluster,
        genesis::{self, Genesis},
    },
    telemetry::{self, LogFormat},
};

/// `lessor devnet`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Where ledger, cluster and journals are kept; the same folder again goes on where it was.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where it listens; loopback only.
    #[arg(long, default_value = "127.0.0.1:26657")]
    listen: SocketAddr,
    /// Milliseconds between blocks.
    #[arg(long, default_value_t = 1000)]
    block_interval_ms: u64,
}

/// How a world behaves.
#[derive(Debug, Clone)]
pub struct Options {
    /// The chain's name; it must be one that development parts accept.
    pub chain_id: String,
    /// Between blocks.
    pub block_interval: Duration,
    /// What the cluster is made of and how fast it is.
    pub cluster: cluster::Settings,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            chain_id: genesis::CHAIN_ID.to_owned(),
            block_interval: Duration::from_secs(1),
            cluster: cluster::Settings::default(),
        }
    }
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    telemetry::write_logs(LogFormat::Text, "info")?;
    let stop = serve::stop_on_signal()?;
    let options = Options {
        block_interval: Duration::from_millis(args.block_interval_ms),
        ..Options::default()
    };
    let running = start(&args.data, args.listen, options).await?;
    output::tell(format_args!("chain    {}", running.node().chain_id()));
    output::tell(format_args!("node     {}", running.rpc_url()));
    output::tell(format_args!("cluster  {}", running.cluster_url()));
    stop.cancelled().await;
    running.shutdown().await;
    Ok(ExitCode::SUCCESS)
}

/// Starts a world in `data`, on a loopback address.
pub async fn start(
    data: &Path,
    listen: SocketAddr,
    options: Options,
) -> anyhow::Result<devnet::server::Running> {
    let folder = data.join("cluster");
    std::fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let cluster = cluster::World::open(&folder, options.cluster, Arc::new(host::now))?;
    // The chain wants an https address; whoever uses this world is given the gateway's real one by `/dev`.
    let hosts = [(usize::try_from(PROVIDER_INDEX)?, "https://localhost:8443".to_owned())];
    let settings = devnet::server::Settings {
        data: data.join("chain"),
        listen,
        interval: options.block_interval,
        genesis: Genesis::development(&options.chain_id, host::now(), &hosts),
        clock: Arc::new(host::now),
        cluster: Some(cluster::router(cluster)),
    };
    Ok(devnet::server::start(settings).await?)
}
