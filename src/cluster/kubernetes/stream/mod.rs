//! What a tenant reads of a running lease, and the commands that they run in it.
//!
//! | module | what it owns | |
//! |---|---|---|
//! | [`logs`] | the lines of all replicas as one stream, with a place from which to go on | |
//! | [`events`] | what Kubernetes tells of the lease's objects | |
//! | [`exec`] | a command in a replica | |
//! | [`pods`] | which replicas a service has | |
//! | [`owner`] | whose an object is, by its name | pure |
//!
//! Everything here asks the API server when it is asked, and keeps nothing: so a gateway without caches can answer, and a
//! stream may be gone on with at another one.
//!
//! The surprising fact: a stream that follows opens watches of its own, which end with it; a stream that does not follow
//! opens none.

mod events;
mod exec;
mod logs;
mod owner;
mod pods;

use futures_util::stream::BoxStream;
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, Client};

use super::{failure::Failure, names};
use crate::{
    domain::LeaseId,
    provider::port::{
        ClusterError, ClusterErrorKind, ClusterEvent, ExecQuery, Execution, LogLine, LogQuery,
    },
};

/// What a tenant reads of running leases, and the commands that they run in them.
#[derive(Clone)]
pub struct Streams {
    client: Client,
}

impl std::fmt::Debug for Streams {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Streams").finish_non_exhaustive()
    }
}

impl Streams {
    /// Reads as whoever the client is.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Log lines, oldest first, as [`Cluster::logs`](crate::provider::port::Cluster::logs).
    ///
    /// # Errors
    /// As the port's.
    pub async fn logs(
        &self,
        lease: &LeaseId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine, ClusterError>>, ClusterError> {
        logs::logs(&self.client, &names::namespace(lease), query).await
    }

    /// Events, oldest first, as [`Cluster::events`](crate::provider::port::Cluster::events).
    ///
    /// # Errors
    /// As the port's.
    pub async fn events(
        &self,
        lease: &LeaseId,
        follow: bool,
        after: Option<&str>,
    ) -> Result<BoxStream<'static, Result<ClusterEvent, ClusterError>>, ClusterError> {
        events::events(&self.client, &names::namespace(lease), follow, after).await
    }

    /// Runs a command, as [`Cluster::exec`](crate::provider::port::Cluster::exec).
    ///
    /// # Errors
    /// As the port's.
    pub async fn exec(
        &self,
        lease: &LeaseId,
        query: &ExecQuery,
    ) -> Result<Execution, ClusterError> {
        exec::exec(&self.client, &names::namespace(lease), query).await
    }
}

/// Whether the lease's namespace is there.
async fn exists(client: &Client, namespace: &str, doing: &'static str) -> Result<(), ClusterError> {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    match namespaces.get_metadata(namespace).await {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::from(error).into_error(doing)),
    }
}

fn refused(doing: &'static str, detail: impl Into<String>) -> ClusterError {
    ClusterError { doing, detail: detail.into(), kind: ClusterErrorKind::Refused }
}

fn not_found(doing: &'static str, detail: impl Into<String>) -> ClusterError {
    ClusterError { doing, detail: detail.into(), kind: ClusterErrorKind::NotFound }
}

fn unavailable(doing: &'static str, detail: impl Into<String>) -> ClusterError {
    ClusterError { doing, detail: detail.into(), kind: ClusterErrorKind::Unavailable }
}
