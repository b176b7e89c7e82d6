//! `lessor sdl`: what an SDL document comes to, or everything that is wrong with it. Needs no chain and no gateway.
//!
//! The surprising fact: a document that breaks rules and one that cannot be read are different failures, exit codes 1
//! and 2; of several documents the worst one counts.

mod diagnostic;
mod document;

use std::{cell::LazyCell, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Subcommand;
use document::Document;
use serde::Serialize;
use serde_json::value::RawValue;

use super::output::{self, Format};
use crate::manifest::{self, Dialect, Difference, Rule, Sdl, Source, Verdict, Violation};

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

#[derive(Debug, Subcommand)]
enum Action {
    /// Say whether documents are accepted, and everything that is wrong with those that are not.
    Check {
        #[command(flatten)]
        files: Files,
        /// Also say where Go's reading and npm's differ, and why; npm-head's with --dialect npm-head.
        #[arg(long)]
        explain_differences: bool,
    },
    /// Print the groups that go on chain.
    Groups(Files),
    /// Print the manifest that is uploaded.
    Manifest(Files),
    /// Print the manifest's hash, which goes on chain.
    Hash(Files),
    /// Print what a code means, what is allowed, and an example.
    Explain {
        /// The code, as in `error[code]`; all of them when left out.
        code: Option<String>,
    },
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
    /// Only where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    differences: Option<&'a [Difference]>,
}

/// Runs an action.
///
/// # Errors
/// When what it found cannot be printed.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let files = match &args.action {
        Action::Check { files, .. }
        | Action::Groups(files)
        | Action::Manifest(files)
        | Action::Hash(files) => files,
        Action::Explain { code } => return explain(code.as_deref(), args.format),
    };
    let documents = document::find(&files.files);
    let several = documents.len() > 1 || files.files.iter().any(|path| path.is_dir());
    let mut counts = [0_usize; 3];
    let mut worst = Outcome::Accepted;
    for document in &documents {
        let outcome = one(args, document, several)?;
        counts[outcome as usize] += 1;
        worst = worst.max(outcome);
    }
    if matches!(args.action, Action::Check { .. }) && args.format == Format::Text && several {
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
    let text = read.as_deref().map(manifest::text);
    let (mut outcome, mut verdict) = match &read {
        Ok(_) => (Outcome::Refused, Verdict::refused(Vec::new())),
        Err(unreadable) => (Outcome::Unreadable, Verdict::refused(vec![unreadable.clone()])),
    };
    let mut explanation = None;
    match text {
        Ok(Ok(text)) => {
            // Parsed once, however many readings are asked for.
            let sdl = Sdl::parse(text);
            verdict = sdl.compile(args.dialect).into();
            if args.format == Format::Text && verdict.valid && args.dialect == Dialect::Go {
                verdict.warnings.extend(ignored_keys(&sdl));
            }
            if let Action::Check { explain_differences: true, .. } = &args.action {
                let npm = if args.dialect == Dialect::Go { Dialect::Npm } else { args.dialect };
                explanation = Some(sdl.explain(npm));
            }
        }
        Ok(Err(violations)) => verdict = Verdict::refused(violations),
        Err(_) => {}
    }
    if verdict.valid {
        outcome = Outcome::Accepted;
    }
    let file = document.name();
    if args.format == Format::Json {
        let differences = explanation.as_ref().map(|found| found.differences.as_slice());
        output::line(serde_json::to_string(&Line { file, verdict: &verdict, differences })?)?;
        return Ok(outcome);
    }
    let is_check = matches!(args.action, Action::Check { .. });
    let text = String::from_utf8_lossy(read.as_deref().unwrap_or_default());
    let source = LazyCell::new(|| Source::new(&text));
    if outcome != Outcome::Accepted || !verdict.warnings.is_empty() {
        let rendered = diagnostic::render(file, &source, &verdict);
        // Whoever pipes a manifest on must not pipe complaints with it.
        if is_check {
            output::styled(rendered)?;
        } else {
            output::complain_styled(rendered);
        }
    }
    if outcome == Outcome::Accepted {
        print(&args.action, file, &verdict, among_others)?;
    }
    if let Some(explanation) = &explanation {
        output::styled(diagnostic::differences(file, &source, explanation))?;
    }
    Ok(outcome)
}

/// Keys that Go's reading ignores, mostly because they are misspelt.
fn ignored_keys(sdl: &Sdl<'_>) -> impl Iterator<Item = Violation> {
    let refused = sdl.compile(Dialect::NpmHead).err().unwrap_or_default();
    refused.into_iter().filter(|violation| violation.code == "unknown-key")
}

/// Prints what an action asks for of a document that is accepted.
fn print(action: &Action, file: &str, verdict: &Verdict, among_others: bool) -> anyhow::Result<()> {
    let hash = verdict.hash.as_deref().unwrap_or_default();
    match action {
        Action::Check { .. } => output::line(format_args!("{file}: accepted, hash {hash}")),
        Action::Hash(_) if among_others => output::line(format_args!("{hash}  {file}")),
        Action::Hash(_) => output::line(hash),
        Action::Groups(_) => output::line(serde_json::to_string_pretty(&verdict.groups)?),
        // The very bytes that a tenant's tool uploads.
        Action::Manifest(_) => output::line(verdict.manifest.as_deref().map_or("", RawValue::get)),
        Action::Explain { .. } => Ok(()),
    }
}

/// Prints one rule, or the names and titles of all.
fn explain(code: Option<&str>, format: Format) -> anyhow::Result<ExitCode> {
    let Some(code) = code else {
        for Rule { code, title, .. } in Rule::all() {
            output::line(format_args!("{code:24} {title}"))?;
        }
        return Ok(ExitCode::SUCCESS);
    };
    let rule = Rule::find(code)
        .with_context(|| format!("no rule {code:?}; `lessor sdl explain` lists all"))?;
    let Rule { code, title, means, allowed, good, bad, .. } = rule;
    match format {
        Format::Text => {
            let indented = |text: &str| text.replace('\n', "\n    ");
            let (good, bad) = (indented(good), indented(bad));
            output::line(format_args!(
                "{title} ({code})\n\n{means}\n\nAllowed: {allowed}\n\nRefused:\n\n    {bad}\n\nAccepted:\n\n    {good}"
            ))?;
        }
        Format::Json => output::line(serde_json::json!({
            "code": code, "title": title, "means": means, "allowed": allowed, "good": good, "bad": bad,
        }))?,
    }
    Ok(ExitCode::SUCCESS)
}
