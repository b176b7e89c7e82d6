//! What an operator sets and looks at: whether bids are wanted, who is signed in, how far orders came, what changed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::domain::OrderId;

/// Whether an operator wants bids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MaintenanceState {
    /// Orders are bid on.
    Bidding,
    /// No new bids until someone resumes. What is leased goes on.
    Paused,
    /// As paused, and announced as work on the provider itself.
    Maintenance,
}

impl MaintenanceState {
    /// Its word in routes and rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bidding => "bidding",
            Self::Paused => "paused",
            Self::Maintenance => "maintenance",
        }
    }

    /// The state of that word.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        [Self::Bidding, Self::Paused, Self::Maintenance]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

/// What an operator wants, since when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Maintenance {
    /// Whether bids are wanted.
    pub state: MaintenanceState,
    /// Why, in the operator's words.
    pub reason: String,
    /// Who said so; `lessor` while nobody did.
    pub actor: String,
    /// When, by the host's clock; `None` while nobody did.
    pub since: Option<Timestamp>,
}

impl Default for Maintenance {
    /// Nobody said anything: bids are wanted.
    fn default() -> Self {
        Self {
            state: MaintenanceState::Bidding,
            reason: String::new(),
            actor: "lessor".to_owned(),
            since: None,
        }
    }
}

/// An operator who signed in with a browser.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// What is kept of the session's id: a digest that it cannot be told from.
    pub digest: [u8; 32],
    /// When it was opened, by the host's clock.
    pub opened_at: Timestamp,
    /// From then on it does not count.
    pub expires_at: Timestamp,
}

/// How far an order came, in the order of an order's life.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum FunnelStage {
    /// It was looked at.
    Seen,
    /// It passed the free checks and the policy.
    Eligible,
    /// It has a place and a price that the tenant pays.
    Priced,
    /// A create-bid was signed.
    Sent,
    /// Our bid was seen on chain.
    InBlock,
    /// The tenant took it.
    Won,
    /// The cluster took its manifest.
    Deployed,
}

impl FunnelStage {
    /// Every stage, from the first to the last.
    pub const ALL: [Self; 7] = [
        Self::Seen,
        Self::Eligible,
        Self::Priced,
        Self::Sent,
        Self::InBlock,
        Self::Won,
        Self::Deployed,
    ];

    /// Its place in [`FunnelStage::ALL`].
    #[must_use]
    pub const fn rank(self) -> u8 {
        self as u8
    }

    /// The stage at that place; the last one for a place behind it.
    #[must_use]
    pub fn of_rank(rank: u8) -> Self {
        Self::ALL.get(usize::from(rank)).copied().unwrap_or(Self::Deployed)
    }

    /// Its word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Seen => "seen",
            Self::Eligible => "eligible",
            Self::Priced => "priced",
            Self::Sent => "sent",
            Self::InBlock => "in_block",
            Self::Won => "won",
            Self::Deployed => "deployed",
        }
    }
}

/// How far one order came, and what keeps it from the next stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// The furthest stage.
    pub stage: FunnelStage,
    /// A reason of a decision, or a word for what is waited for; `None` at the last stage.
    pub held_by: Option<String>,
}

/// Orders of one window that came equally far and are held by the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunnelRow {
    /// How far, and why no further.
    pub reached: Reached,
    /// How many.
    pub orders: u64,
    /// The newest of them, the newest first.
    pub sample: Vec<OrderId>,
}

/// Sums over all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Orders first seen in the window.
    pub orders: u64,
    /// Those of them with a bid of ours on chain.
    pub bids: u64,
    /// Those of them that became leases of ours.
    pub leases: u64,
    /// Leases that run now, of whatever age.
    pub running: u64,
}

/// What waits, counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Leases of ours that are not closed.
    pub open_leases: u64,
    /// Deadlines of all subjects.
    pub deadlines: u64,
    /// Those of them that block time has passed.
    pub due: u64,
    /// Subjects whose steps come to nothing again and again.
    pub stuck: u64,
    /// Transactions that are signed and not settled.
    pub unsettled: u64,
    /// Those of them that carry out a bid.
    pub unsettled_bids: u64,
}

/// A kind of rows whose changes are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Topic {
    /// Orders with their bids, leases and decisions.
    Orders,
    /// Streams.
    Streams,
    /// Reservations.
    Capacity,
    /// Deadlines.
    Deadlines,
    /// The node's newest block.
    Tip,
    /// What the cluster can hold.
    Inventory,
    /// Whether bids are wanted.
    Maintenance,
    /// Who is signed in.
    Sessions,
}

impl Topic {
    /// Every topic.
    pub const ALL: [Self; 8] = [
        Self::Orders,
        Self::Streams,
        Self::Capacity,
        Self::Deadlines,
        Self::Tip,
        Self::Inventory,
        Self::Maintenance,
        Self::Sessions,
    ];

    /// Its word in the rows.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Streams => "streams",
            Self::Capacity => "capacity",
            Self::Deadlines => "deadlines",
            Self::Tip => "tip",
            Self::Inventory => "inventory",
            Self::Maintenance => "maintenance",
            Self::Sessions => "sessions",
        }
    }

    /// The topic of an observation's key, where its changes are counted.
    #[must_use]
    pub fn of_observation(key: &str) -> Option<Self> {
        match key {
            "tip" => Some(Self::Tip),
            "inventory" => Some(Self::Inventory),
            _ => None,
        }
    }
}

/// How often each kind of rows was changed, ever. Equal counts mean equal rows.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Changes(pub BTreeMap<Topic, u64>);

impl Changes {
    /// The count of one topic.
    #[must_use]
    pub fn of(&self, topic: Topic) -> u64 {
        self.0.get(&topic).copied().unwrap_or_default()
    }
}
