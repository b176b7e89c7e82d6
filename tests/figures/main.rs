//! What lessor does, in figures: each is printed as one line of JSON, with its goal and with what this machine itself
//! can do beside it.
//!
//! ```text
//! figures --lessor PATH [NAME…]       measures; with names only those groups
//! figures --table FILE                the README's table from such lines
//! figures --compare FILE              exit 1 when a goal is missed
//! ```
//!
//! The gateway is always a process of its own, built like a release but for link-time optimisation; the development
//! world runs in this one. Both share the machine's cores, as do all rivals that were measured on one.

mod bidding;
mod chain;
mod floor;
mod growth;
mod ingest;
mod manifest;
mod memory;
mod process;
mod report;
mod start;
mod world;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};

/// The groups, in the order of the README's table.
const GROUPS: [&str; 8] =
    ["ingest", "bidding", "burst", "start", "memory", "growth", "manifest", "chain"];

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut lessor = None;
    let mut names = Vec::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().with_context(|| format!("{argument} needs a value"));
        match argument.as_str() {
            // What `cargo bench` adds.
            "--bench" => {}
            "--lessor" => lessor = Some(PathBuf::from(value()?)),
            "--table" => return report::table(&PathBuf::from(value()?)),
            "--compare" => return report::compare(&PathBuf::from(value()?)),
            name if GROUPS.contains(&name) => names.push(name.to_owned()),
            other => bail!("{other} is not known; groups are {}", GROUPS.join(", ")),
        }
    }
    let lessor = lessor.context("--lessor names the executable that is measured")?;
    let wanted = |name: &str| names.is_empty() || names.iter().any(|given| given == name);
    for group in GROUPS.into_iter().filter(|group| wanted(group)) {
        eprintln!("measuring {group}");
        let measured = match group {
            "ingest" => ingest::measure(&lessor).await,
            "bidding" => bidding::one_order(&lessor).await,
            "burst" => bidding::burst(&lessor).await,
            "start" => start::measure(&lessor).await,
            "memory" => memory::measure(&lessor).await,
            "manifest" => manifest::measure(),
            "chain" => chain::measure(),
            _ => growth::measure(&lessor).await,
        };
        measured.with_context(|| format!("measure {group}"))?;
    }
    Ok(ExitCode::SUCCESS)
}
