//! What becomes of a deployment's leases: each is moved on by [`lease::advance`], and what that asks for becomes rows.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use super::{
    OrderRecord,
    advance::{LOOK_AGAIN, Place, Step, place},
};
use crate::{
    bidengine::Placement,
    domain::{BidState, CloseReason, LeaseId, OrderId},
    provider::{
        intent::{self, ChainIntent, ClusterIntent},
        lease::{self, LeaseRecord, Outcome},
        port::{Effect, EffectState, HostnameClaim},
        step::back_off,
    },
};

/// How often a lease that is ready is looked at, without any event.
const READY_LOOK: SignedDuration = SignedDuration::from_secs(60);
/// How often a lease that is not ready yet is looked at.
const PENDING_LOOK: SignedDuration = SignedDuration::from_millis(500);
/// And so soon for so long; later the less often, the longer it fails.
const FRESH: SignedDuration = SignedDuration::from_mins(1);
/// How often it is looked whether the cluster has something of a lease whose time for a manifest is over, and at what is not
/// ready while an operator works on the provider.
const OVERDUE_LOOK: SignedDuration = SignedDuration::from_secs(5);

impl<'a> Step<'a> {
    pub(super) fn lease(&mut self, id: &OrderId) {
        let ours = id.lease(&self.facts.provider);
        let on_chain = self.facts.leases.iter().find(|lease| lease.id == ours);
        let Some(mut record) = self.record.orders.remove(id) else { return };
        let before = record.lease.clone();
        let mut lease = match (record.lease.take(), on_chain) {
            (Some(lease), _) => lease,
            (None, Some(lease)) => LeaseRecord {
                restore: self.compared_at_sight(),
                ..LeaseRecord::seen(
                    lease,
                    self.facts.at.height,
                    self.facts.at.time,
                    self.settings.manifest_timeout,
                )
            },
            (None, None) => {
                self.record.orders.insert(id.clone(), record);
                return;
            }
        };
        if before.is_none() {
            self.won(&record, &lease);
        }
        let apply = match &lease.phase {
            lease::Phase::Applying { hash } => {
                self.cluster_outcome(&intent::apply_key(&ours, hash, lease.applies))
            }
            _ => Outcome::Absent,
        };
        let applied_now = apply == Outcome::Done;
        let routed = applied_now.then(|| self.routed_by(&ours, &lease)).flatten();
        let hostnames = self.hostnames_of(&ours);
        if apply == Outcome::Superseded {
            self.wake_within(LOOK_AGAIN);
        }
        let effects = lease::advance(
            &mut lease,
            &lease::Facts {
                lease: on_chain.map(|lease| (lease, self.facts.at.height)),
                block_time: self.facts.at.time,
                deployment_hash: self.facts.deployment.as_ref().map(|found| found.hash.as_str()),
                manifests: &self.facts.manifests,
                apply,
                routed: routed.as_ref(),
                hostnames: &hostnames,
                teardown: self.cluster_outcome(&intent::teardown_key(&ours)),
                stop: self.cluster_outcome(&intent::quarantine_key(&ours)),
                quarantine: self.settings.quarantine,
                status: self
                    .facts
                    .statuses
                    .get(&ours)
                    .map(|status| (self.facts.now, status.as_ref())),
                drift: self.facts.drift.get(&ours).map(Vec::as_slice),
                manifest_timeout: self.settings.manifest_timeout,
                failing_limit: self.settings.failing_limit,
                is_maintained: self.facts.is_maintained,
                restore: self.facts.restore.map_or(0, |restore| restore.number),
            },
        );
        if !applied_now {
            self.note_found_workload(id, before.as_ref(), &lease);
        }
        if let Some(deployment) = &self.facts.deployment {
            let pays =
                lease.state.is_running().then(|| deployment.funded_until(&self.facts.leases));
            lease.funded_until = pays.flatten();
        }
        if applied_now {
            self.commit.applied.push((id.clone(), self.facts.now));
        }
        self.let_hostnames_go(before.as_ref(), &lease, applied_now);
        self.note_mended(before.as_ref(), &lease);
        for effect in effects {
            self.carry_out_lease(&mut record, &lease, effect);
        }
        self.collect(id, &mut lease);
        self.hold_lease(&record, &lease);
        if lease.phase == lease::Phase::Gone {
            // An upload that had still seen the lease may have claimed hostnames after they were given back.
            self.commit.release_hostnames.push(lease.id.clone());
        }
        self.absorb_lease(&lease);
        self.look_at_lease(&lease);
        if before.as_ref() != Some(&lease) {
            record.changed_at = self.facts.now;
        }
        record.lease = Some(lease);
        self.record.orders.insert(id.clone(), record);
    }

