//! Whether parts of today's provider run in the cluster, and what lessor leaves to them meanwhile. Pure.
//!
//! | part | what it writes |
//! |---|---|
//! | provider | everything of a lease |
//! | hostname operator | Ingresses and `HTTPRoute`s |
//! | IP operator | Services with leased addresses |
//! | inventory operator | node labels |
//!
//! Two that write the same take turns undoing each other. So lessor writes nothing that a part writes which runs, until it is
//! told to take over (`cluster.kubernetes.take_over`); what is left to others then is theirs to remove as well.
//!
//! The surprising fact: all of them are one program, so what tells them apart is the name of their pods.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;

use super::settings::Settings;
use crate::provider::port::OtherWriter;

/// A part of today's provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// The provider itself.
    Provider,
    /// Hostnames.
    HostnameOperator,
    /// Leased addresses.
    IpOperator,
    /// What nodes have.
    InventoryOperator,
}

impl Part {
    /// What its pods' names begin with, as its installation names them.
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Provider, "akash-provider-"),
        (Self::HostnameOperator, "operator-hostname-"),
        (Self::IpOperator, "operator-ip-"),
        (Self::InventoryOperator, "operator-inventory-"),
    ];
    /// Pods that the inventory operator leaves behind; they write nothing.
    const DISCOVERY: &'static str = "operator-inventory-hardware-discovery-";

    /// What it is called.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Provider => "today's provider",
            Self::HostnameOperator => "the hostname operator of today's provider",
            Self::IpOperator => "the IP operator of today's provider",
            Self::InventoryOperator => "the inventory operator of today's provider",
        }
    }

    /// What lessor leaves to it.
    #[must_use]
    pub const fn writes(self) -> &'static str {
        match self {
            Self::Provider => "everything of a lease",
            Self::HostnameOperator => "Ingresses and HTTPRoutes",
            Self::IpOperator => "Services with leased addresses",
            Self::InventoryOperator => "node labels",
        }
    }
}

/// The parts that run, each with one of its pods as `namespace/name`.
#[must_use]
pub fn running(pods: &[&Pod]) -> BTreeMap<Part, String> {
    let mut found = BTreeMap::new();
    for pod in pods {
        let (Some(namespace), Some(name)) = (&pod.metadata.namespace, &pod.metadata.name) else {
            continue;
        };
        let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
        let part = Part::NAMES.iter().find(|(_, start)| name.starts_with(start));
        let Some((part, _)) = part.filter(|_| {
            namespace == "akash-services"
                && matches!(phase, Some("Running" | "Pending"))
                && !name.starts_with(Part::DISCOVERY)
        }) else {
            continue;
        };
        found.entry(*part).or_insert_with(|| format!("{namespace}/{name}"));
    }
    found
}

/// The parts that run, for an operator to read.
#[must_use]
pub fn writers(pods: &[&Pod], settings: &Settings) -> Vec<OtherWriter> {
    let writer = |(part, pod): (Part, String)| OtherWriter {
        name: part.name(),
        pod,
        writes: part.writes(),
        stops_leases: part == Part::Provider && !settings.take_over,
        is_left_to_it: !settings.take_over,
    };
    running(pods).into_iter().map(writer).collect()
}

/// Why no lease is written at all: today's provider itself runs, and lessor is not told to take over. It may be stopped any
/// time, so it is worth asking again.
#[must_use]
pub fn forbids(running: &BTreeSet<Part>, settings: &Settings) -> Option<String> {
    (running.contains(&Part::Provider) && !settings.take_over).then(|| {
        "today's provider runs in this cluster and writes the same objects: stop it, or set cluster.kubernetes.take_over"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_known_by_their_pods_while_they_run() {
        let pod = |namespace: &str, name: &str, phase: &str| -> Pod {
            let pod = json!({
                "metadata": { "namespace": namespace, "name": name }, "status": { "phase": phase },
            });
            serde_json::from_value(pod).unwrap()
        };
        let pods = [
            pod("akash-services", "akash-provider-0", "Running"),
            pod("akash-services", "operator-hostname-7d9-x", "Running"),
            pod("akash-services", "operator-ip-7d9-x", "Succeeded"),
            pod("akash-services", "operator-inventory-hardware-discovery-n1", "Running"),
            pod("elsewhere", "operator-inventory-7d9-x", "Running"),
        ];
        let found = running(&pods.iter().collect::<Vec<_>>());
        let expected = [
            (Part::Provider, "akash-services/akash-provider-0".to_owned()),
            (Part::HostnameOperator, "akash-services/operator-hostname-7d9-x".to_owned()),
        ];
        assert_eq!(found, expected.into());
        let running = found.into_keys().collect();
        let mut settings = Settings::default();
        let told = writers(&pods.iter().collect::<Vec<_>>(), &settings);
        let told: Vec<_> = told
            .iter()
            .map(|one| (one.pod.as_str(), one.stops_leases, one.is_left_to_it))
            .collect();
        assert_eq!(
            told,
            [
                ("akash-services/akash-provider-0", true, true),
                ("akash-services/operator-hostname-7d9-x", false, true),
            ]
        );
        assert!(forbids(&running, &settings).is_some());
        assert_eq!(forbids(&BTreeSet::from([Part::IpOperator]), &settings), None);
        settings.take_over = true;
        assert_eq!(forbids(&running, &settings), None);
        let told = writers(&pods.iter().collect::<Vec<_>>(), &settings);
        assert!(told.iter().all(|one| !one.stops_leases && !one.is_left_to_it));
    }
}
