//! The end of a lease in the cluster: its namespace, and its custom resources in the namespace of all leases.
//!
//! Only the API server's own word is believed that nothing is left. While the namespace goes, the watch says how far it
//! is, so waiting costs no request.
//!
//! The surprising fact: a namespace is never gone at once. Its controller takes five seconds for an empty one, and with
//! pods about half their grace time more; a finalizer of a volume or of somebody's controller can hold it for ever.

use k8s_openapi::api::core::v1::Namespace;
use kube::api::Preconditions;

use super::{
    failure::Failure,
    names,
    object::{Kind, ObjectId},
    server::ApiServer,
    watch::Caches,
};
use crate::{
    domain::LeaseId,
    provider::port::{ClusterError, ClusterErrorKind, Teardown},
};

const DOING: &str = "tear a lease down";

/// Removes everything of a lease, whose custom resources are in `manifest_namespace`.
pub(super) async fn teardown(
    server: &ApiServer,
    caches: &Caches,
    manifest_namespace: &str,
    lease: &LeaseId,
) -> Result<Teardown, ClusterError> {
    let home = names::namespace(lease);
    if let Some(going) = watched(caches, &home) {
        return Ok(going);
    }
    let id = ObjectId { kind: Kind::Namespace, namespace: None, name: home.clone() };
    let found: Option<Namespace> = server.get(&id).await.map_err(unknown)?;
    if let Some(namespace) = &found {
        belongs(namespace, lease)?;
        if namespace.metadata.deletion_timestamp.is_none() {
            // Only the namespace that was looked at: one of the same name could be made meanwhile.
            let preconditions =
                Preconditions { uid: namespace.metadata.uid.clone(), resource_version: None };
            server.delete(&id, preconditions).await.map_err(unknown)?;
        }
    }
    let left = custom_resources(server, manifest_namespace, lease).await.map_err(unknown)?;
    match found {
        Some(namespace) => Ok(going(&namespace)),
        None if left > 0 => Ok(Teardown::GOING),
        None => {
            caches.forget(&home);
            Ok(Teardown::Gone)
        }
    }
}

/// Whatever fails says nothing about whether the lease is still there.
fn unknown(failure: Failure) -> ClusterError {
    let error = failure.into_error(DOING);
    match error.kind {
        ClusterErrorKind::NotFound => ClusterError { kind: ClusterErrorKind::Unavailable, ..error },
        ClusterErrorKind::Unavailable | ClusterErrorKind::Refused => error,
    }
}

/// How far a namespace is that was told to go, as long as a watch says it.
fn watched(caches: &Caches, home: &str) -> Option<Teardown> {
    let source = &caches.namespaces;
    let entry = source.cache.get(home, home)?;
    (entry.found.is_going && source.cache.freshness().is_current()).then(|| going(&entry.object))
}

/// Whether a namespace is this lease's: by its labels, not by its name alone.
pub(super) fn belongs(namespace: &Namespace, lease: &LeaseId) -> Result<(), ClusterError> {
    let labels = namespace.metadata.labels.as_ref();
    if labels.and_then(names::lease_of).as_ref() == Some(lease) {
        return Ok(());
    }
    let name = namespace.metadata.name.as_deref().unwrap_or_default();
    let detail = format!("the labels of namespace {name} do not name lease {lease}, so it stays");
    Err(ClusterError { doing: DOING, detail, kind: ClusterErrorKind::Refused })
}

/// Removes the lease's custom resources, and answers how many there were.
async fn custom_resources(
    server: &ApiServer,
    namespace: &str,
    lease: &LeaseId,
) -> Result<usize, Failure> {
    let labels = names::lease_labels(lease);
    let selector: Vec<String> =
        labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let selector = selector.join(",");
    let mut left = 0;
    for kind in [Kind::ProviderHost, Kind::ProviderLeasedIp, Kind::Manifest] {
        left += match server.delete_all(kind.api(), namespace, &selector).await {
            Ok(left) => left,
            Err(failure) => {
                // Where the kind is not known there is nothing of it, if the API server itself says so.
                if !failure.is_unknown_path() || server.serves(kind.api().group).await? {
                    return Err(failure);
                }
                0
            }
        };
    }
    Ok(left)
}

/// Conditions by which a namespace says what is still in it, or why it cannot say.
const HOLDING: [&str; 5] = [
    "NamespaceDeletionDiscoveryFailure",
    "NamespaceDeletionGroupVersionParsingFailure",
    "NamespaceDeletionContentFailure",
    "NamespaceContentRemaining",
    "NamespaceFinalizersRemaining",
];

fn going(namespace: &Namespace) -> Teardown {
    let own = namespace.metadata.finalizers.iter().flatten();
    let spec = namespace.spec.as_ref().and_then(|spec| spec.finalizers.as_ref());
    // The first is the namespace controller's own: it goes last.
    let foreign = spec.into_iter().flatten().filter(|finalizer| *finalizer != "kubernetes");
    let finalizers = own.chain(foreign).map(|finalizer| format!("finalizer {finalizer}"));
    let conditions = namespace.status.as_ref().and_then(|status| status.conditions.as_ref());
    let conditions = conditions
        .into_iter()
        .flatten()
        .filter(|condition| {
            condition.status == "True" && HOLDING.contains(&condition.type_.as_str())
        })
        .map(|condition| {
            let message = condition.message.as_deref().unwrap_or_default();
            format!("{}: {message}", condition.type_)
        });
    Teardown::Going {
        since: namespace.metadata.deletion_timestamp.as_ref().map(|time| time.0),
        held_by: finalizers.chain(conditions).collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::domain::{Address, OrderId};

    fn namespace(value: &Value) -> Namespace {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn lease(dseq: u64) -> LeaseId {
        let account = |byte: u8| Address::from_bytes(&[byte; 20]).unwrap();
        OrderId::new(account(1), dseq, 1, 1).lease(&account(2))
    }

    #[test]
    fn what_holds_a_namespace_is_told_in_the_cluster_s_words() {
        let held = namespace(&json!({
            "metadata": { "name": "0123", "deletionTimestamp": "2026-01-01T00:00:00Z",
                "finalizers": ["example.com/wait"] },
            "spec": { "finalizers": ["kubernetes"] },
            "status": { "conditions": [
                { "type": "NamespaceDeletionDiscoveryFailure", "status": "False", "message": "All good" },
                { "type": "NamespaceFinalizersRemaining", "status": "True",
                    "message": "Some content in the namespace has finalizers remaining: a in 1 resource instances" },
            ] },
        }));
        assert_eq!(
            going(&held),
            Teardown::Going {
                since: Some("2026-01-01T00:00:00Z".parse().unwrap()),
                held_by: vec![
                    "finalizer example.com/wait".to_owned(),
                    "NamespaceFinalizersRemaining: Some content in the namespace has finalizers remaining: \
                     a in 1 resource instances"
                        .to_owned(),
                ],
            }
        );
        assert_eq!(going(&namespace(&json!({ "metadata": {} }))), Teardown::GOING);
    }

    #[test]
    fn a_namespace_of_another_lease_or_of_none_stays() {
        let labelled = namespace(
            &json!({ "metadata": { "name": "0123", "labels": names::lease_labels(&lease(1)) } }),
        );
        assert!(belongs(&labelled, &lease(1)).is_ok());
        let error = belongs(&labelled, &lease(2)).unwrap_err();
        assert_eq!(error.kind, ClusterErrorKind::Refused);
        assert!(
            belongs(&namespace(&json!({ "metadata": { "name": "0123" } })), &lease(1)).is_err()
        );
    }
}
