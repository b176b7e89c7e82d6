//! What all leases share: the nodes with their capacity, ports of the cluster's address, the settings.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::{
    capacity::{self, Holding},
    replica::{Conditions, Happening, Replica},
    settings::Settings,
    time::draw,
};
use crate::{devnet::cluster_api::NodeSpec, domain::inventory::Inventory};

/// Ports of the cluster's address that are given out, Kubernetes' own default range.
const FORWARDED_PORTS: std::ops::Range<u16> = 30_000..32_768;

/// The cluster without its leases.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Ground {
    pub(super) settings: Settings,
    inventory: Inventory,
    /// Images that someone broke.
    broken_images: BTreeSet<String>,
    lost_nodes: BTreeSet<String>,
    forwarded: BTreeSet<u16>,
    events: u64,
}

impl Ground {
    pub(super) fn inventory(&self) -> &Inventory {
        &self.inventory
    }

    pub(super) fn has_node(&self, name: &str) -> bool {
        self.inventory.nodes.iter().any(|node| node.name == name)
    }

    pub(super) fn break_image(&mut self, image: String) {
        self.broken_images.insert(image);
    }

    pub(super) fn mend_image(&mut self, image: &str) {
        self.broken_images.remove(image);
    }

    pub(super) fn lose_node(&mut self, node: String) {
        self.lost_nodes.insert(node);
        self.exclude_lost();
    }

    pub(super) fn restore_node(&mut self, node: &str) {
        self.lost_nodes.remove(node);
        self.exclude_lost();
    }

    fn exclude_lost(&mut self) {
        for node in &mut self.inventory.nodes {
            node.excluded = self
                .lost_nodes
                .contains(&node.name)
                .then(|| "NotReady: the node does not answer".to_owned());
        }
    }

    /// Starts the inventory anew from these nodes, with `holdings` taken.
    pub(super) fn rebuild<'a>(
        &mut self,
        nodes: &[NodeSpec],
        holdings: impl Iterator<Item = &'a Holding>,
    ) {
        let ips = self.inventory.ips.allocated;
        self.inventory =
            capacity::empty_inventory(nodes, &self.settings.storage, self.settings.ips);
        self.inventory.ips.allocated = ips;
        for holding in holdings {
            capacity::take(&mut self.inventory, holding);
        }
        self.exclude_lost();
    }

    pub(super) fn place(&mut self, replica: &mut Replica, at: Timestamp) -> Vec<Happening> {
        match capacity::take_first_fit(&mut self.inventory, &replica.template.resources) {
            Ok(holding) => replica.place(at, holding, &self.settings),
            Err(why) => replica.refuse(at, why).into_iter().collect(),
        }
    }

    pub(super) fn step(&self, replica: &mut Replica, at: Timestamp) -> Vec<Happening> {
        let is_broken = |image: &str| {
            self.broken_images.contains(image) || self.settings.misbehaviour.is_unpullable(image)
        };
        replica.step(at, &Conditions { settings: &self.settings, is_broken: &is_broken })
    }

    pub(super) fn give_back(&mut self, holding: Option<&Holding>) {
        if let Some(holding) = holding {
            capacity::give_back(&mut self.inventory, holding);
        }
    }

    /// More leased addresses than there are can be counted as taken, since the lease waits for them.
    pub(super) fn change_addresses(&mut self, before: u64, after: u64) {
        let taken = &mut self.inventory.ips.allocated;
        *taken = taken.saturating_sub(before).saturating_add(after);
    }

    /// A free port of the cluster's address, where possible always the same for the same seed.
    pub(super) fn take_port(&mut self, seed: &str) -> Option<u16> {
        let count = FORWARDED_PORTS.len();
        let first = usize::try_from(draw(&[seed], u64::try_from(count).ok()?)).ok()?;
        let free = FORWARDED_PORTS
            .cycle()
            .skip(first)
            .take(count)
            .find(|port| !self.forwarded.contains(port))?;
        self.forwarded.insert(free);
        Some(free)
    }

    pub(super) fn free_port(&mut self, port: u16) {
        self.forwarded.remove(&port);
    }

    pub(super) fn next_event(&mut self) -> u64 {
        self.events += 1;
        self.events
    }
}
