//! An account that sends: unordered transactions that are waited for until they are in a block. Owns no key: whoever holds
//! one signs ([`Sign`]).

use std::time::Duration;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};

use super::{
    Error, Tenant,
    node::{Node, unreachable},
};
use crate::{
    domain::{Coin, Height, Price},
    wire::{
        google::Any,
        key::{PublicKey, SecretKey},
        text,
        tx::{self, Draft, Sequencing},
    },
};

/// How long a transaction may take into a block, in block time.
const TTL: SignedDuration = SignedDuration::from_secs(60);
/// How often a transaction is looked for.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// The gas that a simulated transaction says it may use; only its fee counts there.
const TRIAL_GAS: u64 = 500_000;

/// Whoever holds an account's key.
#[async_trait]
pub trait Sign: Send + Sync {
    /// The key's public half.
    fn public_key(&self) -> &PublicKey;
    /// Signs the SHA-256 of `sign_doc`: 64 bytes r‖s with a low s.
    async fn sign(&self, sign_doc: &[u8]) -> Result<[u8; 64], Error>;
}

#[async_trait]
impl Sign for SecretKey {
    fn public_key(&self) -> &PublicKey {
        SecretKey::public_key(self)
    }

    async fn sign(&self, sign_doc: &[u8]) -> Result<[u8; 64], Error> {
        Ok(SecretKey::sign(self, sign_doc))
    }
}

/// An account, and where it sends.
pub struct Account<'a> {
    /// Who signs.
    pub signer: &'a dyn Sign,
    /// The chain.
    pub node: &'a Node,
    /// What a unit of gas is paid with.
    pub gas_price: &'a Price,
    /// Sixty-four random bits: they make time-outs unique.
    pub entropy: fn() -> u64,
}

/// A transaction that passed its simulation and is not signed yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Prepared {
    /// What it pays.
    pub fee: Coin,
    /// The most gas that it may use.
    pub gas: u64,
    draft: Draft,
    timeout: Timestamp,
    chain_id: String,
    account_number: u64,
}

/// A transaction that was carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// Upper-case hex.
    pub hash: String,
    /// The block.
    pub height: Height,
}

impl Account<'_> {
    /// Puts messages into one transaction and simulates it.
    ///
    /// # Errors
    /// [`Error::Chain`] when the simulation fails; [`Error::Absent`] for an account without funds; [`Error::Unreachable`].
    pub async fn prepare(
        &self,
        doing: &'static str,
        messages: Vec<Any>,
    ) -> Result<Prepared, Error> {
        let status = self.node.status().await?;
        let key = self.signer.public_key();
        let account_number = self.node.account_number(key.address()).await?;
        let timeout = self.timeout(status.sync_info.latest_block_time);
        let draft = |gas: u64| -> Result<(Draft, Coin), Error> {
            let fee = tx::fee(self.gas_price, gas)
                .ok_or_else(|| Error::Chain { doing, detail: "the fee is too large".to_owned() })?;
            let draft = Draft {
                messages: messages.clone(),
                memo: String::new(),
                sequencing: Sequencing::Unordered { timeout },
                fee: vec![fee.clone()],
                gas_limit: gas,
            };
            Ok((draft, fee))
        };
        let (trial, _) = draft(TRIAL_GAS)?;
        let used = self.node.simulate(doing, trial.unsigned(key).for_simulation()).await?;
        let gas = used + used / 4;
        let (draft, fee) = draft(gas)?;
        let chain_id = status.node_info.network;
        Ok(Prepared { fee, gas, draft, timeout, chain_id, account_number })
    }

    /// Signs and sends a prepared transaction, and waits until it is in a block.
    ///
    /// # Errors
    /// [`Error::Chain`] when it is refused, by mempool or block; [`Error::Unreachable`]; whatever the signer says.
    pub async fn carry_out(&self, doing: &'static str, prepared: Prepared) -> Result<Sent, Error> {
        let unsigned = prepared.draft.unsigned(self.signer.public_key());
        let document = unsigned.sign_doc(&prepared.chain_id, prepared.account_number);
        let signature = self.signer.sign(&document).await?;
        let bytes = unsigned.with_signature(&signature);
        let hash = tx::hash(&bytes);
        self.node.broadcast(doing, bytes).await?;
        self.wait_for(doing, hash, prepared.timeout).await
    }

    /// Unique by its nanoseconds.
    fn timeout(&self, block_time: Timestamp) -> Timestamp {
        let spread = i64::try_from((self.entropy)() % 1_000_000_000).unwrap_or(0);
        block_time
            .saturating_add(TTL)
            .and_then(|at| at.saturating_add(SignedDuration::from_nanos(spread)))
            .unwrap_or(Timestamp::MAX)
    }

    async fn wait_for(
        &self,
        doing: &'static str,
        hash: String,
        timeout: Timestamp,
    ) -> Result<Sent, Error> {
        let raw = text::from_hex(&hash).unwrap_or_default();
        let mut pace = tokio::time::interval(LOOK_AGAIN);
        loop {
            pace.tick().await;
            if let Some(found) = self.node.included(doing, &raw).await? {
                let result = found.tx_result;
                if result.code == 0 {
                    return Ok(Sent { hash, height: Height(found.height) });
                }
                return Err(Error::Chain {
                    doing,
                    detail: format!("{} {}: {}", result.codespace, result.code, result.log),
                });
            }
            if self.node.status().await?.sync_info.latest_block_time > timeout {
                // The last block before the time-out may have come between the two looks.
                if self.node.included(doing, &raw).await?.is_none() {
                    let lost = format!("{hash} came into no block before its time-out");
                    return Err(unreachable(doing)(&lost));
                }
            }
        }
    }
}

impl Tenant {
    /// Signs and sends messages in one unordered transaction, and waits until it is in a block.
    ///
    /// # Errors
    /// As of [`Account::prepare`] and [`Account::carry_out`].
    pub async fn send(&self, doing: &'static str, messages: Vec<Any>) -> Result<Sent, Error> {
        let Self { key, node, gas_price, entropy, .. } = self;
        let account = Account { signer: key, node, gas_price, entropy: *entropy };
        let prepared = account.prepare(doing, messages).await?;
        account.carry_out(doing, prepared).await
    }
}
