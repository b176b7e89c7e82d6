//! A lease that has ended and whose data is kept for a while: nothing runs, nothing leads to it, its volumes stay.
//!
//! Its hostnames and addresses go, since another lease may have them from now on; its workloads stay, scaled to zero, and with
//! them the claims of their volumes. The teardown that follows later finds it by its namespace like any other.
//!
//! The surprising fact: nothing has to be remembered for it. What is scaled to zero already, and gone already, costs no call.

use futures_util::future::try_join_all;
use kube::api::Preconditions;
use serde_json::json;

use super::{
    failure::Failure,
    names,
    object::{Kind, ObjectId},
    server::ApiServer,
    teardown::belongs,
    watch::Caches,
};
use crate::{
    domain::LeaseId,
    provider::port::{ClusterError, ClusterErrorKind},
};

const DOING: &str = "stop a workload";

/// Stops what runs for a lease, and removes what leads to it.
pub(super) async fn quarantine(
    server: &ApiServer,
    caches: &Caches,
    lease: &LeaseId,
) -> Result<(), ClusterError> {
    let home = names::namespace(lease);
    let found = caches.found(&home, super::cluster::YOUNG).await.map_err(unknown)?;
    let Some(namespace) = caches.namespaces.cache.get(&home, &home) else { return Ok(()) };
    belongs(&namespace.object, lease)?;
    let leading =
        found.iter().filter(|(id, seen)| leads(id) && !seen.is_going).map(|(id, seen)| {
            let preconditions = Preconditions {
                uid: Some(seen.uid.clone()),
                // Hostnames and addresses may be another lease's by now.
                resource_version: id.kind.moves().then(|| seen.version.clone()),
            };
            server.delete(id, preconditions)
        });
    try_join_all(leading).await.map_err(unknown)?;
    let sets = caches.stateful_sets.cache.of(&home);
    let sets = sets.iter().map(|set| {
        let wanted = set.object.spec.as_ref().and_then(|spec| spec.replicas);
        (Kind::StatefulSet, set.key.name.clone(), wanted)
    });
    let deployments = caches.deployments.cache.of(&home);
    let deployments = deployments.iter().map(|deployment| {
        let wanted = deployment.object.spec.as_ref().and_then(|spec| spec.replicas);
        (Kind::Deployment, deployment.key.name.clone(), wanted)
    });
    let running = sets.chain(deployments).filter(|(_, _, wanted)| *wanted != Some(0));
    let stopping = running.map(|(kind, name, _)| {
        let id = ObjectId { kind, namespace: Some(home.clone()), name };
        async move { stop(server, caches, &id).await }
    });
    try_join_all(stopping).await.map_err(unknown)?;
    Ok(())
}

async fn stop(server: &ApiServer, caches: &Caches, id: &ObjectId) -> Result<(), Failure> {
    let patch = json!([{ "op": "replace", "path": "/spec/replicas", "value": 0 }]);
    let written = server.patch(id, &patch).await?;
    caches.wrote(id.kind, written.resource_version.as_deref());
    Ok(())
}

/// Whether something from outside comes to the lease by it.
fn leads(id: &ObjectId) -> bool {
    match id.kind {
        Kind::Ingress | Kind::HttpRoute | Kind::ProviderHost | Kind::ProviderLeasedIp => true,
        Kind::Service => names::is_leased_ip_service(&id.name),
        _ => false,
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
