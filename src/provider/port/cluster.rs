//! The cluster as lessor uses it. Two backends fit behind it: Kubernetes and the simulated one.

use std::collections::BTreeMap;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::{
    bidengine::placement::GpuKind,
    domain::{LeaseId, inventory::Inventory},
    manifest,
};

/// What is to run for one lease. Applying the same workload again changes nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Whose.
    pub lease: LeaseId,
    /// SHA-256 of the manifest it comes from, lower-case hex.
    pub manifest_hash: String,
    /// The lease's group of the manifest.
    pub group: manifest::Group,
    /// Which hostname leads to which service. Hostnames of the manifest that another lease holds are left out.
    pub hostnames: Vec<HostnameRoute>,
    /// The kinds of GPU that were placed and offered, by the id of the service's resources. Without an entry any kind that
    /// the resources' attributes allow will do.
    pub gpus: BTreeMap<u32, Vec<GpuKind>>,
}

/// A hostname and where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostnameRoute {
    /// Lower case.
    pub hostname: String,
    /// The service's name.
    pub service: String,
    /// The port that the service listens on.
    pub port: u16,
}

/// What runs for a lease, as observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseStatus {
    /// The manifest that was applied last.
    pub manifest_hash: String,
    /// By name.
    pub services: Vec<ServiceStatus>,
    /// Ports that are reachable on the cluster's address.
    pub forwarded_ports: Vec<ForwardedPort>,
}

impl LeaseStatus {
    /// Whether every replica of every service is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        !self.services.is_empty()
            && self.services.iter().all(|service| service.ready >= service.total)
    }

    /// Whether a service is not ready, and the cluster is not to blame for it.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.services.iter().any(|service| {
            service.ready < service.total && !service.reason.as_deref().is_some_and(blames_cluster)
        })
    }
}

/// Whether a reason that a service is not ready begins with a word for what its tenant can do nothing about.
fn blames_cluster(reason: &str) -> bool {
    const WORDS: [&str; 3] = ["NodeNotReady", "Unschedulable", "NodeLost"];
    WORDS.iter().any(|word| reason.starts_with(word))
}

/// One service of a lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name in the manifest.
    pub name: String,
    /// Replicas that are ready.
    pub ready: u32,
    /// Replicas that are wanted.
    pub total: u32,
    /// Replicas that run the newest version.
    pub updated: u32,
    /// How often it was changed.
    pub generation: u64,
    /// Hostnames that lead to it.
    pub hostnames: Vec<String>,
    /// Why it is not ready, where the cluster knows (`ImagePullBackOff: …`, `CrashLoopBackOff: …`).
    pub reason: Option<String>,
}

/// A port of a service that is reachable on the cluster's address.
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
    /// `TCP` or `UDP`.
    pub proto: String,
}

/// Which log lines are wanted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogQuery {
    /// Names of services; empty for all.
    pub services: Vec<String>,
    /// Go on with new lines.
    pub follow: bool,
    /// Only the last so many lines of each replica.
    pub tail: Option<u64>,
    /// Only lines after this one, as [`LogLine::cursor`] gave it.
    pub after: Option<String>,
    /// The lines of each replica's container before its last restart, and nothing else. They do not go on.
    #[serde(default)]
    pub previous: bool,
}

/// One line of a service's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Where to go on after this line.
    pub cursor: String,
    /// The service.
    pub service: String,
    /// The replica (a pod's name).
    pub replica: String,
    /// When it was written.
    pub at: Timestamp,
    /// The line without its end.
    pub line: String,
    /// The service did not write it: it says what happened to its replica here (`restarted: …`).
    #[serde(default)]
    pub is_note: bool,
}

/// Something that happened to a lease's workload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterEvent {
    /// Where to go on after this event.
    pub cursor: String,
    /// When.
    pub at: Timestamp,
    /// The service, where it concerns one.
    pub service: Option<String>,
    /// `Scheduled`, `Pulling`, `Started`, `BackOff`, …
    pub reason: String,
    /// For people.
    pub message: String,
    /// `Normal` or `Warning`.
    pub kind: String,
}

/// A command to be run in a replica of a service.
#[derive(Clone, PartialEq, Eq)]
pub struct ExecQuery {
    /// The service.
    pub service: String,
    /// Which of its replicas, from 0, in the order of their names.
    pub replica: u32,
    /// The program and its arguments; they may hold secrets.
    pub command: Vec<String>,
    /// With a terminal: then everything is written to its standard output.
    pub tty: bool,
    /// Whether it reads what is sent.
    pub stdin: bool,
}

impl std::fmt::Debug for ExecQuery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ExecQuery")
            .field("service", &self.service)
            .field("replica", &self.replica)
            .field("tty", &self.tty)
            .field("stdin", &self.stdin)
            .finish_non_exhaustive()
    }
}

/// What is sent to a running command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecInput {
    /// For its standard input.
    Stdin(Bytes),
    /// Its standard input ends here.
    EndOfStdin,
    /// Its terminal has another size, in characters.
    Resize {
        /// Characters of a line.
        columns: u16,
        /// Lines.
        rows: u16,
    },
}

