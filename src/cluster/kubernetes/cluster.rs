//! The cluster port over one Kubernetes cluster.
//!
//! It puts the parts together and owns nothing but the caches: facts of the cluster go into rendering, what is rendered and
//! what is found into a plan, what is cached into status and inventory. Every call ends in time.
//!
//! The surprising fact: with its watches open it asks the API server nothing for a status, an inventory or a list of
//! leases. Without them it lists what it needs, and keeps that for [`YOUNG`].

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use async_trait::async_trait;
use futures_util::stream::BoxStream;
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::{
    apply::{self, Found, Plan},
    failure::Failure,
    inventory::{self, SeenCluster},
    names, node_labels,
    object::ObjectId,
    quarantine,
    render::{self, Facts, Rendered},
    server::ApiServer,
    settings::Settings,
    status::{self, SeenLease},
    stream::Streams,
    teardown, todays,
    watch::{Caches, Entry, Held, Report, Source, Watching},
};
use crate::{
    domain::{LeaseId, inventory::Inventory},
    provider::port::{
        Cluster, ClusterError, ClusterErrorKind, ClusterEvent, ExecQuery, Execution, LeaseStatus,
        LogLine, LogQuery, OtherWriter, Teardown, Workload,
    },
};

/// How long one answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const APPLY: &str = "apply a workload";

/// How old a list may be that serves in the place of a watch.
pub(super) const YOUNG: Duration = Duration::from_secs(2);

/// The cluster port over one Kubernetes cluster. Cheap to clone.
#[derive(Clone)]
pub struct Kubernetes {
    server: ApiServer,
    streams: Streams,
    caches: Arc<Caches>,
    settings: Arc<Settings>,
}

impl Kubernetes {
    /// The cluster that the settings' kubeconfig names; without one, the cluster that this process runs in, or the one
    /// of `KUBECONFIG`. Nothing is asked yet.
    ///
    /// # Errors
    /// [`ClusterErrorKind::Refused`] when the configuration cannot be read.
    pub async fn connect(settings: Settings) -> Result<Self, ClusterError> {
        let config = config(&settings).await.map_err(|detail| ClusterError {
            doing: "read the cluster's configuration",
            detail,
            kind: ClusterErrorKind::Refused,
        })?;
        Self::over(config, settings)
    }

    /// The cluster of this configuration.
    ///
    /// # Errors
    /// [`ClusterErrorKind::Refused`] when its certificates or keys cannot be used.
    pub fn over(mut config: Config, settings: Settings) -> Result<Self, ClusterError> {
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // Whoever asks decides when to ask again.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| ClusterError {
            doing: "use the cluster's configuration",
            detail: Failure::from(error).detail(),
            kind: ClusterErrorKind::Refused,
        })?;
        Ok(Self::with(client, settings, TIMEOUT))
    }

    /// The cluster behind a client, each of whose answers may take `timeout`.
    #[must_use]
    pub fn with(client: Client, settings: Settings, timeout: Duration) -> Self {
        let streams = Streams::new(client.clone());
        let server = ApiServer::new(client, timeout);
        let caches = Arc::new(Caches::new(server.clone(), &settings.manifest_namespace));
        Self { server, streams, caches, settings: Arc::new(settings) }
    }

    /// Opens the watches: from now on nothing is listed, and nodes' labels are kept true. They end when the answer is dropped.
    #[must_use]
    pub fn watch(&self) -> Watching {
        let mut watching = self.caches.watch();
        if self.settings.nodes.label {
            let (caches, settings) = (Arc::clone(&self.caches), Arc::clone(&self.settings));
            watching.also(node_labels::keep(self.server.clone(), caches, settings));
        }
        watching
    }

    /// How far what is known of each kind can be believed.
    #[must_use]
    pub fn caches(&self) -> Vec<Report> {
        self.caches.report()
    }

    /// Sees to it that a kind can be read.
    async fn fresh<T: Held>(
        &self,
        source: &Source<T>,
        doing: &'static str,
    ) -> Result<(), ClusterError> {
        self.caches.refresh(source, YOUNG).await.map_err(|failure| stale(source, failure, doing))
    }

    async fn facts(&self) -> Result<Facts, ClusterError> {
        let doing = "read the cluster's addresses";
        tokio::try_join!(
            self.fresh(&self.caches.nodes, doing),
            self.fresh(&self.caches.pods, doing),
            self.fresh(&self.caches.endpoints, doing)
        )?;
        let (nodes, pods) = (self.caches.nodes.cache.all(), self.caches.pods.cache.all());
        Ok(Facts {
            api_servers: self.caches.api_servers(),
            node_addresses: inventory::node_addresses(&objects(&nodes)),
            todays: todays::running(&objects(&pods)).into_keys().collect(),
        })
    }

    /// What a workload comes to, and what is there of it, without what is left to others.
    async fn wanted_and_found(
        &self,
        workload: &Workload,
        facts: &Facts,
    ) -> Result<(Rendered, BTreeMap<ObjectId, Found>), ClusterError> {
        let rendered =
            render::render(workload, &self.settings, facts).map_err(|error| ClusterError {
                doing: APPLY,
                detail: error.to_string(),
                kind: ClusterErrorKind::Refused,
            })?;
        let found = self.caches.found(&rendered.namespace, YOUNG).await;
        let mut found = found.map_err(|failure| unavailable(failure, APPLY))?;
        found.retain(|id, _| !rendered.leaves(id));
        Ok((rendered, found))
    }

    /// Whether the lease's namespace is there, as far as is known.
    async fn is_there(&self, home: &str, doing: &'static str) -> Result<bool, ClusterError> {
        self.fresh(&self.caches.namespaces, doing).await?;
        Ok(self.caches.namespaces.cache.get(home, home).is_some())
    }
}

