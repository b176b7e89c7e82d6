//! A real Kubernetes for the tests, started on first use: how much of it, a [`Ring`] says.
//!
//! | ring | what runs | ready after |
//! |---|---|---|
//! | [`Ring::Api`] | etcd, kube-apiserver | 4 s |
//! | [`Ring::Controllers`] | and kube-controller-manager, kube-scheduler | 5 s |
//! | [`Ring::Paper`] | and a node that is only on paper: whatever is placed on it is said to run | 6 s |
//! | [`Ring::Node`] | in its place containerd, kubelet, kube-proxy, in a network namespace; needs root | 12 s |
//!
//! `KUBE_ASSETS` names the folder with the programs, as `tests/kube/build` prints it. A test takes the ring's one
//! cluster ([`shared`]) and works in namespaces of its own; a test that breaks things starts its own ([`Cluster::start`]).
//! Everything ends with the test's process.

mod assets;
pub(crate) mod audit;
mod certificates;
mod control;
mod dump;
mod node;
mod paper;
pub(crate) mod policies;
pub(crate) mod process;

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use futures_util::FutureExt as _;
use k8s_openapi::{
    api::{authentication::v1::TokenRequest, core::v1::ServiceAccount},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config, ResourceExt as _,
    api::{DynamicObject, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
    core::GroupVersionKind,
    discovery,
    runtime::wait::{await_condition, conditions},
};
use serde_json::{Value, json};

pub(crate) use self::node::ADDRESS as NODE_ADDRESS;
use self::{
    assets::Assets,
    audit::Call,
    certificates::{Authority, Signed},
    control::Control,
    node::Node,
    paper::Paper,
    process::Place,
};
use crate::support::install_tls;

/// How long a part of the cluster may take to come up; builds may run beside it on two cores.
const PATIENCE: Duration = Duration::from_mins(5);

/// How much of a cluster is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ring {
    /// Takes and gives objects; nothing acts on them, and no namespace ever goes.
    Api,
    /// Objects are acted on, and namespaces go; pods stay pending, for there is no node.
    Controllers,
    /// Pods are said to run, and leave when they are told to. They have no logs and take no commands.
    Paper,
    /// Pods run.
    Node,
}

/// The ring's cluster that all tests of this process share; `None` where it cannot run, which is printed, and fails
/// with `CI=true`.
pub(crate) fn shared(ring: Ring) -> Option<&'static Cluster> {
    static SHARED: [OnceLock<Option<Cluster>>; 4] = [const { OnceLock::new() }; 4];
    SHARED[ring as usize].get_or_init(|| on_its_own_thread(ring)).as_ref()
}

/// The test that waits may have a runtime, and inside of one no other can be waited for.
fn on_its_own_thread(ring: Ring) -> Option<Cluster> {
    let start = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Cluster::start(ring))
    };
    let started = thread::spawn(start).join();
    started.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A running cluster. It ends when this is dropped.
pub(crate) struct Cluster {
    /// The node goes before what it talks to.
    node: Option<Node>,
    /// It keeps its node until the cluster ends.
    paper: Option<Paper>,
    control: Mutex<Control>,
    place: Place,
    server: String,
    authority: Authority,
    folder: PathBuf,
    users: AtomicU32,
    /// Two clusters with a node would have the same addresses.
    _only: Option<File>,
}

impl Cluster {
    /// Starts a cluster of its own; `None` as with [`shared`].
    pub(crate) async fn start(ring: Ring) -> Option<Self> {
        let assets = assets::found(ring)?;
        install_tls();
        let folder = new_folder();
        dump::include(&folder);
        let only = (ring == Ring::Node).then(node::take_turn);
        let place = if ring == Ring::Node { node::make_network() } else { Place::host() };
        let authority = Authority::new(&folder);
        let mut control = Control::start(ring, &assets, &place, &authority, &folder).await;
        control.ready(&client(&folder.join("admin.kubeconfig"))).await;
        let server = control.server(&place);
        let mut cluster = Self {
            node: None,
            paper: None,
            control: Mutex::new(control),
            place,
            server,
            authority,
            folder,
            users: AtomicU32::new(0),
            _only: only,
        };
        cluster.extend(&assets).await;
        if ring == Ring::Node {
            cluster.node = Some(Node::start(&cluster, &assets).await);
        }
        if ring == Ring::Paper {
            let kubeconfig = cluster.login("paper", paper::USER, &["system:masters"]);
            cluster.paper = Some(Paper::start(kubeconfig, &cluster.admin()).await);
        }
        Some(cluster)
    }

    /// A client that may do everything. It belongs to the runtime that asks for it.
    pub(crate) fn admin(&self) -> Client {
        client(&self.folder.join("admin.kubeconfig"))
    }

    /// A client that may do what [`grant`](Self::grant) has given its user, and nothing else.
    pub(crate) fn user(&self, user: &str) -> Client {
        client(&self.kubeconfig(user))
    }

