//! The cluster of the tests: nodes, what runs on them, and an eye on every change that is asked for.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
};

use async_trait::async_trait;
use futures_util::{StreamExt, stream, stream::BoxStream};
use lessor::{
    bidengine::placement::Needs,
    domain::{
        LeaseId,
        inventory::{Inventory, Node, Quantity},
    },
    provider::port::{
        Cluster, ClusterError, ClusterErrorKind, ClusterEvent, LeaseStatus, LogLine, LogQuery,
        ServiceStatus, Teardown, Workload,
    },
};

use super::{
    fault::{Faults, Gate},
    market::Market,
};

pub(super) const GI: u64 = 1 << 30;

/// What runs, and what was asked for.
pub(super) struct Ground {
    pub(super) nodes: Vec<Node>,
    pub(super) running: BTreeMap<LeaseId, Workload>,
    pub(super) applied: Vec<(LeaseId, String)>,
    pub(super) torn_down: Vec<LeaseId>,
    /// Leases that were stopped and whose data is kept; `None` for a cluster that cannot.
    pub(super) stopped: Option<Vec<LeaseId>>,
    /// What others did to what runs, until it is applied again.
    pub(super) drift: BTreeMap<LeaseId, Vec<String>>,
    /// The manifest that the cluster refuses, when it has changed half of what runs.
    pub(super) refused: Option<String>,
    /// Why no service is ready, while none is.
    pub(super) failing: Option<&'static str>,
    /// How often the inventory was asked for.
    pub(super) asked: u32,
    pub(super) faults: Faults,
    pub(super) violations: Vec<String>,
}

/// A node with so many cores, and more than enough of the rest.
pub(super) fn machine(name: &str, cores: u64) -> Node {
    Node {
        name: name.to_owned(),
        cpu_milli: Quantity::of(cores * 1000),
        memory_bytes: Quantity::of(64 * GI),
        ephemeral_bytes: Quantity::of(512 * GI),
        gpus: Vec::new(),
        storage_classes: Vec::new(),
        excluded: None,
    }
}

impl Ground {
    pub(super) fn new(nodes: Vec<Node>, seed: u64) -> Self {
        Self {
            nodes,
            running: BTreeMap::new(),
            refused: None,
            applied: Vec::new(),
            torn_down: Vec::new(),
            stopped: None,
            drift: BTreeMap::new(),
            failing: None,
            asked: 0,
            faults: Faults::new(seed ^ 0xC1),
            violations: Vec::new(),
        }
    }

    /// Thousandths of cores that there are.
    pub(super) fn cores(&self) -> u64 {
        self.nodes.iter().map(|node| node.cpu_milli.allocatable).sum()
    }

    /// Each replica is on the first node that has room; one without room waits and takes nothing.
    fn inventory(&self) -> Inventory {
        let mut nodes = self.nodes.clone();
        for workload in self.running.values() {
            for service in &workload.group.services {
                let needs = Needs::of(&service.resources().unwrap());
                for _ in 0..service.count {
                    let node = nodes.iter_mut().find(|node| {
                        node.cpu_milli.free() >= needs.cpu_milli
                            && node.memory_bytes.free() >= needs.memory_bytes
                            && node.ephemeral_bytes.free() >= needs.ephemeral_bytes
                    });
                    if let Some(node) = node {
                        node.cpu_milli.allocated += needs.cpu_milli;
                        node.memory_bytes.allocated += needs.memory_bytes;
                        node.ephemeral_bytes.allocated += needs.ephemeral_bytes;
                    }
                }
            }
        }
        Inventory { nodes, ..Inventory::default() }
    }
}

/// What one process sees of the cluster.
pub(super) struct Window {
    ground: Arc<Mutex<Ground>>,
    market: Arc<Mutex<Market>>,
    gate: Arc<Gate>,
}

fn failed(doing: &'static str) -> ClusterError {
    ClusterError {
        doing,
        detail: "as the test wants it".to_owned(),
        kind: ClusterErrorKind::Unavailable,
    }
}

impl Window {
    pub(super) fn new(
        ground: Arc<Mutex<Ground>>,
        market: Arc<Mutex<Market>>,
        gate: Arc<Gate>,
    ) -> Self {
        Self { ground, market, gate }
    }

