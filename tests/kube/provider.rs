//! The provider as it is deployed: `lessor serve` with the settings, the account and the roles of `deploy/kubernetes`. Beside it
//! a development chain and an indexer, each a process of its own; in front of it tenants.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kube::{
    Api, ResourceExt as _,
    api::{DynamicObject, ListParams},
};
use lessor::{
    client::{Tenant, Terms, deploy::Step, gateway::Gateway, node::Node as ChainNode},
    cluster::kubernetes::{names, object::Kind},
    cmd::host,
    devnet::genesis::{CHAIN_ID, MNEMONIC, test_key},
    domain::{Coin, Denom, LeaseId, Price},
    event::key::PrivateKey,
    manifest::Dialect,
};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use tokio_tungstenite::{
    connect_async,
    tungstenite::{Message, client::IntoClientRequest as _},
};

use crate::{
    cluster::{
        Cluster, documents,
        process::{Place, Process},
    },
    lessor::resource,
    support::eventually,
};

/// How long anything may take.
pub(crate) const LIMIT: Duration = Duration::from_mins(5);
/// The account that `deploy/kubernetes` has for lessor.
const ACCOUNT: (&str, &str) = ("akash-services", "lessor");
/// What the audit log calls it.
pub(crate) const USER: &str = "system:serviceaccount:akash-services:lessor";
const TOKEN: &str = "the-operator-of-the-kube-tests";
const STREAM: &str = "dev";

/// Gives the cluster the namespaces and the roles of `deploy/kubernetes`, and waits until they count.
pub(crate) async fn installed(cluster: &Cluster) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes");
    for file in ["namespaces.yaml", "rbac.yaml"] {
        for object in documents(&folder.join(file)) {
            cluster.apply(&object).await;
        }
    }
    let nodes: Api<Node> = Api::all(cluster.user(USER));
    eventually("the roles are known", LIMIT, async || {
        nodes.list(&ListParams::default()).await.ok()
    })
    .await;
}

/// A provider on a cluster. Its processes end when this is dropped.
pub(crate) struct Provider<'c> {
    cluster: &'c Cluster,
    /// `lessor serve`.
    pub(crate) serve: Process,
    _relay: Process,
    _chain: Process,
    node: String,
    url: String,
    admin: String,
    http: reqwest::Client,
    begun: Timestamp,
}

impl<'c> Provider<'c> {
    /// A provider that reaches the API server at its own address.
    pub(crate) async fn start(cluster: &'c Cluster) -> Self {
        Self::behind(cluster, cluster.server()).await
    }

    /// A provider that reaches the API server at this URL. It is up when it has seen what it can offer.
    pub(crate) async fn behind(cluster: &'c Cluster, server: &str) -> Self {
        installed(cluster).await;
        let begun = host::now();
        let folder = cluster.new_folder("provider");
        let login = cluster.account_login(ACCOUNT.0, ACCOUNT.1, server).await;
        let mut chain = program(
            "devnet",
            &folder,
            &[
                "devnet",
                "--data",
                &text(&folder.join("chain")),
                "--listen",
                "127.0.0.1:0",
                "--block-interval-ms",
                "200",
            ],
        );
        let node = chain.says("node").await;
        let config = write_settings(&folder, &node, &login);
        let mut serve = program("serve", &folder, &["--config", &text(&config), "serve"]);
        let (url, admin) = (serve.says("public").await, serve.says("admin").await);
        let relay = program(
            "relay",
            &folder,
            &[
                "relay",
                "--node",
                &node,
                "--data",
                &text(&folder.join("relay")),
                "--start",
                "earliest",
                "--sink",
                &format!("{STREAM}={url}/webhooks/{STREAM}"),
                "--key-file",
                &text(&folder.join("feed.key")),
                "--heartbeat",
                "5",
            ],
        );
        let http = reqwest::Client::builder().timeout(Duration::from_secs(30)).build().unwrap();
        let provider =
            Self { cluster, serve, _relay: relay, _chain: chain, node, url, admin, http, begun };
        provider.offers("the provider has seen what it can offer", Timestamp::MIN).await;
        provider
    }

    /// Waits for a look at the cluster after that time, with a node that takes workloads.
    pub(crate) async fn offers(&self, what: &str, after: Timestamp) {
        eventually(what, LIMIT, async || {
            let inventory = self.operator("/v1/inventory").await?;
            let at: Timestamp = inventory["observed_at"].as_str()?.parse().unwrap();
            let nodes = inventory["nodes"].as_array()?;
            let takes = nodes.iter().any(|node| node["excluded"].is_null());
            (inventory["is_young"] == true && takes && at > after).then_some(())
        })
        .await;
    }

