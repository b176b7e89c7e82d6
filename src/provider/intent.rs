//! What the bodies of effect rows say: what is wanted of the chain and of the cluster.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::port::HostnameClaim;
use crate::{
    bidengine::Offer,
    domain::{Address, BidId, BidState, CloseReason, Coin, DeploymentId, LeaseId, OrderId, Price},
    wire::{
        base,
        google::{self, Any},
        market,
    },
};

/// A message that is wanted on chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "message")]
pub enum ChainIntent {
    /// Bid on an order.
    CreateBid {
        /// The order.
        order: OrderId,
        /// Who bids.
        provider: Address,
        /// Per block.
        price: Price,
        /// Locked until the bid or its lease ends.
        deposit: Coin,
        /// What would be allocated.
        offer: Vec<Offer>,
        /// The notice that is offered, in seconds.
        reclamation_window_s: Option<u64>,
    },
    /// Close a bid, and its lease if it has one.
    CloseBid {
        /// The bid.
        bid: BidId,
        /// What the chain is told.
        reason: CloseReason,
        /// Where the bid must stand when the message is signed: the same message that takes back an open bid ends a
        /// lease.
        only_if: BidState,
    },
    /// Give the notice that a lease's close needs.
    StartReclaim {
        /// The lease.
        lease: LeaseId,
        /// What the chain is told.
        reason: CloseReason,
    },
    /// Settle a deployment's account and take out what a lease has earned.
    Withdraw {
        /// The lease.
        lease: LeaseId,
    },
}

/// What kind of message an intent becomes: what messages of one kind cost is much alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    /// `MsgCreateBid`.
    CreateBid,
    /// `MsgCloseBid`.
    CloseBid,
    /// `MsgLeaseStartReclaim`.
    StartReclaim,
    /// `MsgWithdrawLease`.
    Withdraw,
}

impl MessageKind {
    /// Of the effect with this key.
    #[must_use]
    pub fn of_key(key: &str) -> Option<Self> {
        let (word, _) = key.split_once('/')?;
        [Self::CreateBid, Self::CloseBid, Self::StartReclaim, Self::Withdraw]
            .into_iter()
            .find(|kind| kind.word() == word)
    }

    /// What the keys of its effects begin with.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::CreateBid => "create-bid",
            Self::CloseBid => "close-bid",
            Self::StartReclaim => "start-reclaim",
            Self::Withdraw => "withdraw",
        }
    }
}

impl ChainIntent {
    /// What kind of message it becomes.
    #[must_use]
    pub const fn kind(&self) -> MessageKind {
        match self {
            Self::CreateBid { .. } => MessageKind::CreateBid,
            Self::CloseBid { .. } => MessageKind::CloseBid,
            Self::StartReclaim { .. } => MessageKind::StartReclaim,
            Self::Withdraw { .. } => MessageKind::Withdraw,
        }
    }

    /// The deployment whose escrow account the message settles, if it does. The chain can settle one once in a block: of two
    /// withdrawals the second fails, and of two closes the second leaves its payment open, which goes on earning.
    #[must_use]
    pub fn settles(&self) -> Option<&DeploymentId> {
        match self {
            Self::CloseBid { bid, only_if: BidState::Active, .. } => Some(bid.order.deployment()),
            Self::Withdraw { lease } => Some(lease.order.deployment()),
            Self::CreateBid { .. } | Self::CloseBid { .. } | Self::StartReclaim { .. } => None,
        }
    }

    /// Whether it ends a lease, or begins its end.
    #[must_use]
    pub const fn ends_lease(&self) -> bool {
        matches!(self, Self::CloseBid { only_if: BidState::Active, .. } | Self::StartReclaim { .. })
    }

