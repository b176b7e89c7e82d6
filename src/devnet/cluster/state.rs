//! The cluster as a pure function of its rows and the time: [`State::take`] folds the rows, [`State::advance`] lets
//! time pass.
//!
//! What happens between two rows happens at moments that follow from them, in one order. So it makes no difference
//! whether time passed in one go (a restart) or while someone watched.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{
    ground::Ground,
    journal::{Change, Row},
    lease::Lease,
    logs::{self, Cursor},
    settings::Settings,
    time::later,
};
use crate::{
    devnet::cluster_api::{
        Act, ClusterEvent, Control, Failure, FailureCode, JournalEntry, LeaseStatus, LogLine,
        MAX_REPLICAS, NodeSpec, Workload,
    },
    domain::{LeaseId, inventory::Inventory},
};

/// Everything there is, at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct State {
    at: Timestamp,
    ground: Ground,
    leases: BTreeMap<LeaseId, Lease>,
    /// The moments at which something happens by itself, one for each lease that has one.
    wakes: BTreeSet<(Timestamp, LeaseId)>,
    wake_of: BTreeMap<LeaseId, Timestamp>,
    /// Leases with a replica that found no node.
    waiting: BTreeSet<LeaseId>,
    away_until: Option<Timestamp>,
    entries: Vec<JournalEntry>,
}

impl State {
    /// The moment that it shows.
    pub(super) fn at(&self) -> Timestamp {
        self.at
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.ground.settings
    }

    /// Lets time pass; an earlier `to` changes nothing.
    pub(super) fn advance(&mut self, to: Timestamp) {
        while let Some((at, id)) = self.wakes.first().filter(|(at, _)| *at <= to).cloned() {
            self.at = self.at.max(at);
            self.settle(&id, at);
        }
        self.at = self.at.max(to);
    }

    /// Takes one row in, at its time, and returns the services that an apply changed.
    pub(super) fn take(&mut self, row: Row) -> Vec<String> {
        self.advance(row.at);
        let at = row.at;
        let mut entry = JournalEntry {
            seq: row.seq,
            at,
            act: Act::Apply,
            lease: None,
            manifest_hash: None,
            changed: Vec::new(),
        };
        match row.change {
            Change::Settings(settings) => {
                entry.act = Act::Settings;
                self.ground.settings = settings;
                let nodes = self.ground.settings.nodes.clone();
                self.set_nodes(at, &nodes);
            }
            Change::Apply { lease, workload } => {
                entry.manifest_hash = Some(workload.manifest_hash.clone());
                entry.changed = self.apply(at, &lease, workload);
                entry.lease = Some(lease);
            }
            Change::Unchanged { lease, manifest_hash } => {
                entry.manifest_hash = Some(manifest_hash);
                entry.lease = Some(lease);
            }
            Change::Teardown { lease } => {
                entry.act = Act::Teardown;
                if let Some(found) = self.leases.get_mut(&lease) {
                    found.terminate(at, &mut self.ground);
                }
                self.settle(&lease, at);
                entry.lease = Some(lease);
            }
            Change::Control(control) => {
                entry.act = Act::Control;
                self.control(at, control);
            }
        }
        let changed = entry.changed.clone();
        self.entries.push(entry);
        changed
    }

    fn apply(&mut self, at: Timestamp, id: &LeaseId, workload: Workload) -> Vec<String> {
        let lease = self.leases.entry(id.clone()).or_insert_with(|| Lease::new(id.clone()));
        let changed = lease.want(at, workload, &mut self.ground);
        self.settle(id, at);
        // What the old version held may be what others wait for.
        self.place_waiting(at);
        changed
    }

