//! `[chain]` and `[key]`: which nodes, and who signs.

use serde::Deserialize;

use crate::domain::{Amount, Denom};

/// `[chain]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Chain {
    pub node: String,
    pub nodes: Vec<String>,
    pub id: String,
    pub gas_price: Amount,
    pub gas_denom: Denom,
    pub transaction_ttl_s: u32,
    pub messages_together: u8,
    pub fee_budget: u64,
    pub withdraw_every_s: u32,
    pub poll_ms: u64,
}

impl Chain {
    /// The addresses of the nodes: `nodes`, or `node` where that is empty.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        if self.nodes.is_empty() { std::slice::from_ref(&self.node) } else { &self.nodes }
    }
}

/// `[key]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(missing_docs, reason = "the keys are explained in deploy/lessor.toml")]
pub struct Key {
    pub file: String,
    pub index: u32,
    pub name: String,
    pub passphrase_file: String,
    pub passphrase: secrecy::SecretString,
    pub signer: String,
    pub public_key: String,
    pub address: String,
}
