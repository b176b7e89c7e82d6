//! What the operator's commands share: the account, the node, the plan that is printed or carried out, and the exit code.

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Context, bail};
use async_trait::async_trait;
use serde_json::{Value, json};

use super::{
    output::{self, Format},
    parts::{self, Holder},
    settings::Settings,
};
use crate::{
    chain::signer::RemoteError,
    client::{
        Error,
        account::{Account, Sign},
        node::Node,
    },
    domain::{Address, Price},
    wire::{google::Any, key::PublicKey},
};

/// Which chain and which account, where it is not as the settings say; and how to print.
#[derive(Debug, clap::Args)]
pub struct Access {
    /// The chain's node, in place of chain.node.
    #[arg(long, global = true, value_name = "URL")]
    node: Option<String>,
    /// The account's key, in place of key.file: a file (mode 0600) or a keyring's folder.
    #[arg(long = "key", global = true, value_name = "PATH")]
    key: Option<PathBuf>,
    /// Which key of a keyring, in place of key.name.
    #[arg(long, global = true, value_name = "NAME")]
    key_name: Option<String>,
    /// Which account of a mnemonic, in place of key.index.
    #[arg(long, global = true)]
    index: Option<u32>,
    /// How to print.
    #[arg(long, global = true, value_enum, default_value = "text")]
    pub(super) format: Format,
}

impl Access {
    /// The settings with what the command line has in place of them.
    pub fn settings(&self, config: Option<&std::path::Path>) -> anyhow::Result<Settings> {
        let mut settings = Settings::load(config, std::env::vars())?;
        if let Some(node) = &self.node {
            settings.chain.node.clone_from(node);
            settings.chain.nodes.clear();
        }
        if let Some(key) = &self.key {
            settings.key.file = key.display().to_string();
            settings.key.signer.clear();
        }
        if let Some(name) = &self.key_name {
            settings.key.name.clone_from(name);
        }
        if let Some(index) = self.index {
            settings.key.index = index;
        }
        Ok(settings)
    }
}

/// An account that can look at the chain, and sign if it has a key.
pub struct Operator {
    /// The chain.
    pub node: Node,
    /// Who signs.
    pub holder: Option<Holder>,
    /// The account.
    pub address: Address,
    gas_price: Price,
    format: Format,
}

impl Operator {
    /// Opens the key and asks the node which chain it is on.
    pub async fn new(access: &Access, settings: &Settings) -> anyhow::Result<Self> {
        let holder = parts::holder(settings).await?;
        let address = match (&holder, settings.key.address.as_str()) {
            (Some(holder), _) => holder.public_key().address().clone(),
            (None, "") => bail!("give --key, key.file or key.signer; to look only, key.address"),
            (None, address) => address.parse().context("key.address")?,
        };
        let (node, found) = first_that_answers(settings.chain.nodes()).await?;
        let wanted = &settings.chain.id;
        if !wanted.is_empty() && *wanted != found {
            bail!("the node is on chain {found:?}, chain.id is {wanted:?}");
        }
        let gas_price =
            Price { denom: settings.chain.gas_denom.clone(), amount: settings.chain.gas_price };
        Ok(Self { node, holder, address, gas_price, format: access.format })
    }

    /// Prints the plan: its messages, its fee, what it changes on chain. Unless it is a dry run it is then carried out.
    pub async fn carry_out(&self, plan: Plan, dry_run: bool) -> anyhow::Result<()> {
        let holder = self.holder.as_ref().context("to send, give --key, key.file or key.signer")?;
        let entropy = || uuid::Uuid::new_v4().as_u64_pair().1;
        let Self { node, gas_price, .. } = self;
        let account = Account { signer: holder, node, gas_price, entropy };
        let prepared = account.prepare(plan.doing, plan.messages).await?;
        if dry_run {
            return self.print(
                json!({
                    "step": "plan", "messages": plan.shown, "diff": plan.diff,
                    "fee": prepared.fee.to_string(), "gas": prepared.gas.to_string(),
                }),
                || plan_text(&plan.shown, &plan.diff, &prepared.fee.to_string(), prepared.gas),
            );
        }
        let sent = account.carry_out(plan.doing, prepared).await?;
        self.print(
            json!({
                "step": "sent", "diff": plan.diff,
                "transaction": sent.hash, "height": sent.height.0,
            }),
            || {
                let lines = each_on_a_line(&plan.diff, "");
                format!("{lines}sent        {} in block {}", sent.hash, sent.height)
            },
        )
    }

