//! What is left: on each node, in each pool, of addresses. Taking is only possible where there is enough.

use std::collections::BTreeMap;

use super::{Assignment, GpuKind, Missing, Needs, Reservation, gpu::Choice};
use crate::domain::inventory::{Inventory, Node};

/// What is left on one node.
#[derive(Debug, Clone)]
pub(super) struct Room<'a> {
    pub(super) node: &'a Node,
    pub(super) cpu_milli: u64,
    memory_bytes: u64,
    ephemeral_bytes: u64,
    pub(super) gpus: BTreeMap<GpuKind, u64>,
}

/// What is left of the whole cluster.
#[derive(Debug, Clone)]
pub(super) struct Ledger<'a> {
    /// By name of the node.
    pub(super) rooms: Vec<Room<'a>>,
    pools: BTreeMap<&'a str, u64>,
    pub(super) ips: u64,
}

impl<'a> Room<'a> {
    fn new(node: &'a Node) -> Self {
        let mut gpus: BTreeMap<GpuKind, u64> = BTreeMap::new();
        for model in &node.gpus {
            let kind = GpuKind {
                vendor: model.vendor.clone(),
                model: model.model.clone(),
                ram: model.ram.clone(),
                interface: model.interface.clone(),
            };
            let left = gpus.entry(kind).or_default();
            *left = left.saturating_add(model.units.free());
        }
        Self {
            node,
            cpu_milli: node.cpu_milli.free(),
            memory_bytes: node.memory_bytes.free(),
            ephemeral_bytes: node.ephemeral_bytes.free(),
            gpus,
        }
    }

    /// What this node has too little of for one more replica.
    pub(super) fn missing(&self, needs: &Needs, choice: Option<&Choice>) -> Vec<Missing> {
        let mut rows = vec![
            ("cpu milli".to_owned(), needs.cpu_milli, self.cpu_milli),
            ("memory bytes".to_owned(), needs.memory_bytes, self.memory_bytes),
            ("ephemeral bytes".to_owned(), needs.ephemeral_bytes, self.ephemeral_bytes),
        ];
        if let Some(choice) = choice {
            rows.push((choice.name(), needs.gpu_units, self.most_gpus(choice)));
        }
        for class in needs.storage.keys() {
            let there = u64::from(self.node.storage_classes.contains(class));
            rows.push((format!("storage class {class}"), 1, there));
        }
        rows.into_iter()
            .filter(|(_, needed, there)| needed > there)
            .map(|(what, needed, there)| Missing { what, needed, there })
            .collect()
    }

    pub(super) fn takes(&self, needs: &Needs, choice: Option<&Choice>) -> bool {
        self.node.excluded.is_none()
            && self.cpu_milli >= needs.cpu_milli
            && self.memory_bytes >= needs.memory_bytes
            && self.ephemeral_bytes >= needs.ephemeral_bytes
            && choice.is_none_or(|choice| self.most_gpus(choice) >= needs.gpu_units)
            && needs.storage.keys().all(|class| self.node.storage_classes.contains(class))
    }

    /// The most GPUs of one kind that answer `choice`.
    fn most_gpus(&self, choice: &Choice) -> u64 {
        let answers = self.gpus.iter().filter(|(kind, _)| choice.takes(kind));
        answers.map(|(_, left)| *left).max().unwrap_or(0)
    }

    /// The kind with the fewest left that still has enough, so that large requests keep their room.
    pub(super) fn gpu_kind(&self, choice: &Choice, units: u64) -> Option<GpuKind> {
        self.gpus
            .iter()
            .filter(|(kind, left)| choice.takes(kind) && **left >= units)
            .min_by_key(|(kind, left)| (**left, *kind))
            .map(|(kind, _)| kind.clone())
    }

    fn take(&mut self, needs: &Needs, gpu: Option<&GpuKind>) {
        // Reservations may hold more than there is now (a node lost a disk); then nothing is left, never less than nothing.
        self.cpu_milli = self.cpu_milli.saturating_sub(needs.cpu_milli);
        self.memory_bytes = self.memory_bytes.saturating_sub(needs.memory_bytes);
        self.ephemeral_bytes = self.ephemeral_bytes.saturating_sub(needs.ephemeral_bytes);
        if let Some(left) = gpu.and_then(|kind| self.gpus.get_mut(kind)) {
            *left = left.saturating_sub(needs.gpu_units);
        }
    }
}

impl<'a> Ledger<'a> {
    pub(super) fn new<'r>(
        inventory: &'a Inventory,
        reservations: impl Iterator<Item = &'r Reservation>,
    ) -> Self {
        let mut rooms: Vec<_> = inventory.nodes.iter().map(Room::new).collect();
        rooms.sort_by(|a, b| a.node.name.cmp(&b.node.name));
        let pools =
            inventory.storage.iter().map(|(class, pool)| (class.as_str(), pool.free())).collect();
        let mut ledger = Self { rooms, pools, ips: inventory.ips.free() };
        for reservation in reservations {
            ledger.ips = ledger.ips.saturating_sub(reservation.ips);
            for assignment in &reservation.assignments {
                ledger.take(assignment);
            }
        }
        ledger
    }

    /// Subtracts what a replica takes. Its node may be gone; what it takes of the pools is taken all the same.
    pub(super) fn take(&mut self, assignment: &Assignment) {
        for (class, bytes) in &assignment.needs.storage {
            if let Some(left) = self.pools.get_mut(class.as_str()) {
                *left = left.saturating_sub(*bytes);
            }
        }
        let at = self.rooms.binary_search_by(|room| room.node.name.as_str().cmp(&assignment.node));
        if let Ok(at) = at {
            self.rooms[at].take(&assignment.needs, assignment.gpu.as_ref());
        }
    }

    /// Bytes left of a class; 0 when there is no such pool.
    pub(super) fn pool(&self, class: &str) -> u64 {
        self.pools.get(class).copied().unwrap_or(0)
    }
}
