//! What was sent, what is waited for, and who did what: transactions, deadlines, audit lines.

use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::{Page, meaning::meaning, stuck::backlog};
use crate::provider::{
    Error, Provider,
    port::{AuditLine, Deadline, Refusal, Subject, Transaction, TransactionState},
};

/// A signed transaction.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct TransactionView {
    /// Upper-case hex of the SHA-256 of its bytes.
    pub hash: String,
    /// Who signed.
    pub account: String,
    /// What it carries out, in the order of its messages.
    #[schema(example = json!(["create-bid/akash1…/42/1/1"]))]
    pub effects: Vec<String>,
    /// `signed`, `broadcast`, `included`, `failed`, `expired`, `refused`.
    #[schema(example = "included")]
    pub state: &'static str,
    /// The block that it is in, or at which its expiry was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u64>,
    /// Why it failed or was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<FailureView>,
    /// The gas that it may use.
    pub gas_limit: u64,
    /// The gas that it used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gas_used: Option<u64>,
    /// The fee that it pays, in whole units of the fee's denom.
    pub fee: String,
    /// After this block time it can never be in a block. Of an unordered transaction.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub timeout_at: Option<Timestamp>,
    /// Its place among the account's transactions. Of one that is sent in order, since the node takes no other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// After this block it can never be in one. Of one that is sent in order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_block: Option<u64>,
    /// When it was signed.
    #[schema(value_type = String, format = DateTime)]
    pub signed_at: Timestamp,
    /// When it was last handed to a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub broadcast_at: Option<Timestamp>,
    /// How often it was handed to a node.
    pub broadcasts: u32,
}

/// What the chain said against a transaction.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct FailureView {
    /// The module that refused.
    #[schema(example = "market")]
    pub codespace: String,
    /// Its code; the meaning depends on the codespace.
    pub code: u32,
    /// What that means, and what follows from it; absent for a code that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<&'static str>,
    /// The node's text, shortened.
    pub log: String,
}

impl From<Refusal> for FailureView {
    fn from(refusal: Refusal) -> Self {
        let meaning = meaning(&refusal.codespace, refusal.code);
        Self { codespace: refusal.codespace, code: refusal.code, meaning, log: refusal.log }
    }
}

/// A moment at which something is looked at.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct DeadlineView {
    /// What is woken.
    pub subject: String,
    /// What it is about: `bid/…`, `manifest/…`, `reclaim/…`, `withdraw/…`.
    pub name: String,
    /// Due when a block time that was read has passed this.
    #[schema(value_type = String, format = DateTime)]
    pub due: Timestamp,
}

/// Who did what to what, and why.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct AuditView {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// `lessor`, `operator`, or a stream.
    pub actor: String,
    /// `bid`, `close_bid`, `apply`, `teardown`, `alarm`, …
    pub action: String,
    /// What it was done to.
    pub subject: String,
    /// Why, and on which evidence.
    pub reason: String,
}

impl From<AuditLine> for AuditView {
    fn from(line: AuditLine) -> Self {
        let AuditLine { at, actor, action, subject, reason } = line;
        Self { at, actor, action, subject, reason }
    }
}

fn transaction_view(transaction: Transaction) -> TransactionView {
    let (state, height, gas_used, failure) = match transaction.state {
        TransactionState::Signed => ("signed", None, None, None),
        TransactionState::Broadcast => ("broadcast", None, None, None),
        TransactionState::Included(included) => (
            if included.failure.is_none() { "included" } else { "failed" },
            Some(included.height.0),
            Some(included.gas_used),
            included.failure,
        ),
        TransactionState::Expired { seen_at } => ("expired", Some(seen_at.0), None, None),
        TransactionState::Refused(refusal) => ("refused", None, None, Some(refusal)),
    };
    TransactionView {
        hash: transaction.hash,
        account: transaction.account.to_string(),
        effects: transaction.effects,
        state,
        height,
        failure: failure.map(FailureView::from),
        gas_limit: transaction.gas_limit,
        gas_used,
        fee: transaction.fee,
        timeout_at: match transaction.sequence {
            Some(_) => None,
            None => Timestamp::from_nanosecond(i128::from(transaction.timeout_ns)).ok(),
        },
        sequence: transaction.sequence,
        last_block: transaction.last_block.map(|height| height.0),
        signed_at: transaction.signed_at,
        broadcast_at: transaction.broadcast_at,
        broadcasts: transaction.broadcasts,
    }
}

/// Transactions, newest first.
///
/// # Errors
/// When the store gives no answer.
pub async fn transactions(
    provider: &Provider,
    unsettled_only: bool,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<TransactionView>, Error> {
    let page = provider.store.transactions(unsettled_only, after, limit).await?;
    Ok(Page::of(page, transaction_view))
}

/// Deadlines of all subjects, soonest first.
///
/// # Errors
/// When the store gives no answer.
pub async fn deadlines(provider: &Provider, limit: u32) -> Result<Page<DeadlineView>, Error> {
    let rows = provider.store.deadlines(limit).await?;
    let view = |(subject, deadline): (Subject, Deadline)| DeadlineView {
        subject: subject.to_string(),
        name: deadline.name,
        due: deadline.due,
    };
    let total = backlog(provider, Timestamp::MIN).await?.deadlines;
    Ok(Page { items: rows.into_iter().map(view).collect(), next: None, total: Some(total) })
}

/// Audit lines, newest first.
///
/// # Errors
/// When the store gives no answer.
pub async fn audit(
    provider: &Provider,
    after: Option<&str>,
    limit: u32,
) -> Result<Page<AuditView>, Error> {
    Ok(Page::of(provider.store.audit_lines(after, limit).await?, AuditView::from))
}
