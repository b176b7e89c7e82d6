//! `lessor signer`: holds the account's key in a process of its own, and signs what its policy allows.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
};

use anyhow::bail;

use super::{
    host,
    operator::Access,
    output, parts,
    serve::{stop_on_signal, write_logs},
};
use crate::{
    chain::{
        AccountKey,
        signer::{self, Allowed, Guard, Policy, Record},
    },
    domain::Coin,
    wire::text::to_base64,
};

/// `lessor signer`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Everything that leaves the account counts as spent: fees, and deposits of bids although they come \
                        back. A denom without a cap does not leave it."
)]
pub struct Args {
    #[command(flatten)]
    access: Access,
    /// Where it answers; the socket is for this process's account alone.
    #[arg(long, value_name = "PATH")]
    socket: PathBuf,
    /// The one chain that it signs for; chain.id when left out.
    #[arg(long)]
    chain_id: Option<String>,
    /// The messages that it signs, with commas: create-bid, close-bid, withdraw-lease, start-reclaim, create-provider,
    /// update-provider, create-certificate, revoke-certificate.
    #[arg(long, value_delimiter = ',', required = true)]
    allow: Vec<Allowed>,
    /// The most signatures in any minute, as 60/min.
    #[arg(long, default_value = "60/min", value_parser = rate)]
    rate: u32,
    /// The most that may leave the account in any 24 hours, as 5000000uakt/day; repeat for more denoms.
    #[arg(long, value_name = "AMOUNT", required = true, value_parser = spend)]
    spend: Vec<Coin>,
    /// The most that one transaction may pay as its fee; repeat for more denoms.
    #[arg(long, value_name = "AMOUNT", default_value = "100000uakt")]
    max_fee: Vec<Coin>,
    /// Where it is kept what was signed; `<socket>.signed` when left out.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
}

fn rate(text: &str) -> Result<u32, String> {
    let number = text.strip_suffix("/min").unwrap_or(text);
    number.parse().map_err(|_| "expected a number a minute, as 60/min".to_owned())
}

fn spend(text: &str) -> Result<Coin, String> {
    let coin = text.strip_suffix("/day").unwrap_or(text);
    coin.parse().map_err(|error| format!("{error}; expected an amount a day, as 5000000uakt/day"))
}

/// Answers until SIGTERM or SIGINT.
pub async fn run(args: Args, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = args.access.settings(config)?;
    write_logs(&settings)?;
    let stop = stop_on_signal()?;
    let chain_id = args.chain_id.unwrap_or_else(|| settings.chain.id.clone());
    if chain_id.is_empty() {
        bail!("give --chain-id or chain.id: a signature is for one chain only");
    }
    if settings.key.file.is_empty() {
        bail!("give --key or key.file");
    }
    let key = AccountKey::open(&parts::key_source(&settings.key)?)?.into_secret();
    let record = args.record.unwrap_or_else(|| {
        let mut path = args.socket.clone().into_os_string();
        path.push(".signed");
        path.into()
    });
    let policy = Policy {
        chain_id,
        allow: args.allow.into_iter().collect(),
        max_fee: args.max_fee,
        per_minute: args.rate,
        per_day: args.spend,
    };
    let record = Record::open(&record, host::now())?;
    let listener = signer::bind(&args.socket).await?;
    output::tell(format_args!("account     {}", key.public_key().address()));
    output::tell(format_args!("public key  {}", to_base64(key.public_key().as_bytes())));
    output::tell(format_args!("socket      {}", args.socket.display()));
    let guard = Guard { key, policy, record: record.into(), now: host::now };
    signer::serve(listener, Arc::new(guard), stop).await;
    if let Err(error) = std::fs::remove_file(&args.socket) {
        tracing::warn!(%error, "the socket stays");
    }
    Ok(ExitCode::SUCCESS)
}
