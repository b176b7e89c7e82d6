//! `lessor doctor`: asks a running gateway what keeps the provider from its work, and prints it with what to do.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use reqwest::{Client, redirect::Policy};
use secrecy::ExposeSecret;
use serde::Deserialize;

use super::{
    output::{self, Format},
    settings::Settings,
};
use crate::chain::read_private;

/// The gateway asks chain and cluster before it answers.
const TIMEOUT: Duration = Duration::from_secs(30);
/// An answer has at most so many bytes.
const MAX_ANSWER: usize = 1 << 20;

/// `lessor doctor`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The operator's listener; that of the settings when left out.
    #[arg(long)]
    url: Option<String>,
    /// A file (mode 0600) with the operator's token; that of the settings when left out.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How to print.
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
}

/// What is shown of the answer; the rest is for programs.
#[derive(Deserialize)]
struct Examination {
    verdict: String,
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    name: String,
    verdict: String,
    detail: String,
    action: String,
}

/// Asks and prints. Exit 1 when work stands still because of something.
pub async fn run(args: Args, config: Option<&std::path::Path>) -> anyhow::Result<ExitCode> {
    let settings = Settings::load(config, std::env::vars())?;
    let url = args.url.unwrap_or_else(|| {
        let listen = &settings.listen;
        let address = if listen.admin.is_empty() { &listen.public } else { &listen.admin };
        format!("http://{address}")
    });
    let file = args.token_file.unwrap_or_else(|| settings.admin.token_file.clone().into());
    if file.as_os_str().is_empty() {
        bail!("give --token-file, or admin.token_file in the settings");
    }
    let body = ask(&url, &file).await?;
    let found: Examination =
        serde_json::from_slice(&body).with_context(|| format!("the answer of {url}"))?;
    match args.format {
        Format::Json => output::line(String::from_utf8_lossy(&body).trim_end())?,
        Format::Text => print(&found)?,
    }
    Ok(if found.verdict == "fail" { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

async fn ask(url: &str, token_file: &std::path::Path) -> anyhow::Result<Vec<u8>> {
    let token = read_private(token_file)?;
    let http = Client::builder().timeout(TIMEOUT).redirect(Policy::none()).build()?;
    let request = http.get(format!("{}/v1/doctor", url.trim_end_matches('/')));
    let asked = request.bearer_auth(token.expose_secret()).send().await;
    let mut answer = asked.with_context(|| format!("ask {url}"))?;
    let status = answer.status();
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len() + chunk.len() > MAX_ANSWER {
            bail!("{url} answered more than {MAX_ANSWER} bytes");
        }
        body.extend_from_slice(&chunk);
    }
    if !status.is_success() {
        let shown: String = String::from_utf8_lossy(&body).chars().take(300).collect();
        bail!("{url} answered HTTP {status}: {shown}");
    }
    Ok(body)
}

fn print(found: &Examination) -> anyhow::Result<()> {
    for Finding { name, verdict, detail, action } in &found.findings {
        output::line(format_args!("{verdict:<4}  {name}: {detail}"))?;
        if !action.is_empty() {
            output::line(format_args!("      → {action}"))?;
        }
    }
    output::line(&found.verdict)
}
