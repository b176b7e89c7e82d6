//! `lessor certificate`: the account's certificates for mutual TLS, in the file that the reference's tools use.

use std::{
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::{Value, json};

use super::{
    host,
    operator::{self, Access, Operator, Plan},
    parts::Holder,
};
use crate::{
    chain::certificate::{MAX_FILE, Made, Published},
    domain::{Address, Certificate, CertificateState},
    wire::{
        cert::{MsgCreateCertificate, MsgRevokeCertificate},
        google::Any,
        x509,
    },
};

/// `lessor certificate`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit: 0 done or nothing to do, 1 refused, 2 node or signer gave no answer."
)]
pub struct Args {
    #[command(flatten)]
    access: Access,
    /// The folder of `<address>.pem`.
    #[arg(long, global = true, default_value = ".")]
    dir: PathBuf,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Publish the certificate in `<address>.pem`; without that file, make both.
    Publish {
        /// A name that the certificate is for, when it is made; repeat for more. Without one it is a client's.
        #[arg(long = "host")]
        hosts: Vec<String>,
        /// Do not encrypt the key in the file. A remote signer signs transactions only, so its account's file cannot be.
        #[arg(long)]
        plain_key: bool,
        /// Print message, fee and what would change; send and write nothing.
        #[arg(long)]
        dry_run: bool,
    },
    /// Print the account's certificates on chain.
    Show {
        /// Another account's.
        #[arg(long)]
        owner: Option<Address>,
    },
    /// Take certificates back, for ever.
    Revoke {
        /// Which; the one in `<address>.pem` when left out.
        serial: Option<String>,
        /// Every one that is valid.
        #[arg(long, conflicts_with = "serial")]
        all: bool,
        /// Print messages, fee and what would change; send nothing.
        #[arg(long)]
        dry_run: bool,
    },
}

/// Runs one action.
pub async fn run(args: Args, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let done = act(&args, config).await;
    operator::end(args.access.format, done)
}

async fn act(args: &Args, config: Option<&Path>) -> anyhow::Result<()> {
    let mut settings = args.access.settings(config)?;
    if let Action::Show { owner: Some(owner) } = &args.action {
        settings.key.file.clear();
        settings.key.signer.clear();
        settings.key.address = owner.to_string();
    }
    let operator = Operator::new(&args.access, &settings).await?;
    let path = args.dir.join(format!("{}.pem", operator.address));
    match &args.action {
        Action::Publish { hosts, plain_key, dry_run } => {
            publish(&operator, &path, hosts, *plain_key, *dry_run).await
        }
        Action::Show { .. } => show(&operator).await,
        Action::Revoke { serial, all, dry_run } => {
            revoke(&operator, &path, serial.as_deref(), *all, *dry_run).await
        }
    }
}

async fn publish(
    operator: &Operator,
    path: &Path,
    hosts: &[String],
    plain_key: bool,
    dry_run: bool,
) -> anyhow::Result<()> {
    let published = match read(&operator.address, path)? {
        Some(published) if hosts.is_empty() => published,
        Some(_) => bail!(
            "{} is there already: move it away to make another for {}",
            path.display(),
            hosts.join(", ")
        ),
        None => {
            let password = password(operator, plain_key)?;
            let made = Made::new(&operator.address, hosts, host::now())?;
            if !dry_run {
                // Before it is published: a certificate whose key is lost is of no use and can only be revoked.
                write(path, &made.to_file(password.as_ref().map(<[u8; 64]>::as_slice))?)?;
            }
            made.published
        }
    };
    let about = &published.about;
    if about.not_after <= host::now() {
        bail!("{} ended at {}: move it away to make another", path.display(), about.not_after);
    }
    let there = operator.node.certificates(&operator.address).await?;
    match there.iter().find(|found| found.serial == about.serial).map(|found| found.state) {
        Some(CertificateState::Valid) => {
            return operator.unchanged(&format!("certificate {} is on chain", about.serial));
        }
        Some(CertificateState::Revoked) => bail!(
            "certificate {} of {} was revoked, which is for ever: move the file away to make another",
            about.serial,
            path.display()
        ),
        None => {}
    }
    let Published { certificate, public_key, .. } = &published;
    let plan = Plan {
        doing: "the certificate",
        messages: vec![Any::pack(&MsgCreateCertificate::new(
            &operator.address,
            certificate,
            public_key,
        ))],
        shown: vec![json!({
            "@type": "/akash.cert.v1.MsgCreateCertificate", "owner": operator.address,
            "cert": certificate, "pubkey": public_key,
        })],
        diff: vec![format!(
            "+ certificate {} valid from {} to {}",
            about.serial, about.not_before, about.not_after
        )],
    };
    operator.carry_out(plan, dry_run).await
}

