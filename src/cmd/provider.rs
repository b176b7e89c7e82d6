//! `lessor provider`: the account's registration on chain, from a file or the command line.

mod file;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Subcommand;
use serde_json::{Value, json};

use super::operator::{self, Access, Operator, Plan};
use crate::{
    domain::{Address, Attribute, Provider},
    wire::{
        google::Any,
        provider::{MsgCreateProvider, MsgUpdateProvider},
    },
};

/// `lessor provider`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit: 0 done or nothing to do, 1 refused, 2 node or signer gave no answer."
)]
pub struct Args {
    #[command(flatten)]
    access: Access,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Register the account as a provider.
    Register(Wanted),
    /// Replace the registration; one that is as wanted already is left alone.
    Update(Wanted),
    /// Print the registration.
    Show {
        /// Another account's.
        #[arg(long)]
        owner: Option<Address>,
    },
}

/// What the registration is to say.
#[derive(Debug, clap::Args)]
struct Wanted {
    /// A provider.yaml: host, attributes, info.
    file: Option<PathBuf>,
    /// Where tenants find the gateway: `https://host[:port]`. In place of the file's.
    #[arg(long, value_name = "URL")]
    host: Option<String>,
    /// An attribute; repeat for more. With one of these, the file's are not used.
    #[arg(long = "attribute", value_name = "KEY=VALUE", value_parser = attribute)]
    attributes: Vec<Attribute>,
    /// Where the operator is reached. In place of the file's.
    #[arg(long)]
    email: Option<String>,
    /// The operator's page. In place of the file's.
    #[arg(long)]
    website: Option<String>,
    /// Print messages, fee and what would change; send nothing.
    #[arg(long)]
    dry_run: bool,
}

fn attribute(text: &str) -> Result<Attribute, String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok(Attribute::new(key, value)),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}

/// Runs one action.
pub async fn run(args: Args, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let done = act(&args, config).await;
    operator::end(args.access.format, done)
}

async fn act(args: &Args, config: Option<&Path>) -> anyhow::Result<()> {
    let mut settings = args.access.settings(config)?;
    match &args.action {
        Action::Show { owner } => {
            if let Some(owner) = owner {
                settings.key.file.clear();
                settings.key.signer.clear();
                settings.key.address = owner.to_string();
            }
            let operator = Operator::new(&args.access, &settings).await?;
            show(&operator).await
        }
        Action::Register(wanted) => {
            let given = wanted.read()?;
            let operator = Operator::new(&args.access, &settings).await?;
            let wanted_record = given.record(&operator.address)?;
            match operator.node.provider(&operator.address).await? {
                None => {
                    let message = MsgCreateProvider::new(&wanted_record);
                    let plan = Plan {
                        doing: "the registration",
                        messages: vec![Any::pack(&message)],
                        shown: vec![shown("MsgCreateProvider", &wanted_record)],
                        diff: diff(None, &wanted_record),
                    };
                    operator.carry_out(plan, wanted.dry_run).await
                }
                Some(there) => {
                    let diff = diff(Some(&there), &wanted_record);
                    if diff.is_empty() {
                        return operator.unchanged("it is registered like this");
                    }
                    bail!(
                        "{} is registered already, and differs; run `lessor provider update`:\n{}",
                        operator.address,
                        diff.join("\n")
                    )
                }
            }
        }
        Action::Update(wanted) => {
            let given = wanted.read()?;
            let operator = Operator::new(&args.access, &settings).await?;
            let there = operator.node.provider(&operator.address).await?.with_context(|| {
                format!("{} is not registered: run `lessor provider register`", operator.address)
            })?;
            let wanted_record = given.over(&there)?;
            let diff = diff(Some(&there), &wanted_record);
            if diff.is_empty() {
                return operator.unchanged("the registration is like this already");
            }
            let plan = Plan {
                doing: "the update",
                messages: vec![Any::pack(&MsgUpdateProvider::new(&wanted_record))],
                shown: vec![shown("MsgUpdateProvider", &wanted_record)],
                diff,
            };
            operator.carry_out(plan, wanted.dry_run).await
        }
    }
}

