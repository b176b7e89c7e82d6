//! `lessor openapi`: prints the document, or compares it with a file.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Context;

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
        print!("{document}");
        return Ok(ExitCode::SUCCESS);
    };
    let kept = std::fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
    if kept == document {
        return Ok(ExitCode::SUCCESS);
    }
    eprintln!(
        "lessor: {} is not what the code says; run `lessor openapi > {}`",
        path.display(),
        path.display()
    );
    Ok(ExitCode::FAILURE)
}
