//! Keeps the labels of nodes true while the watches are open.
//!
//! What they should be is [`labels`]' business. Nothing is asked here but the patches themselves: what is known of nodes and
//! classes comes from the caches, and a node whose labels are true costs nothing.
//!
//! The surprising fact: a node changes every few seconds, since its kubelet writes how it is. So changes only say when to look,
//! and not more often than [`PAUSE`] allows.

use std::{path::Path, sync::Arc, time::Duration};

use super::{
    inventory::{SeenCluster, gpu_names::GpuNames, labels},
    server::ApiServer,
    settings::Settings,
    watch::{Caches, Entry},
};

/// The shortest time between two looks.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest: the operator's file may have changed.
const LONGEST: Duration = Duration::from_mins(1);

/// Looks and patches for ever.
pub(super) async fn keep(server: ApiServer, caches: Arc<Caches>, settings: Arc<Settings>) {
    let mut names = Names::default();
    let mut nodes = caches.nodes.cache.changes();
    let mut classes = caches.classes.cache.changes();
    let mut capacities = caches.capacities.cache.changes();
    loop {
        names.read_again(&settings.nodes.gpu_names).await;
        for labels::NodePatch { node, patch } in wanted(&caches, &settings, &names.gpus) {
            match server.label_node(&node, &patch).await {
                Ok(()) => tracing::info!(%node, labels = %patch["metadata"]["labels"], "labelled"),
                Err(failure) => {
                    tracing::warn!(%node, detail = %failure.detail(), "a node cannot be labelled");
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
        let changed = async {
            tokio::select! {
                _ = nodes.changed() => {}
                _ = classes.changed() => {}
                _ = capacities.changed() => {}
            }
        };
        // A time-out is as good as a change.
        let _ = tokio::time::timeout(LONGEST, changed).await;
    }
}

/// The patches that are wanted; none while something that they follow from is not known well.
fn wanted(caches: &Caches, settings: &Settings, names: &GpuNames) -> Vec<labels::NodePatch> {
    let is_known = [
        caches.nodes.cache.freshness(),
        caches.pods.cache.freshness(),
        caches.classes.cache.freshness(),
        caches.capacities.cache.freshness(),
        caches.volumes.cache.freshness(),
    ]
    .iter()
    .all(super::watch::Freshness::is_current);
    if !is_known {
        return Vec::new();
    }
    let (nodes, pods) = (caches.nodes.cache.all(), caches.pods.cache.all());
    let (classes, capacities) = (caches.classes.cache.all(), caches.capacities.cache.all());
    let volumes = caches.volumes.cache.all();
    let seen = SeenCluster {
        nodes: objects(&nodes),
        pods: objects(&pods),
        storage_classes: objects(&classes),
        capacities: objects(&capacities),
        volumes: objects(&volumes),
        services: Vec::new(),
    };
    labels::patches(&seen, settings, names)
}

fn objects<T>(entries: &[Arc<Entry<T>>]) -> Vec<&T> {
    entries.iter().map(|entry| &entry.object).collect()
}

/// The operator's names of GPUs, as they were read last without a fault.
#[derive(Default)]
struct Names {
    text: String,
    gpus: GpuNames,
}

impl Names {
    /// A file that cannot be used changes nothing, and is told once.
    async fn read_again(&mut self, file: &Path) {
        if file.as_os_str().is_empty() {
            return;
        }
        let read = tokio::fs::read_to_string(file).await;
        let text = read.unwrap_or_else(|error| format!("# {error}\n["));
        if text == self.text {
            return;
        }
        match GpuNames::parse(&text) {
            Ok(gpus) => self.gpus = gpus,
            Err(detail) => {
                tracing::warn!(file = %file.display(), %detail, "the names of GPUs stay as they were");
            }
        }
        self.text = text;
    }
}
