//! What one lease runs: its services, their versions and replicas, their roll-out and their events.
//!
//! Everything here is level-triggered: [`Lease::settle`] looks at what is wanted and what is there and does what can be
//! done at that moment, as often as it is asked.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use jiff::Timestamp;

use super::{
    ground::Ground,
    replica::{Happening, Phase, Replica},
    time::{later, short_hash},
};
use crate::{
    devnet::cluster_api::{
        ClusterEvent, ForwardedPort, HostnameRoute, LeaseStatus, Protocol, Reach, Service,
        ServiceStatus, Workload,
    },
    domain::LeaseId,
};

/// How many events of a lease are kept.
const MAX_EVENTS: usize = 1000;

/// One lease in the cluster.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Lease {
    id: LeaseId,
    workload: Workload,
    running: BTreeMap<String, Running>,
    /// Port of the cluster's address by what it leads to.
    forwarded: BTreeMap<ForwardedKey, u16>,
    addresses: u64,
    events: VecDeque<(u64, ClusterEvent)>,
    /// Nothing is left from then on.
    gone_at: Option<Timestamp>,
    /// Replicas that there ever were, for their names.
    born: u64,
}

/// Service, port of the container, port that others see, transport.
type ForwardedKey = (String, u16, u16, Protocol);

/// A service and its replicas.
#[derive(Debug, Clone, PartialEq)]
struct Running {
    template: Arc<Service>,
    generation: u64,
    /// The generation in which the template changed last; a change of the count alone restarts nothing.
    revision: u64,
    replicas: Vec<Replica>,
}

impl Lease {
    pub(super) fn new(id: LeaseId) -> Self {
        Self {
            id,
            workload: Workload {
                manifest_hash: String::new(),
                services: Vec::new(),
                hostnames: Vec::new(),
            },
            running: BTreeMap::new(),
            forwarded: BTreeMap::new(),
            addresses: 0,
            events: VecDeque::new(),
            gone_at: None,
            born: 0,
        }
    }

    pub(super) fn workload(&self) -> &Workload {
        &self.workload
    }

    pub(super) fn is_terminating(&self) -> bool {
        self.gone_at.is_some()
    }

    pub(super) fn is_gone(&self, at: Timestamp) -> bool {
        self.gone_at.is_some_and(|gone_at| gone_at <= at)
    }

    pub(super) fn has_unscheduled(&self) -> bool {
        self.gone_at.is_none() && self.replicas().any(|(_, replica)| replica.is_unscheduled())
    }

    pub(super) fn has_service(&self, name: &str) -> bool {
        self.running.contains_key(name)
    }

    pub(super) fn holds_hostname(&self, hostname: &str) -> bool {
        !self.is_terminating()
            && self.workload.hostnames.iter().any(|route| route.hostname == hostname)
    }

    pub(super) fn replicas(&self) -> impl Iterator<Item = (&str, &Replica)> {
        self.running.iter().flat_map(|(name, running)| {
            running.replicas.iter().map(move |replica| (name.as_str(), replica))
        })
    }

    /// When something happens next without anyone asking.
    pub(super) fn wake(&self) -> Option<Timestamp> {
        match self.gone_at {
            Some(gone_at) => Some(gone_at),
            None => self.replicas().filter_map(|(_, replica)| replica.due()).min(),
        }
    }

    /// Makes the workload what is wanted and returns the names of the services that it changes.
    pub(super) fn want(
        &mut self,
        at: Timestamp,
        workload: Workload,
        ground: &mut Ground,
    ) -> Vec<String> {
        let mut changed = Vec::new();
        let names: Vec<&str> =
            workload.services.iter().map(|service| service.name.as_str()).collect();
        let dropped: Vec<String> =
            self.running.keys().filter(|name| !names.contains(&name.as_str())).cloned().collect();
        for name in dropped {
            for mut replica in
                self.running.remove(&name).map(|running| running.replicas).unwrap_or_default()
            {
                self.stop(at, &name, &mut replica, ground);
            }
            changed.push(name);
        }
        for service in &workload.services {
            if self.want_service(service) {
                changed.push(service.name.clone());
            }
        }
        changed.sort();
        self.forward_ports(&workload, ground);
        self.take_addresses(&workload, ground);
        self.workload = workload;
        changed
    }

    fn want_service(&mut self, service: &Service) -> bool {
        let Some(running) = self.running.get_mut(&service.name) else {
            let fresh = Running {
                template: Arc::new(service.clone()),
                generation: 1,
                revision: 1,
                replicas: Vec::new(),
            };
            self.running.insert(service.name.clone(), fresh);
            return true;
        };
        if *running.template == *service {
            return false;
        }
        running.generation += 1;
        if (Service { count: service.count, ..(*running.template).clone() }) != *service {
            running.revision = running.generation;
        }
        running.template = Arc::new(service.clone());
        true
    }