    /// A tenant of the development chain.
    pub(crate) fn tenant(&self, index: u32) -> Tenant {
        Tenant {
            key: test_key(index).unwrap(),
            node: ChainNode::new(&self.node).unwrap(),
            gateway: Gateway::new(&self.url).unwrap(),
            dialect: Dialect::Go,
            gas_price: Price { denom: Denom::uakt(), amount: "0.025".parse().unwrap() },
            now: host::now,
            entropy: || uuid::Uuid::new_v4().as_u64_pair().1,
        }
    }

    /// The one running lease of a deployment.
    pub(crate) async fn lease_of(&self, tenant: &Tenant, dseq: u64) -> LeaseId {
        let mut running = tenant.running_leases(&tenant.deployment(dseq)).await.unwrap();
        assert_eq!(running.len(), 1, "{running:?}");
        running.remove(0)
    }

    /// What the operator is answered, when the answer is 200.
    pub(crate) async fn operator(&self, path: &str) -> Option<Value> {
        self.read(&self.admin, path, TOKEN).await
    }

    /// The lease as its owner sees it.
    pub(crate) async fn lease(&self, tenant: &Tenant, lease: &LeaseId) -> Value {
        let path = format!("/v1/leases/{}", lease.order);
        self.read(&self.url, &path, &full_token(tenant)).await.expect("the lease is shown")
    }

    async fn read(&self, url: &str, path: &str, token: &str) -> Option<Value> {
        let answer = self.http.get(format!("{url}{path}")).bearer_auth(token).send().await.ok()?;
        if answer.status() != 200 {
            return None;
        }
        answer.json().await.ok()
    }

    /// Runs a command in the first replica of a service, over the gateway's websocket: what it wrote and its exit code,
    /// which there is none of when the command broke off.
    pub(crate) async fn exec(
        &self,
        tenant: &Tenant,
        lease: &LeaseId,
        service: &str,
        command: &[&str],
    ) -> (String, Option<i64>) {
        let url = format!("{}/v1/leases/{}/exec", self.url.replacen("http", "ws", 1), lease.order);
        let mut url = reqwest::Url::parse(&url).unwrap();
        url.query_pairs_mut().append_pair("service", service);
        for word in command {
            url.query_pairs_mut().append_pair("command", word);
        }
        let mut request = url.as_str().into_client_request().unwrap();
        let bearer = format!("Bearer {}", full_token(tenant));
        request.headers_mut().insert("authorization", bearer.parse().unwrap());
        let (mut socket, _) = connect_async(request).await.unwrap();
        let (mut wrote, mut code) = (String::new(), None);
        let messages = async {
            while let Some(Ok(message)) = socket.next().await {
                let Message::Binary(bytes) = message else { continue };
                let said = String::from_utf8_lossy(&bytes[1..]).into_owned();
                if bytes[0] == 102 {
                    code = serde_json::from_str::<Value>(&said).unwrap()["exit_code"].as_i64();
                } else {
                    wrote += &said;
                }
            }
        };
        tokio::time::timeout(LIMIT, messages).await.expect("the command ends");
        (wrote, code)
    }

    /// Waits until nothing of a lease is left, in the cluster and in the rows.
    pub(crate) async fn is_gone(&self, tenant: &Tenant, lease: &LeaseId) {
        eventually("nothing is left of the lease in the cluster", LIMIT, async || {
            self.left_of(lease).await.is_empty().then_some(())
        })
        .await;
        eventually("nothing is kept for the lease", LIMIT, async || {
            let inventory = self.operator("/v1/inventory").await?;
            let sent = self.operator("/v1/transactions?unsettled=true").await?;
            let phase = self.lease(tenant, lease).await["phase"].clone();
            let none = |list: &Value| list.as_array().is_some_and(Vec::is_empty);
            (none(&inventory["reservations"]) && none(&sent["items"]) && phase == "gone")
                .then_some(())
        })
        .await;
    }

