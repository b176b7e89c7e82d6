//! The life of one lease, from the block that made it to the last object gone; pure.
//!
//! [`advance`] is level-triggered: it compares what the chain answered, what the tenant uploaded and what the cluster
//! answered with where the lease stood, and says what to do next. It may be called any number of times with the same
//! facts; the effects that it asks for have keys, so that asking twice is asking once.
//!
//! Destruction needs evidence: [`Effect::Teardown`] follows only from a lease that the chain itself showed as ended, at
//! a height. A lease that the chain did not show at all ends nothing. And none is closed for want of a manifest while the
//! cluster runs something for it, or does not say.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{
    deployment::Earnings,
    port::{LeaseStatus, ServiceStatus},
};
use crate::domain::{CloseReason, Height, Lease, LeaseId, LeaseState, Price};

/// Where a lease stands for us.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "phase")]
pub enum Phase {
    /// Nothing was uploaded yet that matches the deployment's hash.
    AwaitingManifest {
        /// In block time: after this the lease is closed for want of a manifest. `None` while the deadline is off.
        until: Option<Timestamp>,
    },
    /// A manifest is on its way into the cluster.
    Applying {
        /// Its hash.
        hash: String,
    },
    /// A manifest was taken in by the cluster.
    Running {
        /// Its hash.
        hash: String,
    },
    /// The cluster refused a manifest. What ran before it still runs.
    Refused {
        /// The refused manifest's hash.
        hash: String,
        /// What the cluster said.
        reason: String,
    },
    /// We want it closed on chain; it runs until the chain says closed.
    CloseWanted {
        /// Why.
        reason: CloseReason,
    },
    /// The chain said that it ended; its workload is being stopped, and its data kept for a while.
    Stopping,
    /// The chain said that it ended; nothing runs, and its data is kept.
    Quarantined {
        /// In block time: after this everything is removed.
        until: Timestamp,
    },
    /// The chain said that it ended; its workload is being removed.
    TearingDown,
    /// Nothing of it is left.
    Gone,
}

impl Phase {
    /// The phase's word, for pages, metrics and filters.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::AwaitingManifest { .. } => "awaiting_manifest",
            Self::Applying { .. } => "applying",
            Self::Running { .. } => "running",
            Self::Refused { .. } => "refused",
            Self::CloseWanted { .. } => "close_wanted",
            Self::Stopping => "stopping",
            Self::Quarantined { .. } => "quarantined",
            Self::TearingDown => "tearing_down",
            Self::Gone => "gone",
        }
    }
}

/// A lease of ours as the deployment's state keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaseRecord {
    /// Its path.
    pub id: LeaseId,
    /// Where it stood on chain when it was last read.
    pub state: LeaseState,
    /// Per block.
    pub price: Price,
    /// The block that made it.
    pub created_at: Height,
    /// Why it ended; [`CloseReason::Invalid`] while it runs.
    pub reason: CloseReason,
    /// The height of the newest evidence.
    pub seen_at: Height,
    /// Where it stands for us.
    pub phase: Phase,
    /// The manifest that the cluster took in last; empty for one whose hash nobody knows, which another program took in.
    pub applied: Option<String>,
    /// How many applies were asked for.
    #[serde(default)]
    pub applies: u32,
    /// The hostnames that the cluster was told of last, each with its service; `None` while that is not known.
    #[serde(default)]
    pub routed: Option<BTreeMap<String, String>>,
    /// What the cluster answered last, and when (host's time).
    pub status: Option<(Timestamp, LeaseStatus)>,
    /// Since when its workload fails, in block time, and when that was seen last; `None` while it does not.
    #[serde(default)]
    pub failing: Option<Failing>,
    /// Whether it was decided to stop its workload and keep its data when it had ended.
    #[serde(default)]
    pub was_stopped: bool,
    /// What others did to its objects in the cluster, and how often that was mended.
    #[serde(default)]
    pub drift: Drift,
    /// The restore since which the cluster was asked what runs; 0 for none.
    #[serde(default)]
    pub restore: u64,
    /// The last block that escrow pays in full, should nothing change; `None` for a lease that does not run.
    #[serde(default)]
    pub funded_until: Option<Height>,
    /// The notice that its close needs and has not got yet, in seconds.
    #[serde(default)]
    pub notice_s: Option<u64>,
    /// When the notice that was given ends, in block time.
    #[serde(default)]
    pub reclaim_until: Option<Timestamp>,
    /// What it earns.
    #[serde(default)]
    pub earnings: Earnings,
}