/// What could not be read, and how old it is that was read before.
fn stale<T: Held>(source: &Source<T>, failure: Failure, doing: &'static str) -> ClusterError {
    let error = failure.into_error(doing);
    let age = match source.cache.freshness().heard {
        Some(age) => format!("last heard {} s ago", age.as_secs()),
        None => "never read".to_owned(),
    };
    let detail = format!("{} ({age}): {}", source.kind(), error.detail);
    ClusterError { detail, kind: ClusterErrorKind::Unavailable, ..error }
}

fn objects<T>(entries: &[Arc<Entry<T>>]) -> Vec<&T> {
    entries.iter().map(|entry| &entry.object).collect()
}

#[async_trait]
impl Cluster for Kubernetes {
    fn watch(&self) -> Box<dyn Send + Sync> {
        Box::new(Self::watch(self))
    }

    async fn inventory(&self) -> Result<Inventory, ClusterError> {
        let doing = "read the inventory";
        let caches = &*self.caches;
        tokio::try_join!(
            self.fresh(&caches.nodes, doing),
            self.fresh(&caches.pods, doing),
            self.fresh(&caches.classes, doing),
            self.fresh(&caches.capacities, doing),
            self.fresh(&caches.volumes, doing),
            self.fresh(&caches.services, doing),
        )?;
        let (nodes, pods) = (caches.nodes.cache.all(), caches.pods.cache.all());
        let (classes, capacities) = (caches.classes.cache.all(), caches.capacities.cache.all());
        let (volumes, services) = (caches.volumes.cache.all(), caches.services.cache.all());
        let seen = SeenCluster {
            nodes: objects(&nodes),
            pods: objects(&pods),
            storage_classes: objects(&classes),
            capacities: objects(&capacities),
            volumes: objects(&volumes),
            services: objects(&services),
        };
        Ok(inventory::inventory(&seen, &self.settings))
    }

    async fn apply(&self, workload: &Workload) -> Result<(), ClusterError> {
        let facts = self.facts().await?;
        if let Some(detail) = todays::forbids(&facts.todays, &self.settings) {
            let kind = ClusterErrorKind::Unavailable;
            return Err(ClusterError { doing: APPLY, detail, kind });
        }
        let (rendered, found) = self.wanted_and_found(workload, &facts).await?;
        let plan = apply::plan(&rendered.objects, &found);
        if let Some(error) = still_going(&plan) {
            return Err(error);
        }
        apply::write(&self.server, &self.caches, &plan).await?;
        apply::prune(&self.server, &plan.removals).await
    }

    async fn drift(&self, workload: &Workload) -> Result<Vec<String>, ClusterError> {
        let facts = self.facts().await?;
        if todays::forbids(&facts.todays, &self.settings).is_some() {
            return Ok(Vec::new());
        }
        let (rendered, found) = self.wanted_and_found(workload, &facts).await?;
        Ok(apply::drift(&rendered.objects, &found))
    }

    async fn quarantine(&self, lease: &LeaseId) -> Result<(), ClusterError> {
        quarantine::quarantine(&self.server, &self.caches, lease).await
    }

    async fn teardown(&self, lease: &LeaseId) -> Result<Teardown, ClusterError> {
        let namespace = &self.settings.manifest_namespace;
        teardown::teardown(&self.server, &self.caches, namespace, lease).await
    }

