//! Carries a plan out: one request an object, several at once, nothing read before.
//!
//! A stage begins when the one before it is written whole. When a write fails, no other is begun, and nothing is removed.

use std::{
    future::Future,
    sync::atomic::{AtomicBool, Ordering},
};

use futures_util::{StreamExt as _, stream};
use kube::api::Preconditions;

use super::{Plan, Removal, Write, take_over};
use crate::{
    cluster::kubernetes::{failure::Failure, object::Object, server::ApiServer, watch::Caches},
    provider::port::{ClusterError, ClusterErrorKind},
};

/// Writes of one lease that are under way at once.
const AT_ONCE: usize = 8;

const DOING: &str = "apply a workload";

/// Writes what a plan wants written, stage by stage.
pub(in crate::cluster::kubernetes) async fn write(
    server: &ApiServer,
    caches: &Caches,
    plan: &Plan<'_>,
) -> Result<(), ClusterError> {
    for stage in &plan.stages {
        let failed = AtomicBool::new(false);
        let writes: Vec<_> =
            stage.iter().map(|write| unless(&failed, one(server, caches, write))).collect();
        let outcomes: Vec<_> = stream::iter(writes).buffer_unordered(AT_ONCE).collect().await;
        let mut errors: Vec<ClusterError> = outcomes.into_iter().filter_map(Result::err).collect();
        // What is refused will be refused again, so it is told before what may be better next time.
        errors.sort_by_key(|error| error.kind != ClusterErrorKind::Refused);
        if let Some(error) = errors.into_iter().next() {
            return Err(error);
        }
    }
    Ok(())
}

/// Removes what a plan wants removed. What is not the object that was seen any more stays, and is looked at again by
/// the next apply: it may be another lease's by then.
pub(in crate::cluster::kubernetes) async fn prune(
    server: &ApiServer,
    removals: &[Removal],
) -> Result<(), ClusterError> {
    let removals: Vec<_> = removals.iter().map(|removal| remove(server, removal)).collect();
    let outcomes: Vec<_> = stream::iter(removals).buffer_unordered(AT_ONCE).collect().await;
    outcomes.into_iter().collect()
}

/// Does the work unless other work has failed before it began. What is under way comes to its end.
async fn unless<E>(
    failed: &AtomicBool,
    work: impl Future<Output = Result<(), E>>,
) -> Result<(), E> {
    if failed.load(Ordering::Relaxed) {
        return Ok(());
    }
    let outcome = work.await;
    failed.fetch_or(outcome.is_err(), Ordering::Relaxed);
    outcome
}

async fn remove(server: &ApiServer, removal: &Removal) -> Result<(), ClusterError> {
    let preconditions =
        Preconditions { uid: Some(removal.uid.clone()), resource_version: removal.version.clone() };
    let removed = server.delete(&removal.id, preconditions).await;
    removed
        .map(drop)
        .map_err(|failure| failure.into_error("remove what a workload does not want any more"))
}

async fn one(server: &ApiServer, caches: &Caches, write: &Write<'_>) -> Result<(), ClusterError> {
    let written = written(server, caches, write).await;
    written.map_err(|failure| error_of(write.object, &failure))
}

async fn written(server: &ApiServer, caches: &Caches, write: &Write<'_>) -> Result<(), Failure> {
    let object = write.object;
    if write.is_foreign
        && let Some(metadata) = server.metadata(&object.id).await?
        && let Some(patch) = take_over(&metadata)
    {
        server.patch(&object.id, &patch).await?;
    }
    let written = server.apply(object).await?;
    caches.wrote(object.id.kind, written.resource_version.as_deref());
    Ok(())
}

fn error_of(object: &Object, failure: &Failure) -> ClusterError {
    let api = object.id.kind.api();
    let detail = if failure.is_unknown_path() {
        format!("the API server does not serve {} of {}", api.kind, api.version())
    } else {
        failure.of_writing(&object.body)
    };
    let kind = match failure.kind() {
        // What it lies in is not there any more; that is made anew next time.
        ClusterErrorKind::NotFound => ClusterErrorKind::Unavailable,
        kind => kind,
    };
    ClusterError {
        doing: DOING,
        detail: format!("{} {}: {detail}", api.kind, object.id.name),
        kind,
    }
}
