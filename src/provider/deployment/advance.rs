//! What becomes of a deployment's orders up to won or lost, and the commit as it grows.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Advanced, DecisionSummary, DeploymentRecord, Facts, OrderRecord};
use crate::{
    bidengine::{
        self, Decided, ObservedInventory, Placement, Rule,
        order::{self, CloseCause, LeaseHolder, OrderPhase, OrderStates, OrderView, OwnBid},
    },
    domain::{Bid, BidState, CloseReason, Height, Order, OrderId},
    provider::{
        held::Held,
        intent::{self, ChainIntent, ClusterIntent},
        port::{
            AuditLine, Commit, Effect, EffectKind, EffectState, NewEffect, Reservation, Subject,
            TransactionState,
        },
        settings::Settings,
        step::back_off,
    },
};

/// How long until facts that did not go together are read again.
const READ_AGAIN: SignedDuration = SignedDuration::from_millis(100);
/// How long until facts that are to come soon are looked for.
pub(super) const LOOK_AGAIN: SignedDuration = SignedDuration::from_secs(1);
/// The longest wait until an observation that is missing or too old is asked for again.
const OBSERVE_AGAIN_S: i64 = 60;

/// One run of [`super::advance()`]: the record as it becomes and the commit as it grows.
pub(super) struct Step<'a> {
    pub(super) facts: &'a Facts,
    pub(super) settings: &'a Settings,
    pub(super) record: DeploymentRecord,
    pub(super) commit: Commit,
    read_again: Option<Height>,
    unobserved: bool,
    wake_at: Option<Timestamp>,
    pub(super) reservations: Held,
}

impl<'a> Step<'a> {
    pub(super) fn new(
        mut record: DeploymentRecord,
        facts: &'a Facts,
        settings: &'a Settings,
    ) -> Self {
        record.seen_at = record.seen_at.max(facts.at.height);
        if let Some(deployment) = &facts.deployment {
            record.hash = Some(deployment.hash.clone());
        }
        Self {
            facts,
            settings,
            record,
            commit: Commit::default(),
            read_again: None,
            unobserved: false,
            wake_at: None,
            reservations: facts.reservations.clone(),
        }
    }

    pub(super) fn known_orders(&self) -> BTreeSet<OrderId> {
        let ours = &self.facts.provider;
        let mut known: BTreeSet<OrderId> = self.record.orders.keys().cloned().collect();
        known.extend(self.facts.orders.iter().map(|order| order.id.clone()));
        known.extend(
            self.facts
                .bids
                .iter()
                .filter(|bid| bid.id.provider == *ours)
                .map(|bid| bid.id.order.clone()),
        );
        known.extend(
            self.facts
                .leases
                .iter()
                .filter(|lease| lease.id.provider == *ours)
                .map(|lease| lease.id.order.clone()),
        );
        known
    }

    // ------------------------------------------------------------------------------------------ up to won or lost

    pub(super) fn order(&mut self, id: &OrderId) {
        let now = self.facts.now;
        let on_chain = self.facts.orders.iter().find(|order| order.id == *id);
        let own_bid = self.facts.bids.iter().find(|bid| bid.id == id.bid(&self.facts.provider));
        let mut record =
            self.record.orders.remove(id).unwrap_or_else(|| OrderRecord::seen(id, now));
        let before = record.clone();
        record.created_at = on_chain.map(|order| order.created_at).or(record.created_at);
        record.group = on_chain.map(|order| order.spec.name.clone()).or(record.group);
        record.bid = own_bid.cloned().or(record.bid);
        if self.reconsiders(&record) {
            record.phase = order::reconsider(record.phase);
        }
        let view = self.view(&record, on_chain, own_bid);
        let deadlines = order::Deadlines {
            bid_timeout_s: self
                .settings
                .bid_timeout
                .and_then(|limit| u64::try_from(limit.as_secs()).ok()),
        };
        let (phase, effects) = order::advance(record.phase, &view, &deadlines);
        record.phase = phase;
        for effect in effects {
            self.carry_out(&mut record, on_chain, effect);
        }
        self.absorb(&mut record, &view);
        if record != before {
            record.changed_at = now;
        }
        self.record.orders.insert(id.clone(), record);
    }

