//! What is kept in memory of each kind of object, and whose it is; pure.
//!
//! An API server sends whole objects, most of which nobody here reads: specs of containers, images of nodes, the history
//! of fields. Only what an answer needs is kept. Of kinds whose existence is enough only metadata are asked for.

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{Namespace, Node, PersistentVolume, Pod, PodTemplateSpec, Service},
        discovery::v1::EndpointSlice,
        storage::v1::{CSIStorageCapacity, StorageClass},
    },
    apimachinery::pkg::apis::meta::v1::ObjectMeta,
};
use kube::core::PartialObjectMeta;
use serde::{Deserialize, de::DeserializeOwned};

use crate::cluster::kubernetes::{
    apply::{Found, is_foreign, taken},
    inventory, names,
    object::HASH,
    render::SHARED_ADDRESS,
};

/// Which object of a kind.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::cluster::kubernetes) struct Key {
    /// Empty for what is the whole cluster's.
    pub(in crate::cluster::kubernetes) namespace: String,
    /// Its name.
    pub(in crate::cluster::kubernetes) name: String,
}

/// What is kept of one object.
#[derive(Debug)]
pub(in crate::cluster::kubernetes) struct Entry<T> {
    /// Which.
    pub(in crate::cluster::kubernetes) key: Key,
    /// The namespace of the lease that it belongs to; empty for what is the whole cluster's.
    pub(in crate::cluster::kubernetes) home: String,
    /// What a plan needs to know of it.
    pub(in crate::cluster::kubernetes) found: Found,
    /// The hash of the manifest, on a Manifest.
    pub(in crate::cluster::kubernetes) manifest_hash: Option<String>,
    /// The rest.
    pub(in crate::cluster::kubernetes) object: T,
}

/// A kind of object as it is kept.
pub(in crate::cluster::kubernetes) trait Held:
    Send + Sync + Sized + 'static
{
    /// What the API server sends.
    type Wire: DeserializeOwned + Clone + Send + 'static;
    /// Whether only metadata are asked for.
    const METADATA_ONLY: bool = false;
    /// The metadata of what was sent.
    fn metadata(wire: &Self::Wire) -> &ObjectMeta;
    /// What is kept.
    fn keep(wire: Self::Wire) -> Self;
}

impl<T> Entry<T> {
    pub(super) fn of<H: Held>(wire: H::Wire, at: Home) -> Entry<H> {
        let metadata = H::metadata(&wire);
        let annotation = |name: &str| metadata.annotations.as_ref()?.get(name).cloned();
        Entry {
            key: key(metadata),
            home: home(metadata, at),
            found: Found {
                uid: metadata.uid.clone().unwrap_or_default(),
                version: metadata.resource_version.clone().unwrap_or_default(),
                hash: annotation(HASH),
                is_foreign: is_foreign(metadata),
                is_going: metadata.deletion_timestamp.is_some(),
                // Of what lessor did not write, others' fields are all there is.
                taken: annotation(HASH).and_then(|_| taken(metadata)),
            },
            manifest_hash: annotation(names::MANIFEST_HASH),
            object: H::keep(wire),
        }
    }
}

pub(super) fn key(metadata: &ObjectMeta) -> Key {
    Key {
        namespace: metadata.namespace.clone().unwrap_or_default(),
        name: metadata.name.clone().unwrap_or_default(),
    }
}

/// How the lease's namespace that an object belongs to is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Home {
    /// It is the one that the object is in.
    Namespace,
    /// It is the object itself.
    Name,
    /// Custom resources of all leases lie together; their labels name the lease.
    Labels,
}

pub(super) fn home(metadata: &ObjectMeta, at: Home) -> String {
    let home = match at {
        Home::Namespace => metadata.namespace.clone(),
        Home::Name => metadata.name.clone(),
        Home::Labels => {
            metadata.labels.as_ref().and_then(names::lease_of).map(|lease| names::namespace(&lease))
        }
    };
    home.unwrap_or_default()
}

/// Existence is enough.
#[derive(Debug)]
pub(in crate::cluster::kubernetes) struct Existence;

impl Held for Existence {
    type Wire = PartialObjectMeta;
    const METADATA_ONLY: bool = true;

    fn metadata(wire: &Self::Wire) -> &ObjectMeta {
        &wire.metadata
    }

    fn keep(_: Self::Wire) -> Self {
        Self
    }
}

/// A hostname as today's tools read it.
#[derive(Debug, Clone, Deserialize)]
pub(in crate::cluster::kubernetes) struct ProviderHost {
    #[serde(default)]
    metadata: ObjectMeta,
    #[serde(default)]
    pub(in crate::cluster::kubernetes) spec: ProviderHostSpec,
}

/// Where a hostname leads.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(in crate::cluster::kubernetes) struct ProviderHostSpec {
    pub(in crate::cluster::kubernetes) hostname: String,
    pub(in crate::cluster::kubernetes) service_name: String,
}

impl Held for ProviderHostSpec {
    type Wire = ProviderHost;

    fn metadata(wire: &ProviderHost) -> &ObjectMeta {
        &wire.metadata
    }

    fn keep(wire: ProviderHost) -> Self {
        wire.spec
    }
}

