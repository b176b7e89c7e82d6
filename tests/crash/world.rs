//! One world: ledger and cluster in a process of their own, a relay in this one, a folder, and a tenant.

use std::{
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering},
    },
    time::Duration,
};

use lessor::{
    client::{Tenant, gateway::Gateway, node::Node},
    cmd::host,
    devnet::genesis::{MNEMONIC, test_key},
    domain::{Denom, Height, Price},
    event::key::{PrivateKey, SigningKey},
    manifest::Dialect,
    relay::{self, sink::SinkState},
};
use secrecy::ExposeSecret as _;
use serde_json::Value;
use tempfile::TempDir;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use crate::{
    child::Role,
    process::{Process, said},
    support,
};

/// The relay's stream.
pub(crate) const STREAM: &str = "dev";
/// How long anything that is waited for may take on a machine that does much else.
pub(crate) const LIMIT: Duration = Duration::from_mins(4);
/// Between the blocks of most worlds.
const BLOCK: Duration = Duration::from_millis(50);
/// The operator's token.
const TOKEN: &str = "an-operator-of-the-crash-tests";

pub(crate) struct World {
    folder: TempDir,
    pub(crate) node: String,
    pub(crate) cluster: String,
    /// Where the gateway listens, whichever process it is.
    pub(crate) url: String,
    pub(crate) http: reqwest::Client,
    store: String,
    relay: Option<Relay>,
    /// Where the gateway and the relay reach the node.
    reached: String,
    role: Role,
    // Ends with the world.
    process: Process,
}

struct Relay {
    stop: CancellationToken,
    state: watch::Receiver<SinkState>,
    task: JoinHandle<()>,
}

/// Starts the world's process. Returns it, and where its node and its cluster answer.
fn start(role: &Role, folder: &Path) -> (Process, String, String) {
    let mut process = Process::role(role, &folder.join("world.log"));
    let mut lines = said(process.stdout.take().unwrap());
    let line = lines.next().expect("the world starts");
    // The test harness in it writes too, and fails when nobody reads.
    std::thread::spawn(move || lines.for_each(drop));
    let parts: Vec<&str> = line.split(' ').collect();
    let ["world", node, cluster] = parts[..] else { panic!("{line}") };
    (process, node.to_owned(), cluster.to_owned())
}