    /// A lease is seen for the first time: its reservation is the lease's from now on.
    fn won(&mut self, record: &OrderRecord, lease: &LeaseRecord) {
        if !lease.state.is_running() {
            return;
        }
        if self.reservations.contains(&record.id) {
            self.commit.leased.push(record.id.clone());
        }
        self.audit(
            "lease",
            &lease.id.to_string(),
            format!("won at {} per block, seen at height {}", lease.price, self.facts.at.height),
        );
    }

    /// The restore that a lease which is seen now need not be compared for any more: what is won after all was settled
    /// has no history that the rows lack.
    fn compared_at_sight(&self) -> u64 {
        self.facts
            .restore
            .filter(|restore| !restore.holds_decisions())
            .map_or(0, |restore| restore.number)
    }

    /// A workload that others applied, or this provider in the time that a restore lost: the inventory counts it already.
    fn note_found_workload(
        &mut self,
        id: &OrderId,
        before: Option<&LeaseRecord>,
        lease: &LeaseRecord,
    ) {
        let Some(applied) = &lease.applied else { return };
        let applied_before = before.and_then(|before| before.applied.as_ref());
        let compared = self.facts.restore.filter(|restore| {
            lease.restore == restore.number
                && before.is_some_and(|before| before.restore < restore.number)
        });
        if compared.is_none() && applied_before.is_some() {
            return;
        }
        let counted_from = compared.map_or(self.facts.now, |restore| restore.restored_at);
        self.commit.applied.push((id.clone(), counted_from));
        if applied_before != Some(applied) {
            let what = match (applied.as_str(), compared) {
                ("", _) => "something runs that another program took in; it stays".to_owned(),
                (hash, None) => format!("manifest {hash} runs, which the rows did not know"),
                (hash, Some(_)) => {
                    format!("manifest {hash} runs, which the restored rows did not know")
                }
            };
            self.audit("found", &lease.id.to_string(), what);
        }
    }

    /// What others did to the lease's objects is undone.
    fn note_mended(&mut self, before: Option<&LeaseRecord>, lease: &LeaseRecord) {
        if before.is_none_or(|before| before.drift.mended == lease.drift.mended) {
            return;
        }
        if let Some((_, what)) = &lease.drift.last {
            self.audit("mend", &lease.id.to_string(), what.join("; "));
        }
    }

    /// A lease that runs without a reservation (a restored store) gets one as soon as the cluster says what it has. The
    /// lease is there whatever fits, so when it fits nowhere that is kept too.
    fn hold_lease(&mut self, record: &OrderRecord, lease: &LeaseRecord) {
        let is_held = self.reservations.contains(&record.id);
        let compared = self.facts.restore.is_none_or(|restore| lease.is_compared(restore.number));
        if !lease.state.is_running() || is_held || !compared {
            return;
        }
        let order = self.facts.orders.iter().find(|order| order.id == record.id);
        let place = self.bid_facts(&record.id, order).map_or(Place::Unknown, |facts| place(&facts));
        match place {
            Place::At(placement) => {
                self.reserve(&record.id, placement, "lease found on chain", true);
            }
            Place::Nowhere => {
                self.reserve(&record.id, Placement::default(), "lease found on chain", true);
            }
            Place::Unknown => self.observe_again(),
        }
    }