/// A workload that fails, in block time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// When it was first seen to.
    pub since: Timestamp,
    /// When it was last seen to.
    pub seen_at: Timestamp,
}

/// Objects of a workload that are not as they were applied.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Drift {
    /// What the last look saw. It is mended when the next one sees the same: what was written a moment ago may not be seen yet.
    #[serde(default)]
    pub noticed: Vec<String>,
    /// How often it was mended.
    #[serde(default)]
    pub mended: u32,
    /// What was mended last, and when, in block time.
    #[serde(default)]
    pub last: Option<(Timestamp, Vec<String>)>,
}

/// A workload that was not looked at for so long may have been well meanwhile: its time begins anew.
const UNSEEN: SignedDuration = SignedDuration::from_mins(15);

/// What is known when a lease is advanced.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The lease as the chain shows it, with the height of the answer; `None` when the answer did not have it.
    pub lease: Option<(&'a Lease, Height)>,
    /// The newest block time that was read.
    pub block_time: Timestamp,
    /// The deployment's hash on chain, lower-case hex; `None` when the deployment was not read.
    pub deployment_hash: Option<&'a str>,
    /// Hashes of the manifests that are stored, newest first.
    pub manifests: &'a [String],
    /// What became of the newest effect `apply/<lease>/<hash>/<n>`.
    pub apply: Outcome<'a>,
    /// The hostnames that it told the cluster of, each with its service, when it was carried out.
    pub routed: Option<&'a BTreeMap<String, String>>,
    /// The hostnames that the lease may route, each with its service.
    pub hostnames: &'a BTreeMap<String, String>,
    /// What became of the effect `teardown/<lease>`.
    pub teardown: Outcome<'a>,
    /// What became of the effect `quarantine/<lease>`.
    pub stop: Outcome<'a>,
    /// How long the data of a lease that ended is kept, in block time; `None` for not at all.
    pub quarantine: Option<SignedDuration>,
    /// What the cluster answers now, with the host's time; `None` when it was not asked or gave no answer.
    pub status: Option<(Timestamp, Option<&'a LeaseStatus>)>,
    /// What of the manifest that runs is not as it was applied; `None` when nobody looked or the cluster gave no answer.
    pub drift: Option<&'a [String]>,
    /// How long a tenant has to upload a manifest, in block time; `None` for no limit.
    pub manifest_timeout: Option<SignedDuration>,
    /// How long a workload may fail, in block time, before its lease is closed; `None` for ever.
    pub failing_limit: Option<SignedDuration>,
    /// Whether an operator works on the provider: what fails now is no sign of the workload.
    pub is_maintained: bool,
    /// Counts the times that the rows were put back from a backup.
    pub restore: u64,
}

/// What became of an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It was never asked for, or its outcome was taken in already.
    Absent,
    /// It was asked for and has no outcome yet.
    Pending,
    /// It was carried out.
    Done,
    /// It will not be carried out, for this reason.
    Failed(&'a str),
    /// It was not carried out, because it was not wanted any more.
    Superseded,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Make the manifest with this hash what runs.
    Apply {
        /// The manifest.
        hash: String,
    },
    /// Give the notice that the lease's close needs.
    StartReclaim {
        /// What the chain is told.
        reason: CloseReason,
    },
    /// Close the lease on chain (by closing its bid).
    CloseBid {
        /// What the chain is told.
        reason: CloseReason,
    },
    /// Stop its workload and keep its data.
    Quarantine,
    /// Remove everything of it from the cluster.
    Teardown,
    /// Give back its reservation and hostnames.
    Release,
}

impl LeaseRecord {
    /// A lease as it is first seen on chain.
    #[must_use]
    pub fn seen(
        lease: &Lease,
        at: Height,
        block_time: Timestamp,
        manifest_timeout: Option<SignedDuration>,
    ) -> Self {
        let phase = if lease.state.is_running() {
            awaiting(block_time, manifest_timeout)
        } else {
            // It ended before we knew of it. A teardown makes sure that nothing of an earlier life is left.
            Phase::TearingDown
        };
        Self {
            id: lease.id.clone(),
            state: lease.state,
            price: lease.price.clone(),
            created_at: lease.created_at,
            reason: lease.reason,
            seen_at: at,
            phase,
            applied: None,
            applies: 0,
            routed: None,
            status: None,
            failing: None,
            was_stopped: false,
            drift: Drift::default(),
            restore: 0,
            funded_until: None,
            notice_s: lease.reclamation_window_s,
            reclaim_until: lease.reclaim_until,
            earnings: Earnings::default(),
        }
    }

    /// Whether nothing of it is unknown since that restore: a lease that does not run needs no comparison.
    #[must_use]
    pub const fn is_compared(&self, restore: u64) -> bool {
        self.restore >= restore || !self.state.is_running()
    }

    /// The deadline that this lease waits for.
    #[must_use]
    pub fn deadline(&self) -> Option<Timestamp> {
        match self.phase {
            Phase::AwaitingManifest { until } => until,
            Phase::CloseWanted { .. } => self.reclaim_until,
            Phase::Quarantined { until } => Some(until),
            _ => None,
        }
    }

    /// Whether everything that was asked for runs.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Running { .. })
            && self.status.as_ref().is_some_and(|(_, status)| {
                status.is_ready() && Some(&status.manifest_hash) == self.applied.as_ref()
            })
    }
}

