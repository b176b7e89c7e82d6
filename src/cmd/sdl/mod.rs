//! `lessor sdl`: what an SDL document comes to, or everything that is wrong with it. Needs no chain and no gateway.
//!
//! The surprising fact: a document that breaks rules and one that cannot be read are different failures, exit codes 1
//! and 2; of several documents the worst one counts.

mod diagnostic;
mod document;

use std::{path::PathBuf, process::ExitCode};

use clap::{Subcommand, ValueEnum};
use document::Document;
use serde::Serialize;

use super::output;
use crate::manifest::{Dialect, Verdict};

/// `lessor sdl`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit: 0 accepted, 1 refused, 2 unreadable; of several documents the worst counts."
)]
pub struct Args {
    /// How to print; `json` is one line a document, the same for every action.
    #[arg(long, global = true, value_enum, default_value = "text")]
    format: Format,
    /// Whose rules to read by: go (the command line, and what providers check with), npm (web consoles), npm-head (the
    /// sources of the npm package since its last release).
    #[arg(long, global = true, default_value_t)]
    dialect: Dialect,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Say whether documents are accepted, and everything that is wrong with those that are not.
    Check(Files),
    /// Print the groups that go on chain.
    Groups(Files),
    /// Print the manifest that is uploaded.
    Manifest(Files),
    /// Print the manifest's hash, which goes on chain.
    Hash(Files),
}

#[derive(Debug, clap::Args)]
struct Files {
    /// SDL documents, or folders with them (every .yaml and .yml below, hidden ones excepted); `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

/// How it went, from good to bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Accepted,
    Refused,
    Unreadable,
}

/// A line of the JSON format.
#[derive(Debug, Serialize)]
struct Line<'a> {
    file: &'a str,
    #[serde(flatten)]
    verdict: &'a Verdict,
}

/// Runs an action.
///
/// # Errors
/// When what it found cannot be printed.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let (Action::Check(files)
    | Action::Groups(files)
    | Action::Manifest(files)
    | Action::Hash(files)) = &args.action;
    let documents = document::find(&files.files);
    let several = documents.len() > 1 || files.files.iter().any(|path| path.is_dir());
    let mut counts = [0_usize; 3];
    let mut worst = Outcome::Accepted;
    for document in &documents {
        let outcome = one(args, document, several)?;
        counts[outcome as usize] += 1;
        worst = worst.max(outcome);
    }
    if matches!(args.action, Action::Check(_)) && args.format == Format::Text && several {
        let [accepted, refused, unreadable] = counts;
        output::line(format_args!(
            "{} documents: {accepted} accepted, {refused} refused, {unreadable} unreadable",
            documents.len()
        ))?;
    }
    Ok(ExitCode::from(worst as u8))
}

/// Reads and prints one document.
fn one(args: &Args, document: &Document, among_others: bool) -> anyhow::Result<Outcome> {
    let read = document.read();
    let (outcome, verdict) = match &read {
        Ok(bytes) => {
            let verdict = Verdict::of(bytes, args.dialect);
            (if verdict.valid { Outcome::Accepted } else { Outcome::Refused }, verdict)
        }
        Err(unreadable) => (Outcome::Unreadable, Verdict::refused(vec![unreadable.clone()])),
    };
    let file = document.name();
    if args.format == Format::Json {
        output::line(serde_json::to_string(&Line { file, verdict: &verdict })?)?;
        return Ok(outcome);
    }
    let is_check = matches!(args.action, Action::Check(_));
    if outcome != Outcome::Accepted || !verdict.warnings.is_empty() {
        let source = String::from_utf8_lossy(read.as_deref().unwrap_or_default());
        let text = diagnostic::render(file, &source, &verdict);
        // Whoever pipes a manifest on must not pipe complaints with it.
        if is_check {
            output::styled(text)?
        } else {
            output::complain_styled(text)
        }
        return Ok(outcome);
    }
    let hash = verdict.hash.as_deref().unwrap_or_default();
    match args.action {
        Action::Check(_) => output::line(format_args!("{file}: accepted, hash {hash}"))?,
        Action::Hash(_) if among_others => output::line(format_args!("{hash}  {file}"))?,
        Action::Hash(_) => output::line(hash)?,
        Action::Groups(_) => output::line(serde_json::to_string_pretty(&verdict.groups)?)?,
        // The very bytes that a tenant's tool uploads.
        Action::Manifest(_) => {
            output::line(verdict.manifest.map_or_else(String::new, |json| json.to_string()))?
        }
    }
    Ok(outcome)
}
