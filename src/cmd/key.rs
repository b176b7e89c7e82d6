//! `lessor key`: shows whose a key is, and keeps it encrypted.

use std::{
    io::Read,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Subcommand;
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use serde_json::json;

use super::{
    certificate::write,
    operator::{self, Access},
    output::{self, Format},
    parts::{self, Holder},
};
use crate::{
    chain::{AccountKey, read_private},
    client::account::Sign,
    wire::text::to_base64,
};

/// The longest text that is read from the standard input.
const MAX_INPUT: u64 = 4096;
/// The shortest passphrase that encrypts something new, as the reference's tools have it.
const MIN_PASSPHRASE: usize = 8;

/// `lessor key`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A passphrase comes from key.passphrase_file or LESSOR_KEY__PASSPHRASE, never from an argument."
)]
pub struct Args {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the account and the public key, and nothing else.
    Show,
    /// Write the key as an armored export, encrypted: lessor reads it, and `keys import` of the reference's tools.
    Encrypt(Target),
    /// Read a key (mnemonic, hex digits or armored export) from the standard input, and write it as `encrypt` does.
    Import(Target),
}

#[derive(Debug, clap::Args)]
struct Target {
    /// The new file.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// A file with the passphrase of the new file (one line, mode 0600), when it is another than the key's own.
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

/// Runs one action.
pub async fn run(args: Args, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let done = act(&args, config).await;
    operator::end(args.access.format, done)
}

async fn act(args: &Args, config: Option<&Path>) -> anyhow::Result<()> {
    let settings = args.access.settings(config)?;
    let source = parts::key_source(&settings.key)?;
    let (key, target) = match &args.action {
        Action::Show => {
            let holder = parts::holder(&settings).await?.context("give --key or key.file")?;
            return show(args.access.format, &holder);
        }
        Action::Encrypt(_) if settings.key.file.is_empty() => bail!("give --key or key.file"),
        Action::Encrypt(target) => (AccountKey::open(&source)?, target),
        Action::Import(target) => {
            let source =
                crate::chain::KeySource { path: "of the standard input".into(), ..source.clone() };
            (AccountKey::from_text(&standard_input()?, &source)?, target)
        }
    };
    let passphrase = match &target.new_passphrase_file {
        Some(file) => read_private(file)?,
        None => source.passphrase.context(
            "no passphrase is given: set LESSOR_KEY__PASSPHRASE, key.passphrase_file or --new-passphrase-file",
        )?,
    };
    if passphrase.expose_secret().chars().count() < MIN_PASSPHRASE {
        bail!("the passphrase is shorter than {MIN_PASSPHRASE} characters");
    }
    let armored = Zeroizing::new(key.to_armor(&passphrase)?);
    write(&target.out, &armored)?;
    let address = key.secret().public_key().address();
    match args.access.format {
        Format::Text => output::line(format_args!("{address} is in {}", target.out.display())),
        Format::Json => output::line(
            json!({ "step": "written", "address": address, "file": target.out.display().to_string() }),
        ),
    }
}

fn show(format: Format, holder: &Holder) -> anyhow::Result<()> {
    let key = holder.public_key();
    let (address, public) = (key.address(), to_base64(key.as_bytes()));
    match format {
        Format::Text => output::line(format_args!("address     {address}\npublic key  {public}")),
        Format::Json => {
            output::line(json!({ "step": "key", "address": address, "public_key": public }))
        }
    }
}

fn standard_input() -> anyhow::Result<SecretString> {
    let mut text = Zeroizing::new(String::new());
    let read = std::io::stdin().lock().take(MAX_INPUT + 1).read_to_string(&mut text);
    // What it was is not said: it may be nearly a key.
    let read = read.context("read the standard input")?;
    if read as u64 > MAX_INPUT {
        bail!("the standard input has more than {MAX_INPUT} bytes");
    }
    Ok(SecretString::from(text.trim()))
}