fn awaiting(block_time: Timestamp, limit: Option<SignedDuration>) -> Phase {
    Phase::AwaitingManifest { until: limit.and_then(|limit| block_time.checked_add(limit).ok()) }
}

/// Moves a lease on by what is known. Returns what is to be done; effects are repeatable.
pub fn advance(record: &mut LeaseRecord, facts: &Facts<'_>) -> Vec<Effect> {
    if let Some((lease, at)) = facts.lease
        && at >= record.seen_at
    {
        record.state = lease.state;
        record.reason = lease.reason;
        record.price = lease.price.clone();
        record.notice_s = lease.reclamation_window_s;
        record.reclaim_until = lease.reclaim_until;
        record.seen_at = at;
    }
    if let Some((at, Some(status))) = facts.status {
        record.status = Some((at, status.clone()));
    }
    if record.phase == Phase::Gone {
        return Vec::new();
    }
    if !record.state.is_running() {
        return end(record, facts);
    }
    if record.restore < facts.restore && !compare(record, facts) {
        return Vec::new();
    }
    run(record, facts)
}

/// Takes in what the cluster runs after a restore: a manifest may have come and been applied in the time that the rows
/// lost. Returns whether the cluster has answered; until then nothing follows from what the rows say.
fn compare(record: &mut LeaseRecord, facts: &Facts<'_>) -> bool {
    let Some((_, found)) = facts.status else { return false };
    record.restore = facts.restore;
    record.routed = None;
    if let Some(status) = found {
        let hash = status.manifest_hash.clone();
        record.applied = Some(hash.clone());
        if !matches!(record.phase, Phase::CloseWanted { .. }) {
            record.phase = Phase::Running { hash };
        }
    } else {
        record.applied = None;
        if !matches!(record.phase, Phase::CloseWanted { .. } | Phase::Applying { .. }) {
            // What the tenant uploaded may be lost: there is as long for it as at the start.
            record.phase = awaiting(facts.block_time, facts.manifest_timeout);
        }
    }
    true
}

