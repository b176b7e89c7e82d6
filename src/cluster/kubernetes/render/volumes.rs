//! The volumes of a service, and where they are mounted.
//!
//! The surprising fact: a volume that is not persistent and not memory is no volume at all while it is not mounted: it is the
//! room that the container has on the node's disk.

use k8s_openapi::api::core::v1::{
    EmptyDirVolumeSource, PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeMount,
    VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Unrenderable, container::bytes, service::Service};
use crate::{bidengine::VolumeKind, cluster::kubernetes::names, domain::Resources};

/// The class that stands for the cluster's own default.
const DEFAULT_CLASS: &str = "default";

/// A volume of one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Volume {
    /// The tenant's name of it.
    pub(super) storage: String,
    /// Its name in the pod.
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) source: VolumeSource,
}

/// Where a volume's bytes come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum VolumeSource {
    /// The node's disk.
    Disk,
    /// The node's memory.
    Memory,
    /// A claim that outlives the pod; `None` is the cluster's default class.
    Claim { class: Option<String> },
}

/// Where a volume is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Mount {
    /// The volume's name in the pod.
    pub(super) volume: String,
    pub(super) path: String,
    pub(super) read_only: bool,
}

pub(super) fn read(service: &str, resources: &Resources) -> Result<Vec<Volume>, Unrenderable> {
    let mut found: Vec<Volume> = Vec::new();
    for volume in &resources.storage {
        if found.iter().any(|other| other.storage == volume.name) {
            return Err(Unrenderable::of(
                service,
                format!("two of its volumes are named {:?}", volume.name),
                "a name is used once",
            ));
        }
        let source = match VolumeKind::of(volume) {
            VolumeKind::Ephemeral => VolumeSource::Disk,
            VolumeKind::Ram => VolumeSource::Memory,
            VolumeKind::Persistent("" | DEFAULT_CLASS) => VolumeSource::Claim { class: None },
            VolumeKind::Persistent(class) => {
                if !names::is_dns_name(class) || names::storage_label(class).is_none() {
                    return Err(Unrenderable::of(
                        service,
                        format!("{class:?} is no class of storage"),
                        "allowed are names of lower-case letters, digits, inner dashes and dots",
                    ));
                }
                VolumeSource::Claim { class: Some(class.to_owned()) }
            }
        };
        found.push(Volume {
            storage: volume.name.clone(),
            name: names::volume(service, &volume.name),
            bytes: volume.bytes,
            source,
        });
    }
    Ok(found)
}

/// What stands in the pod: memory, and disks that are mounted.
pub(super) fn in_pod(service: &Service<'_>) -> Vec<k8s_openapi::api::core::v1::Volume> {
    let mounted = |volume: &Volume| service.mounts.iter().any(|mount| mount.volume == volume.name);
    let medium = |volume: &Volume| match volume.source {
        VolumeSource::Memory => Some(Some("Memory".to_owned())),
        VolumeSource::Disk if mounted(volume) => Some(None),
        VolumeSource::Disk | VolumeSource::Claim { .. } => None,
    };
    let dirs = service.volumes.iter().filter_map(|volume| {
        Some(k8s_openapi::api::core::v1::Volume {
            name: volume.name.clone(),
            empty_dir: Some(EmptyDirVolumeSource {
                medium: medium(volume)?,
                size_limit: Some(bytes(volume.bytes)),
            }),
            ..Default::default()
        })
    });
    dirs.collect()
}

/// What stands beside the pod, one for each replica.
pub(super) fn claims(service: &Service<'_>) -> Vec<PersistentVolumeClaim> {
    let claims = service.volumes.iter().filter_map(|volume| {
        let VolumeSource::Claim { class } = &volume.source else { return None };
        Some(PersistentVolumeClaim {
            metadata: ObjectMeta { name: Some(volume.name.clone()), ..ObjectMeta::default() },
            spec: Some(PersistentVolumeClaimSpec {
                access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
                resources: Some(VolumeResourceRequirements {
                    requests: Some([("storage".to_owned(), bytes(volume.bytes))].into()),
                    ..VolumeResourceRequirements::default()
                }),
                storage_class_name: class.clone(),
                volume_mode: Some("Filesystem".to_owned()),
                ..PersistentVolumeClaimSpec::default()
            }),
            ..PersistentVolumeClaim::default()
        })
    });
    claims.collect()
}

pub(super) fn mounts(service: &Service<'_>) -> Vec<VolumeMount> {
    let mounts = service.mounts.iter().map(|mount| VolumeMount {
        name: mount.volume.clone(),
        mount_path: mount.path.clone(),
        read_only: mount.read_only.then_some(true),
        ..VolumeMount::default()
    });
    mounts.collect()
}
