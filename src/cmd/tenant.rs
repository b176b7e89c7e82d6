//! `lessor tenant`: deploys, updates, watches and closes as a tenant.
//!
//! Against a development world it needs nothing but the gateway's address: node and provider stand under `/dev`, and the
//! account is the world's public test tenant. Elsewhere `--node` and `--key-file` say which chain and which account.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use clap::Subcommand;
use futures_util::StreamExt;

use super::{
    host,
    output::{self, Format},
    parts::is_devnet,
};
use crate::{
    chain::AccountKey,
    client::{
        Error, Tenant, Terms,
        deploy::{Service, Step},
        gateway::Gateway,
        node::Node,
        token,
    },
    devnet::genesis::test_key,
    domain::{Address, Coin, Denom, LeaseId, Price},
    manifest::Dialect,
};

/// `lessor tenant`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The provider's gateway.
    #[arg(long, global = true, env = "LESSOR_URL", default_value = "http://127.0.0.1:8443")]
    url: String,
    /// The chain's node; a development world names its own.
    #[arg(long, global = true, env = "LESSOR_NODE")]
    node: Option<String>,
    /// The tenant's key: a file (mode 0600) with a mnemonic or 64 hex digits; a development world has a test tenant.
    #[arg(long, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Which account of the mnemonic.
    #[arg(long, global = true, default_value_t = 0)]
    index: u32,
    /// Whose rules documents are read by: go (the command line), npm (web consoles), npm-head.
    #[arg(long, global = true, default_value_t)]
    dialect: Dialect,
    /// How to print.
    #[arg(long, global = true, value_enum, default_value = "text")]
    format: Format,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Deploy an SDL document and wait until it runs. Exit 1: refused; 2: nobody bid in time.
    Deploy {
        /// The SDL document.
        file: PathBuf,
        /// The deployment's number; the block height when left out.
        #[arg(long)]
        dseq: Option<u64>,
        /// Put into escrow.
        #[arg(long, default_value = "5000000uact")]
        deposit: Coin,
        /// How long to wait for bids, in seconds.
        #[arg(long, default_value_t = 30)]
        bid_wait: u64,
        /// How long to wait until everything runs, in seconds.
        #[arg(long, default_value_t = 120)]
        ready_wait: u64,
        /// Price the groups in this denom, whatever the document says; documents from before 2026 say uakt, which the chain
        /// does not take any more.
        #[arg(long)]
        denom: Option<Denom>,
        /// Refuse to deploy unless the gateway is this provider's.
        #[arg(long)]
        provider: Option<Address>,
    },
    /// Run another document in the same deployment.
    Update {
        /// The deployment's number.
        dseq: u64,
        /// The SDL document.
        file: PathBuf,
        /// How long to wait until everything runs, in seconds.
        #[arg(long, default_value_t = 120)]
        ready_wait: u64,
    },
    /// Print what runs.
    Status {
        /// The deployment's number.
        dseq: u64,
    },
    /// Print the logs.
    Logs {
        /// The deployment's number.
        dseq: u64,
        /// Go on with new lines.
        #[arg(long, short)]
        follow: bool,
    },
    /// Close the deployment.
    Close {
        /// The deployment's number.
        dseq: u64,
    },
}

/// Runs one action.
pub async fn run(args: Args) -> anyhow::Result<ExitCode> {
    let done = match tenant(&args).await {
        Ok(tenant) => act(&tenant, &args).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(error) if error.is::<output::Closed>() => Err(error),
        Err(error) => {
            let code = match error.downcast_ref::<Error>() {
                Some(Error::NoBid { .. }) => 2,
                _ => 1,
            };
            match args.format {
                Format::Text => output::complain(output::said(&error)),
                Format::Json => {
                    let reason = output::said(&error);
                    output::tell(serde_json::json!({ "step": "refused", "reason": reason }));
                }
            }
            Ok(ExitCode::from(code))
        }
    }
}

async fn tenant(args: &Args) -> anyhow::Result<Tenant> {
    let gateway = Gateway::new(&args.url)?;
    let dev = match (&args.node, &args.key_file) {
        (Some(_), Some(_)) => None,
        _ => Some(gateway.dev().await.with_context(|| {
            format!("{} is no development world: give --node and --key-file, or start one with `lessor dev`", args.url)
        })?),
    };
    let key = match (&args.key_file, &dev) {
        (Some(file), _) => AccountKey::from_file(file, args.index)?.into_secret(),
        (None, Some(dev)) if is_devnet(&dev.chain_id) => test_key(args.index)?,
        _ => bail!("the public test accounts are for a development chain only: give --key-file"),
    };
    let node = args.node.clone().or(dev.map(|dev| dev.node)).context("give --node")?;
    Ok(Tenant {
        key,
        node: Node::new(&node)?,
        gateway,
        dialect: args.dialect,
        gas_price: Price { denom: Denom::uakt(), amount: "0.025".parse()? },
        now: host::now,
        entropy: || uuid::Uuid::new_v4().as_u64_pair().1,
    })
}