/// The chain says that it ended.
fn end(record: &mut LeaseRecord, facts: &Facts<'_>) -> Vec<Effect> {
    match record.phase {
        Phase::TearingDown if facts.teardown == Outcome::Done => {
            record.phase = Phase::Gone;
            record.status = None;
            vec![Effect::Release]
        }
        Phase::TearingDown => vec![Effect::Teardown],
        Phase::Stopping => stopped(record, facts),
        Phase::Quarantined { until } if facts.block_time < until && facts.quarantine.is_some() => {
            Vec::new()
        }
        // Only what was applied has data.
        Phase::Running { .. }
        | Phase::Applying { .. }
        | Phase::Refused { .. }
        | Phase::CloseWanted { .. }
            if facts.quarantine.is_some() && record.applied.is_some() =>
        {
            record.phase = Phase::Stopping;
            record.was_stopped = true;
            vec![Effect::Quarantine]
        }
        _ => {
            record.phase = Phase::TearingDown;
            vec![Effect::Teardown]
        }
    }
}

/// Its capacity, hostnames and addresses are given back when nothing runs any more; a cluster that cannot keep data alone has
/// it removed.
fn stopped(record: &mut LeaseRecord, facts: &Facts<'_>) -> Vec<Effect> {
    match (facts.stop, facts.quarantine) {
        (Outcome::Done, Some(time)) => {
            let until = facts.block_time.saturating_add(time).unwrap_or(Timestamp::MAX);
            record.phase = Phase::Quarantined { until };
            vec![Effect::Release]
        }
        (Outcome::Absent | Outcome::Pending, Some(_)) => vec![Effect::Quarantine],
        _ => {
            record.phase = Phase::TearingDown;
            vec![Effect::Teardown]
        }
    }
}

/// The chain says that it runs.
fn run(record: &mut LeaseRecord, facts: &Facts<'_>) -> Vec<Effect> {
    settle_apply(record, facts);
    adopt(record, facts);
    watch_health(record, facts);
    if facts.apply == Outcome::Superseded {
        // What the chain says now must be read by a later step: this one may not have seen what the executor saw.
        return Vec::new();
    }
    if let Phase::CloseWanted { reason } = record.phase {
        return close(record, facts, reason);
    }
    if let (Some(failing), Some(limit)) = (record.failing, facts.failing_limit)
        && failing.seen_at.duration_since(failing.since) >= limit
        && !facts.is_maintained
    {
        let reason = CloseReason::Unstable;
        record.phase = Phase::CloseWanted { reason };
        return close(record, facts, reason);
    }
    // A manifest runs only while it is the one that the chain has the hash of; an older one keeps running until the
    // tenant uploads its successor.
    let wanted = facts
        .deployment_hash
        .and_then(|hash| facts.manifests.iter().find(|stored| stored.as_str() == hash));
    match wanted {
        Some(hash) if record.applied.as_ref() != Some(hash) => match &record.phase {
            Phase::Refused { hash: refused, .. } if refused == hash => Vec::new(),
            phase => {
                if !matches!(phase, Phase::Applying { hash: asked } if asked == hash) {
                    record.applies = record.applies.saturating_add(1);
                    record.phase = Phase::Applying { hash: hash.clone() };
                }
                vec![Effect::Apply { hash: hash.clone() }]
            }
        },
        Some(hash) => keep(record, facts, hash),
        None => miss_manifest(record, facts),
    }
}

/// The wanted manifest is what was applied last. It is applied again when other hostnames are the lease's than those that the
/// cluster was told of.
fn keep(record: &mut LeaseRecord, facts: &Facts<'_>, hash: &str) -> Vec<Effect> {
    let hash = hash.to_owned();
    match &record.phase {
        Phase::Applying { hash: asked } if *asked == hash => return vec![Effect::Apply { hash }],
        Phase::Refused { hash: refused, .. } if *refused == hash => return Vec::new(),
        _ => {}
    }
    if record.routed.is_none()
        && let Some((_, Some(status))) = facts.status
    {
        record.routed = Some(routed(status));
    }
    let is_routed = record.routed.as_ref().is_none_or(|routed| routed == facts.hostnames);
    if is_routed && !mends(record, facts) {
        record.phase = Phase::Running { hash };
        return Vec::new();
    }
    record.applies = record.applies.saturating_add(1);
    record.phase = Phase::Applying { hash: hash.clone() };
    vec![Effect::Apply { hash }]
}