    /// The message as it goes on chain.
    #[must_use]
    pub fn message(&self) -> Any {
        match self {
            Self::CreateBid { order, price, deposit, offer, reclamation_window_s, provider } => {
                Any::pack(&market::MsgCreateBid {
                    id: (&order.bid(provider)).into(),
                    price: price.into(),
                    deposit: base::Deposit {
                        amount: deposit.into(),
                        sources: vec![base::Source::Balance as i32],
                    },
                    resources_offer: offer
                        .iter()
                        .map(|unit| market::ResourceOffer {
                            resources: (&unit.resources).into(),
                            count: unit.count,
                            prices: None,
                        })
                        .collect(),
                    reclamation_window: reclamation_window_s.map(|seconds| {
                        google::Duration::from_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
                    }),
                })
            }
            Self::CloseBid { bid, reason, .. } => {
                Any::pack(&market::MsgCloseBid::new(bid, *reason))
            }
            Self::StartReclaim { lease, reason } => {
                Any::pack(&market::MsgLeaseStartReclaim::new(lease, *reason))
            }
            Self::Withdraw { lease } => Any::pack(&market::MsgWithdrawLease::new(lease)),
        }
    }
}

/// A change that is wanted of the cluster. Manifests are referred to, not copied: their environment may hold secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "change")]
pub enum ClusterIntent {
    /// Make a stored manifest what runs for a lease.
    Apply {
        /// Whose.
        lease: LeaseId,
        /// The manifest's hash.
        hash: String,
        /// The lease's group in the manifest.
        group: String,
    },
    /// Stop what runs for a lease, and keep its data.
    Quarantine {
        /// Whose.
        lease: LeaseId,
    },
    /// Remove everything of a lease.
    Teardown {
        /// Whose.
        lease: LeaseId,
    },
}

/// What the keys of create-bids begin with.
pub const CREATE_BID: &str = "create-bid/";

/// The key of a create-bid; `attempt` counts those that can never land any more.
#[must_use]
pub fn create_bid_key(order: &OrderId, attempt: u32) -> String {
    format!("{CREATE_BID}{order}/{attempt}")
}

/// The key of a close-bid; `attempt` counts those that ended without closing it.
#[must_use]
pub fn close_bid_key(bid: &BidId, attempt: u32) -> String {
    format!("close-bid/{bid}/{attempt}")
}

/// The key of giving notice to a lease; `attempt` counts those that ended without notice being given.
#[must_use]
pub fn start_reclaim_key(lease: &LeaseId, attempt: u32) -> String {
    format!("start-reclaim/{lease}/{attempt}")
}

/// The key of withdrawing from a lease; `number` counts its withdrawals.
#[must_use]
pub fn withdraw_key(lease: &LeaseId, number: u32) -> String {
    format!("withdraw/{lease}/{number}")
}

/// The deployment whose escrow account the message of this effect may settle (see [`ChainIntent::settles`]).
#[must_use]
pub fn settled_by(key: &str) -> Option<DeploymentId> {
    let (word, rest) = key.split_once('/')?;
    let (path, _attempt) = rest.rsplit_once('/')?;
    match word {
        "close-bid" => path.parse().ok().map(|bid: BidId| bid.order.deployment().clone()),
        "withdraw" => path.parse().ok().map(|lease: LeaseId| lease.order.deployment().clone()),
        _ => None,
    }
}

/// The key of applying a manifest to a lease; `number` counts the applies of the lease, as a tenant may go back to a
/// manifest that ran before.
#[must_use]
pub fn apply_key(lease: &LeaseId, hash: &str, number: u32) -> String {
    format!("apply/{lease}/{hash}/{number}")
}

/// The key of stopping a lease's workload.
#[must_use]
pub fn quarantine_key(lease: &LeaseId) -> String {
    format!("quarantine/{lease}")
}

/// The key of removing a lease's workload.
#[must_use]
pub fn teardown_key(lease: &LeaseId) -> String {
    format!("teardown/{lease}")
}

/// What an apply that was carried out says: the hostnames that the lease held then, each with its service.
#[must_use]
pub fn routed(claims: &[HostnameClaim]) -> serde_json::Value {
    serde_json::json!({ "routed": routes_of(claims) })
}

/// Hostnames with the service that each leads to.
#[must_use]
pub fn routes_of(claims: &[HostnameClaim]) -> BTreeMap<String, String> {
    claims.iter().map(|claim| (claim.hostname.clone(), claim.service.clone())).collect()
}

/// What [`routed`] said; `None` for an outcome that says nothing of it.
#[must_use]
pub fn routed_by(outcome: &serde_json::Value) -> Option<BTreeMap<String, String>> {
    serde_json::from_value(outcome.get("routed")?.clone()).ok()
}