/// Kinds of k8s-openapi that are kept as they are, but for what the function drops.
macro_rules! held {
    ($($kind:ty => $trim:expr;)+) => {$(
        impl Held for $kind {
            type Wire = Self;

            fn metadata(wire: &Self) -> &ObjectMeta {
                &wire.metadata
            }

            fn keep(mut wire: Self) -> Self {
                trim_metadata(&mut wire.metadata);
                let trim: fn(&mut Self) = $trim;
                trim(&mut wire);
                wire
            }
        }
    )+};
}

held! {
    Namespace => |_| {};
    Deployment => |deployment| {
        if let Some(spec) = &mut deployment.spec {
            spec.template = PodTemplateSpec::default();
        }
    };
    StatefulSet => |set| {
        if let Some(spec) = &mut set.spec {
            spec.template = PodTemplateSpec::default();
            spec.volume_claim_templates = None;
        }
    };
    Service => |_| {};
    Pod => trim_pod;
    Node => |node| {
        if let Some(status) = &mut node.status {
            status.images = None;
            status.volumes_in_use = None;
            status.volumes_attached = None;
        }
    };
    PersistentVolume => |volume| {
        if let Some(spec) = &mut volume.spec {
            let kept = std::mem::take(spec);
            spec.capacity = kept.capacity;
            spec.storage_class_name = kept.storage_class_name;
            spec.claim_ref = kept.claim_ref;
            spec.node_affinity = kept.node_affinity;
        }
    };
    StorageClass => |_| {};
    CSIStorageCapacity => |_| {};
    EndpointSlice => |_| {};
}

/// Annotations stay only where they are few and read: storage classes say by one that they are the default, services by
/// one which address they share.
fn trim_metadata(metadata: &mut ObjectMeta) {
    metadata.managed_fields = None;
    if let Some(annotations) = &mut metadata.annotations {
        annotations.retain(|name, _| name.starts_with("storageclass.") || name == SHARED_ADDRESS);
    }
}

/// Of others' pods only what they take of their node is of interest.
fn trim_pod(pod: &mut Pod) {
    *pod = inventory::trim(std::mem::take(pod));
    let labels = pod.metadata.labels.as_ref();
    if labels.is_none_or(|labels| !labels.contains_key(names::NETWORK)) {
        pod.metadata.labels = None;
        if let Some(status) = &mut pod.status {
            status.container_statuses = None;
            status.init_container_statuses = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::domain::{Address, OrderId};

    fn labels() -> BTreeMap<String, String> {
        let account = |byte: u8| Address::from_bytes(&[byte; 20]).unwrap();
        names::lease_labels(&OrderId::new(account(1), 7, 1, 1).lease(&account(2)))
    }

    #[test]
    fn a_custom_resource_is_at_home_where_its_lease_is() {
        let lease = names::lease_of(&labels()).unwrap();
        let metadata = ObjectMeta {
            namespace: Some("lease".to_owned()),
            name: Some("app.example.com".to_owned()),
            labels: Some(labels()),
            ..ObjectMeta::default()
        };
        assert_eq!(home(&metadata, Home::Labels), names::namespace(&lease));
        assert_eq!(home(&metadata, Home::Namespace), "lease");
        let without = ObjectMeta { labels: None, ..metadata };
        assert_eq!(home(&without, Home::Labels), "", "it is no lease's");
    }

    #[test]
    fn of_a_pod_only_what_accounting_and_status_need_is_kept() {
        let pod: Pod = serde_json::from_value(json!({
            "metadata": { "name": "web-1", "namespace": "0123", "uid": "u",
                "labels": { "akash.network": "true", "app": "x" }, "annotations": { "a": "b" },
                "managedFields": [{ "manager": "m" }] },
            "spec": { "nodeName": "n1", "containers": [{ "name": "web", "image": "nginx",
                "env": [{ "name": "TOKEN", "value": "secret" }],
                "resources": { "requests": { "cpu": "100m" } } }],
                "volumes": [
                    { "name": "shm", "emptyDir": { "medium": "Memory", "sizeLimit": "1Gi" } },
                    { "name": "token", "projected": {} },
                ] },
            "status": { "phase": "Running", "podIP": "10.0.0.1",
                "containerStatuses": [{ "name": "web", "image": "nginx", "imageID": "", "ready": true, "restartCount": 0 }] },
        }))
        .unwrap();
        let entry = Entry::<Pod>::of::<Pod>(pod, Home::Namespace);
        let kept = serde_json::to_value(&entry.object).unwrap();
        assert!(!kept.to_string().contains("secret"), "{kept}");
        assert_eq!(kept["metadata"]["labels"]["akash.network"], "true");
        assert_eq!(kept["spec"]["nodeName"], "n1");
        assert_eq!(kept["spec"]["containers"][0]["resources"]["requests"]["cpu"], "100m");
        assert_eq!(kept["spec"]["volumes"].as_array().unwrap().len(), 1);
        assert_eq!(kept["status"]["containerStatuses"][0]["name"], "web");
        assert_eq!(kept["status"].get("podIP"), None);
        assert_eq!(entry.home, "0123");
    }
}