/// Whether what others did to the lease's objects is to be mended now. Seen once, it is only noted.
fn mends(record: &mut LeaseRecord, facts: &Facts<'_>) -> bool {
    let Some(seen) = facts.drift else { return false };
    let drift = &mut record.drift;
    if seen.is_empty() || drift.noticed != seen {
        drift.noticed = seen.to_vec();
        return false;
    }
    drift.mended = drift.mended.saturating_add(1);
    drift.last = Some((facts.block_time, std::mem::take(&mut drift.noticed)));
    true
}

/// The hostnames that the cluster says lead to the lease's services.
fn routed(status: &LeaseStatus) -> BTreeMap<String, String> {
    let of = |service: &ServiceStatus| {
        let name = service.name.clone();
        service.hostnames.clone().into_iter().map(move |hostname| (hostname, name.clone()))
    };
    status.services.iter().flat_map(of).collect()
}

/// What runs for a lease that no manifest came for was taken in by another program, or by rows that are lost. It stays as
/// it is until its tenant sends a manifest.
fn adopt(record: &mut LeaseRecord, facts: &Facts<'_>) {
    let Some((_, Some(status))) = facts.status else { return };
    if matches!(record.phase, Phase::AwaitingManifest { .. }) && !status.services.is_empty() {
        let hash = status.manifest_hash.clone();
        record.applied = Some(hash.clone());
        record.phase = Phase::Running { hash };
    }
}

fn settle_apply(record: &mut LeaseRecord, facts: &Facts<'_>) {
    if let Phase::Applying { hash } = &record.phase {
        match facts.apply {
            Outcome::Done => {
                record.applied = Some(hash.clone());
                record.routed = facts.routed.cloned();
                record.phase = Phase::Running { hash: hash.clone() };
            }
            Outcome::Failed(reason) => {
                record.phase = Phase::Refused { hash: hash.clone(), reason: reason.to_owned() };
            }
            // The tenant announced another manifest: it has as long for its upload as it had for the first.
            Outcome::Superseded => {
                record.phase = match &record.applied {
                    Some(hash) => Phase::Running { hash: hash.clone() },
                    None => awaiting(facts.block_time, facts.manifest_timeout),
                };
            }
            Outcome::Absent | Outcome::Pending => {}
        }
    }
}

/// Notes since when the workload fails. A cluster that gives no answer says nothing about it, and what the cluster is to blame
/// for is not the workload's failure.
fn watch_health(record: &mut LeaseRecord, facts: &Facts<'_>) {
    let Some((_, answer)) = facts.status.filter(|_| !facts.is_maintained) else { return };
    let fails = matches!(record.phase, Phase::Running { .. })
        && answer.is_some_and(LeaseStatus::is_failing);
    let now = facts.block_time;
    record.failing = fails.then(|| match record.failing {
        Some(failing) if now.duration_since(failing.seen_at) < UNSEEN => {
            Failing { seen_at: now, ..failing }
        }
        _ => Failing { since: now, seen_at: now },
    });
}

/// A lease with a notice is closed when the notice is over; the chain refuses it before.
fn close(record: &LeaseRecord, facts: &Facts<'_>, reason: CloseReason) -> Vec<Effect> {
    match (record.notice_s, record.reclaim_until) {
        (Some(_), None) => vec![Effect::StartReclaim { reason }],
        (Some(_), Some(until)) if facts.block_time < until => Vec::new(),
        _ => vec![Effect::CloseBid { reason }],
    }
}

/// No stored manifest has the deployment's hash. That the cluster runs nothing for the lease, it must have said.
fn miss_manifest(record: &mut LeaseRecord, facts: &Facts<'_>) -> Vec<Effect> {
    match record.phase {
        Phase::AwaitingManifest { until: Some(until) }
            if facts.block_time >= until
                && facts.deployment_hash.is_some()
                && facts.status.is_some() =>
        {
            let reason = CloseReason::ManifestTimeout;
            record.phase = Phase::CloseWanted { reason };
            close(record, facts, reason)
        }
        _ => Vec::new(),
    }
}
