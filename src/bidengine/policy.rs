//! What the operator wants: which orders to bid on and within which limits.

use serde::{Deserialize, Serialize};

use crate::domain::{Address, Attribute, Coin, Denom};

/// The operator's rules. Every field has a default, so an empty section of the settings is a working policy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Counts the changes; stands in each decision so that it can be understood later.
    pub version: u64,
    /// When not empty, only these tenants.
    pub allow_owners: Vec<Address>,
    /// Never these tenants, whatever the other list says.
    pub deny_owners: Vec<Address>,
    /// Attributes that an order must ask for; a key may be a pattern ([`crate::domain::glob_matches`]). Empty: any order.
    pub required_order_attributes: Vec<Attribute>,
    /// Denoms in which orders may be priced.
    pub accepted_denoms: Vec<Denom>,
    /// The most volumes that one unit may have. Today's provider takes 4.
    pub max_volumes: usize,
    /// The most that one order may ask for.
    pub max_order: MaxOrder,
    /// What a bid puts down; the chain returns it when the bid ends.
    pub bid_deposit: Coin,
    /// No bid when the fee account holds less than this.
    pub min_fee_balance: Coin,
    /// The notice offered before a lease is reclaimed, in seconds, also to orders that want none. `None`: no notice is offered
    /// unless the order wants it. A lease with a notice cannot be closed at once, for instance when its manifest never comes.
    pub reclamation_window_s: Option<u64>,
    /// The longest notice that is offered to an order that wants one, in seconds; 0 declines such orders.
    pub max_reclamation_window_s: u64,
    /// The most bids that may be open at once.
    pub max_open_bids: Option<u32>,
    /// The most leases that are served at once.
    pub max_leases: Option<u32>,
}

/// The most that one order may ask for, all replicas together. `None`: as much as fits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MaxOrder {
    /// Thousandths of a core.
    pub cpu_milli: Option<u64>,
    /// Bytes.
    pub memory_bytes: Option<u64>,
    /// Bytes, all classes together.
    pub storage_bytes: Option<u64>,
    /// Pieces.
    pub gpu_units: Option<u64>,
    /// Replicas of all units.
    pub replicas: Option<u64>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            version: 0,
            allow_owners: Vec::new(),
            deny_owners: Vec::new(),
            required_order_attributes: Vec::new(),
            accepted_denoms: vec![Denom::uact()],
            max_volumes: 4,
            max_order: MaxOrder::default(),
            // The least that the market takes.
            bid_deposit: Coin { denom: Denom::uact(), amount: 500_000 },
            // Some twenty bids at 0.025 uakt per gas.
            min_fee_balance: Coin { denom: Denom::uakt(), amount: 100_000 },
            reclamation_window_s: None,
            max_reclamation_window_s: 7 * 24 * 3600,
            max_open_bids: None,
            max_leases: None,
        }
    }
}