/// What encrypts the file's key: the account's signature over its own address.
fn password(operator: &Operator, plain_key: bool) -> anyhow::Result<Option<[u8; 64]>> {
    match &operator.holder {
        _ if plain_key => Ok(None),
        Some(Holder::Local(key)) => {
            Ok(Some(key.secret().sign(operator.address.as_str().as_bytes())))
        }
        Some(Holder::Remote(_)) => {
            bail!(
                "a remote signer signs transactions only: with --plain-key the file is not encrypted"
            )
        }
        None => bail!("to make a certificate, give --key or key.file"),
    }
}

async fn show(operator: &Operator) -> anyhow::Result<()> {
    let there = operator.node.certificates(&operator.address).await?;
    if there.is_empty() {
        return operator.unchanged(&format!("{} has no certificate", operator.address));
    }
    for found in &there {
        let about = about(&operator.address, found);
        let (from, to) = about.as_ref().map_or((Value::Null, Value::Null), |about| {
            (json!(about.not_before), json!(about.not_after))
        });
        operator.print(
            json!({
                "step": "certificate", "serial": found.serial, "state": found.state,
                "not_before": from, "not_after": to,
            }),
            || match &about {
                Some(about) => format!(
                    "{:<8}  {}  {} to {}",
                    found.state.to_string(),
                    found.serial,
                    about.not_before,
                    about.not_after
                ),
                None => format!("{:<8}  {}", found.state.to_string(), found.serial),
            },
        )?;
    }
    Ok(())
}

fn about(owner: &Address, found: &Certificate) -> Option<x509::X509> {
    x509::read(owner, found.certificate.as_bytes(), found.public_key.as_bytes()).ok()
}

async fn revoke(
    operator: &Operator,
    path: &Path,
    serial: Option<&str>,
    all: bool,
    dry_run: bool,
) -> anyhow::Result<()> {
    let there = operator.node.certificates(&operator.address).await?;
    let valid = |found: &&Certificate| found.state == CertificateState::Valid;
    let serials: Vec<String> = match serial {
        _ if all => there.iter().filter(valid).map(|found| found.serial.clone()).collect(),
        Some(serial) => vec![serial.to_owned()],
        None => match read(&operator.address, path)? {
            Some(published) => vec![published.about.serial],
            None => bail!("there is no {}: give a serial, or --all", path.display()),
        },
    };
    if serials.is_empty() {
        return operator.unchanged("no certificate is valid");
    }
    for serial in &serials {
        match there.iter().find(|found| found.serial == *serial).map(|found| found.state) {
            Some(CertificateState::Valid) => {}
            Some(CertificateState::Revoked) => {
                return operator.unchanged(&format!("certificate {serial} is revoked"));
            }
            None => bail!("{} has no certificate {serial} on chain", operator.address),
        }
    }
    let owner = &operator.address;
    let plan = Plan {
        doing: "the revocation",
        messages: serials
            .iter()
            .map(|serial| Any::pack(&MsgRevokeCertificate::new(owner, serial)))
            .collect(),
        shown: serials
            .iter()
            .map(|serial| {
                json!({
                    "@type": "/akash.cert.v1.MsgRevokeCertificate",
                    "id": { "owner": owner, "serial": serial },
                })
            })
            .collect(),
        diff: serials.iter().map(|serial| format!("- certificate {serial}")).collect(),
    };
    operator.carry_out(plan, dry_run).await
}

/// The certificate in a file; `None` without a file.
fn read(owner: &Address, path: &Path) -> anyhow::Result<Option<Published>> {
    let shown = path.display();
    let length = match std::fs::metadata(path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {shown}")),
    };
    if length > MAX_FILE as u64 {
        bail!("{shown} has {length} bytes, allowed are {MAX_FILE}");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("read {shown}"))?;
    let text = secrecy::zeroize::Zeroizing::new(text);
    Published::read(owner, &text).map(Some).with_context(|| shown.to_string())
}

/// Writes a new file for its owner alone; one that is there stays.
pub(super) fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()))
        .with_context(|| format!("write {}", path.display()))
}
