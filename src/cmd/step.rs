//! `lessor step`: one bounded pass over what is due, then exit. A scheduled job calls it where nothing runs all the time.

use std::{path::Path, process::ExitCode};

use jiff::SignedDuration;

use super::{output, parts, serve::write_logs, settings::Settings};
use crate::provider::step::Budget;

/// `lessor step`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The most steps.
    #[arg(long, default_value_t = 1_000)]
    max: u32,
    /// No step begins after so many seconds.
    #[arg(long, default_value_t = 20)]
    deadline: u32,
}

/// Prints what was done as one line of JSON.
pub async fn run(args: Args, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(config, std::env::vars())?;
    write_logs(&settings)?;
    let provider = parts::provider(&settings).await?;
    let now = provider.clock.now();
    provider.begin(now).await?;
    let until = now.saturating_add(SignedDuration::from_secs(i64::from(args.deadline)))?;
    let pass = provider.step(Budget { steps: args.max, until }).await?;
    output::line(serde_json::to_string(&pass)?)?;
    Ok(ExitCode::SUCCESS)
}
