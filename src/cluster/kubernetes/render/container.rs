//! The one container of a pod: what it runs, sees, takes and may do.
//!
//! The surprising fact: a volume in memory is charged to the container, so it is part of both its request and its limit;
//! without that the kernel would end the container for filling the volume that was leased.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        Capabilities, Container, ContainerPort, EnvVar, ResourceRequirements, SecurityContext,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{
    Lease,
    service::{Service, Variable},
    volumes,
};
use crate::cluster::kubernetes::settings::PodSecurity;

pub(super) fn container(lease: &Lease<'_>, service: &Service<'_>) -> Container {
    let manifest = service.manifest;
    Container {
        name: service.name.to_owned(),
        image: Some(manifest.image.clone()),
        image_pull_policy: Some(lease.settings.image_pull_policy.word().to_owned()),
        command: some(manifest.command.to_vec()),
        args: some(manifest.args.to_vec()),
        env: some(environment(lease, service)),
        ports: some(ports(service)),
        resources: Some(resources(lease, service)),
        security_context: Some(security(lease)),
        volume_mounts: some(volumes::mounts(service)),
        ..Container::default()
    }
}

/// A list that is left out where it is empty.
pub(super) fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    (!list.is_empty()).then_some(list)
}

/// The tenant's variables, then those that every lease has and the tenant did not set.
fn environment(lease: &Lease<'_>, service: &Service<'_>) -> Vec<EnvVar> {
    let id = &lease.workload.lease;
    let ours = [
        ("AKASH_GROUP_SEQUENCE", id.order.gseq().to_string()),
        ("AKASH_DEPLOYMENT_SEQUENCE", id.order.dseq().to_string()),
        ("AKASH_ORDER_SEQUENCE", id.order.oseq.to_string()),
        ("AKASH_OWNER", id.order.owner().to_string()),
        ("AKASH_PROVIDER", id.provider.to_string()),
        ("AKASH_CLUSTER_PUBLIC_HOSTNAME", lease.settings.public_hostname.clone()),
    ];
    let variable = |name: &str, value: Option<&str>| EnvVar {
        name: name.to_owned(),
        value: value.filter(|value| !value.is_empty()).map(str::to_owned),
        value_from: None,
    };
    let theirs = service.env.iter().map(|Variable { name, value }| variable(name, *value));
    let set = |name: &str| service.env.iter().any(|variable| variable.name == name);
    theirs
        .chain(
            ours.iter()
                .filter(|(name, _)| !set(name))
                .map(|(name, value)| variable(name, Some(value))),
        )
        .collect()
}

fn ports(service: &Service<'_>) -> Vec<ContainerPort> {
    let mut found: Vec<ContainerPort> = Vec::new();
    for expose in &service.exposes {
        let port = ContainerPort {
            container_port: i32::from(expose.port),
            protocol: Some(expose.protocol.word().to_owned()),
            ..ContainerPort::default()
        };
        if !found.contains(&port) {
            found.push(port);
        }
    }
    found
}

fn resources(lease: &Lease<'_>, service: &Service<'_>) -> ResourceRequirements {
    let (needs, level) = (&service.needs, &lease.settings.overcommit);
    let mut requests = BTreeMap::from([
        ("cpu".to_owned(), milli(level.cpu_percent.committed(needs.cpu_milli))),
        ("memory".to_owned(), bytes(level.memory_percent.committed(needs.memory_bytes))),
    ]);
    let mut limits = BTreeMap::from([
        ("cpu".to_owned(), milli(needs.cpu_milli)),
        ("memory".to_owned(), bytes(needs.memory_bytes)),
    ]);
    if needs.ephemeral_bytes > 0 {
        let name = "ephemeral-storage".to_owned();
        let committed = level.storage_percent.committed(needs.ephemeral_bytes);
        requests.insert(name.clone(), bytes(committed));
        limits.insert(name, bytes(needs.ephemeral_bytes));
    }
    if let Some(gpu) = &service.gpu {
        requests.insert(gpu.resource.clone(), bytes(gpu.units));
        limits.insert(gpu.resource.clone(), bytes(gpu.units));
    }
    ResourceRequirements { limits: Some(limits), requests: Some(requests), claims: None }
}

fn security(lease: &Lease<'_>) -> SecurityContext {
    let security = &lease.settings.security;
    // The strictest standard takes no root, and of the capabilities only this one.
    let is_restricted = security.pod_security == PodSecurity::Restricted;
    let may_add = |name: &&String| !is_restricted || *name == "NET_BIND_SERVICE";
    let capabilities = security.drop_capabilities.then(|| Capabilities {
        add: some(security.capabilities.iter().filter(may_add).cloned().collect()),
        drop: Some(vec!["ALL".to_owned()]),
    });
    SecurityContext {
        run_as_non_root: Some(is_restricted),
        privileged: Some(false),
        allow_privilege_escalation: Some(false),
        capabilities,
        ..SecurityContext::default()
    }
}

/// Bytes or pieces.
pub(super) fn bytes(amount: u64) -> Quantity {
    Quantity(amount.to_string())
}

/// Thousandths, as the API server itself writes them.
pub(super) fn milli(amount: u64) -> Quantity {
    if amount.is_multiple_of(1000) {
        Quantity((amount / 1000).to_string())
    } else {
        Quantity(format!("{amount}m"))
    }
}