    /// A file with which a user logs in.
    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        let number = self.users.fetch_add(1, Ordering::Relaxed);
        self.login(&format!("user-{number}"), user, &[])
    }

    /// A file with which a service account logs in as its pods do, at the API server of this URL.
    pub(crate) async fn account_login(
        &self,
        namespace: &str,
        account: &str,
        server: &str,
    ) -> PathBuf {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.admin(), namespace);
        let wanted =
            json!({ "metadata": {}, "spec": { "audiences": [], "expirationSeconds": 7200 } });
        let wanted: TokenRequest = serde_json::from_value(wanted).unwrap();
        let params = PostParams::default();
        let made = accounts.create_token_request(account, &params, &wanted).await.unwrap();
        let user = json!({ "token": made.status.unwrap().token });
        let number = self.users.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("account-{number}.kubeconfig"));
        fs::write(&path, kubeconfig(&self.authority, server, &user).to_string()).unwrap();
        path
    }

    /// A folder of its own that is gone when the process is.
    pub(crate) fn new_folder(&self, name: &str) -> PathBuf {
        let number = self.users.fetch_add(1, Ordering::Relaxed);
        let folder = self.folder.join(format!("{name}-{number}"));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    /// Gives a user a role of the whole cluster.
    pub(crate) async fn grant(&self, user: &str, cluster_role: &str) {
        self.apply(&json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": format!("{cluster_role}-{user}")},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": cluster_role,
            },
            "subjects": [
                {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user},
            ],
        }))
        .await;
    }

    /// Everything that a user has asked of the API server, watches too ([`Call::counts`]).
    pub(crate) async fn calls(&self, user: &str) -> Vec<Call> {
        audit::calls(&self.folder.join("audit.jsonl"), user, &self.admin()).await
    }

    /// The API server and its companions, to stop and start them.
    pub(crate) fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The address of the API server, which with [`Ring::Node`] is the node's too.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The API server's address as a URL.
    pub(crate) fn server(&self) -> &str {
        &self.server
    }

    /// The node, with [`Ring::Node`].
    pub(crate) fn node(&self) -> &Node {
        self.node.as_ref().expect("this ring has a node")
    }

    /// Makes an object what is wanted, as the administrator. Of namespaced kinds, the object names its namespace.
    pub(crate) async fn apply(&self, wanted: &Value) -> DynamicObject {
        apply(&self.admin(), wanted).await
    }

    /// What Kubernetes does not bring along: the kinds of the Gateway API, and our own.
    async fn extend(&self, assets: &Assets) {
        let admin = self.admin();
        let definitions: Api<CustomResourceDefinition> = Api::all(admin.clone());
        let mut names = Vec::new();
        for file in assets.definitions() {
            for definition in documents(&file) {
                let made = apply(&admin, &definition).await;
                names.push(made.name_any());
            }
        }
        for name in names {
            let established =
                await_condition(definitions.clone(), &name, conditions::is_crd_established());
            tokio::time::timeout(PATIENCE, established).await.expect(&name).expect(&name);
        }
    }

    fn login(&self, file: &str, user: &str, groups: &[&str]) -> PathBuf {
        login(&self.authority, &self.server, &self.folder, file, user, groups)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        dump::leave_out(&self.folder);
    }
}

fn client(kubeconfig: &Path) -> Client {
    let kubeconfig = Kubeconfig::read_from(kubeconfig).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).now_or_never();
    Client::try_from(config.expect("files are all it reads").unwrap()).unwrap()
}

/// The name of [`Ring::Node`]'s node.
pub(crate) const fn node_name() -> &'static str {
    node::NAME
}

/// Applies an object as whoever the client is.
pub(crate) async fn apply(client: &Client, wanted: &Value) -> DynamicObject {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let (version, kind) = (text(&wanted["apiVersion"]), text(&wanted["kind"]));
    let (group, version) = version.split_once('/').unwrap_or(("", &version));
    let kind = GroupVersionKind::gvk(group, version, &kind);
    let (resource, _) = discovery::pinned_kind(client, &kind).await.unwrap();
    let api: Api<DynamicObject> = match wanted["metadata"]["namespace"].as_str() {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let name = text(&wanted["metadata"]["name"]);
    let params = PatchParams::apply("tests").force();
    let applied = api.patch(&name, &params, &Patch::Apply(wanted)).await;
    applied.unwrap_or_else(|error| panic!("{} {name}: {error}", kind.kind))
}

/// The documents of a YAML file.
pub(crate) fn documents(file: &Path) -> Vec<Value> {
    let text =
        fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let all: Vec<Value> = serde_saphyr::from_multiple(&text)
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    all.into_iter().filter(|document| !document.is_null()).collect()
}

/// Writes what a program needs to log in at the API server.
fn login(
    authority: &Authority,
    server: &str,
    folder: &Path,
    file: &str,
    user: &str,
    groups: &[&str],
) -> PathBuf {
    let Signed { certificate, key } = authority.client(file, user, groups);
    let user = json!({ "client-certificate": certificate, "client-key": key });
    let config = kubeconfig(authority, server, &user);
    let path = folder.join(format!("{file}.kubeconfig"));
    fs::write(&path, config.to_string()).unwrap();
    path
}

fn kubeconfig(authority: &Authority, server: &str, user: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {
            "server": server, "certificate-authority": authority.certificate(),
        }}],
        "users": [{"name": "test", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    })
}

/// A folder that is gone when the process is; its path is short, since sockets lie in it.
fn new_folder() -> PathBuf {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("kube-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    process::afterwards(&format!("sleep 1; rm -rf '{}'", folder.display()));
    folder
}
