//! What runs for a lease, from its objects as they were seen last; pure.
//!
//! Ready is what the cluster calls ready, total is what is wanted, also of a `StatefulSet`, whose `currentReplicas` counts
//! pods of the old revision and no readiness. Why a service is not ready is [`reason`]'s question.
//!
//! The surprising fact: numbers that a controller wrote before it has seen the newest version speak of the old one; until
//! it has, no replica counts as updated.

mod reason;

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{Node, Pod, Service},
    },
    apimachinery::pkg::{apis::meta::v1::ObjectMeta, util::intstr::IntOrString},
};

use super::names;
use crate::provider::port::{ForwardedPort, LeaseStatus, ServiceStatus};

/// What was seen of one lease.
#[derive(Debug, Clone, Copy, Default)]
pub struct SeenLease<'s> {
    /// Of the manifest that was applied last.
    pub manifest_hash: &'s str,
    /// Whether its namespace is being deleted.
    pub is_going: bool,
    /// Its workloads without persistent volumes.
    pub deployments: &'s [&'s Deployment],
    /// Its workloads with persistent volumes.
    pub stateful_sets: &'s [&'s StatefulSet],
    /// Its pods.
    pub pods: &'s [&'s Pod],
    /// Its services.
    pub services: &'s [&'s Service],
    /// Hostnames and the service that each leads to.
    pub hosts: &'s [(&'s str, &'s str)],
    /// All nodes.
    pub nodes: &'s [&'s Node],
    /// Where forwarded ports are reached.
    pub public_hostname: &'s str,
}

/// The status of a lease.
#[must_use]
pub fn status(seen: &SeenLease<'_>) -> LeaseStatus {
    let mut services = BTreeMap::new();
    for deployment in seen.deployments {
        let counts = of_deployment(deployment);
        let complaint = reason::of_deployment(deployment);
        insert(&mut services, seen, &deployment.metadata, &counts, complaint);
    }
    for set in seen.stateful_sets {
        insert(&mut services, seen, &set.metadata, &of_stateful_set(set), None);
    }
    LeaseStatus {
        manifest_hash: seen.manifest_hash.to_owned(),
        services: services.into_values().collect(),
        forwarded_ports: forwarded_ports(seen),
    }
}

/// Replicas, as a controller counts them.
struct Counts {
    wanted: i32,
    ready: Option<i32>,
    updated: Option<i32>,
    observed: Option<i64>,
}

fn of_deployment(deployment: &Deployment) -> Counts {
    let status = deployment.status.as_ref();
    Counts {
        wanted: deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        ready: status.and_then(|status| status.ready_replicas),
        updated: status.and_then(|status| status.updated_replicas),
        observed: status.and_then(|status| status.observed_generation),
    }
}

fn of_stateful_set(set: &StatefulSet) -> Counts {
    let status = set.status.as_ref();
    Counts {
        wanted: set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        ready: status.and_then(|status| status.ready_replicas),
        updated: status.and_then(|status| status.updated_replicas),
        observed: status.and_then(|status| status.observed_generation),
    }
}

fn insert(
    services: &mut BTreeMap<String, ServiceStatus>,
    seen: &SeenLease<'_>,
    metadata: &ObjectMeta,
    counts: &Counts,
    complaint: Option<String>,
) {
    let Some(name) = service_of(metadata) else { return };
    let generation = metadata.generation.unwrap_or_default();
    let is_observed = counts.observed.is_some_and(|observed| observed >= generation);
    let ready = count(counts.ready);
    let total = count(Some(counts.wanted));
    let reason = if seen.is_going {
        Some("Terminating: the lease's namespace is being deleted".to_owned())
    } else if ready < total {
        reason::of_pods(seen, name)
            .or(complaint)
            .or_else(|| (!is_observed).then(|| "Pending: no controller has seen it yet".to_owned()))
    } else {
        None
    };
    let status = ServiceStatus {
        name: name.to_owned(),
        ready,
        total,
        updated: if is_observed { count(counts.updated) } else { 0 },
        generation: u64::try_from(generation).unwrap_or_default(),
        hostnames: hostnames(seen, name),
        reason,
    };
    services.insert(name.to_owned(), status);
}

fn count(number: Option<i32>) -> u32 {
    number.and_then(|number| u32::try_from(number).ok()).unwrap_or_default()
}

/// The service of the manifest that an object belongs to.
fn service_of(metadata: &ObjectMeta) -> Option<&str> {
    metadata.labels.as_ref()?.get(names::SERVICE).map(String::as_str)
}

fn hostnames(seen: &SeenLease<'_>, service: &str) -> Vec<String> {
    let own = seen.hosts.iter().filter(|(_, leads_to)| *leads_to == service);
    let mut hostnames: Vec<String> = own.map(|(hostname, _)| (*hostname).to_owned()).collect();
    hostnames.sort_unstable();
    hostnames
}

fn forwarded_ports(seen: &SeenLease<'_>) -> Vec<ForwardedPort> {
    let mut forwarded = Vec::new();
    for service in seen.services {
        let Some(spec) = &service.spec else { continue };
        let (Some("NodePort"), Some(name)) = (spec.type_.as_deref(), service_of(&service.metadata))
        else {
            continue;
        };
        for port in spec.ports.iter().flatten() {
            let number = |number: i32| u16::try_from(number).ok();
            let inner = match &port.target_port {
                Some(IntOrString::Int(target)) => number(*target),
                _ => number(port.port),
            };
            if let (Some(inner), Some(external_port)) = (inner, port.node_port.and_then(number)) {
                forwarded.push(ForwardedPort {
                    service: name.to_owned(),
                    host: seen.public_hostname.to_owned(),
                    port: inner,
                    external_port,
                    proto: port.protocol.clone().unwrap_or_else(|| "TCP".to_owned()),
                });
            }
        }
    }
    forwarded.sort_by(|a, b| (&a.service, a.port, &a.proto).cmp(&(&b.service, b.port, &b.proto)));
    forwarded
}

#[cfg(test)]
mod tests;
