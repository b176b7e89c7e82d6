//! Orders as pages read them, reservations, hostnames, manifests.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::operator::Reached;
use crate::{
    bidengine::Placement,
    domain::{DeploymentId, LeaseId, OrderId},
};

/// One order with our bid and lease of it, as pages and routes read it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderRow {
    /// Its path.
    pub id: OrderId,
    /// Where it stands for us: a word of `bidengine`'s phases.
    pub phase: String,
    /// Where our bid stands on chain, when there is one.
    pub bid: Option<String>,
    /// Where our lease stands on chain, when there is one.
    pub lease: Option<String>,
    /// How far it came, and what keeps it there.
    pub reached: Reached,
    /// When it was first seen, by the host's clock.
    pub seen_at: Timestamp,
    /// When this row last changed.
    pub changed_at: Timestamp,
    /// The whole of it, a view type of `provider`.
    pub body: Value,
}

/// Capacity that is kept for an order, from the bid until the lease ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reservation {
    /// The order; unique.
    pub order: OrderId,
    /// Where its replicas are to run.
    pub placement: Placement,
    /// Why it is held, for people.
    pub reason: String,
    /// When it was made, by the host's clock.
    pub made_at: Timestamp,
    /// When the chain is to be asked whether it is still needed, in block time. Passing it frees nothing by itself.
    pub look_at: Timestamp,
    /// Whether it belongs to a lease.
    pub leased: bool,
    /// When its workload was taken in by the cluster, by the host's clock: an inventory that is younger counts it already.
    pub applied_at: Option<Timestamp>,
}

/// All reservations and their version, which every change raises.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reservations {
    /// Compared by commits that reserve.
    pub version: u64,
    /// All that are held.
    pub held: Vec<Reservation>,
}

/// A hostname and the lease that holds it; unique by name. A port of a leased address is claimed in the same way, under a
/// name that no hostname has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostnameClaim {
    /// Lower case; or `ip:<owner>/<endpoint>/<protocol>/<port>`.
    pub hostname: String,
    /// Who holds it.
    pub lease: LeaseId,
    /// The service that it leads to.
    pub service: String,
}

/// A manifest as it was accepted. Its environment may hold secrets: printing it shows whose it is and not what it says.
#[derive(Clone, PartialEq, Eq)]
pub struct ManifestRow {
    /// Whose.
    pub deployment: DeploymentId,
    /// SHA-256 of its canonical form, lower-case hex.
    pub hash: String,
    /// Its canonical JSON.
    pub body: String,
    /// When it was accepted, by the host's clock.
    pub received_at: Timestamp,
}

impl fmt::Debug for ManifestRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ManifestRow")
            .field("deployment", &self.deployment)
            .field("hash", &self.hash)
            .field("received_at", &self.received_at)
            .finish_non_exhaustive()
    }
}

/// What became of an upload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ManifestStored {
    /// It is durable and the deployment is awake.
    Done,
    /// A hostname is held by a lease of another owner; nothing was stored. One that another lease of the same owner holds
    /// stays with that lease and is left out without an error.
    HostnameTaken {
        /// Which.
        hostname: String,
        /// By whom.
        holder: LeaseId,
    },
}

/// What became of a move of hostnames.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostnamesMoved {
    /// They are the lease's, which may route each as soon as its holder before has let it go. All of them are awake.
    Done,
    /// A hostname is held by a lease of another owner; nothing was moved.
    HostnameTaken {
        /// Which.
        hostname: String,
        /// By whom.
        holder: LeaseId,
    },
}
