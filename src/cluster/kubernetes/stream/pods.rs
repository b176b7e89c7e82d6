//! Which replicas a service has, and whether the lease has the service at all.

use jiff::Timestamp;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{ContainerStatus, Pod},
};
use kube::{Api, Client, ResourceExt, api::ListParams};

use super::{
    super::{failure::Failure, names},
    exists, not_found,
};
use crate::provider::port::ClusterError;

/// What a service without pods is missing: the text that today's tools know.
pub(super) const NO_SUCH_SERVICE: &str = "no such service exists with that name";

/// The selector of services' pods; of all when none is named.
pub(super) fn selector(services: &[String]) -> String {
    match services {
        [] => format!("{}=true,{}", names::NETWORK, names::SERVICE),
        [one] => format!("{}=true,{}={one}", names::NETWORK, names::SERVICE),
        all => format!("{}=true,{} in ({})", names::NETWORK, names::SERVICE, all.join(",")),
    }
}

/// Services' pods by name. A service that the lease does not have is not found, one without pods is.
pub(super) async fn pods(
    client: &Client,
    namespace: &str,
    services: &[String],
    doing: &'static str,
) -> Result<Vec<Pod>, ClusterError> {
    // What is no name of a service cannot be in a selector either.
    if let Some(odd) = services.iter().find(|name| !names::is_dns_label(name)) {
        return Err(not_found(doing, format!("{NO_SUCH_SERVICE}: {odd:?}")));
    }
    let api: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let listed = api.list(&ListParams::default().labels(&selector(services))).await;
    let mut pods = listed.map_err(|error| Failure::from(error).into_error(doing))?.items;
    pods.sort_by_key(ResourceExt::name_any);
    if services.is_empty() && pods.is_empty() {
        exists(client, namespace, doing).await?;
    }
    for name in services {
        if !pods.iter().any(|pod| service(pod) == Some(name)) {
            has_service(client, namespace, name, doing).await?;
        }
    }
    Ok(pods)
}

/// Between a service's creation and its first pod, and while it has no replicas, only its workload tells of it.
async fn has_service(
    client: &Client,
    namespace: &str,
    name: &str,
    doing: &'static str,
) -> Result<(), ClusterError> {
    let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
    let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
    let failed = |error| Failure::from(error).into_error(doing);
    if deployments.get_metadata_opt(name).await.map_err(failed)?.is_some()
        || sets.get_metadata_opt(name).await.map_err(failed)?.is_some()
    {
        return Ok(());
    }
    Err(not_found(doing, format!("{NO_SUCH_SERVICE}: {name:?}")))
}

/// The service that a pod is a replica of, which is its container's name too.
pub(super) fn service(pod: &Pod) -> Option<&str> {
    pod.labels().get(names::SERVICE).map(String::as_str)
}

/// The state of the service's container.
pub(super) fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let name = service(pod)?;
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == name)
}

/// When a pod came to be; the beginning of time where nobody says.
pub(super) fn since(pod: &Pod) -> Timestamp {
    pod.metadata.creation_timestamp.as_ref().map_or(Timestamp::UNIX_EPOCH, |time| time.0)
}
