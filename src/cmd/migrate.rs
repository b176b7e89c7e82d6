//! `lessor migrate`: makes the store and brings its schema up to date.

use std::{path::Path, process::ExitCode};

use anyhow::Context;

use super::{output, settings::Settings};
use crate::store;

/// Migrates the store of the settings.
pub async fn run(config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(config, std::env::vars())?;
    let path = &settings.store.path;
    let done = store::migrate(path).await.with_context(|| format!("migrate {}", path.display()))?;
    output::line(format_args!("{}: schema {} (was {})", path.display(), done.to, done.from))?;
    Ok(ExitCode::SUCCESS)
}