    /// What the lease may route.
    fn hostnames_of(&self, lease: &LeaseId) -> BTreeMap<String, String> {
        let own = self.facts.hostnames.iter().filter(|claim| claim.lease == *lease);
        let own: Vec<HostnameClaim> = own.cloned().collect();
        intent::routes_of(&own)
    }

    /// What the apply that the lease waited for told the cluster to route.
    fn routed_by(&self, id: &LeaseId, lease: &LeaseRecord) -> Option<BTreeMap<String, String>> {
        let lease::Phase::Applying { hash } = &lease.phase else { return None };
        match &self.effect(&intent::apply_key(id, hash, lease.applies))?.state {
            EffectState::Done { outcome } => intent::routed_by(outcome),
            _ => None,
        }
    }

    /// Whoever waits for a hostname that this lease does not route any more may have it.
    fn let_hostnames_go(
        &mut self,
        before: Option<&LeaseRecord>,
        lease: &LeaseRecord,
        applied_now: bool,
    ) {
        let is_news = applied_now
            || lease.applied.is_none()
            || before.is_none_or(|before| before.routed != lease.routed);
        let routed = lease.routed.iter().flat_map(BTreeMap::keys).cloned().collect();
        let is_known = lease.routed.is_some() || lease.applied.is_none();
        if is_news && is_known && !matches!(lease.phase, lease::Phase::Applying { .. }) {
            self.commit.routed.push((lease.id.clone(), routed));
        }
    }

