//! The pod of a service: one container, where it may run, as whom.
//!
//! The surprising fact: a pod's template is the one thing whose every change restarts what runs. Nothing is written in it that
//! could change while the service does not.

use k8s_openapi::api::core::v1::{
    Affinity, LocalObjectReference, NodeAffinity, NodeSelector, NodeSelectorRequirement,
    NodeSelectorTerm, PodSecurityContext, PodSpec, PodTemplateSpec, SeccompProfile, Toleration,
};

use super::{
    Lease,
    container::{container, some},
    labels::labelled,
    service::Service,
    volumes::{self, VolumeSource},
};
use crate::cluster::kubernetes::{names, settings::PodSecurity};

/// Tells the attestation sidecar's webhook, where there is one, to leave a confidential pod alone.
const NO_ATTESTATION: &str = "akash.network/attestation-disabled";

pub(super) fn template(lease: &Lease<'_>, service: &Service<'_>) -> PodTemplateSpec {
    let mut metadata = labelled(lease.of_service(service.name));
    let tee = service.manifest.params.as_ref().and_then(|params| params.tee.as_ref());
    if tee.is_some_and(|tee| !tee.attestation) {
        metadata.annotations = Some([(NO_ATTESTATION.to_owned(), "true".to_owned())].into());
    }
    PodTemplateSpec { metadata: Some(metadata), spec: Some(spec(lease, service)) }
}

fn spec(lease: &Lease<'_>, service: &Service<'_>) -> PodSpec {
    let security = &lease.settings.security;
    let seccomp = || SeccompProfile { type_: "RuntimeDefault".to_owned(), localhost_profile: None };
    let may_read = service.permissions.is_some();
    let tolerate = |key: &String| Toleration {
        key: Some(key.clone()),
        operator: Some("Exists".to_owned()),
        ..Toleration::default()
    };
    PodSpec {
        containers: vec![container(lease, service)],
        affinity: Some(Affinity {
            node_affinity: Some(NodeAffinity {
                required_during_scheduling_ignored_during_execution: Some(nodes(service)),
                ..NodeAffinity::default()
            }),
            ..Affinity::default()
        }),
        automount_service_account_token: Some(may_read),
        enable_service_links: Some(security.service_links),
        image_pull_secrets: pull_secret(lease, service)
            .map(|name| vec![LocalObjectReference { name }]),
        runtime_class_name: service.runtime_class.map(str::to_owned),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(security.pod_security == PodSecurity::Restricted),
            seccomp_profile: security.seccomp.then(seccomp),
            ..PodSecurityContext::default()
        }),
        service_account_name: may_read.then(|| service.name.to_owned()),
        tolerations: some(lease.settings.nodes.tolerate.iter().map(tolerate).collect()),
        volumes: some(volumes::in_pod(service)),
        ..PodSpec::default()
    }
}

fn pull_secret(lease: &Lease<'_>, service: &Service<'_>) -> Option<String> {
    let common = &lease.settings.image_pull_secret;
    match service.credentials {
        Some(_) => Some(names::pull_secret(service.name)),
        None => (!common.is_empty()).then(|| common.clone()),
    }
}

/// Nodes that take leases and have the storage and one of the kinds of GPU.
fn nodes(service: &Service<'_>) -> NodeSelector {
    let above_zero = |key: String| NodeSelectorRequirement {
        key,
        operator: "Gt".to_owned(),
        values: Some(vec!["0".to_owned()]),
    };
    let takes_leases = NodeSelectorRequirement {
        key: names::NETWORK.to_owned(),
        operator: "In".to_owned(),
        values: Some(vec!["true".to_owned()]),
    };
    let mut classes: Vec<String> = service
        .persistent()
        .filter_map(|volume| match &volume.source {
            VolumeSource::Claim { class } => {
                names::storage_label(class.as_deref().unwrap_or("default"))
            }
            VolumeSource::Disk | VolumeSource::Memory => None,
        })
        .collect();
    classes.sort();
    classes.dedup();
    let kinds = service.gpu.as_ref().map_or_else(|| vec![Vec::new()], super::gpu::Gpu::node_labels);
    let kinds = if kinds.is_empty() { vec![Vec::new()] } else { kinds };
    let terms = kinds.into_iter().map(|gpu| NodeSelectorTerm {
        match_expressions: Some(
            std::iter::once(takes_leases.clone())
                .chain(gpu.into_iter().chain(classes.iter().cloned()).map(above_zero))
                .collect(),
        ),
        match_fields: None,
    });
    NodeSelector { node_selector_terms: terms.collect() }
}