    /// Says that there is nothing to send.
    pub fn unchanged(&self, why: &str) -> anyhow::Result<()> {
        self.print(json!({ "step": "unchanged", "reason": why }), || format!("unchanged   {why}"))
    }

    /// Prints an object, or what it says to people.
    pub fn print(&self, object: Value, text: impl FnOnce() -> String) -> anyhow::Result<()> {
        match self.format {
            Format::Json => output::line(object),
            Format::Text => output::line(text()),
        }
    }
}

fn each_on_a_line(texts: &[String], indent: &str) -> String {
    let mut lines = String::new();
    for text in texts {
        lines.extend([indent, text, "\n"]);
    }
    lines
}

fn plan_text(messages: &[Value], diff: &[String], fee: &str, gas: u64) -> String {
    let messages: Vec<String> = messages.iter().map(|message| format!("{message:#}")).collect();
    let (messages, diff) = (each_on_a_line(&messages, ""), each_on_a_line(diff, "  "));
    format!("{messages}changes on chain:\n{diff}fee {fee} for {gas} gas; nothing was sent")
}

/// The first node that says which chain it is on; the last one's error when none does.
async fn first_that_answers(urls: &[String]) -> anyhow::Result<(Node, String)> {
    let mut last = None;
    for url in urls {
        let node = Node::new(url)?;
        match node.status().await {
            Ok(status) => return Ok((node, status.node_info.network)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| anyhow::anyhow!("chain.node is empty"), Into::into))
}

/// What is to be sent, and what it changes.
pub struct Plan {
    /// What it is, in the words of an error.
    pub doing: &'static str,
    /// The messages.
    pub messages: Vec<Any>,
    /// The same for people and programs, each with its `@type`.
    pub shown: Vec<Value>,
    /// What differs on chain afterwards: lines that begin with `+` or `-`.
    pub diff: Vec<String>,
}

#[async_trait]
impl Sign for Holder {
    fn public_key(&self) -> &PublicKey {
        match self {
            Self::Local(key) => key.secret().public_key(),
            Self::Remote(remote) => remote.key(),
        }
    }

    async fn sign(&self, sign_doc: &[u8]) -> Result<[u8; 64], Error> {
        let doing = "the transaction";
        match self {
            Self::Local(key) => Ok(key.secret().sign(sign_doc)),
            Self::Remote(remote) => remote.signature(sign_doc).await.map_err(|error| match error {
                RemoteError::Refused { code, detail } => {
                    Error::Signer { doing, detail: format!("{code}: {detail}") }
                }
                error => Error::Unreachable { doing: "sign", detail: error.to_string() },
            }),
        }
    }
}

/// The end of a command: 0 done, 1 refused, 2 somebody who had to be asked gave no answer.
pub fn end(format: Format, done: anyhow::Result<()>) -> anyhow::Result<ExitCode> {
    let error = match done {
        Ok(()) => return Ok(ExitCode::SUCCESS),
        Err(error) if error.is::<output::Closed>() => return Err(error),
        Err(error) => error,
    };
    let reason = output::said(&error);
    match format {
        Format::Text => output::complain(&reason),
        Format::Json => output::tell(json!({ "step": "refused", "reason": reason })),
    }
    let is_away = matches!(error.downcast_ref(), Some(Error::Unreachable { .. }))
        || matches!(
            error.downcast_ref(),
            Some(RemoteError::Away { .. } | RemoteError::Late { .. })
        );
    Ok(ExitCode::from(if is_away { 2 } else { 1 }))
}
