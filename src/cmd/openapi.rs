//! `lessor openapi`: prints the document, or compares it with a file.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;

use super::output;

/// `lessor openapi`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Compare with this file instead of printing; exit 1 when it differs.
    #[arg(long, value_name = "FILE")]
    check: Option<PathBuf>,
}

/// Prints or compares.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let document = crate::gateway::openapi::document();
    let Some(path) = &args.check else {
        output::text(document)?;
        return Ok(ExitCode::SUCCESS);
    };
    let kept = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    if kept == document {
        return Ok(ExitCode::SUCCESS);
    }
    output::complain(format_args!(
        "{} is not what the code says; run `lessor openapi > {}`",
        path.display(),
        path.display()
    ));
    Ok(ExitCode::FAILURE)
}