async fn show(operator: &Operator) -> anyhow::Result<()> {
    let there = operator.node.provider(&operator.address).await?;
    let there = there.with_context(|| format!("{} is not registered", operator.address))?;
    operator.print(json!({ "step": "provider", "provider": record(&there) }), || {
        let lines = diff(None, &there);
        let lines: Vec<&str> = lines.iter().map(|line| line.trim_start_matches("+ ")).collect();
        format!("{}\n{}", there.owner, lines.join("\n"))
    })
}

/// What file and command line say of a registration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Given {
    host: Option<String>,
    attributes: Option<Vec<Attribute>>,
    email: Option<String>,
    website: Option<String>,
}

impl Wanted {
    fn read(&self) -> anyhow::Result<Given> {
        let mut given = match &self.file {
            Some(path) => file::read(path)?,
            None => Given::default(),
        };
        given.host = self.host.clone().or(given.host);
        given.email = self.email.clone().or(given.email);
        given.website = self.website.clone().or(given.website);
        if !self.attributes.is_empty() {
            given.attributes = Some(self.attributes.clone());
        }
        if given == Given::default() {
            bail!("give a provider.yaml, or --host and --attribute");
        }
        Ok(given)
    }
}

impl Given {
    /// A whole registration; what is not said is empty.
    fn record(self, owner: &Address) -> anyhow::Result<Provider> {
        let record = Provider {
            owner: owner.clone(),
            host_uri: self.host.context("no host is given: it stands in the file, or in --host")?,
            attributes: self.attributes.unwrap_or_default(),
            email: self.email.unwrap_or_default(),
            website: self.website.unwrap_or_default(),
        };
        check(record)
    }

    /// A registration with what is said in place of what is there.
    fn over(self, there: &Provider) -> anyhow::Result<Provider> {
        let there = there.clone();
        check(Provider {
            owner: there.owner,
            host_uri: self.host.unwrap_or(there.host_uri),
            attributes: self.attributes.unwrap_or(there.attributes),
            email: self.email.unwrap_or(there.email),
            website: self.website.unwrap_or(there.website),
        })
    }
}

/// What the chain would refuse without a word on which part is wrong.
fn check(record: Provider) -> anyhow::Result<Provider> {
    let host = record.host_uri.strip_prefix("https://");
    if host.is_none_or(|host| host.is_empty() || host.contains(['/', '?', '#', '@', ' '])) {
        bail!("host {:?} is not of the form https://host[:port], without a path", record.host_uri);
    }
    let mut keys = std::collections::BTreeSet::new();
    for attribute in &record.attributes {
        if !keys.insert(&attribute.key) {
            bail!("attribute {:?} is given twice", attribute.key);
        }
    }
    Ok(record)
}

fn record(provider: &Provider) -> Value {
    let attributes: Vec<Value> = provider
        .attributes
        .iter()
        .map(|attribute| json!({ "key": attribute.key, "value": attribute.value }))
        .collect();
    json!({
        "owner": provider.owner, "host_uri": provider.host_uri, "attributes": attributes,
        "info": { "email": provider.email, "website": provider.website },
    })
}

fn shown(name: &str, provider: &Provider) -> Value {
    let mut shown = json!({ "@type": format!("/akash.provider.v1beta4.{name}") });
    if let (Some(shown), Value::Object(fields)) = (shown.as_object_mut(), record(provider)) {
        shown.extend(fields);
    }
    shown
}

/// What differs, the order of attributes aside: the chain matches them by their keys.
fn diff(there: Option<&Provider>, wanted: &Provider) -> Vec<String> {
    let flat = |provider: &Provider| -> BTreeMap<String, String> {
        let attributes = provider.attributes.iter();
        let attributes =
            attributes.map(|found| (format!("attribute {}", found.key), found.value.clone()));
        let fields = [
            ("host_uri", &provider.host_uri),
            ("info.email", &provider.email),
            ("info.website", &provider.website),
        ];
        let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
        attributes.chain(fields.map(|(name, value)| (name.to_owned(), value.clone()))).collect()
    };
    let (before, after) = (there.map(flat).unwrap_or_default(), flat(wanted));
    let mut lines = Vec::new();
    for (name, value) in &before {
        if after.get(name) != Some(value) {
            lines.push(format!("- {name} = {value}"));
        }
    }
    for (name, value) in &after {
        if before.get(name) != Some(value) {
            lines.push(format!("+ {name} = {value}"));
        }
    }
    lines
}