    fn control(&mut self, at: Timestamp, control: Control) {
        match control {
            Control::BreakImage { image } => self.ground.break_image(image),
            Control::MendImage { image } => self.ground.mend_image(&image),
            Control::Crash { lease, service } => {
                if let Some(found) = self.leases.get_mut(&lease) {
                    found.crash(at, &service, &mut self.ground);
                }
                self.settle(&lease, at);
            }
            Control::GoAway { for_ms } => self.away_until = Some(later(at, for_ms)),
            Control::ComeBack {} => self.away_until = None,
            Control::LoseNode { node } => {
                self.ground.lose_node(node.clone());
                self.evict(at, |name| name == node);
            }
            Control::RestoreNode { node } => {
                self.ground.restore_node(&node);
                self.place_waiting(at);
            }
            Control::SetNodes { nodes } => self.set_nodes(at, &nodes),
        }
    }

    fn set_nodes(&mut self, at: Timestamp, nodes: &[NodeSpec]) {
        let holdings = self
            .leases
            .values()
            .flat_map(Lease::replicas)
            .filter_map(|(_, replica)| replica.holding.as_ref());
        self.ground.rebuild(nodes, holdings);
        self.evict(at, |name| !nodes.iter().any(|node| node.name == name));
    }

    fn evict(&mut self, at: Timestamp, is_lost: impl Fn(&str) -> bool) {
        let ids: Vec<LeaseId> = self.leases.keys().cloned().collect();
        for lease in self.leases.values_mut().filter(|lease| !lease.is_terminating()) {
            lease.evict(at, &is_lost, &mut self.ground);
        }
        for id in ids {
            self.settle(&id, at);
        }
        self.place_waiting(at);
    }

    /// Does for one lease what can be done, and notes when to look again.
    fn settle(&mut self, id: &LeaseId, at: Timestamp) {
        let mut freed = false;
        if let Some(lease) = self.leases.get_mut(id) {
            freed = lease.settle(at, &mut self.ground);
            if lease.is_gone(at)
                && let Some(lease) = self.leases.remove(id)
            {
                lease.release(&mut self.ground);
                freed = true;
            }
        }
        self.note(id);
        if freed {
            self.place_waiting(at);
        }
    }

    fn place_waiting(&mut self, at: Timestamp) {
        for id in self.waiting.clone() {
            if let Some(lease) = self.leases.get_mut(&id) {
                lease.schedule(at, &mut self.ground);
            }
            self.note(&id);
        }
    }

    fn note(&mut self, id: &LeaseId) {
        if let Some(old) = self.wake_of.remove(id) {
            self.wakes.remove(&(old, id.clone()));
        }
        let lease = self.leases.get(id);
        if let Some(wake) = lease.and_then(Lease::wake) {
            self.wake_of.insert(id.clone(), wake);
            self.wakes.insert((wake, id.clone()));
        }
        if lease.is_some_and(Lease::has_unscheduled) {
            self.waiting.insert(id.clone());
        } else {
            self.waiting.remove(id);
        }
    }

    // What follows only looks.

    /// Whether a change makes sense now.
    pub(super) fn check(&self, change: &Change) -> Result<(), Failure> {
        match change {
            Change::Apply { lease, workload } => self.check_apply(lease, workload),
            Change::Control(control) => self.check_control(control),
            Change::Settings(_) | Change::Unchanged { .. } | Change::Teardown { .. } => Ok(()),
        }
    }

    fn check_apply(&self, id: &LeaseId, workload: &Workload) -> Result<(), Failure> {
        check_workload(workload)?;
        if self.leases.get(id).is_some_and(Lease::is_terminating) {
            let message = format!("lease {id} was torn down and still goes");
            return Err(Failure { code: FailureCode::Terminating, message });
        }
        for route in &workload.hostnames {
            let holder = self
                .leases
                .iter()
                .find(|(other, lease)| *other != id && lease.holds_hostname(&route.hostname));
            if let Some((holder, _)) = holder {
                return refused(format!("hostname {:?} is held by lease {holder}", route.hostname));
            }
        }
        Ok(())
    }

