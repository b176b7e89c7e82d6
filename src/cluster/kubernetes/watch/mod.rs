//! What the cluster holds, in memory: one watch a kind, and nothing is asked twice.
//!
//! It owns the caches of all that is lessor's (by the label `akash.network=true`), of nodes, pods, storage and the API
//! server's own addresses, and how far each can be believed. It does not judge what they hold.
//!
//! The same caches serve without watches: [`Caches::refresh`] lists a kind whose cache is not current, so a process that
//! runs for one step, or whose watch is broken, gives the same answers at the price of a list.
//!
//! The surprising fact: pods are watched all over the cluster, not only ours, since whoever else runs there takes room as
//! well. It is still one watch, so the status of leases is read from it too.

mod cache;
mod follow;
mod held;

use std::{collections::BTreeMap, net::SocketAddr, sync::Arc, time::Duration};

use futures_util::future::try_join_all;
use k8s_openapi::api::{
    apps::v1::{Deployment, StatefulSet},
    core::v1::{Namespace, Node, PersistentVolume, Pod, Service},
    discovery::v1::EndpointSlice,
    storage::v1::{CSIStorageCapacity, StorageClass},
};
use tokio::task::JoinSet;

pub use cache::{Freshness, Trouble};
pub(super) use follow::Source;
pub(super) use held::{Entry, Existence, Held, ProviderHostSpec};

use self::{follow::Follow, held::Home};
use super::{
    apply::Found,
    failure::Failure,
    names,
    object::{Api, Kind, ObjectId},
    server::{ApiServer, Which},
};

/// Caches of everything that lessor reads in a cluster.
pub struct Caches {
    server: ApiServer,
    pub(super) namespaces: Arc<Source<Namespace>>,
    pub(super) deployments: Arc<Source<Deployment>>,
    pub(super) stateful_sets: Arc<Source<StatefulSet>>,
    pub(super) services: Arc<Source<Service>>,
    pub(super) hosts: Arc<Source<ProviderHostSpec>>,
    pub(super) manifests: Arc<Source<Existence>>,
    pub(super) pods: Arc<Source<Pod>>,
    pub(super) nodes: Arc<Source<Node>>,
    pub(super) volumes: Arc<Source<PersistentVolume>>,
    pub(super) classes: Arc<Source<StorageClass>>,
    pub(super) capacities: Arc<Source<CSIStorageCapacity>>,
    pub(super) endpoints: Arc<Source<EndpointSlice>>,
    /// Every kind that lessor writes.
    own: BTreeMap<Kind, Arc<dyn Follow>>,
}

/// How far the cache of one kind can be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The kind.
    pub kind: &'static str,
    /// How many objects are known.
    pub objects: usize,
    /// How far they can be believed.
    pub freshness: Freshness,
}

/// Watches that are under way; they end when this is dropped.
pub struct Watching(JoinSet<()>);

impl Watching {
    /// Something else that goes on as long.
    pub(super) fn also(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.spawn(task);
    }
}

impl Caches {
    /// Caches of what `server` holds. Nothing is read yet. Custom resources lie in `manifest_namespace`.
    pub(super) fn new(server: ApiServer, manifest_namespace: &str) -> Self {
        let manifests = custom(Kind::Manifest, manifest_namespace);
        let hosts = custom(Kind::ProviderHost, manifest_namespace);
        let leased: Arc<Source<Existence>> = custom(Kind::ProviderLeasedIp, manifest_namespace);
        let namespaces = Source::new(Kind::Namespace.api(), ours(), Home::Name, false);
        let deployments = of_lease(Kind::Deployment);
        let stateful_sets = of_lease(Kind::StatefulSet);
        let services = of_lease(Kind::Service);
        let own = Kind::ALL.map(|kind| {
            let source: Arc<dyn Follow> = match kind {
                Kind::Namespace => Arc::clone(&namespaces) as _,
                Kind::Deployment => Arc::clone(&deployments) as _,
                Kind::StatefulSet => Arc::clone(&stateful_sets) as _,
                Kind::Service => Arc::clone(&services) as _,
                Kind::Manifest => Arc::clone(&manifests) as _,
                Kind::ProviderHost => Arc::clone(&hosts) as _,
                Kind::ProviderLeasedIp => Arc::clone(&leased) as _,
                Kind::ResourceQuota
                | Kind::LimitRange
                | Kind::NetworkPolicy
                | Kind::Secret
                | Kind::ServiceAccount
                | Kind::Role
                | Kind::RoleBinding
                | Kind::Ingress
                | Kind::HttpRoute => of_lease::<Existence>(kind) as _,
            };
            (kind, source)
        });
        Self {
            server,
            namespaces,
            deployments,
            stateful_sets,
            services,
            hosts,
            manifests,
            pods: of_cluster("", "Pod", "pods"),
            nodes: of_cluster("", "Node", "nodes"),
            volumes: of_cluster("", "PersistentVolume", "persistentvolumes"),
            classes: of_cluster("storage.k8s.io", "StorageClass", "storageclasses"),
            capacities: of_cluster("storage.k8s.io", "CSIStorageCapacity", "csistoragecapacities"),
            endpoints: api_servers(),
            own: own.into(),
        }
    }