    /// The lease's namespace and its objects in the namespace of all leases, as far as they are there.
    async fn left_of(&self, lease: &LeaseId) -> Vec<String> {
        let labels = names::lease_labels(lease);
        let labels: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let admin = self.cluster.admin();
        let mut left = Vec::new();
        for kind in [Kind::Namespace, Kind::Manifest, Kind::ProviderHost] {
            let api: Api<DynamicObject> = match kind {
                Kind::Namespace => Api::all_with(admin.clone(), &resource(kind)),
                _ => Api::namespaced_with(admin.clone(), "lease", &resource(kind)),
            };
            let found = api.list(&ListParams::default().labels(&labels.join(","))).await.unwrap();
            left.extend(found.items.iter().map(|found| format!("{kind:?} {}", found.name_any())));
        }
        left
    }

    /// Fails when the API server has refused the provider something for want of a role.
    pub(crate) async fn was_permitted_everything(&self) {
        let calls = self.cluster.calls(USER).await;
        let own: Vec<_> = calls.iter().filter(|call| call.received > self.begun).collect();
        let refused: Vec<_> = own.iter().filter(|call| call.status == 403).collect();
        println!("{} calls of the provider, {} of them refused", own.len(), refused.len());
        assert!(!own.is_empty() && refused.is_empty(), "{refused:?}");
    }
}

/// What a deployment may cost, and how long its steps may take.
pub(crate) fn terms() -> Terms {
    Terms {
        deposit: Coin { denom: Denom::uact(), amount: 5_000_000 },
        denom: Some(Denom::uact()),
        provider: None,
        bid_wait: LIMIT,
        ready_wait: LIMIT,
    }
}

/// One of the examples that come with lessor.
pub(crate) fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples").join(name);
    fs::read_to_string(path).unwrap()
}

/// The document with a text in the place of another, which must be there.
pub(crate) fn changed(document: &str, from: &str, to: &str) -> String {
    assert!(document.contains(from), "{from:?} is not in the document");
    document.replacen(from, to, 1)
}

/// A step's word.
pub(crate) fn word(step: &Step) -> String {
    serde_json::to_value(step).unwrap()["step"].as_str().unwrap().to_owned()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// lessor itself, with nothing of the tests' environment.
fn program(name: &str, folder: &Path, arguments: &[&str]) -> Process {
    let mut all = vec!["-i".to_owned(), env!("CARGO_BIN_EXE_lessor").to_owned()];
    all.extend(arguments.iter().map(|argument| (*argument).to_owned()));
    Process::start(name, &Place::host(), folder, Path::new("/usr/bin/env"), &all)
}

/// The settings that are deployed, with the names of this place.
fn write_settings(folder: &Path, node: &str, kubeconfig: &Path) -> PathBuf {
    let private = |name: &str, content: &str| {
        let path = folder.join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        text(&path)
    };
    let feed = PrivateKey::from_seed(&[7; 32]);
    let public = feed.public().to_string();
    private("feed.key", feed.to_text().expose_secret());
    let ours = json!({
        "listen": {"public": "127.0.0.1:0", "admin": "127.0.0.1:0"},
        "admin": {"token_file": private("operator.token", TOKEN)},
        "store": {"path": text(&folder.join("lessor.db"))},
        "seal": {"key_file": ""},
        "chain": {"node": node, "id": CHAIN_ID, "poll_ms": 200},
        "key": {"file": private("provider.key", MNEMONIC), "index": 1},
        "cluster": {"kubernetes": {"kubeconfig": text(kubeconfig)}},
        "streams": {STREAM: {"keys": [{"name": "relay", "key": public}]}},
    });
    let deployed = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/kubernetes/lessor.toml");
    let deployed = fs::read_to_string(deployed).unwrap();
    let mut settings: Value = toml::from_str(&deployed).unwrap();
    merge(&mut settings, ours);
    let path = folder.join("lessor.toml");
    fs::write(&path, toml::to_string(&settings).unwrap()).unwrap();
    path
}

/// What the second says goes over what the first one says.
fn merge(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key).or_insert(Value::Null), value);
            }
        }
        (into, from) => *into = from,
    }
}

/// A token of the tenant that allows everything.
fn full_token(tenant: &Tenant) -> String {
    let now = host::now().as_second();
    let claims = json!({
        "iss": tenant.address(), "iat": now, "nbf": now - 5, "exp": now + 600, "version": "v1",
        "leases": {"access": "full"},
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", part(&json!({"alg": "ES256K", "typ": "JWT"})), part(&claims));
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tenant.key.sign(signed.as_bytes())))
}