    fn ground(&self) -> MutexGuard<'_, Ground> {
        self.ground.lock().unwrap()
    }

    async fn enter(&self, doing: &'static str, about: &str) -> Result<(), ClusterError> {
        self.gate.pass().await;
        let call = format!("{doing} {about}");
        if self.ground().faults.strikes(&call, |rates| rates.cluster_fails) {
            return Err(failed(doing));
        }
        Ok(())
    }

    async fn leave(&self, doing: &'static str, about: &str) -> Result<(), ClusterError> {
        self.gate.pass().await;
        let call = format!("after {doing} {about}");
        if self.ground().faults.strikes(&call, |rates| rates.cluster_lost_after) {
            return Err(failed(doing));
        }
        Ok(())
    }
}

#[async_trait]
impl Cluster for Window {
    async fn inventory(&self) -> Result<Inventory, ClusterError> {
        self.ground().asked += 1;
        self.enter("inventory", "").await?;
        Ok(self.ground().inventory())
    }

    async fn apply(&self, workload: &Workload) -> Result<(), ClusterError> {
        let about = workload.lease.to_string();
        self.enter("apply", &about).await?;
        {
            let mut ground = self.ground();
            ground.applied.push((workload.lease.clone(), workload.manifest_hash.clone()));
            if ground.refused.as_ref() == Some(&workload.manifest_hash) {
                if let Some(running) = ground.running.get_mut(&workload.lease) {
                    running.group = workload.group.clone();
                }
                return Err(ClusterError {
                    kind: ClusterErrorKind::Refused,
                    ..failed("apply a workload")
                });
            }
            ground.drift.remove(&workload.lease);
            ground.running.insert(workload.lease.clone(), workload.clone());
        }
        self.leave("apply", &about).await
    }

    async fn drift(&self, workload: &Workload) -> Result<Vec<String>, ClusterError> {
        self.enter("drift", &workload.lease.to_string()).await?;
        Ok(self.ground().drift.get(&workload.lease).cloned().unwrap_or_default())
    }

    async fn quarantine(&self, lease: &LeaseId) -> Result<(), ClusterError> {
        let about = lease.to_string();
        self.enter("quarantine", &about).await?;
        {
            let mut ground = self.ground();
            let Some(stopped) = &mut ground.stopped else {
                return Err(ClusterError {
                    kind: ClusterErrorKind::Refused,
                    ..failed("stop a workload")
                });
            };
            stopped.push(lease.clone());
            ground.running.remove(lease);
        }
        self.leave("quarantine", &about).await
    }

    async fn teardown(&self, lease: &LeaseId) -> Result<Teardown, ClusterError> {
        let about = lease.to_string();
        self.enter("teardown", &about).await?;
        let on_chain = self.market.lock().unwrap().lease(lease);
        let gone = {
            let mut ground = self.ground();
            if on_chain.is_none_or(|found| found.state.is_running()) {
                ground
                    .violations
                    .push(format!("{lease} is torn down and the chain has it running"));
            }
            ground.torn_down.push(lease.clone());
            let slow = ground.running.contains_key(lease)
                && ground.faults.strikes(&format!("go {lease}"), |rates| rates.goes_slowly);
            if !slow {
                ground.running.remove(lease);
            }
            !slow
        };
        self.leave("teardown", &about).await?;
        Ok(if gone { Teardown::Gone } else { Teardown::GOING })
    }

    async fn status(&self, lease: &LeaseId) -> Result<Option<LeaseStatus>, ClusterError> {
        self.enter("status", &lease.to_string()).await?;
        let ground = self.ground();
        let failing = ground.failing;
        Ok(ground.running.get(lease).map(|workload| LeaseStatus {
            manifest_hash: workload.manifest_hash.clone(),
            services: workload
                .group
                .services
                .iter()
                .map(|service| ServiceStatus {
                    name: service.name.clone(),
                    ready: if failing.is_some() { 0 } else { service.count },
                    total: service.count,
                    updated: service.count,
                    generation: 1,
                    hostnames: workload
                        .hostnames
                        .iter()
                        .filter(|route| route.service == service.name)
                        .map(|route| route.hostname.clone())
                        .collect(),
                    reason: failing.map(str::to_owned),
                })
                .collect(),
            forwarded_ports: Vec::new(),
        }))
    }

    async fn leases(&self) -> Result<Vec<LeaseId>, ClusterError> {
        self.enter("leases", "").await?;
        Ok(self.ground().running.keys().cloned().collect())
    }

    async fn logs(
        &self,
        _lease: &LeaseId,
        _query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine, ClusterError>>, ClusterError> {
        Ok(stream::empty().boxed())
    }

    async fn events(
        &self,
        _lease: &LeaseId,
        _follow: bool,
        _after: Option<&str>,
    ) -> Result<BoxStream<'static, Result<ClusterEvent, ClusterError>>, ClusterError> {
        Ok(stream::empty().boxed())
    }
}
