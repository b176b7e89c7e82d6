//! The lease's namespace, how much its pods may take together, and what a container takes that says nothing.

use std::collections::BTreeMap;

use k8s_openapi::{
    api::core::v1::{
        LimitRange, LimitRangeItem, LimitRangeSpec, Namespace, ResourceQuota, ResourceQuotaSpec,
    },
    apimachinery::pkg::api::resource::Quantity,
};

use super::{Lease, container::bytes, container::milli, labels::labelled, object};
use crate::cluster::kubernetes::object::{Kind, Object};

/// The name of quota and limit range.
const NAME: &str = "akash-lease";

pub(super) fn objects(lease: &Lease<'_>) -> Vec<Object> {
    let mut objects = vec![namespace(lease)];
    let security = &lease.settings.security;
    if security.quota_percent > 0 {
        objects.push(quota(lease, security.quota_percent));
    }
    if security.limit_range {
        objects.push(limit_range(lease));
    }
    objects
}

fn namespace(lease: &Lease<'_>) -> Object {
    let mut labels = lease.base_and_lease();
    if let Some(level) = lease.settings.security.pod_security.word() {
        for mode in ["enforce", "warn"] {
            labels.insert(format!("pod-security.kubernetes.io/{mode}"), level.to_owned());
        }
        labels.insert(
            "pod-security.kubernetes.io/enforce-version".to_owned(),
            // What a later version adds to the standard must not stop a lease that runs.
            "v1.33".to_owned(),
        );
    }
    let body = Namespace { metadata: labelled(labels), ..Namespace::default() };
    object(Kind::Namespace, None, lease.namespace.clone(), &body)
}

/// More than the sum of what is leased: while a replica is replaced, the old one counts until it is gone.
fn quota(lease: &Lease<'_>, percent: u32) -> Object {
    let mut sum: BTreeMap<String, u128> = BTreeMap::new();
    let mut add = |what: &str, amount: u64, count: u32| {
        *sum.entry(what.to_owned()).or_default() += u128::from(amount) * u128::from(count);
    };
    // A container without a limit is refused where the quota counts it.
    let on_disk = lease.services.iter().all(|service| service.needs.ephemeral_bytes > 0);
    for service in &lease.services {
        let (limits, count) = (&service.needs, service.manifest.count);
        add("limits.cpu", limits.cpu_milli, count);
        add("limits.memory", limits.memory_bytes, count);
        if on_disk {
            add("limits.ephemeral-storage", limits.ephemeral_bytes, count);
        }
        add("pods", 1, count);
        if let Some(gpu) = &service.gpu {
            add(&format!("requests.{}", gpu.resource), gpu.units, count);
        }
    }
    let part =
        |of: u128| u64::try_from((of * u128::from(percent)).div_ceil(100)).unwrap_or(u64::MAX);
    let mut hard: BTreeMap<String, Quantity> = sum
        .into_iter()
        .map(|(what, of)| {
            let amount = part(of);
            let amount = if what == "limits.cpu" { milli(amount) } else { bytes(amount) };
            (what, amount)
        })
        .collect();
    // Claims are never replaced, and stay while a service has fewer replicas for a time.
    let (claims, claimed) = lease.services.iter().fold((0, 0), |(claims, claimed), service| {
        let count = u128::from(service.manifest.count);
        let volumes = service.persistent();
        let volumes =
            volumes.fold((0, 0), |(n, sum), volume| (n + 1, sum + u128::from(volume.bytes)));
        (claims + count * volumes.0, claimed + count * volumes.1)
    });
    hard.insert("persistentvolumeclaims".to_owned(), bytes(part(claims)));
    hard.insert("requests.storage".to_owned(), bytes(part(claimed)));
    let body = ResourceQuota {
        metadata: labelled(lease.base_and_lease()),
        spec: Some(ResourceQuotaSpec { hard: Some(hard), ..ResourceQuotaSpec::default() }),
        ..ResourceQuota::default()
    };
    lease.object(Kind::ResourceQuota, NAME, &body)
}

/// Where there is a quota, a container that says nothing would be refused; every one of lessor's says all.
fn limit_range(lease: &Lease<'_>) -> Object {
    let little = || {
        BTreeMap::from([
            ("cpu".to_owned(), milli(100)),
            ("memory".to_owned(), bytes(128 << 20)),
            ("ephemeral-storage".to_owned(), bytes(256 << 20)),
        ])
    };
    let item = LimitRangeItem {
        type_: "Container".to_owned(),
        default: Some(little()),
        default_request: Some(little()),
        ..LimitRangeItem::default()
    };
    let body = LimitRange {
        metadata: labelled(lease.base_and_lease()),
        spec: Some(LimitRangeSpec { limits: vec![item] }),
    };
    lease.object(Kind::LimitRange, NAME, &body)
}