    fn check_control(&self, control: &Control) -> Result<(), Failure> {
        match control {
            Control::Crash { lease, service } => {
                let lease = self.lease(lease)?;
                if lease.has_service(service) {
                    Ok(())
                } else {
                    no_such(&format!("service {service:?}"))
                }
            }
            Control::LoseNode { node } | Control::RestoreNode { node } => {
                if self.ground.has_node(node) { Ok(()) } else { no_such(&format!("node {node:?}")) }
            }
            _ => Ok(()),
        }
    }

    /// Whether the API answers.
    pub(super) fn check_reachable(&self) -> Result<(), Failure> {
        match self.away_until.filter(|until| self.at < *until) {
            Some(until) => Err(Failure {
                code: FailureCode::Unavailable,
                message: format!("the cluster is away until {until}"),
            }),
            None => Ok(()),
        }
    }

    fn lease(&self, id: &LeaseId) -> Result<&Lease, Failure> {
        match self.leases.get(id) {
            Some(lease) => Ok(lease),
            None => no_such(&format!("lease {id}")),
        }
    }

    pub(super) fn workload(&self, id: &LeaseId) -> Option<&Workload> {
        self.leases.get(id).filter(|lease| !lease.is_terminating()).map(Lease::workload)
    }

    /// Whether something of a lease is there, and whether it already goes.
    pub(super) fn terminating(&self, id: &LeaseId) -> Option<bool> {
        self.leases.get(id).map(Lease::is_terminating)
    }

    pub(super) fn inventory(&self) -> &Inventory {
        self.ground.inventory()
    }

    pub(super) fn lease_ids(&self) -> impl Iterator<Item = &LeaseId> {
        self.leases.keys()
    }

    pub(super) fn status(&self, id: &LeaseId) -> Result<LeaseStatus, Failure> {
        Ok(self.lease(id)?.status(&self.ground.settings.hostname))
    }

    /// Lines after `after`, of these services or of all, the last `tail` of each replica.
    pub(super) fn logs(
        &self,
        id: &LeaseId,
        services: &[&str],
        tail: Option<u64>,
        after: Option<&Cursor>,
    ) -> Result<Vec<LogLine>, Failure> {
        let lease = self.lease(id)?;
        if let Some(unknown) = services.iter().find(|name| !lease.has_service(name)) {
            return no_such(&format!("service {unknown:?}"));
        }
        let wanted =
            lease.replicas().filter(|(name, _)| services.is_empty() || services.contains(name));
        let every_ms = self.ground.settings.log_every_ms;
        Ok(logs::merge(
            wanted.map(|(_, replica)| logs::lines(replica, self.at, every_ms, tail, after)),
        ))
    }

    pub(super) fn events(&self, id: &LeaseId, after: u64) -> Result<Vec<ClusterEvent>, Failure> {
        Ok(self.lease(id)?.events_after(after).cloned().collect())
    }

    pub(super) fn entries(&self) -> &[JournalEntry] {
        &self.entries
    }
}

fn refused<T>(message: String) -> Result<T, Failure> {
    Err(Failure { code: FailureCode::Refused, message })
}

fn no_such<T>(what: &str) -> Result<T, Failure> {
    Err(Failure { code: FailureCode::NotFound, message: format!("there is no {what}") })
}

fn check_workload(workload: &Workload) -> Result<(), Failure> {
    let mut names = BTreeSet::new();
    let mut replicas = 0_u32;
    for service in &workload.services {
        if !names.insert(service.name.as_str()) {
            return refused(format!("service {:?} is there twice", service.name));
        }
        if service.image.is_empty() {
            return refused(format!("service {:?} has no image", service.name));
        }
        replicas = replicas.saturating_add(service.count);
    }
    if names.is_empty() {
        return refused("a workload needs at least one service".to_owned());
    }
    if replicas > MAX_REPLICAS {
        return refused(format!("{replicas} replicas are asked for, {MAX_REPLICAS} are allowed"));
    }
    match workload.hostnames.iter().find(|route| !names.contains(route.service.as_str())) {
        Some(route) => refused(format!(
            "hostname {:?} leads to service {:?}, which is not there",
            route.hostname, route.service
        )),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
