//! lessor on the ring's cluster: its own user there, whose calls can be counted, and leases to apply.

use std::{collections::BTreeMap, future::Future, time::Duration};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::{
    Api, ResourceExt,
    api::{ApiResource, DynamicObject, ListParams},
};
use lessor::{
    cluster::kubernetes::{Kubernetes, names, object::Kind, settings::Settings, watch::Watching},
    domain::LeaseId,
    provider::port::Workload,
};
use serde_json::{Value, json};

pub(crate) use crate::fixtures::{lease, service};
use crate::{
    cluster::{Cluster, Ring, audit::Call, shared},
    fixtures,
    support::eventually,
};

pub(crate) const LIMIT: Duration = Duration::from_mins(2);
/// How long an answer of the API server may take: the machine may be busy.
const TIMEOUT: Duration = Duration::from_secs(30);

/// lessor, logged in under a name of its own.
pub(crate) struct Lessor<'c> {
    pub(crate) cluster: &'c Cluster,
    pub(crate) kubernetes: Kubernetes,
    pub(crate) user: String,
    watching: Option<Watching>,
}

impl<'c> Lessor<'c> {
    /// lessor with its watches open, on the ring's cluster; `None` where there is none.
    pub(crate) async fn shared(ring: Ring, user: &str) -> Option<Lessor<'static>> {
        Some(Lessor::on(shared(ring)?, user).await)
    }

    /// lessor with its watches open.
    pub(crate) async fn on(cluster: &'c Cluster, user: &str) -> Self {
        Self::patient(cluster, user, TIMEOUT).await
    }

    /// The same, with another limit for each answer.
    pub(crate) async fn patient(cluster: &'c Cluster, user: &str, timeout: Duration) -> Self {
        let mut lessor = Self::without_watches(cluster, user, timeout).await;
        lessor.watching = Some(lessor.kubernetes.watch());
        lessor.caught_up().await;
        lessor
    }

    /// lessor as it runs for one step.
    pub(crate) async fn without_watches(
        cluster: &'c Cluster,
        user: &str,
        timeout: Duration,
    ) -> Self {
        cluster
            .apply(&json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "lease" } }))
            .await;
        cluster.grant(user, "cluster-admin").await;
        let client = cluster.user(user);
        let namespaces: Api<DynamicObject> =
            Api::all_with(client.clone(), &resource(Kind::Namespace));
        eventually("the role is known", LIMIT, async || {
            namespaces.list(&ListParams::default()).await.ok()
        })
        .await;
        let settings =
            Settings { public_hostname: "provider.example.com".to_owned(), ..Settings::default() };
        let kubernetes = Kubernetes::with(client, settings, timeout);
        Self { cluster, kubernetes, user: user.to_owned(), watching: None }
    }

    /// Waits until every cache is current.
    pub(crate) async fn caught_up(&self) {
        eventually("every cache is current", LIMIT, async || {
            let caches = self.kubernetes.caches();
            caches.iter().all(|report| report.freshness.is_current()).then_some(())
        })
        .await;
    }

    /// What lessor asked of the API server for this, watches left out.
    pub(crate) async fn calls_of<T>(&self, work: impl Future<Output = T>) -> (T, Vec<Call>) {
        let before = self.cluster.calls(&self.user).await.len();
        let answer = work.await;
        let mut calls = self.cluster.calls(&self.user).await.split_off(before);
        calls.retain(Call::counts);
        (answer, calls)
    }

    /// An object as the administrator sees it.
    pub(crate) async fn find(
        &self,
        kind: Kind,
        lease: &LeaseId,
        name: &str,
    ) -> Option<DynamicObject> {
        let api = self.objects(kind, lease);
        api.get_opt(name).await.unwrap()
    }

    /// The objects of a kind that a lease has, custom resources of other leases too.
    pub(crate) fn objects(&self, kind: Kind, lease: &LeaseId) -> Api<DynamicObject> {
        let namespace = match kind {
            Kind::Manifest | Kind::ProviderHost | Kind::ProviderLeasedIp => "lease".to_owned(),
            _ => names::namespace(lease),
        };
        let admin = self.cluster.admin();
        match kind {
            Kind::Namespace => Api::all_with(admin, &resource(kind)),
            _ => Api::namespaced_with(admin, &namespace, &resource(kind)),
        }
    }

    /// The names of the objects of a kind in the lease's namespace that carry our label.
    pub(crate) async fn names(&self, kind: Kind, lease: &LeaseId) -> Vec<String> {
        let ours = ListParams::default().labels("akash.network=true");
        let found = self.objects(kind, lease).list(&ours).await.unwrap();
        let mut names: Vec<String> = found.items.iter().map(ResourceExt::name_any).collect();
        names.sort_unstable();
        names
    }
}

/// What was asked, without what it was asked of: `patch deployments`.
pub(crate) fn counted(calls: &[Call]) -> BTreeMap<String, usize> {
    crate::cluster::audit::by_kind(calls)
}

pub(crate) fn total(calls: &[Call]) -> usize {
    calls.len()
}

pub(crate) fn resource(kind: Kind) -> ApiResource {
    let api = kind.api();
    ApiResource {
        group: api.group.to_owned(),
        version: api.version.to_owned(),
        api_version: api.version(),
        kind: api.kind.to_owned(),
        plural: api.plural.to_owned(),
    }
}

/// What is to run for a lease; the first service has a hostname.
pub(crate) fn workload(lease: &LeaseId, version: u8, services: &[Value]) -> Workload {
    let first = services[0]["name"].as_str().unwrap();
    let hostname = format!("{first}-{}.example.com", lease.order.dseq());
    Workload {
        hostnames: vec![fixtures::route(&hostname, first)],
        ..fixtures::workload(lease, version, services)
    }
}

/// The managers that have fields in an object.
pub(crate) fn managers(metadata: &ObjectMeta) -> Vec<String> {
    let entries = metadata.managed_fields.iter().flatten();
    let mut managers: Vec<String> = entries.filter_map(|entry| entry.manager.clone()).collect();
    managers.sort_unstable();
    managers.dedup();
    managers
}