async fn act(tenant: &Tenant, args: &Args) -> anyhow::Result<()> {
    let format = args.format;
    let mut print = |step: Step| print_step(format, &step);
    match &args.action {
        Action::Deploy { file, dseq, deposit, bid_wait, ready_wait, denom, provider } => {
            let terms = Terms {
                deposit: deposit.clone(),
                denom: denom.clone(),
                provider: provider.clone(),
                bid_wait: Duration::from_secs(*bid_wait),
                ready_wait: Duration::from_secs(*ready_wait),
            };
            tenant.deploy(&read(file)?, *dseq, &terms, &mut print).await?;
        }
        Action::Update { dseq, file, ready_wait } => {
            tenant
                .update(*dseq, &read(file)?, Duration::from_secs(*ready_wait), &mut print)
                .await?;
        }
        Action::Status { dseq } => {
            for (lease, token) in leases(tenant, *dseq).await? {
                let status = tenant.gateway.lease_status(&lease, &token).await?;
                match format {
                    Format::Text => output::line(format_args!("{lease}\n{status:#}"))?,
                    Format::Json => {
                        output::line(serde_json::json!({ "lease": lease, "status": status }))?;
                    }
                }
            }
        }
        Action::Logs { dseq, follow } => {
            for (lease, token) in leases(tenant, *dseq).await? {
                let lines = tenant.gateway.logs(&lease, *follow, &token).await?;
                let mut lines = std::pin::pin!(lines);
                while let Some(line) = lines.next().await {
                    match format {
                        Format::Text => output::line(line?)?,
                        Format::Json => {
                            output::line(serde_json::json!({ "lease": lease, "line": line? }))?;
                        }
                    }
                }
            }
        }
        Action::Close { dseq } => tenant.close(*dseq, &mut print).await?,
    }
    Ok(())
}

async fn leases(
    tenant: &Tenant,
    dseq: u64,
) -> anyhow::Result<Vec<(LeaseId, secrecy::SecretString)>> {
    let leases = tenant.running_leases(&tenant.deployment(dseq)).await?;
    Ok(leases
        .into_iter()
        .map(|lease| {
            let token = token::sign(&tenant.key, &lease.provider, (tenant.now)());
            (lease, token)
        })
        .collect())
}

fn read(file: &std::path::Path) -> anyhow::Result<String> {
    let limit = crate::manifest::MAX_DOCUMENT_BYTES;
    let length = std::fs::metadata(file).with_context(|| format!("read {}", file.display()))?.len();
    if length > limit as u64 {
        bail!("{} has {length} bytes, allowed are {limit}", file.display());
    }
    std::fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}

fn print_step(format: Format, step: &Step) {
    let line = match format {
        Format::Json => serde_json::to_string(step).unwrap_or_default(),
        Format::Text => text(step),
    };
    // Whoever reads may have gone; the work goes on.
    output::tell(line);
}

fn text(step: &Step) -> String {
    match step {
        Step::Deployment { owner, dseq, height, .. } => {
            format!("deployment  {owner}/{dseq} in block {height}")
        }
        Step::Order { order, group } => format!("order       {order} for group {group:?}"),
        Step::Bid { provider, price, denom, why, .. } => {
            let why = why.as_deref().unwrap_or_default();
            let mut text = format!("bid         {price} {denom} per block by {provider}");
            for line in why.lines() {
                text.push_str("\n              ");
                text.push_str(line);
            }
            text
        }
        Step::Lease { lease, height, .. } => format!("lease       {lease} in block {height}"),
        Step::Manifest { hash, .. } => format!("manifest    accepted, hash {hash}"),
        Step::Update { dseq, height, .. } => format!("update      {dseq} in block {height}"),
        Step::Ready { dseq, services } => {
            let lines: String = services.iter().map(service_text).collect();
            format!("ready       deployment {dseq}{lines}")
        }
        Step::Closed { dseq, height, .. } => format!("closed      {dseq} in block {height}"),
    }
}

fn service_text(service: &Service) -> String {
    let addresses = service.addresses.join(" ");
    format!("\n              {} {}/{} {addresses}", service.name, service.ready, service.total)
}
