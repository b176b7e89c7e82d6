//! What the bodies of effect rows say: what is wanted of the chain and of the cluster.

use serde::{Deserialize, Serialize};

use crate::{
    bidengine::Offer,
    domain::{Address, BidId, BidState, CloseReason, Coin, LeaseId, OrderId, Price},
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
}

impl ChainIntent {
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
                Any::pack(&market::MsgCloseBid { id: bid.into(), reason: reason.number() })
            }
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

/// The key of applying a manifest to a lease; `number` counts the applies of the lease, as a tenant may go back to a
/// manifest that ran before.
#[must_use]
pub fn apply_key(lease: &LeaseId, hash: &str, number: u32) -> String {
    format!("apply/{lease}/{hash}/{number}")
}

/// The key of removing a lease's workload.
#[must_use]
pub fn teardown_key(lease: &LeaseId) -> String {
    format!("teardown/{lease}")
}
