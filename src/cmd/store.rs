//! `lessor store`: what an operator does with the file of the rows.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context;
use serde::Serialize;

use super::{host, parts, settings::Settings};
use crate::store::{
    backup::{self, Backup, Restored},
    check::{self, Report},
    reseal::{self, Resealed},
};

/// The exit code of a check that found something. 1 is for what could not be done at all.
const UNSOUND: u8 = 3;

/// `lessor store`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How the outcome is printed.
    #[arg(long, global = true, value_enum, default_value_t = Format::Text)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

/// How an outcome is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// One line of JSON.
    Json,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Copy the rows into a new file, also while processes work on them.
    Backup {
        /// The new file.
        file: PathBuf,
    },
    /// Put a backup in the store's place; no process may have the store open.
    Restore {
        /// The backup.
        file: PathBuf,
        /// Put it in the place of rows that are there; those are kept beside it.
        #[arg(long)]
        replace: bool,
    },
    /// Look whether the file is whole and its rows go together; exits with 3 when something is wrong.
    Check,
    /// Seal all manifests with the newest key of the key file; killed and started again it goes on.
    Reseal {
        /// Make a new key first and put it before the others in the key file.
        #[arg(long)]
        new_key: bool,
        /// Take the old keys out of the key file afterwards. Backups made before cannot be opened without them.
        #[arg(long)]
        forget_old: bool,
    },
}

/// Carries out one of the store's commands on the store of the settings.
pub async fn run(args: Args, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(config, std::env::vars())?;
    let store = &settings.store.path;
    let options = parts::store_settings(&settings);
    let mut out = std::io::stdout();
    match args.command {
        Command::Backup { file } => {
            let made = backup::backup(store, &file).await.context("back up the store")?;
            print(&mut out, args.format, &made, tell_backup)?;
        }
        Command::Restore { file, replace } => {
            let done = backup::restore(&file, store, &options, replace, host::now())
                .await
                .context("restore the store")?;
            print(&mut out, args.format, &done, tell_restored)?;
        }
        Command::Check => {
            let report = check::check(store, &options).await.context("check the store")?;
            print(&mut out, args.format, &report, tell_report)?;
            if !report.findings.is_empty() {
                return Ok(ExitCode::from(UNSOUND));
            }
        }
        Command::Reseal { new_key, forget_old } => {
            let done = reseal::reseal(store, options, new_key, forget_old)
                .await
                .context("seal the store anew")?;
            print(&mut out, args.format, &done, tell_resealed)?;
            if !done.left.is_empty() {
                return Ok(ExitCode::from(UNSOUND));
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print<T: Serialize>(
    out: &mut impl Write,
    format: Format,
    outcome: &T,
    tell: fn(&mut dyn Write, &T) -> std::io::Result<()>,
) -> anyhow::Result<()> {
    match format {
        Format::Text => tell(out, outcome)?,
        Format::Json => writeln!(out, "{}", serde_json::to_string(outcome)?)?,
    }
    Ok(())
}

fn tell_backup(out: &mut dyn Write, made: &Backup) -> std::io::Result<()> {
    writeln!(out, "{}: {} bytes, schema {}", made.path.display(), made.bytes, made.schema)?;
    writeln!(out, "manifests in it are sealed: keep the key file too, and not beside it")
}

fn tell_restored(out: &mut dyn Write, done: &Restored) -> std::io::Result<()> {
    writeln!(out, "{}: schema {}", done.path.display(), done.schema)?;
    if let Some(chain_id) = &done.chain_id {
        writeln!(out, "it belongs to the chain {chain_id}")?;
    }
    if let Some(aside) = &done.aside {
        writeln!(out, "what was there before is {}", aside.display())?;
    }
    writeln!(
        out,
        "the next start compares it with chain and cluster before anything is decided or signed"
    )?;
    writeln!(out, "and it is paused ({}): PUT /v1/maintenance, or the page, resumes", done.paused)
}

fn tell_resealed(out: &mut dyn Write, done: &Resealed) -> std::io::Result<()> {
    writeln!(out, "{} manifests were sealed anew with the key {}", done.resealed, done.key_id)?;
    for row in &done.left {
        writeln!(out, "left as it was: {row}")?;
    }
    if done.forgotten > 0 {
        writeln!(out, "{} old keys were taken out of the key file", done.forgotten)?;
    }
    Ok(())
}

fn tell_report(out: &mut dyn Write, report: &Report) -> std::io::Result<()> {
    writeln!(out, "{}: schema {}", report.path.display(), report.schema)?;
    if report.schema < report.known_schema {
        writeln!(out, "this program needs schema {}: run `lessor migrate`", report.known_schema)?;
    }
    if let Some(chain_id) = &report.chain_id {
        writeln!(out, "it belongs to the chain {chain_id}")?;
    }
    for (table, rows) in &report.rows {
        writeln!(out, "  {rows:>10} {table}")?;
    }
    if report.restore_waits {
        writeln!(out, "it was restored and is not yet compared with chain and cluster")?;
    }
    for finding in &report.findings {
        writeln!(out, "{}: {}", finding.rule, finding.message)?;
    }
    if report.findings.is_empty() {
        writeln!(out, "nothing is wrong with it")?;
    }
    Ok(())
}
