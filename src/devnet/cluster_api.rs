//! What is said over HTTP between the simulated cluster and its users: types only, no behaviour.
//!
//! Routes, under the address where the cluster is mounted (`{lease}` is `owner/dseq/gseq/oseq/provider`):
//!
//! | route | body → answer |
//! |---|---|
//! | `GET /inventory` | [`Inventory`](crate::domain::inventory::Inventory) |
//! | `GET /leases` | list of [`LeaseId`] |
//! | `PUT /leases/{lease}` | [`Workload`] → [`Applied`] |
//! | `DELETE /leases/{lease}` | [`TornDown`] |
//! | `GET /leases/{lease}` | [`LeaseStatus`], 404 when there is none |
//! | `GET /leases/{lease}/logs` | query [`LogQuery`] → a [`LogLine`] per line of the body |
//! | `GET /leases/{lease}/events` | query [`EventQuery`] → a [`ClusterEvent`] per line of the body |
//! | `GET /journal` | list of [`JournalEntry`] |
//! | `POST /control` | [`Control`] → nothing |
//!
//! Whatever is refused answers a [`Failure`]. A followed body has an empty line every [`HEARTBEAT`], so that silence for
//! much longer means a broken connection; a body that ends without its last chunk was cut off.
//!
//! The surprising fact: the workload is not the manifest. It says what a cluster must know to run containers, so that
//! the simulated cluster depends on the nouns of the market alone.

use std::{collections::BTreeMap, fmt, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::{LeaseId, Resources};

/// How often a followed body has an empty line when there is nothing else to say.
pub const HEARTBEAT: Duration = Duration::from_secs(2);

/// The largest [`Workload`] that is read, in bytes of JSON.
pub const MAX_WORKLOAD_BYTES: usize = 4 << 20;

/// The most replicas that one lease may ask for in all.
pub const MAX_REPLICAS: u32 = 1000;

/// What is to run for one lease, in place of what runs for it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Workload {
    /// SHA-256 of the manifest that it comes from, lower-case hex.
    pub manifest_hash: String,
    /// At least one, unique by name.
    pub services: Vec<Service>,
    /// Which hostname leads where.
    pub hostnames: Vec<HostnameRoute>,
}

/// One container image and how it runs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Service {
    /// Unique in the lease.
    pub name: String,
    /// The image's reference.
    pub image: String,
    /// Replaces the image's entry point.
    #[serde(default)]
    pub command: Vec<String>,
    /// Arguments of the entry point.
    #[serde(default)]
    pub args: Vec<String>,
    /// `NAME=value`; values are secrets.
    #[serde(default)]
    pub env: Vec<String>,
    /// What one replica gets.
    pub resources: Resources,
    /// How many replicas.
    pub count: u32,
    /// How it can be reached.
    #[serde(default)]
    pub ports: Vec<Port>,
    /// Where volumes are mounted.
    #[serde(default)]
    pub mounts: Vec<Mount>,
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Arguments and environment carry secrets.
        f.debug_struct("Service")
            .field("name", &self.name)
            .field("image", &self.image)
            .field("count", &self.count)
            .field("ports", &self.ports)
            .finish_non_exhaustive()
    }
}

/// A port of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// The port that the container listens on.
    pub port: u16,
    /// The port that others see.
    pub external_port: u16,
    /// Transport.
    pub proto: Protocol,
    /// Who reaches it.
    pub reach: Reach,
}

/// The transport of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Protocol {
    /// Transmission control protocol.
    Tcp,
    /// User datagram protocol.
    Udp,
}

impl Protocol {
    /// `TCP` or `UDP`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        }
    }
}

/// Who reaches a port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reach {
    /// The other services of the lease.
    Lease,
    /// The world, by hostname through the shared HTTP entrance.
    Http,
    /// The world, by a port of the cluster's address that the cluster picks.
    Forwarded,
    /// The world, on a leased address of this name, and by a forwarded port.
    Address(String),
}

/// Where a volume is mounted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// The volume's name.
    pub volume: String,
    /// An absolute path.
    pub path: String,
    /// Whether the service cannot write.
    pub read_only: bool,
}

/// A hostname and where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HostnameRoute {
    /// Lower case, held by one lease at a time.
    pub hostname: String,
    /// The service's name.
    pub service: String,
    /// The port that the service listens on.
    pub port: u16,
}

/// What an apply did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Applied {
    /// Names of the services that were added, changed or removed; empty when the same workload was there already.
    pub changed: Vec<String>,
}

/// What is left after a teardown was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TornDown {
    /// Nothing is left. `false` while it goes: ask again.
    pub gone: bool,
}

/// What runs for a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// The manifest that was applied last.
    pub manifest_hash: String,
    /// It was torn down and still goes.
    pub terminating: bool,
    /// Sorted by name.
    pub services: Vec<ServiceStatus>,
    /// Ports that are reachable on the cluster's address.
    pub forwarded_ports: Vec<ForwardedPort>,
}