    async fn status(&self, lease: &LeaseId) -> Result<Option<LeaseStatus>, ClusterError> {
        let doing = "read a lease's status";
        let (caches, home) = (&*self.caches, names::namespace(lease));
        if !self.is_there(&home, doing).await? {
            return Ok(None);
        }
        tokio::try_join!(
            self.fresh(&caches.manifests, doing),
            self.fresh(&caches.deployments, doing),
            self.fresh(&caches.stateful_sets, doing),
            self.fresh(&caches.services, doing),
            self.fresh(&caches.hosts, doing),
            self.fresh(&caches.pods, doing),
            self.fresh(&caches.nodes, doing),
        )?;
        let manifest = caches.manifests.cache.get(&home, &home);
        let namespace = caches.namespaces.cache.get(&home, &home);
        let hosts = caches.hosts.cache.of(&home);
        let hosts: Vec<(&str, &str)> = hosts
            .iter()
            .map(|entry| (entry.object.hostname.as_str(), entry.object.service_name.as_str()))
            .collect();
        let (deployments, sets) =
            (caches.deployments.cache.of(&home), caches.stateful_sets.cache.of(&home));
        let (pods, services) = (caches.pods.cache.of(&home), caches.services.cache.of(&home));
        let nodes = caches.nodes.cache.all();
        let seen = SeenLease {
            manifest_hash: manifest
                .as_ref()
                .and_then(|found| found.manifest_hash.as_deref())
                .unwrap_or_default(),
            is_going: namespace.is_some_and(|namespace| namespace.found.is_going),
            deployments: &objects(&deployments),
            stateful_sets: &objects(&sets),
            pods: &objects(&pods),
            services: &objects(&services),
            hosts: &hosts,
            nodes: &objects(&nodes),
            public_hostname: &self.settings.public_hostname,
        };
        Ok(Some(status::status(&seen)))
    }

    async fn other_writers(&self) -> Result<Vec<OtherWriter>, ClusterError> {
        self.fresh(&self.caches.pods, "look for other writers").await?;
        let pods = self.caches.pods.cache.all();
        Ok(todays::writers(&objects(&pods), &self.settings))
    }

    async fn leases(&self) -> Result<Vec<LeaseId>, ClusterError> {
        self.fresh(&self.caches.namespaces, "list leases").await?;
        let namespaces = self.caches.namespaces.cache.all();
        let lease = |entry: &Arc<Entry<_>>| lease_of(&entry.object);
        let mut leases: Vec<LeaseId> = namespaces.iter().filter_map(lease).collect();
        leases.sort_unstable();
        Ok(leases)
    }

    async fn logs(
        &self,
        lease: &LeaseId,
        query: &LogQuery,
    ) -> Result<BoxStream<'static, Result<LogLine, ClusterError>>, ClusterError> {
        self.streams.logs(lease, query).await
    }

    async fn events(
        &self,
        lease: &LeaseId,
        follow: bool,
        after: Option<&str>,
    ) -> Result<BoxStream<'static, Result<ClusterEvent, ClusterError>>, ClusterError> {
        self.streams.events(lease, follow, after).await
    }

    async fn exec(&self, lease: &LeaseId, query: &ExecQuery) -> Result<Execution, ClusterError> {
        self.streams.exec(lease, query).await
    }
}

/// The lease that a namespace is for, if its labels name one whose namespace it is.
fn lease_of(namespace: &Namespace) -> Option<LeaseId> {
    let metadata = &namespace.metadata;
    let lease = names::lease_of(metadata.labels.as_ref()?)?;
    (metadata.name.as_ref() == Some(&names::namespace(&lease))).then_some(lease)
}

/// What stands in the way of a plan that nobody can carry out yet.
fn still_going(plan: &Plan<'_>) -> Option<ClusterError> {
    let going = plan.going.first()?;
    let detail = format!("{} {} is still being deleted", going.kind.api().kind, going.name);
    Some(ClusterError { doing: APPLY, detail, kind: ClusterErrorKind::Unavailable })
}

fn unavailable(failure: Failure, doing: &'static str) -> ClusterError {
    ClusterError { kind: ClusterErrorKind::Unavailable, ..failure.into_error(doing) }
}

async fn config(settings: &Settings) -> Result<Config, String> {
    if settings.kubeconfig.as_os_str().is_empty() && settings.context.is_empty() {
        return Config::infer().await.map_err(|error| error.to_string());
    }
    let options = KubeConfigOptions {
        context: Some(settings.context.clone()).filter(|context| !context.is_empty()),
        ..KubeConfigOptions::default()
    };
    let read = if settings.kubeconfig.as_os_str().is_empty() {
        Kubeconfig::read()
    } else {
        Kubeconfig::read_from(&settings.kubeconfig)
    };
    let kubeconfig = read.map_err(|error| error.to_string())?;
    Config::from_custom_kubeconfig(kubeconfig, &options).await.map_err(|error| error.to_string())
}
