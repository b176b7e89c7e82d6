//! Volumes and their mounts.

use std::collections::{BTreeMap, HashMap};

use super::super::{
    document::{Document, Version},
    profile::{Disk, Resources},
    service::{Params, Service},
};
use super::SERVICES;
use crate::manifest::{
    Dialect,
    violation::{Violations, nearest_hint, quoted},
};

/// The volumes of a profile and where a service mounts them.
pub(super) fn check(
    document: &Document<'_>,
    service_name: &str,
    service: &Service<'_>,
    resources: &Resources<'_>,
    violations: &mut Violations,
) {
    let mounted = service.params.as_ref().is_some_and(|params| !params.storage.is_empty());
    if !mounted && !resources.storage.iter().any(|disk| disk.persistent) {
        return;
    }
    // npm finds a volume only by a name that the document gives it.
    let named = resources.storage.iter().filter(|disk| disk.named);
    let volumes: BTreeMap<&str, &Disk<'_>> = named.map(|disk| (&*disk.name, disk)).collect();
    if let Some(params) = &service.params {
        check_mounts(document, service_name, params, &volumes, violations);
    }
    if document.dialect.is_npm() {
        check_each_mounted(service_name, service, resources, violations);
        return;
    }
    let version = document.version;
    let persistent = volumes.values().find(|disk| disk.persistent);
    if let (Version::V20, false, Some(disk)) = (version, mounted, persistent) {
        let name = &disk.name;
        violations
            .add(
                "mount-missing",
                SERVICES.member(service_name).member("params"),
                format!(
                    "volume {} is persistent, so service {} must mount it under params.storage",
                    quoted(name),
                    quoted(service_name)
                ),
            )
            .reference(format!(
                "SDL invalid: compute.storage.{name} has persistent=true which requires \
                 service.{service_name}.params.storage.{name} to have mount"
            ));
    }
}

/// npm's rule, whatever the version: each persistent volume has a mount of its own.
fn check_each_mounted(
    service_name: &str,
    service: &Service<'_>,
    resources: &Resources<'_>,
    violations: &mut Violations,
) {
    let mounts = service.params.as_ref().map(|params| &params.storage);
    for disk in resources.storage.iter().filter(|disk| disk.persistent) {
        let name = if disk.named { &*disk.name } else { "" };
        let mount = mounts.and_then(|mounts| mounts.get(name));
        if mount.is_none_or(|mount| mount.path.is_empty()) {
            let message = format!(
                "volume {} is persistent, so service {} must mount it under params.storage",
                quoted(&disk.name),
                quoted(service_name)
            );
            let at = SERVICES.member(service_name);
            violations.add("mount-missing", at.member("params"), message);
        }
    }
}

fn check_mounts(
    document: &Document<'_>,
    service_name: &str,
    params: &Params<'_>,
    volumes: &BTreeMap<&str, &Disk<'_>>,
    violations: &mut Violations,
) {
    let service = SERVICES.member(service_name);
    let params_at = service.member("params");
    let storage = params_at.member("storage");
    let mut paths = HashMap::new();
    for (name, mount) in &params.storage {
        if violations.is_full() {
            return;
        }
        let at = storage.member(name);
        let Some(disk) = volumes.get(&**name) else {
            let hint = nearest_hint(name, volumes.keys().copied());
            violations
                .add("unknown-volume", at, format!("no compute volume {}{hint}", quoted(name)))
                .reference(format!(
                    "SDL invalid: service {service_name:?} references to no-existing compute volume named {name:?}"
                ));
            continue;
        };
        if document.dialect == Dialect::Go && !mount.path.starts_with('/') {
            let message = format!("mount {} is not an absolute path", quoted(&mount.path));
            violations.add("mount-path", at.member("mount"), message).reference(format!(
                "SDL invalid: invalid value for \"service.{service_name}.params.{name}.mount\" parameter. expected \
                 absolute path"
            ));
        }
        if let Some(other) = paths.insert(&*mount.path, name) {
            let path = quoted(&mount.path);
            violations
                .add(
                    "duplicate-mount",
                    at.member("mount"),
                    format!("mount {path} is already taken by volume {}", quoted(other)),
                )
                .reference(format!(
                    "sdl: duplicated mount point: mount {path} already in use by volume {other:?}"
                ));
        }
        let on_ram = disk.attributes.iter().any(|of| of.key == "class" && of.value == "ram");
        let strict = document.dialect == Dialect::Go && document.version == Version::V21;
        if strict && mount.read_only && on_ram {
            violations
                .add("ram-read-only", at.member("readOnly"), "storage of class ram cannot be read-only")
                .reference(format!(
                    "SDL invalid: services.{service_name}.params.storage.{name} has readOnly=true which is not allowed \
                     for storage class \"ram\""
                ));
        }
    }
}
