//! What is known about one order at the moment of the decision.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::placement::Reservation;
use crate::domain::{
    Address, AuditedAttributes, Bid, Coin, Denom, DeploymentState, GroupState, Height,
    MarketParams, Order, Provider, inventory::Inventory, market::BlockTime,
};

/// Everything that a decision stands on. The caller reads it from the chain, the cluster and its own rows; `at` is the lowest
/// height of those reads, since a decision is as old as its oldest fact.
///
/// The stages of [`super::decide`] read only a part each, so facts of a later stage may be left empty while
/// [`super::free_checks`] alone is asked whether they are worth fetching.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// As of which block.
    pub at: BlockTime,
    /// The order as the chain holds it.
    pub order: Order,
    /// The state of its group, `None` when the chain has no such group.
    pub group_state: Option<GroupState>,
    /// The state of its deployment, `None` when the chain has no such deployment.
    pub deployment_state: Option<DeploymentState>,
    /// Our own bid on it, in whatever state.
    pub own_bid: Option<Bid>,
    /// How many bids the order has, of everybody and in any state.
    pub bid_count: u32,
    /// The market's parameters.
    pub market: MarketParams,
    /// Who we are.
    pub provider_address: Address,
    /// What the chain holds about us, `None` when we are not registered.
    pub provider: Option<Provider>,
    /// What auditors have signed about us; at least those that the order names.
    pub audited: Vec<AuditedAttributes>,
    /// Our balances as of `balances_at`; a denom that is missing is a balance of 0.
    pub balances: Vec<Coin>,
    /// The block that the balances were read at, which may be well before `at`.
    pub balances_at: Height,
    /// Our bids since those balances were read: each has put down a deposit that they do not show.
    pub bids_since: u32,
    /// Why bidding is paused, or `None`.
    pub paused: Option<String>,
    /// How many other orders we bid on and hold capacity for: bids on their way, and open ones.
    pub open_bids: u32,
    /// How many leases hold capacity.
    pub leases: u32,
    /// The host's time, which tells how old the inventory is.
    pub now: Timestamp,
    /// How old the inventory may be, in seconds.
    pub inventory_max_age_s: u64,
    /// What the cluster can hold.
    pub inventory: ObservedInventory,
    /// What is promised and not yet part of the inventory's allocated amounts. One of this very order is ignored: the new placement
    /// takes its place.
    pub reservations: Vec<Reservation>,
}

/// The cluster's capacity together with the caller's verdict on its age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum ObservedInventory {
    /// Good enough to decide on.
    Young {
        /// What was seen.
        inventory: Inventory,
        /// When.
        taken_at: Timestamp,
    },
    /// Seen too long ago.
    TooOld {
        /// When.
        taken_at: Timestamp,
    },
    /// Never seen, or the cluster does not answer.
    Missing,
}

impl Facts {
    /// Our balance in `denom` as of `balances_at`.
    #[must_use]
    pub fn balance(&self, denom: &Denom) -> u128 {
        self.balances.iter().find(|coin| coin.denom == *denom).map_or(0, |coin| coin.amount)
    }
}