    /// A declined order is looked at again when something that it was declined for may have changed.
    fn reconsiders(&self, record: &OrderRecord) -> bool {
        record.phase == OrderPhase::Declined
            && record.dead_creates == 0
            && record.decided.as_ref().is_some_and(|decided| {
                let was_paused = decided.reason.as_deref() == Some(Rule::NotPaused.reason());
                (was_paused && self.facts.paused.is_none())
                    || decided.policy_version != self.settings.policy.version
                    || self.facts.now.duration_since(decided.at)
                        >= self.settings.registration_max_age
            })
    }

    fn view(
        &self,
        record: &OrderRecord,
        on_chain: Option<&Order>,
        own_bid: Option<&Bid>,
    ) -> OrderView {
        let id = &record.id;
        let states = on_chain.and_then(|order| {
            let deployment = self.facts.deployment.as_ref()?;
            let group = deployment.groups.iter().find(|group| group.id == id.group)?;
            Some(OrderStates {
                order: order.state,
                group: group.state,
                deployment: deployment.state,
            })
        });
        let ours = id.lease(&self.facts.provider);
        let mut leases = self.facts.leases.iter().filter(|lease| lease.id.order == *id);
        let lease = if self.facts.leases.iter().any(|lease| lease.id == ours) {
            LeaseHolder::Us
        } else if leases.next().is_some() {
            LeaseHolder::Other
        } else {
            LeaseHolder::Unknown
        };
        OrderView {
            at: self.facts.at,
            order: states,
            own_bid: own_bid.map(|bid| OwnBid { state: bid.state, created_at: bid.created_at }),
            lease,
            create: self.transaction(&intent::create_bid_key(id, record.dead_creates)),
            close: self.transaction(&intent::close_bid_key(
                &id.bid(&self.facts.provider),
                record.dead_closes,
            )),
            reserved: self.reservations.contains(id),
        }
    }

