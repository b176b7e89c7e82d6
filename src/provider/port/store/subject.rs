//! Subjects, claims, and what one step writes.

use std::{fmt, str::FromStr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    AuditLine,
    capacity::{HostnameClaim, OrderRow, Reservation, Reservations},
    effect::{Effect, NewEffect},
};
use crate::{
    bidengine::Decision,
    domain::{Address, DeploymentId, Height, LeaseId, OrderId},
};

/// What a step owns while it runs. One step of a subject runs at a time, over all processes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Subject {
    /// A tenant's deployment: its orders, bids, leases and manifest. `owner/dseq`.
    Deployment(DeploymentId),
    /// The provider itself: registration, inventory, reconciliation. `provider`.
    Provider,
    /// An account that sends transactions. `account/<address>`.
    Account(Address),
    /// One indexer's feed. `stream/<name>`.
    Stream(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Deployment(id) => id.fmt(f),
            Self::Provider => f.write_str("provider"),
            Self::Account(address) => write!(f, "account/{address}"),
            Self::Stream(name) => write!(f, "stream/{name}"),
        }
    }
}

impl FromStr for Subject {
    type Err = crate::domain::IdError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "provider" {
            Ok(Self::Provider)
        } else if let Some(address) = text.strip_prefix("account/") {
            Ok(Self::Account(address.parse()?))
        } else if let Some(name) = text.strip_prefix("stream/") {
            Ok(Self::Stream(name.to_owned()))
        } else {
            text.parse().map(Self::Deployment)
        }
    }
}

/// A subject that this worker owns until [`Claim::until`], or until another claim raises the fence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// What is owned.
    pub subject: Subject,
    /// Raised by every claim; a commit with an older fence is refused.
    pub fence: u64,
    /// How often the subject had been woken when it was claimed. A wake after that keeps it due.
    pub wakes: u64,
    /// When the claim lapses, by the store's clock.
    pub until: Timestamp,
}

/// A claimed subject with everything of it that is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The claim.
    pub claim: Claim,
    /// What the last commit wrote; `None` for a subject that was only hinted at.
    pub state: Option<Value>,
    /// The highest block that an event about it claimed since the last commit.
    pub hint: Option<Height>,
    /// The stream whose word alone made the subject due; `None` when it is due on our own account too.
    pub hinted_by: Option<String>,
    /// Steps that failed in a row.
    pub failures: u32,
    /// Its effects that are not settled, and those settled since the last commit or kept by it, with their transactions.
    pub effects: Vec<Effect>,
    /// Its deadlines.
    pub deadlines: Vec<Deadline>,
    /// The hashes of its manifests, newest first, at most three. What is in them is read when it is applied.
    pub manifests: Vec<String>,
    /// Its hostnames, without those that another lease has not let go yet.
    pub hostnames: Vec<HostnameClaim>,
}

/// A moment at which a subject is woken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline {
    /// Unique within the subject: `bid/<order>`, `manifest/<lease>`.
    pub name: String,
    /// Due when a block time that was read has passed this.
    pub due: Timestamp,
}

/// What one step writes, all or nothing, `where fence = mine`. The claim ends with it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Commit {
    /// The subject's new state; `None` forgets the subject (nothing on chain, nothing of ours).
    pub state: Option<Value>,
    /// The rows that pages and routes read, inserted or replaced by their order's id.
    pub orders: Vec<OrderRow>,
    /// Decisions made by this step; one order keeps its latest.
    pub decisions: Vec<Decision>,
    /// New effects. One whose key exists already is left as it is.
    pub effects: Vec<NewEffect>,
    /// Effects to withdraw if no executor has begun them ([`super::EffectState::Wanted`]).
    pub withdraw_effects: Vec<String>,
    /// Settled effects that the state has taken in; they are kept for reading and no longer loaded.
    pub absorbed_effects: Vec<String>,
    /// The subject's deadlines from now on: the whole set.
    pub deadlines: Vec<Deadline>,
    /// A reservation to make; refused when the version is not the one given.
    pub reserve: Vec<Reservation>,
    /// The version of the reservations that [`Commit::reserve`] was computed on.
    pub reservations_version: Option<u64>,
    /// Reservations that now belong to a lease.
    pub leased: Vec<OrderId>,
    /// Reservations whose workload the cluster has taken in at this time of the host.
    pub applied: Vec<(OrderId, Timestamp)>,
    /// Reservations to give back.
    pub release: Vec<OrderId>,
    /// Hostnames given back: all of these leases'.
    pub release_hostnames: Vec<LeaseId>,
    /// All that these leases route now: whoever waits for another hostname of theirs to be let go may have it.
    pub routed: Vec<(LeaseId, Vec<String>)>,
    /// What people should be able to read later.
    pub audit: Vec<AuditLine>,
    /// Wakes the subject again at this time of the host, if nothing else does before.
    pub wake_at: Option<Timestamp>,
    /// Looks again at this time for a block that was claimed and is not there yet: as much a hint as the claim was, so it is
    /// paid for by the stream that claimed it.
    pub look_again: Option<Timestamp>,
    /// Subjects to wake at once (the account that is to send).
    pub wake: Vec<Subject>,
}

/// What became of a [`Commit`].
#[derive(Debug, Clone, PartialEq)]
pub enum Committed {
    /// It is durable.
    Done,
    /// Another worker owns the subject now; nothing was written.
    Fenced,
    /// Others reserved meanwhile; nothing was written. Place again on these.
    CapacityChanged(Reservations),
}

/// A subject whose steps fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckRow {
    /// Whose.
    pub subject: Subject,
    /// How many steps in a row came to nothing.
    pub failures: u32,
    /// Why the last did, without secrets.
    pub last_error: Option<String>,
    /// When the next is tried, by the host's clock.
    pub retry_at: Option<Timestamp>,
}