    fn cluster_outcome(&self, key: &str) -> Outcome<'a> {
        match self.effect(key).map(|effect| &effect.state) {
            None | Some(EffectState::Withdrawn) => Outcome::Absent,
            Some(EffectState::Wanted | EffectState::Begun) => Outcome::Pending,
            Some(EffectState::Done { .. }) => Outcome::Done,
            Some(EffectState::Failed { outcome })
                if outcome.get("superseded") == Some(&serde_json::Value::Bool(true)) =>
            {
                Outcome::Superseded
            }
            Some(EffectState::Failed { outcome }) => Outcome::Failed(
                outcome.get("reason").and_then(serde_json::Value::as_str).unwrap_or("refused"),
            ),
        }
    }

    fn carry_out_lease(
        &mut self,
        record: &mut OrderRecord,
        lease: &LeaseRecord,
        effect: lease::Effect,
    ) {
        match effect {
            lease::Effect::Apply { hash } => {
                let key = intent::apply_key(&lease.id, &hash, lease.applies);
                if self.effect(&key).is_none() {
                    self.audit("apply", &lease.id.to_string(), format!("manifest {hash}"));
                }
                let group = record.group.clone().unwrap_or_default();
                self.want_in_cluster(
                    key,
                    &ClusterIntent::Apply { lease: lease.id.clone(), hash, group },
                );
            }
            lease::Effect::StartReclaim { reason } => self.give_notice(record, lease, reason),
            lease::Effect::CloseBid { reason } => self.close_bid(record, reason, BidState::Active),
            lease::Effect::Quarantine => {
                let key = intent::quarantine_key(&lease.id);
                if self.effect(&key).is_none() {
                    let evidence = format!("{}; its data is kept for a while", evidence(lease));
                    self.audit("teardown", &lease.id.to_string(), evidence);
                }
                self.want_in_cluster(key, &ClusterIntent::Quarantine { lease: lease.id.clone() });
            }
            lease::Effect::Teardown => {
                let key = intent::teardown_key(&lease.id);
                if self.effect(&key).is_none() {
                    // What was stopped before was counted as a teardown then.
                    let action = if lease.was_stopped { "remove" } else { "teardown" };
                    self.audit(action, &lease.id.to_string(), evidence(lease));
                }
                self.want_in_cluster(key, &ClusterIntent::Teardown { lease: lease.id.clone() });
            }
            lease::Effect::Release => {
                self.reservations.release(&record.id);
                self.commit.release.push(record.id.clone());
                self.commit.release_hostnames.push(lease.id.clone());
            }
        }
    }

    /// Wants the notice given, once; one that the chain refused is tried again, each time later.
    fn give_notice(&mut self, record: &mut OrderRecord, lease: &LeaseRecord, reason: CloseReason) {
        let key = intent::start_reclaim_key(&lease.id, record.notices);
        match self.effect(&key).map(|effect| &effect.state) {
            Some(EffectState::Wanted | EffectState::Begun) => return,
            // The next read of the chain shows it.
            Some(EffectState::Done { outcome }) if outcome["failure"].is_null() => return,
            Some(_) => {
                self.absorb_key(key);
                record.notices += 1;
                record.close_again_at = self.facts.now.checked_add(back_off(record.notices)).ok();
            }
            None => {}
        }
        if let Some(at) = record.close_again_at.filter(|at| self.facts.now < *at) {
            self.wake_within(at.duration_since(self.facts.now));
            return;
        }
        let key = intent::start_reclaim_key(&lease.id, record.notices);
        self.audit("start_reclaim", &lease.id.to_string(), reason.to_string());
        let intent = ChainIntent::StartReclaim { lease: lease.id.clone(), reason };
        self.want_on_chain(key, &intent, 1);
    }

    /// When to look at a lease again without being woken.
    fn look_at_lease(&mut self, lease: &LeaseRecord) {
        match &lease.phase {
            lease::Phase::Running { .. } if !lease.drift.noticed.is_empty() => {
                self.wake_within(LOOK_AGAIN);
            }
            lease::Phase::Running { .. } | lease::Phase::Refused { .. } => {
                self.wake_within(self.pace_of(lease));
            }
            // Its time is over, and the cluster has not said that nothing runs.
            lease::Phase::AwaitingManifest { until: Some(until) }
                if *until <= self.facts.at.time =>
            {
                self.wake_within(OVERDUE_LOOK);
            }
            // Its money may run out before anything else happens.
            lease::Phase::AwaitingManifest { .. } | lease::Phase::CloseWanted { .. } => {
                self.wake_within(READY_LOOK);
            }
            _ => {}
        }
    }

    /// How soon a workload is looked at again: what comes up now at once, what fails for long as seldom as what runs.
    fn pace_of(&self, lease: &LeaseRecord) -> SignedDuration {
        if lease.is_ready() {
            return READY_LOOK;
        }
        if self.facts.is_maintained {
            // How long it fails is not counted now.
            return OVERDUE_LOOK;
        }
        let now = self.facts.at.time;
        let fails_for =
            lease.failing.map_or(SignedDuration::ZERO, |failing| now.duration_since(failing.since));
        if fails_for < FRESH { PENDING_LOOK } else { (fails_for / 20).min(READY_LOOK) }
    }

    fn absorb_lease(&mut self, lease: &LeaseRecord) {
        let id = &lease.id;
        let wanted = match &lease.phase {
            lease::Phase::Applying { hash } => Some(intent::apply_key(id, hash, lease.applies)),
            lease::Phase::Stopping => Some(intent::quarantine_key(id)),
            lease::Phase::TearingDown => Some(intent::teardown_key(id)),
            _ => None,
        };
        let settled = |effect: &&Effect| {
            matches!(
                effect.state,
                EffectState::Done { .. } | EffectState::Failed { .. } | EffectState::Withdrawn
            )
        };
        let mut prefixes =
            vec![format!("apply/{id}/"), format!("quarantine/{id}"), format!("teardown/{id}")];
        if !matches!(lease.phase, lease::Phase::CloseWanted { .. }) {
            prefixes.push(format!("start-reclaim/{id}/"));
        }
        let keys: Vec<String> = self
            .facts
            .effects
            .iter()
            .filter(settled)
            .filter(|effect| prefixes.iter().any(|prefix| effect.key.starts_with(prefix)))
            .filter(|effect| wanted.as_ref() != Some(&effect.key))
            .map(|effect| effect.key.clone())
            .collect();
        for key in keys {
            self.absorb_key(key);
        }
    }
}

/// By what it is known that a lease has ended.
fn evidence(lease: &LeaseRecord) -> String {
    format!("{} on chain ({}), read at height {}", lease.state, lease.reason, lease.seen_at)
}