    pub(super) fn effect(&self, key: &str) -> Option<&'a Effect> {
        self.facts.effects.iter().find(|effect| effect.key == key)
    }

    /// What is known of the transaction of an effect.
    fn transaction(&self, key: &str) -> order::Transaction {
        let Some(effect) = self.effect(key) else { return order::Transaction::None };
        match &effect.state {
            EffectState::Wanted | EffectState::Begun => order::Transaction::InFlight,
            EffectState::Withdrawn => order::Transaction::Failed,
            EffectState::Done { outcome } | EffectState::Failed { outcome } => {
                match serde_json::from_value::<TransactionState>(outcome.clone()) {
                    Ok(TransactionState::Included(included)) if included.failure.is_none() => {
                        order::Transaction::Included { height: included.height }
                    }
                    Ok(TransactionState::Expired { .. }) => order::Transaction::Expired,
                    _ => order::Transaction::Failed,
                }
            }
        }
    }

    fn carry_out(
        &mut self,
        record: &mut OrderRecord,
        on_chain: Option<&Order>,
        effect: order::Effect,
    ) {
        match effect {
            order::Effect::Decide => self.decide(record, on_chain),
            order::Effect::CloseBid { reason } => {
                self.close_bid(record, reason, BidState::Open);
            }
            order::Effect::CancelClose => {
                let key =
                    intent::close_bid_key(&record.id.bid(&self.facts.provider), record.dead_closes);
                self.commit.withdraw_effects.push(key);
            }
            order::Effect::Reserve => self.reserve_for_bid(record, on_chain),
            order::Effect::ReleaseReservation => {
                self.reservations.release(&record.id);
                self.commit.release.push(record.id.clone());
            }
            // A bid follows its decision, the lease is taken up by `Step::lease`, and deadlines follow from the phases.
            order::Effect::CreateBid
            | order::Effect::LeaseWon
            | order::Effect::SetDeadline { .. }
            | order::Effect::ClearDeadline => {}
            order::Effect::ReadAgain { at_least } => {
                self.read_again =
                    Some(self.read_again.map_or(at_least, |height| height.max(at_least)));
            }
        }
    }

    fn decide(&mut self, record: &mut OrderRecord, on_chain: Option<&Order>) {
        if self.facts.restore.is_some_and(|restore| restore.holds_decisions()) {
            // What is promised already is not known. Whoever settles the restore wakes this deployment again.
            return;
        }
        let (Some(order), Some(facts)) = (on_chain, self.bid_facts(&record.id, on_chain)) else {
            // What a decision needs could not be read: try again, and say nothing in the meantime.
            self.observe_again();
            return;
        };
        // A create-bid that can never land is counted, so that the next one has a key of its own.
        if self.effect(&intent::create_bid_key(&record.id, record.dead_creates)).is_some() {
            self.commit
                .absorbed_effects
                .push(intent::create_bid_key(&record.id, record.dead_creates));
            record.dead_creates += 1;
        }
        let decided = bidengine::decide(&facts, &self.settings.policy, &self.settings.prices);
        let (phase, effects) = order::decided(record.phase, &decided.decision);
        record.phase = phase;
        record.decided = Some(DecisionSummary::of(&decided.decision, self.facts.now));
        if effects.contains(&order::Effect::CreateBid) {
            self.create_bid(record, order, &decided);
        }
        self.commit.decisions.push(decided.decision);
    }

    fn create_bid(&mut self, record: &OrderRecord, order: &Order, decided: &Decided) {
        let Some(bid) = &decided.bid else { return };
        self.reserve(&record.id, bid.placement.clone(), "bid", false);
        let intent = ChainIntent::CreateBid {
            order: order.id.clone(),
            provider: self.facts.provider.clone(),
            price: bid.price.clone(),
            deposit: bid.deposit.clone(),
            offer: bid.offer.clone(),
            reclamation_window_s: bid.reclamation_window_s,
        };
        let key = intent::create_bid_key(&record.id, record.dead_creates);
        self.want_on_chain(key, &intent, 0);
        self.audit(
            "bid",
            &record.id.to_string(),
            format!("{} per block, decided at height {}", bid.price, self.facts.at.height),
        );
    }

    /// A bid that is on chain without a reservation (a restored store) gets one, or is given up.
    fn reserve_for_bid(&mut self, record: &mut OrderRecord, on_chain: Option<&Order>) {
        let Some(facts) = self.bid_facts(&record.id, on_chain) else {
            self.observe_again();
            return;
        };
        match place(&facts) {
            Place::At(placement) => {
                self.reserve(&record.id, placement, "bid found on chain", false);
            }
            Place::Unknown => self.observe_again(),
            Place::Nowhere => {
                let (phase, _) = order::withdraw(record.phase, CloseCause::NoCapacity);
                record.phase = phase;
                self.close_bid(record, CloseReason::Unspecified, BidState::Open);
            }
        }
    }

    pub(super) fn reserve(
        &mut self,
        order: &OrderId,
        placement: Placement,
        reason: &str,
        leased: bool,
    ) {
        let reservation = Reservation {
            order: order.clone(),
            placement,
            reason: reason.to_owned(),
            made_at: self.facts.now,
            look_at: self
                .facts
                .at
                .time
                .saturating_add(SignedDuration::from_mins(10))
                .unwrap_or(Timestamp::MAX),
            leased,
            applied_at: None,
        };
        self.reservations.reserve(reservation.clone());
        self.commit.reserve.push(reservation);
        self.commit.reservations_version = Some(self.facts.reservations.version());
    }

    /// What the bid engine decides on; `None` while something that it needs was not read.
    pub(super) fn bid_facts(
        &self,
        id: &OrderId,
        on_chain: Option<&Order>,
    ) -> Option<bidengine::Facts> {
        let registration = self.facts.registration.as_ref()?;
        let deployment = self.facts.deployment.as_ref();
        Some(bidengine::Facts {
            at: self.facts.at,
            order: on_chain?.clone(),
            group_state: deployment
                .and_then(|found| found.groups.iter().find(|group| group.id == id.group))
                .map(|group| group.state),
            deployment_state: deployment.map(|found| found.state),
            own_bid: self
                .facts
                .bids
                .iter()
                .find(|bid| bid.id == id.bid(&self.facts.provider))
                .cloned(),
            bid_count: u32::try_from(
                self.facts.bids.iter().filter(|bid| bid.id.order == *id).count(),
            )
            .unwrap_or(u32::MAX),
            market: registration.market.clone(),
            provider_address: self.facts.provider.clone(),
            provider: registration.provider.clone(),
            audited: registration.audited.clone(),
            balances: registration.balances.clone(),
            balances_at: registration.at,
            bids_since: self.others(id, |held| held.made_at >= registration.taken_at),
            paused: self.facts.paused.clone(),
            open_bids: self.others(id, |held| !held.leased),
            leases: self.others(id, |held| held.leased),
            now: self.facts.now,
            inventory_max_age_s: u64::try_from(self.settings.inventory_max_age.as_secs())
                .unwrap_or(0),
            inventory: self.facts.inventory.clone(),
            reservations: self.promised(),
        })
    }

    /// How many orders beside `id` hold capacity like this. A bid that is wanted has its reservation before its
    /// transaction, and the commit that reserves repeats the decision when another reserved first: so a limit that is
    /// counted here holds for steps that run at once.
    fn others(&self, id: &OrderId, like: impl Fn(&Reservation) -> bool) -> u32 {
        let count = self.reservations.iter().filter(|held| held.order != *id && like(held)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    /// Reservations that the observed inventory does not count yet.
    fn promised(&self) -> Vec<bidengine::Reservation> {
        let taken_at = match &self.facts.inventory {
            ObservedInventory::Young { taken_at, .. }
            | ObservedInventory::TooOld { taken_at, .. } => *taken_at,
            ObservedInventory::Missing => Timestamp::MIN,
        };
        self.reservations
            .iter()
            .filter(|held| held.applied_at.is_none_or(|applied| applied >= taken_at))
            .map(|held| held.placement.reservation(held.order.clone()))
            .collect()
    }

    // ------------------------------------------------------------------------------------------------- what to write

    /// Wants the bid closed, once: a close that is under way is not asked for again, one that ended counts up.
    pub(super) fn close_bid(
        &mut self,
        record: &mut OrderRecord,
        reason: CloseReason,
        only_if: BidState,
    ) {
        let bid = record.id.bid(&self.facts.provider);
        let key = intent::close_bid_key(&bid, record.dead_closes);
        match self.transaction(&key) {
            order::Transaction::InFlight => return,
            order::Transaction::None => {}
            _ => {
                // The chain may refuse for long (a notice that must run out first): each try waits longer than the last.
                self.commit.absorbed_effects.push(key);
                record.dead_closes += 1;
                let wait = back_off(record.dead_closes);
                record.close_again_at = self.facts.now.checked_add(wait).ok();
            }
        }
        if let Some(at) = record.close_again_at.filter(|at| self.facts.now < *at) {
            self.wake_within(at.duration_since(self.facts.now));
            return;
        }
        let key = intent::close_bid_key(&bid, record.dead_closes);
        self.audit(
            "close_bid",
            &bid.to_string(),
            format!("{reason}, decided at height {}", self.facts.at.height),
        );
        self.want_on_chain(key, &ChainIntent::CloseBid { bid, reason, only_if }, 1);
    }

    pub(super) fn want_on_chain(&mut self, key: String, intent: &ChainIntent, priority: u8) {
        self.commit.effects.push(NewEffect {
            key,
            kind: EffectKind::Chain,
            account: Some(self.facts.provider.clone()),
            body: serde_json::to_value(intent).unwrap_or_default(),
            priority,
        });
    }

    pub(super) fn want_in_cluster(&mut self, key: String, intent: &ClusterIntent) {
        self.commit.effects.push(NewEffect {
            key,
            kind: EffectKind::Cluster,
            account: None,
            body: serde_json::to_value(intent).unwrap_or_default(),
            priority: 0,
        });
    }

    /// Settled transactions that the phase has taken in need not be loaded any more.
    fn absorb(&mut self, record: &mut OrderRecord, view: &OrderView) {
        let settled = |transaction: order::Transaction| {
            !matches!(transaction, order::Transaction::None | order::Transaction::InFlight)
        };
        if settled(view.create)
            && (record.bid.is_some()
                || record.phase.is_over()
                || record.phase == OrderPhase::Declined)
        {
            self.absorb_key(intent::create_bid_key(&record.id, record.dead_creates));
            if record.phase == OrderPhase::Declined {
                record.dead_creates += 1;
            }
        }
        if settled(view.close) && record.phase.is_over() {
            self.absorb_key(intent::close_bid_key(
                &record.id.bid(&self.facts.provider),
                record.dead_closes,
            ));
        }
    }

    pub(super) fn absorb_key(&mut self, key: String) {
        if !self.commit.absorbed_effects.contains(&key) {
            self.commit.absorbed_effects.push(key);
        }
    }

    pub(super) fn audit(&mut self, action: &str, subject: &str, reason: String) {
        self.commit.audit.push(AuditLine {
            at: self.facts.now,
            actor: "lessor".to_owned(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            reason,
        });
    }

    pub(super) fn wake_within(&mut self, wait: SignedDuration) {
        let at = self.facts.now.saturating_add(wait).unwrap_or(Timestamp::MAX);
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Notes that everything was compared since the restore, or looks again until the cluster has answered.
    fn note_restore(&mut self) {
        let Some(restore) = self.facts.restore else { return };
        let mut leases = self.record.orders.values().filter_map(|order| order.lease.as_ref());
        if leases.all(|lease| lease.is_compared(restore.number)) {
            self.record.restore = restore.number;
        } else {
            self.commit.look_again = self.facts.now.checked_add(LOOK_AGAIN).ok();
        }
    }

    /// An observation is missing or too old: asked for again after a second, then ever more rarely.
    pub(super) fn observe_again(&mut self) {
        self.unobserved = true;
    }

    pub(super) fn finish(mut self) -> Advanced {
        if self.unobserved {
            let seconds = (1_i64 << self.record.unobserved.min(6)).min(OBSERVE_AGAIN_S);
            self.wake_within(SignedDuration::from_secs(seconds));
            self.record.unobserved = self.record.unobserved.saturating_add(1);
        } else {
            self.record.unobserved = 0;
        }
        if self.read_again.is_some() {
            self.wake_within(READ_AGAIN);
        }
        if self.facts.ahead {
            self.commit.look_again = self.facts.now.checked_add(LOOK_AGAIN).ok();
        }
        self.note_restore();
        let provider = &self.facts.provider;
        let restore = self.facts.restore.map_or(0, |restore| restore.number);
        let time = self.facts.at.time;
        let orders = self.record.orders.values();
        self.commit.deadlines = orders.flat_map(|order| order.deadlines(restore, time)).collect();
        self.commit.orders = self.record.orders.values().map(OrderRecord::row).collect();
        self.commit.wake_at = self.wake_at;
        let sends = self.commit.effects.iter().any(|effect| effect.kind == EffectKind::Chain);
        if sends {
            self.commit.wake.push(Subject::Account(provider.clone()));
        }
        let keep = !self.record.orders.is_empty();
        self.commit.state = keep.then(|| serde_json::to_value(&self.record).unwrap_or_default());
        Advanced {
            record: keep.then_some(self.record),
            commit: self.commit,
            read_again: self.read_again,
            unobserved: self.unobserved,
        }
    }
}

/// Where an order's group fits, given what else is promised.
pub(super) enum Place {
    /// Here.
    At(Placement),
    /// A young inventory has no room for it.
    Nowhere,
    /// There is no young inventory, which says nothing about room.
    Unknown,
}

pub(super) fn place(facts: &bidengine::Facts) -> Place {
    let ObservedInventory::Young { inventory, .. } = &facts.inventory else {
        return Place::Unknown;
    };
    bidengine::place(&facts.order.id, &facts.order.spec, inventory, &facts.reservations)
        .map_or(Place::Nowhere, Place::At)
}