/// What a running command says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExecOutput {
    /// Written to its standard output.
    Stdout(Bytes),
    /// Written to its standard error.
    Stderr(Bytes),
    /// It ended with this code; nothing follows.
    Exit(i32),
}

/// A running command. It is given up when [`output`](Self::output) is dropped.
pub struct Execution {
    /// Takes as much as the command reads; closed when it has ended.
    pub input: mpsc::Sender<ExecInput>,
    /// Ends with [`ExecOutput::Exit`] or an error.
    pub output: BoxStream<'static, Result<ExecOutput, ClusterError>>,
}

impl std::fmt::Debug for Execution {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Execution").finish_non_exhaustive()
    }
}

/// Why the cluster did not do or answer something. Never a reason to destroy anything.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {detail}")]
pub struct ClusterError {
    /// What was tried.
    pub doing: &'static str,
    /// What went wrong, without secrets.
    pub detail: String,
    /// What the caller may do about it.
    pub kind: ClusterErrorKind,
}

/// What a [`ClusterError`] means to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterErrorKind {
    /// No answer: ask again later.
    Unavailable,
    /// The cluster understood and refused: the same request will be refused again.
    Refused,
    /// There is no such lease or service.
    NotFound,
}

/// How far the workload of a lease has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Teardown {
    /// The cluster itself says that nothing is left.
    Gone,
    /// It is on its way.
    Going {
        /// Since when, where the cluster says it.
        since: Option<Timestamp>,
        /// What holds it, in the cluster's words: finalizers, conditions. Empty while nothing is known to hold it.
        held_by: Vec<String>,
    },
}

impl Teardown {
    /// On its way, and nothing holds it.
    pub const GOING: Self = Self::Going { since: None, held_by: Vec::new() };

    /// Whether nothing is left.
    #[must_use]
    pub const fn is_gone(&self) -> bool {
        matches!(self, Self::Gone)
    }
}

/// Another program in the cluster that writes what lessor writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherWriter {
    /// What it is called.
    pub name: &'static str,
    /// One of its pods, as `namespace/name`.
    pub pod: String,
    /// What it writes.
    pub writes: &'static str,
    /// Whether no lease is applied while it runs.
    pub stops_leases: bool,
    /// Whether lessor leaves to it what it writes; otherwise both write.
    pub is_left_to_it: bool,
}

/// A cluster that runs leases.
#[async_trait]
pub trait Cluster: Send + Sync {
    /// Keeps itself informed without being asked, until the answer is dropped: of use to a process that stays.
    fn watch(&self) -> Box<dyn Send + Sync> {
        Box::new(())
    }
    /// What it can hold and what is taken by running workloads.
    async fn inventory(&self) -> Result<Inventory, ClusterError>;
    /// Makes the workload what runs for its lease. Accepted is not yet ready.
    async fn apply(&self, workload: &Workload) -> Result<(), ClusterError>;
    /// What of a workload that was applied is not as it was applied: objects that are missing, or that others have changed, each in
    /// a few words. Applying again mends it.
    async fn drift(&self, _: &Workload) -> Result<Vec<String>, ClusterError> {
        Ok(Vec::new())
    }
    /// Stops what runs for a lease, lets go of its hostnames and addresses, and keeps its data. Asking again is harmless; a
    /// cluster that cannot refuses.
    async fn quarantine(&self, _: &LeaseId) -> Result<(), ClusterError> {
        let detail = "this cluster keeps no data of what does not run".to_owned();
        let kind = ClusterErrorKind::Refused;
        Err(ClusterError { doing: "stop a workload", detail, kind })
    }
    /// Removes everything of a lease, and says how far that is. Asking again is harmless.
    async fn teardown(&self, lease: &LeaseId) -> Result<Teardown, ClusterError>;
    /// What runs for a lease; `None` when nothing was ever applied or all is gone.
    async fn status(&self, lease: &LeaseId) -> Result<Option<LeaseStatus>, ClusterError>;
    /// The other programs that write what lessor writes, as far as they can be seen to run.
    async fn other_writers(&self) -> Result<Vec<OtherWriter>, ClusterError> {
        Ok(Vec::new())
    }
    /// Every lease that has something in the cluster.
    async fn leases(&self) -> Result<Vec<LeaseId>, ClusterError>;
    /// Log lines, oldest first.
    async fn logs(
        &self,
        lease: &LeaseId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine, ClusterError>>, ClusterError>;
    /// Events, oldest first, after `after`; goes on with new ones when `follow`.
    async fn events(
        &self,
        lease: &LeaseId,
        follow: bool,
        after: Option<&str>,
    ) -> Result<BoxStream<'static, Result<ClusterEvent, ClusterError>>, ClusterError>;
    /// Runs a command in a replica. A service or replica that cannot run it is [`ClusterErrorKind::NotFound`] or
    /// [`ClusterErrorKind::Refused`], with a text for the tenant; one that ends with an error code is no error.
    async fn exec(&self, _: &LeaseId, _: &ExecQuery) -> Result<Execution, ClusterError> {
        let (doing, detail) = ("run a command", "this cluster runs no commands".to_owned());
        Err(ClusterError { doing, detail, kind: ClusterErrorKind::Refused })
    }
}