/// A port that nobody listens on and that no outgoing connection takes while the gateway is away.
pub(crate) fn free_port() -> u16 {
    // Below the range from which the system takes ports for outgoing connections.
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let begin = 15_000 + u16::try_from(std::process::id() % 100).unwrap() * 150;
        let port = begin + NEXT.fetch_add(1, Ordering::SeqCst) % 150;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

impl World {
    /// A new world with its relay, and settings for a gateway in it; `more` is added to them.
    pub(crate) fn new(more: &str) -> Self {
        // In memory where there is such a place: a killed process loses no page of it, and nothing waits for the disk.
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("lessor-crash-").tempdir_in(parent).unwrap();
        Self::in_folder(folder, BLOCK, more)
    }

    /// A world with blocks as far apart as this, where whatever is between the provider and its node can be watched.
    pub(crate) fn paced(block: Duration) -> Self {
        let folder = tempfile::Builder::new().prefix("lessor-crash-").tempdir().unwrap();
        Self::in_folder(folder, block, "")
    }

    fn in_folder(folder: TempDir, block: Duration, more: &str) -> Self {
        support::install_tls();
        let role = Role::World {
            data: folder.path().join("world"),
            port: free_port(),
            block_ms: u64::try_from(block.as_millis()).unwrap(),
        };
        let (process, node, cluster) = start(&role, folder.path());
        let world = Self {
            reached: node.clone(),
            node,
            cluster,
            role,
            process,
            url: format!("http://127.0.0.1:{}", free_port()),
            http: reqwest::Client::builder().timeout(Duration::from_secs(90)).build().unwrap(),
            store: "lessor.db".to_owned(),
            relay: None,
            folder,
        };
        world.write_settings(more);
        world
    }

    fn write_settings(&self, more: &str) {
        let private = |name: &str, text: &str| {
            let path = self.path(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
            path.display().to_string()
        };
        let key = private("provider.key", MNEMONIC);
        let token = private("operator.token", TOKEN);
        let feed = feed_key().public();
        let settings = format!(
            r#"
[listen]
public = "{public}"
admin = ""
[admin]
token_file = "{token}"
[store]
path = "{store}"
[chain]
node = "{node}"
poll_ms = 100
[key]
file = "{key}"
index = 1
[cluster]
kind = "simulated"
url = "{cluster}"
[worker]
claim_ttl_s = 1
[log]
filter = "info"
[streams.{STREAM}]
keys = [{{ name = "relay", key = "{feed}" }}]
backfill_after_s = 1
{more}
"#,
            public = self.url.strip_prefix("http://").unwrap(),
            store = self.store().display(),
            node = self.reached,
            cluster = self.cluster,
        );
        std::fs::write(self.config(), settings).unwrap();
    }

    /// From the next start on the gateway and the relay reach the node under this address.
    pub(crate) fn reach_node_at(&mut self, url: &str) {
        let before = format!("node = \"{}\"", self.reached);
        let settings = std::fs::read_to_string(self.config()).unwrap();
        std::fs::write(self.config(), settings.replace(&before, &format!("node = \"{url}\"")))
            .unwrap();
        url.clone_into(&mut self.reached);
    }

    /// Sends the node a signal, such as `STOP`.
    pub(crate) fn signal_node(&self, signal: &str) {
        self.process.signal(signal);
    }

    /// Ends the node as its operator does.
    pub(crate) async fn stop_node(&mut self) {
        drop(self.process.stdin.take());
        support::eventually("the node ends", LIMIT, async || self.process.ended()).await;
    }

    /// Starts the node again, with what it had and where it was.
    pub(crate) fn start_node(&mut self) {
        let (process, node, _) = start(&self.role, self.folder.path());
        assert_eq!(node, self.node);
        self.process = process;
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.path("lessor.toml")
    }

    pub(crate) fn store(&self) -> PathBuf {
        self.path(&self.store)
    }

    /// The file is to be there, from the next start on.
    pub(crate) fn move_store(&mut self, name: &str) {
        let before = self.store().display().to_string();
        name.clone_into(&mut self.store);
        let settings = std::fs::read_to_string(self.config()).unwrap();
        let moved = settings.replace(&before, &self.store().display().to_string());
        std::fs::write(self.config(), moved).unwrap();
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path("gateway.log")
    }

    pub(crate) fn chain_folder(&self) -> PathBuf {
        self.path("world/chain")
    }

    /// `lessor serve` itself, with the settings of this world and nothing of the environment.
    pub(crate) fn serve(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_lessor"));
        command.arg("--config").arg(self.config()).arg("serve").env_clear();
        command
    }

    /// Starts the relay where it stopped, or with the first block.
    pub(crate) fn start_relay(&mut self) {
        let mut settings = relay::Settings::new(self.reached.parse().unwrap(), self.path("relay"));
        settings.sinks.push(relay::SinkSettings {
            stream: STREAM.to_owned(),
            url: format!("{}/webhooks/{STREAM}", self.url).parse().unwrap(),
            keys: vec![SigningKey::Private(feed_key())],
        });
        settings.heartbeat = Duration::from_secs(1);
        settings.poll = Duration::from_millis(100);
        settings.retry = relay::Retry {
            first: Duration::from_millis(20),
            most: Duration::from_millis(300),
            timeout: Duration::from_secs(15),
        };
        let clock: relay::Clock = Arc::new(host::now);
        let relay = relay::Relay::open(settings, &clock).unwrap();
        let state = relay.states().remove(0);
        let stop = CancellationToken::new();
        let running = stop.clone();
        let task = tokio::spawn(async move { relay.run(running).await.unwrap() });
        self.relay = Some(Relay { stop, state, task });
    }

    /// Stops the relay once it has sent every block up to this one.
    pub(crate) async fn stop_relay_after(&mut self, height: Height) {
        let mut relay = self.relay.take().unwrap();
        let sent = relay.state.wait_for(|state| {
            state.position.as_ref().is_some_and(|position| position.read >= height)
        });
        tokio::time::timeout(LIMIT, sent).await.expect("the relay sends everything").unwrap();
        relay.stop.cancel();
        relay.task.await.unwrap();
    }

    /// Waits until the relay says that a delivery was not taken, with these words.
    pub(crate) async fn relay_fails(&mut self, words: &str) {
        let relay = self.relay.as_mut().unwrap();
        let failed = relay
            .state
            .wait_for(|state| state.last_error.as_ref().is_some_and(|error| error.contains(words)));
        tokio::time::timeout(LIMIT, failed).await.expect("the relay is refused").unwrap();
    }

    pub(crate) async fn tip(&self) -> Height {
        let status = Node::new(&self.node).unwrap().status().await.unwrap();
        Height(status.sync_info.latest_block_height)
    }

    pub(crate) fn tenant(&self, index: u32) -> Tenant {
        Tenant {
            key: test_key(index).unwrap(),
            node: Node::new(&self.node).unwrap(),
            gateway: Gateway::new(&self.url).unwrap(),
            dialect: Dialect::Go,
            gas_price: Price { denom: Denom::uakt(), amount: "0.025".parse().unwrap() },
            now: host::now,
            entropy: || uuid::Uuid::new_v4().as_u64_pair().1,
        }
    }

    /// What the operator is answered, when the answer is 200.
    pub(crate) async fn operator(&self, path: &str) -> Option<Value> {
        let request = self.http.get(format!("{}{path}", self.url)).bearer_auth(TOKEN);
        read(request).await
    }

    /// What the simulated cluster answers.
    pub(crate) async fn cluster(&self, path: &str) -> Value {
        read(self.http.get(format!("{}{path}", self.cluster))).await.expect("the cluster answers")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // For whoever looks into the failure.
        if std::thread::panicking() {
            self.folder.disable_cleanup(true);
            eprintln!("kept: {}", self.folder.path().display());
        }
    }
}

async fn read(request: reqwest::RequestBuilder) -> Option<Value> {
    let answer = request.send().await.ok()?;
    if answer.status() != 200 {
        return None;
    }
    answer.json().await.ok()
}

/// The key that the relay signs with.
pub(crate) fn feed_key() -> PrivateKey {
    let text = PrivateKey::from_seed(&[7; 32]).to_text();
    text.expose_secret().parse().unwrap()
}

/// An example that is shipped.
pub(crate) fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/examples").join(name);
    std::fs::read_to_string(path).unwrap()
}