    /// Ports that stay keep their number; ports that go give it back.
    fn forward_ports(&mut self, workload: &Workload, ground: &mut Ground) {
        let wanted: Vec<ForwardedKey> = workload.services.iter().flat_map(forwarded_keys).collect();
        self.forwarded.retain(|key, number| {
            let stays = wanted.contains(key);
            if !stays {
                ground.free_port(*number);
            }
            stays
        });
        for key in wanted {
            if !self.forwarded.contains_key(&key) {
                let seed = format!("{} {} {} {:?}", self.id, key.0, key.1, key.3);
                if let Some(number) = ground.take_port(&seed) {
                    self.forwarded.insert(key, number);
                }
            }
        }
    }

    fn take_addresses(&mut self, workload: &Workload, ground: &mut Ground) {
        let mut names: Vec<&str> = workload
            .services
            .iter()
            .flat_map(|service| &service.ports)
            .filter_map(|port| match &port.reach {
                Reach::Address(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        let wanted = u64::try_from(names.len()).unwrap_or(u64::MAX);
        ground.change_addresses(self.addresses, wanted);
        self.addresses = wanted;
    }

    /// Starts its end: everything stops now, what it holds is free when nothing is left.
    pub(super) fn terminate(&mut self, at: Timestamp, ground: &mut Ground) {
        self.gone_at = Some(later(at, ground.settings.teardown_ms));
        let Self { running, events, .. } = self;
        for (name, running) in running {
            for replica in &mut running.replicas {
                let happening = replica.stop(at);
                record(events, ground, name, &replica.name, happening);
            }
        }
    }

    /// Gives everything back.
    pub(super) fn release(self, ground: &mut Ground) {
        for (_, replica) in self.replicas() {
            ground.give_back(replica.holding.as_ref());
        }
        for number in self.forwarded.values() {
            ground.free_port(*number);
        }
        ground.change_addresses(self.addresses, 0);
    }

    /// Every running replica of a service exits once.
    pub(super) fn crash(&mut self, at: Timestamp, service: &str, ground: &mut Ground) {
        let Self { running, events, .. } = self;
        let Some(running) = running.get_mut(service) else { return };
        for replica in &mut running.replicas {
            let happenings = replica.crash(at, &ground.settings);
            record(events, ground, service, &replica.name, happenings);
        }
    }

    /// Replaces every replica on a node for which `is_lost` holds.
    pub(super) fn evict(
        &mut self,
        at: Timestamp,
        is_lost: impl Fn(&str) -> bool,
        ground: &mut Ground,
    ) {
        let mut evicted = Vec::new();
        for (name, running) in &mut self.running {
            let lost = |replica: &mut Replica| {
                replica.holding.as_ref().is_some_and(|holding| is_lost(&holding.node))
            };
            evicted.extend(running.replicas.extract_if(.., lost).map(|gone| (name.clone(), gone)));
        }
        for (name, mut replica) in evicted {
            self.stop(at, &name, &mut replica, ground);
        }
    }

    /// Does all that can be done at this moment: phases that end, roll-outs, replicas that find a node. `true` when
    /// something was given back that others may wait for.
    pub(super) fn settle(&mut self, at: Timestamp, ground: &mut Ground) -> bool {
        if self.is_terminating() {
            return false;
        }
        let mut freed = false;
        loop {
            let stepped = self.step(at, ground);
            let rolled = self.roll_out(at, ground);
            self.schedule(at, ground);
            freed |= rolled;
            if !stepped && !rolled {
                return freed;
            }
        }
    }

    /// Ends the phases that are over.
    fn step(&mut self, at: Timestamp, ground: &mut Ground) -> bool {
        let mut stepped = false;
        let Self { running, events, .. } = self;
        for (name, running) in running {
            for replica in &mut running.replicas {
                while replica.due().is_some_and(|due| due <= at) {
                    let happenings = ground.step(replica, at);
                    record(events, ground, name, &replica.name, happenings);
                    stepped = true;
                }
            }
        }
        stepped
    }

    /// Brings the replicas of each service to the wanted number and version. A working replica of an older version
    /// goes only when all of the newest are ready, one at a time.
    fn roll_out(&mut self, at: Timestamp, ground: &mut Ground) -> bool {
        let mut stopped = Vec::new();
        for (name, running) in &mut self.running {
            let Running { template, revision, replicas, .. } = running;
            let surplus = |replica: &mut Replica| {
                replica.ordinal >= template.count
                    || (replica.revision < *revision && !replica.is_ready())
            };
            stopped.extend(replicas.extract_if(.., surplus).map(|gone| (name.clone(), gone)));
            let newest_ready =
                replicas.iter().all(|replica| replica.revision < *revision || replica.is_ready());
            let complete = u32::try_from(replicas.len()) == Ok(template.count);
            let oldest = replicas.iter().position(|replica| replica.revision < *revision);
            if let (true, true, Some(oldest)) = (newest_ready, complete, oldest) {
                stopped.push((name.clone(), replicas.remove(oldest)));
            }
            for ordinal in 0..template.count {
                if !replicas.iter().any(|replica| replica.ordinal == ordinal) {
                    self.born += 1;
                    let name = replica_name(&self.id, template, ordinal, self.born);
                    replicas.push(Replica::new(name, ordinal, *revision, template.clone()));
                }
            }
            replicas.sort_by_key(|replica| replica.ordinal);
        }
        let freed = !stopped.is_empty();
        for (name, mut replica) in stopped {
            self.stop(at, &name, &mut replica, ground);
        }
        freed
    }

    /// Looks for a node for each replica that has none.
    pub(super) fn schedule(&mut self, at: Timestamp, ground: &mut Ground) {
        let Self { running, events, .. } = self;
        for (name, running) in running {
            for replica in &mut running.replicas {
                if replica.is_unscheduled() {
                    let happenings = ground.place(replica, at);
                    record(events, ground, name, &replica.name, happenings);
                }
            }
        }
    }

    fn stop(&mut self, at: Timestamp, service: &str, replica: &mut Replica, ground: &mut Ground) {
        let happening = replica.stop(at);
        ground.give_back(replica.holding.take().as_ref());
        record(&mut self.events, ground, service, &replica.name, happening);
    }

    /// What it looks like to whoever asks.
    pub(super) fn status(&self, host: &str) -> LeaseStatus {
        let services =
            self.running.iter().map(|(name, running)| self.service_status(name, running));
        let forwarded_ports = self.forwarded.iter().map(|(key, &external_port)| ForwardedPort {
            service: key.0.clone(),
            host: host.to_owned(),
            port: key.1,
            external_port,
            proto: key.3,
        });
        LeaseStatus {
            manifest_hash: self.workload.manifest_hash.clone(),
            terminating: self.is_terminating(),
            services: services.collect(),
            forwarded_ports: forwarded_ports.collect(),
        }
    }

    fn service_status(&self, name: &str, running: &Running) -> ServiceStatus {
        let count = |is: &dyn Fn(&Replica) -> bool| {
            u32::try_from(running.replicas.iter().filter(|replica| is(replica)).count())
                .unwrap_or(u32::MAX)
        };
        let leads_here = |route: &&HostnameRoute| route.service == name;
        let reason = if self.is_terminating() {
            Some("Terminating: the lease was torn down".to_owned())
        } else {
            running.replicas.iter().find_map(Replica::complaint)
        };
        ServiceStatus {
            name: name.to_owned(),
            ready: count(&Replica::is_ready),
            total: running.template.count,
            updated: count(&|replica| {
                replica.revision == running.revision && replica.phase != Phase::Stopped
            }),
            generation: running.generation,
            hostnames: self
                .workload
                .hostnames
                .iter()
                .filter(leads_here)
                .map(|route| route.hostname.clone())
                .collect(),
            reason,
        }
    }

    /// Events after the one with this number.
    pub(super) fn events_after(&self, after: u64) -> impl Iterator<Item = &ClusterEvent> {
        self.events.iter().filter(move |(number, _)| *number > after).map(|(_, event)| event)
    }
}

/// Writes events down, with numbers that grow over the whole cluster.
fn record(
    events: &mut VecDeque<(u64, ClusterEvent)>,
    ground: &mut Ground,
    service: &str,
    replica: &str,
    happenings: impl IntoIterator<Item = Happening>,
) {
    for Happening { at, warning, reason, message } in happenings {
        let number = ground.next_event();
        let event = ClusterEvent {
            cursor: number.to_string(),
            at,
            service: service.to_owned(),
            replica: replica.to_owned(),
            reason: reason.to_owned(),
            message,
            kind: if warning { "Warning" } else { "Normal" }.to_owned(),
        };
        events.push_back((number, event));
        while events.len() > MAX_EVENTS {
            events.pop_front();
        }
    }
}

/// A stateful replica is named by its number, any other by what it runs and when it came, as Kubernetes names pods.
fn replica_name(lease: &LeaseId, template: &Service, ordinal: u32, born: u64) -> String {
    let Service { name, image, .. } = template;
    let persistent =
        |volume: &crate::domain::Volume| volume.attribute("persistent") == Some("true");
    if template.resources.storage.iter().any(persistent) {
        return format!("{name}-{ordinal}");
    }
    let lease = lease.to_string();
    let version = short_hash(&[&lease, name, image], 10);
    let own = short_hash(&[&lease, name, &ordinal.to_string(), &born.to_string()], 5);
    format!("{name}-{version}-{own}")
}

fn forwarded_keys(service: &Service) -> impl Iterator<Item = ForwardedKey> {
    service
        .ports
        .iter()
        .filter(|port| matches!(port.reach, Reach::Forwarded | Reach::Address(_)))
        .map(|port| (service.name.clone(), port.port, port.external_port, port.proto))
}
