//! `lessor webhook`: keys, and one delivery by hand, for whoever writes or debugs an indexer.

use std::{
    fs,
    io::{Read, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use jiff::{SignedDuration, Timestamp};
use secrecy::{ExposeSecret, SecretString};

use super::{host, output};
use crate::{
    event::{
        body::MAX_BODY,
        key::{PrivateKey, SigningKey, VerifyingKey},
        signature::{StreamKey, TOLERANCE},
    },
    relay::webhook,
};

/// Makes keys; signs, sends and verifies one delivery.
#[derive(Debug, Args)]
pub struct WebhookArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Makes an ed25519 key: writes the private one to a new file and prints the public one.
    Key {
        /// Where to write it; must not exist.
        file: PathBuf,
    },
    /// Prints the headers for a body.
    Sign(Signing),
    /// Signs a body, posts it once and prints the answer.
    Send {
        #[command(flatten)]
        signing: Signing,
        /// Where to post.
        #[arg(long)]
        url: reqwest::Url,
    },
    /// Checks a delivery as a gateway does.
    Verify {
        /// A key that may have signed (`whpk_…`); repeat for more. A shared secret is read with --key-file.
        #[arg(long = "key")]
        keys: Vec<String>,
        /// A file with a key that may have signed; repeat for more.
        #[arg(long = "key-file")]
        key_files: Vec<PathBuf>,
        /// `webhook-id`.
        #[arg(long)]
        id: String,
        /// `webhook-timestamp`.
        #[arg(long)]
        timestamp: String,
        /// `webhook-signature`.
        #[arg(long)]
        signature: String,
        /// Judge the time as of then (RFC 3339); now, when it is not given.
        #[arg(long)]
        at: Option<Timestamp>,
        /// The body's file, or - for standard input.
        #[arg(default_value = "-")]
        body: PathBuf,
    },
}

/// What a delivery is signed with.
#[derive(Debug, Args)]
struct Signing {
    /// A file with the key that signs (`whsk_…` or `whsec_…`), mode 0600; repeat while keys are rotated.
    #[arg(long = "key-file", required = true)]
    keys: Vec<PathBuf>,
    /// The stream; `webhook-id` is derived from it and the body.
    #[arg(long, default_value = "")]
    stream: String,
    /// `webhook-id` in place of the derived one.
    #[arg(long)]
    id: Option<String>,
    /// The body's file, or - for standard input.
    #[arg(default_value = "-")]
    body: PathBuf,
}

/// Runs the subcommand and prints what it finds.
///
/// # Errors
/// A file or key that cannot be read, a delivery that does not verify or was not taken.
pub async fn run(args: WebhookArgs) -> anyhow::Result<()> {
    match args.command {
        Command::Key { file } => {
            let key = new_key()?;
            write_new(&file, &key.to_text())?;
            output::line(key.public())?;
        }
        Command::Sign(signing) => {
            let (headers, _) = sign(&signing)?;
            for (name, value) in &headers.0 {
                output::line(format_args!("{name}: {value}"))?;
            }
        }
        Command::Send { signing, url } => {
            let (headers, body) = sign(&signing)?;
            let answer = webhook::send(url, &headers, body).await.context("send")?;
            output::line(format_args!("{}\n{}", answer.status, answer.body))?;
            if !(200..300).contains(&answer.status) {
                bail!("the receiver answered {}", answer.status);
            }
        }
        Command::Verify { keys, key_files, id, timestamp, signature, at, body } => {
            let body = read_body(&body)?;
            let headers = webhook::headers(&id, &timestamp, &signature)?;
            let now = at.unwrap_or_else(host::now);
            let keys = verifying_keys(&keys, &key_files)?;
            let (verified, events) = webhook::verify(&headers, &body, &keys, now, TOLERANCE)?;
            output::line(format_args!(
                "signed by {} at {}, {} ago",
                verified.key,
                verified.sent_at,
                SignedDuration::from_secs(verified.skew_seconds)
            ))?;
            for line in webhook::summary(&events) {
                output::line(line)?;
            }
        }
    }
    Ok(())
}

/// Reads a key that signs. The file must be its owner's alone.
///
/// # Errors
/// The file, its mode, or what is in it; never what the key is.
pub fn read_signing_key(file: &Path) -> anyhow::Result<SigningKey> {
    let text = read_secret(file)?;
    text.expose_secret().trim().parse().with_context(|| format!("key file {}", file.display()))
}

fn read_secret(file: &Path) -> anyhow::Result<SecretString> {
    let text = || format!("key file {}", file.display());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(file).with_context(text)?.permissions().mode();
        if mode & 0o077 != 0 {
            bail!("{}: mode is {:o}, allowed is 600", text(), mode & 0o777);
        }
    }
    Ok(fs::read_to_string(file).with_context(text)?.into())
}

/// A file that did not exist, readable by its owner alone.
fn write_new(file: &Path, secret: &SecretString) -> anyhow::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600);
    }
    let mut out =
        options.open(file).with_context(|| format!("create key file {}", file.display()))?;
    writeln!(out, "{}", secret.expose_secret())?;
    out.sync_all()?;
    Ok(())
}

fn new_key() -> anyhow::Result<PrivateKey> {
    let mut seed = [0; 32];
    if rustls::crypto::ring::default_provider().secure_random.fill(&mut seed).is_err() {
        bail!("the host gave no random numbers");
    }
    Ok(PrivateKey::from_seed(&seed))
}

fn sign(signing: &Signing) -> anyhow::Result<(crate::event::signature::SignedHeaders, Vec<u8>)> {
    let keys = signing
        .keys
        .iter()
        .map(|file| read_signing_key(file))
        .collect::<anyhow::Result<Vec<_>>>()?;
    let body = read_body(&signing.body)?;
    let headers =
        webhook::signed(&signing.stream, signing.id.as_deref(), &body, &keys, host::now())?;
    Ok((headers, body))
}

fn verifying_keys(keys: &[String], files: &[PathBuf]) -> anyhow::Result<Vec<StreamKey>> {
    let of = |name: String, key| StreamKey { name, key, not_before: None, not_after: None };
    let mut all = Vec::new();
    for key in keys {
        let key: VerifyingKey = key.parse().context("--key")?;
        all.push(of(key.label(), key));
    }
    for file in files {
        let text = read_secret(file)?;
        let text = text.expose_secret().trim();
        let key = text
            .parse::<VerifyingKey>()
            .or_else(|_| text.parse::<SigningKey>().map(|key| key.verifying()))
            .with_context(|| format!("key file {}", file.display()))?;
        all.push(of(file.display().to_string(), key));
    }
    if all.is_empty() {
        bail!("give --key or --key-file");
    }
    Ok(all)
}

fn read_body(file: &Path) -> anyhow::Result<Vec<u8>> {
    let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
    let mut body = Vec::new();
    let read = if file == Path::new("-") {
        std::io::stdin().lock().take(limit + 1).read_to_end(&mut body)
    } else {
        fs::File::open(file).and_then(|input| input.take(limit + 1).read_to_end(&mut body))
    };
    read.with_context(|| format!("body {}", file.display()))?;
    if body.len() > MAX_BODY {
        bail!("body {} has more than {MAX_BODY} bytes", file.display());
    }
    Ok(body)
}
