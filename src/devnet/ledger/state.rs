//! What the chain remembers, as persistent maps: a clone is free, so a transaction, a check and a simulation each run
//! on a clone that is kept or dropped as a whole. Owns the rows; the rules that change them are in the modules beside.
//!
//! An order has at most one lease ever (a tenant who closes one gets a new order), so leases and their payments are
//! kept by order.

use jiff::Timestamp;
use rpds::{RedBlackTreeMapSync, RedBlackTreeSetSync};

use super::{certificate, grant::Grant};
use crate::{
    domain::{Address, BidId, DeploymentId, GroupId, OrderId, Price},
    wire,
};

/// An ordered map whose clones share structure.
pub(super) type Map<K, V> = RedBlackTreeMapSync<K, V>;

/// Everything that transactions read and change.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    /// Signers and whoever was paid.
    pub(super) accounts: Map<Address, Account>,
    /// Number of the next account.
    pub(super) next_account: u64,
    /// Whole units by account, then denom.
    pub(super) balances: Map<Address, Map<String, u128>>,
    /// Unordered transactions that may not come again: their time-out and signer.
    pub(super) nonces: RedBlackTreeSetSync<(Timestamp, Address)>,
    pub(super) deployments: Map<DeploymentId, wire::deployment::Deployment>,
    pub(super) groups: Map<GroupId, wire::deployment::Group>,
    pub(super) orders: Map<OrderId, wire::market::Order>,
    /// By order, then provider.
    pub(super) bids: Map<OrderId, Map<Address, wire::market::Bid>>,
    pub(super) leases: Map<OrderId, wire::market::Lease>,
    pub(super) escrows: Map<EscrowId, EscrowAccount>,
    /// By the order of the lease that is paid.
    pub(super) payments: Map<OrderId, Payment>,
    /// By raw address, which is the order in which the chain lists them.
    pub(super) providers: Map<Vec<u8>, wire::provider::Provider>,
    /// By raw address of the provider, then of the auditor.
    pub(super) audits: Map<(Vec<u8>, Vec<u8>), wire::audit::AuditedProvider>,
    /// By raw address of the owner, then by serial as the chain writes it into its key.
    pub(super) certificates: Map<certificate::Key, wire::cert::CertificateResponse>,
    /// Deposits that the second account lets the first one pay from its balance.
    pub(super) grants: Map<(Address, Address), Grant>,
}

/// An account that may sign.
#[derive(Debug, Clone)]
pub(super) struct Account {
    /// Part of what is signed.
    pub(super) number: u64,
    /// Of the next ordered transaction.
    pub(super) sequence: u64,
    /// Compressed secp256k1, unknown until the account's first transaction.
    pub(super) public_key: Option<Vec<u8>>,
}

/// Whose money an escrow account holds. Bids come first: the chain orders accounts by the scope's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum EscrowId {
    Bid(BidId),
    Deployment(DeploymentId),
}

/// Where an escrow account or a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EscrowState {
    Open,
    Closed,
    Overdrawn,
}

/// Money that is locked for a bid or a deployment. All amounts are whole units, as the chain settles.
#[derive(Debug, Clone)]
pub(super) struct EscrowAccount {
    pub(super) owner: Address,
    pub(super) state: EscrowState,
    pub(super) denom: String,
    /// Paid out so far.
    pub(super) transferred: u128,
    /// The height up to which payments were served.
    pub(super) settled_at: u64,
    /// What is left; below zero is what an overdrawn account owes.
    pub(super) funds: i128,
    /// Who gets what is left, in the order in which it is used up.
    pub(super) deposits: Vec<Deposit>,
}

/// One deposit into an escrow account.
#[derive(Debug, Clone)]
pub(super) struct Deposit {
    pub(super) owner: Address,
    pub(super) height: u64,
    /// Whether `owner` paid it by itself, or let the account's owner pay it from a grant.
    pub(super) source: wire::base::Source,
    /// What is left of it.
    pub(super) balance: u128,
}

/// The stream of money from a deployment's account to the provider of one lease.
#[derive(Debug, Clone)]
pub(super) struct Payment {
    pub(super) owner: Address,
    pub(super) state: EscrowState,
    /// Per block.
    pub(super) rate: Price,
    /// Earned and not paid out.
    pub(super) balance: u128,
    /// Earned beyond what the account held.
    pub(super) unsettled: u128,
    /// Paid out.
    pub(super) withdrawn: u128,
}

impl State {
    /// How much `address` has of `denom`.
    pub(super) fn balance(&self, address: &Address, denom: &str) -> u128 {
        self.balances.get(address).and_then(|coins| coins.get(denom)).copied().unwrap_or(0)
    }

    /// All bids of `order`, by provider.
    pub(super) fn bids_of(&self, order: &OrderId) -> Vec<wire::market::Bid> {
        self.bids.get(order).map(|bids| bids.values().cloned().collect()).unwrap_or_default()
    }

    /// The bid `id`.
    pub(super) fn bid(&self, id: &BidId) -> Option<&wire::market::Bid> {
        self.bids.get(&id.order)?.get(&id.provider)
    }

    /// The groups of `deployment`, by sequence.
    pub(super) fn groups_of(
        &self,
        deployment: &DeploymentId,
    ) -> Vec<(GroupId, wire::deployment::Group)> {
        self.groups
            .range(deployment.group(0)..=deployment.group(u32::MAX))
            .map(|(id, group)| (id.clone(), group.clone()))
            .collect()
    }

    /// The orders of `group`, by sequence.
    pub(super) fn orders_of(&self, group: &GroupId) -> Vec<(OrderId, wire::market::Order)> {
        self.orders
            .range(group.order(0)..=group.order(u32::MAX))
            .map(|(id, order)| (id.clone(), order.clone()))
            .collect()
    }

    /// The orders of `deployment` that have an open payment, in the order in which they are served.
    pub(super) fn open_payments(&self, deployment: &DeploymentId) -> Vec<OrderId> {
        self.payments
            .range(deployment.group(0).order(0)..=deployment.group(u32::MAX).order(u32::MAX))
            .filter(|(_, payment)| payment.state == EscrowState::Open)
            .map(|(order, _)| order.clone())
            .collect()
    }
}