    /// Opens a watch for each kind. They end when the answer is dropped.
    #[must_use]
    pub fn watch(&self) -> Watching {
        let mut watches = JoinSet::new();
        for source in self.sources() {
            watches.spawn(source.follow(self.server.clone()));
        }
        Watching(watches)
    }

    /// How far each kind can be believed, by name.
    #[must_use]
    pub fn report(&self) -> Vec<Report> {
        let report = |source: Arc<dyn Follow>| Report {
            kind: source.api().kind,
            objects: source.len(),
            freshness: source.freshness(),
        };
        let mut reports: Vec<Report> = self.sources().into_iter().map(report).collect();
        reports.sort_by_key(|report| report.kind);
        reports
    }

    /// All objects of ours that a lease has, no older than `age` or current by a watch.
    pub(super) async fn found(
        &self,
        home: &str,
        age: Duration,
    ) -> Result<BTreeMap<ObjectId, Found>, Failure> {
        let own = self.own.values();
        try_join_all(own.map(|source| source.refresh(&self.server, age))).await?;
        // What is known of a namespace that is gone is what other watches have not heard yet.
        let is_there = self.namespaces.cache.get(home, home).is_some();
        let mut found = BTreeMap::new();
        for (kind, source) in &self.own {
            for (key, object) in source.found(home) {
                if is_there || key.namespace != home {
                    let namespace = (!key.namespace.is_empty()).then_some(key.namespace);
                    found.insert(ObjectId { kind: *kind, namespace, name: key.name }, object);
                }
            }
        }
        Ok(found)
    }

    /// Sees to it that a kind is no older than `age`, or current by a watch.
    pub(super) async fn refresh<T: Held>(
        &self,
        source: &Source<T>,
        age: Duration,
    ) -> Result<(), Failure> {
        source.refresh(&self.server, age).await
    }

    /// Notes that this process wrote an object, which has this version now.
    pub(super) fn wrote(&self, kind: Kind, version: Option<&str>) {
        if let (Some(source), Some(version)) = (self.own.get(&kind), version) {
            source.wrote(version);
        }
    }

    /// Forgets what a lease had, of which the API server has said that it is gone.
    pub(super) fn forget(&self, home: &str) {
        for source in self.own.values() {
            source.forget(home);
        }
    }

    /// Where the API server listens, for rules that let nobody, or only some, reach it.
    pub(super) fn api_servers(&self) -> Vec<SocketAddr> {
        let mut servers = Vec::new();
        for entry in self.endpoints.cache.all() {
            let slice = &entry.object;
            let ports =
                slice.ports.iter().flatten().filter_map(|port| u16::try_from(port.port?).ok());
            for port in ports {
                let addresses = slice.endpoints.iter().flat_map(|endpoint| &endpoint.addresses);
                let parsed = addresses.filter_map(|address| address.parse().ok());
                servers.extend(parsed.map(|address| SocketAddr::new(address, port)));
            }
        }
        servers.sort_unstable();
        servers.dedup();
        servers
    }

    fn sources(&self) -> Vec<Arc<dyn Follow>> {
        let cluster: [Arc<dyn Follow>; 6] = [
            Arc::clone(&self.pods) as _,
            Arc::clone(&self.nodes) as _,
            Arc::clone(&self.volumes) as _,
            Arc::clone(&self.classes) as _,
            Arc::clone(&self.capacities) as _,
            Arc::clone(&self.endpoints) as _,
        ];
        self.own.values().cloned().chain(cluster).collect()
    }
}

/// Everything that lessor or today's provider wrote.
fn ours() -> Which {
    Which { labels: Some(format!("{}=true", names::NETWORK)), ..Which::default() }
}

fn of_lease<T: Held>(kind: Kind) -> Arc<Source<T>> {
    // A cluster without a gateway lacks its kinds.
    Source::new(kind.api(), ours(), Home::Namespace, kind == Kind::HttpRoute)
}

fn custom<T: Held>(kind: Kind, namespace: &str) -> Arc<Source<T>> {
    let which = Which { namespace: Some(namespace.to_owned()), ..ours() };
    Source::new(kind.api(), which, Home::Labels, true)
}

fn of_cluster<T: Held>(
    group: &'static str,
    kind: &'static str,
    plural: &'static str,
) -> Arc<Source<T>> {
    let api = Api { group, version: "v1", kind, plural };
    Source::new(api, Which::default(), Home::Namespace, false)
}

fn api_servers() -> Arc<Source<EndpointSlice>> {
    let api = Api {
        group: "discovery.k8s.io",
        version: "v1",
        kind: "EndpointSlice",
        plural: "endpointslices",
    };
    let which = Which {
        namespace: Some("default".to_owned()),
        labels: Some("kubernetes.io/service-name=kubernetes".to_owned()),
        ..Which::default()
    };
    Source::new(api, which, Home::Namespace, false)
}
