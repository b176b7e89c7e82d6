//! The tenant's side: what a tool that deploys needs of the chain and of a provider's gateway.
//!
//! [`Tenant`] ties it together: it signs unordered transactions of its own ([`account`]), makes its own short-lived tokens
//! ([`token`]), talks to the gateway ([`gateway`]), and walks a deployment through its life ([`Tenant::deploy`]). It keeps
//! nothing: everything about a deployment is on chain.

pub mod account;
pub mod deploy;
pub mod gateway;
pub mod node;
pub mod token;

use std::time::Duration;

use jiff::Timestamp;

use self::{gateway::Gateway, node::Node};
use crate::{
    domain::{Address, Coin, Denom, DeploymentId, Price},
    manifest::{Dialect, Violation},
    wire::key::SecretKey,
};

/// A tenant: a key, a node, and the gateway of a provider.
#[derive(Debug)]
pub struct Tenant {
    /// The account's key.
    pub key: SecretKey,
    /// The chain.
    pub node: Node,
    /// Where manifests go and status comes from.
    pub gateway: Gateway,
    /// What a unit of gas is paid with.
    pub gas_price: Price,
    /// Whose rules the tenant's documents are read by.
    pub dialect: Dialect,
    /// The host's clock: tokens are valid from now on.
    pub now: fn() -> Timestamp,
    /// Sixty-four random bits: they make time-outs unique.
    pub entropy: fn() -> u64,
}

impl Tenant {
    /// The account.
    #[must_use]
    pub fn address(&self) -> &Address {
        self.key.public_key().address()
    }

    /// The account's deployment `dseq`.
    #[must_use]
    pub fn deployment(&self, dseq: u64) -> DeploymentId {
        DeploymentId::new(self.address().clone(), dseq)
    }
}

/// What a deployment may cost and how long its steps may take.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Put into escrow.
    pub deposit: Coin,
    /// Prices are in this denom, whatever the document says: documents from before 2026 say `uakt`, which the chain does not
    /// take any more.
    pub denom: Option<Denom>,
    /// The provider that the gateway must be of; whichever it is of when `None`.
    pub provider: Option<Address>,
    /// How long to wait for a bid on every order.
    pub bid_wait: Duration,
    /// How long to wait until everything is ready.
    pub ready_wait: Duration,
}

/// Why a tenant's wish was not fulfilled.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The document breaks rules.
    #[error("the document is refused: {}", list(.0))]
    Document(Vec<Violation>),
    /// The node or the gateway gave no answer.
    #[error("{doing}: {detail}")]
    Unreachable {
        /// What was tried.
        doing: &'static str,
        /// What went wrong.
        detail: String,
    },
    /// The chain refused a transaction.
    #[error("the chain refused {doing}: {detail}")]
    Chain {
        /// What was tried.
        doing: &'static str,
        /// What it said.
        detail: String,
    },
    /// Whoever holds the key does not sign that.
    #[error("the signer refused {doing}: {detail}")]
    Signer {
        /// What was tried.
        doing: &'static str,
        /// What it said.
        detail: String,
    },
    /// The gateway refused a request.
    #[error("the provider answered {status} to {doing}: {detail}")]
    Gateway {
        /// What was tried.
        doing: &'static str,
        /// The status.
        status: u16,
        /// The body, shortened.
        detail: String,
    },
    /// The gateway is another provider's than was asked for.
    #[error("{url} is the gateway of {there}, not of {wanted}: give that provider's --url")]
    OtherProvider {
        /// The gateway.
        url: String,
        /// Whose it is.
        there: Address,
        /// Whose it should be.
        wanted: Address,
    },
    /// The gateway's provider did not bid in time.
    #[error("{}", no_bid(order, provider, others, why.as_deref()))]
    NoBid {
        /// The order.
        order: String,
        /// Who did not bid.
        provider: Address,
        /// Who did: their manifests go to other gateways.
        others: Vec<Address>,
        /// Why the provider did not, when it says so.
        why: Option<String>,
    },
    /// The document cannot take the place of what runs.
    #[error("the document does not fit the deployment, which goes on as it is: {}", list(.0))]
    Update(Vec<Violation>),
    /// Bids were taken and the services were not ready in time.
    #[error("not everything was ready in time:\n{0}")]
    NotReady(String),
    /// There is no such deployment, or no lease of it.
    #[error("{0}")]
    Absent(String),
}

fn no_bid(order: &str, provider: &Address, others: &[Address], why: Option<&str>) -> String {
    let mut text = if others.is_empty() {
        format!("nobody bid on {order} in time")
    } else {
        let others: Vec<&str> = others.iter().map(Address::as_str).collect();
        format!(
            "{provider}, whose gateway this is, did not bid on {order} in time; {} did: \
             to take such a bid, give the --url of that provider's gateway",
            others.join(", ")
        )
    };
    if let Some(why) = why {
        text.push_str(":\n");
        text.push_str(why);
    }
    text
}

fn list(violations: &[Violation]) -> String {
    let lines: Vec<String> = violations
        .iter()
        .map(|violation| {
            let place = match (violation.line, violation.column) {
                (Some(line), Some(column)) => format!("line {line}, column {column}: "),
                (Some(line), None) => format!("line {line}: "),
                _ if violation.pointer.is_empty() => String::new(),
                _ => format!("{}: ", violation.pointer),
            };
            format!("\n  {place}{} [{}]", violation.message, violation.code)
        })
        .collect();
    lines.concat()
}