/// One service of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// Replicas that are ready.
    pub ready: u32,
    /// Replicas that are wanted.
    pub total: u32,
    /// Replicas that run the newest version.
    pub updated: u32,
    /// How often it was changed, from 1.
    pub generation: u64,
    /// Hostnames that lead to it.
    pub hostnames: Vec<String>,
    /// Why it is not ready, where that is known.
    pub reason: Option<String>,
}

/// A port that is reachable on the cluster's address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForwardedPort {
    /// The service's name.
    pub service: String,
    /// The cluster's address.
    pub host: String,
    /// The port that the service listens on.
    pub port: u16,
    /// The port on the cluster's address.
    pub external_port: u16,
    /// Transport.
    pub proto: Protocol,
}

/// Which log lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogQuery {
    /// Names of services, separated by commas; empty for all.
    pub services: String,
    /// Go on with new lines.
    pub follow: bool,
    /// Only the last so many lines of each replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tail: Option<u64>,
    /// Only lines after the one with this cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Which events are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventQuery {
    /// Go on with new events.
    pub follow: bool,
    /// Only events after the one with this cursor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// One line of a service's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Where to go on after this line.
    pub cursor: String,
    /// The service.
    pub service: String,
    /// The replica, named as a pod would be.
    pub replica: String,
    /// When it was written.
    pub at: Timestamp,
    /// The line without its end.
    pub line: String,
}

/// Something that happened to a lease's workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterEvent {
    /// Where to go on after this event.
    pub cursor: String,
    /// When.
    pub at: Timestamp,
    /// The service.
    pub service: String,
    /// The replica.
    pub replica: String,
    /// `Scheduled`, `Pulling`, `Started`, `BackOff`, …
    pub reason: String,
    /// For people.
    pub message: String,
    /// `Normal` or `Warning`.
    pub kind: String,
}

/// One thing that was asked of the cluster and done, for whoever counts what was done twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JournalEntry {
    /// From 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// What.
    pub act: Act,
    /// The lease, where it concerns one.
    pub lease: Option<LeaseId>,
    /// The manifest, for an apply.
    pub manifest_hash: Option<String>,
    /// The services that an apply changed; an apply that changed nothing has none.
    pub changed: Vec<String>,
}

/// What kind of thing a [`JournalEntry`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// A workload was applied.
    Apply,
    /// A lease was torn down. Asking again while it goes is no new entry.
    Teardown,
    /// Someone used [`Control`].
    Control,
    /// The cluster was started with other settings than before.
    Settings,
}

/// How a test, or a curious person, disturbs the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub enum Control {
    /// From now on this image cannot be pulled.
    BreakImage {
        /// The exact reference.
        image: String,
    },
    /// The image can be pulled again; replicas that wait for it find that out at their next try.
    MendImage {
        /// The exact reference.
        image: String,
    },
    /// Every running replica of a service exits once.
    Crash {
        /// Whose.
        lease: LeaseId,
        /// The service's name.
        service: String,
    },
    /// The API answers nothing but `/control` and `/journal` for a while; what runs goes on.
    GoAway {
        /// For how long.
        for_ms: u64,
    },
    /// The API answers again.
    ComeBack {},
    /// A node is lost: its replicas are placed elsewhere.
    LoseNode {
        /// Its name.
        node: String,
    },
    /// A lost node is back.
    RestoreNode {
        /// Its name.
        node: String,
    },
    /// The cluster has these nodes from now on; replicas on a node that is no longer there are placed elsewhere.
    SetNodes {
        /// All of them.
        nodes: Vec<NodeSpec>,
    },
}

/// One machine of the simulated cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeSpec {
    /// Unique in the cluster.
    pub name: String,
    /// Thousandths of a core that workloads may take.
    pub cpu_milli: u64,
    /// Bytes of memory that workloads may take.
    pub memory_bytes: u64,
    /// Bytes of ephemeral storage.
    pub ephemeral_bytes: u64,
    /// Its GPUs.
    #[serde(default)]
    pub gpus: Vec<GpuSpec>,
    /// Persistent classes that volumes on it can have.
    #[serde(default)]
    pub storage_classes: Vec<String>,
}

/// GPUs of one kind in a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuSpec {
    /// `nvidia` or `amd`.
    pub vendor: String,
    /// `a100`, …
    pub model: String,
    /// `80Gi`, …
    #[serde(default)]
    pub ram: Option<String>,
    /// `pcie` or `sxm`.
    #[serde(default)]
    pub interface: Option<String>,
    /// Pieces.
    pub units: u64,
}

/// Bytes by persistent storage class, over the whole cluster.
pub type StoragePools = BTreeMap<String, u64>;

/// Why something was not done or answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// For programs.
    pub code: FailureCode,
    /// For people; no secrets.
    pub message: String,
}

/// What kind of [`Failure`] it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureCode {
    /// Nothing answers for a while (503).
    Unavailable,
    /// The lease still goes; the same request is right later (409).
    Terminating,
    /// There is no such lease, service or node (404).
    NotFound,
    /// The request makes no sense, now or later (422).
    Refused,
}
