//! A development world in this process, with tenants who make orders, and gateways as processes beside it.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use jiff::Timestamp;
use lessor::{
    client::{self, Tenant, node::Node},
    cmd::{devnet, host},
    devnet::{
        cluster,
        cluster_api::NodeSpec,
        genesis::{MNEMONIC, test_key},
        node::journal::BlockLine,
        server::Running,
    },
    domain::{Coin, Denom, Height, OrderId, Price},
    event::key::{PrivateKey, SigningKey},
    manifest::{Compiled, Dialect},
    relay,
    wire::{deployment, google::Any, market},
};
use tempfile::TempDir;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::process::{Environment, Process};

/// What the operator's routes ask for here.
pub(super) const TOKEN: &str = "the-operator-of-the-figures";
/// The streams that every gateway here knows: `s0`, `s1`, …; and `relay`.
pub(super) const STREAMS: usize = 8;
const GIB: u64 = 1 << 30;
/// The longest that anything is waited for.
const PATIENCE: Duration = Duration::from_mins(3);

/// See the module.
pub(super) struct World {
    folder: TempDir,
    devnet: Running,
    /// Who makes orders.
    pub(super) tenant: Tenant,
    /// What is ordered.
    pub(super) compiled: Compiled,
}

/// A gateway as a process. Killed when it is dropped.
pub(super) struct Gateway {
    pub(super) process: Process,
    pub(super) url: String,
}

/// A relay that runs in this process.
pub(super) struct Relaying {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Relaying {
    pub(super) async fn end(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

/// The key of stream `s<number>`.
pub(super) fn stream_key(number: usize) -> PrivateKey {
    let mut seed = [7; 32];
    seed[0] = u8::try_from(number).unwrap_or(u8::MAX);
    PrivateKey::from_seed(&seed)
}

/// A port that was free a moment ago.
pub(super) fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn secret(path: &Path, text: &str) -> anyhow::Result<()> {
    use std::io::Write;
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    Ok(())
}

impl World {
    /// A chain with blocks at this interval and a cluster with room for everything that is measured.
    pub(super) async fn new(interval: Duration) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let node = |number: u32| NodeSpec {
            name: format!("node-{number:02}"),
            cpu_milli: 1_000_000,
            memory_bytes: 4096 * GIB,
            ephemeral_bytes: 65_536 * GIB,
            gpus: Vec::new(),
            storage_classes: vec!["default".to_owned(), "beta2".to_owned()],
        };
        let options = devnet::Options {
            block_interval: interval,
            cluster: cluster::Settings {
                nodes: (0..10).map(node).collect(),
                ready_min_ms: 10,
                ready_max_ms: 50,
                teardown_ms: 10,
                log_every_ms: 60_000,
                ..cluster::Settings::default()
            },
            ..devnet::Options::default()
        };
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let devnet = devnet::start(&folder.path().join("devnet"), listen, options).await?;
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/examples/web.yaml");
        let document = std::fs::read_to_string(example)?;
        let compiled = lessor::manifest::compile(&document, Dialect::Go)
            .ok()
            .context("the example compiles")?;
        let tenant = Tenant {
            key: test_key(0)?,
            node: Node::new(&devnet.rpc_url())?,
            // No tenant speaks to a gateway before one is there.
            gateway: client::gateway::Gateway::new("http://127.0.0.1:9")?,
            dialect: Dialect::Go,
            gas_price: Price { denom: Denom::uakt(), amount: "0.025".parse()? },
            now: host::now,
            entropy: || uuid::Uuid::new_v4().as_u64_pair().1,
        };
        secret(&folder.path().join("provider.key"), MNEMONIC)?;
        secret(&folder.path().join("operator.token"), TOKEN)?;
        Ok(Self { folder, devnet, tenant, compiled })
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(super) fn log(&self) -> PathBuf {
        self.folder.path().join("lessor.log")
    }

    pub(super) fn chain_id(&self) -> String {
        self.devnet.node().chain_id().to_owned()
    }

    /// The settings of a gateway in this world.
    pub(super) fn environment(&self) -> Environment {
        let file = |name: &str| self.folder.path().join(name).display().to_string();
        let mut environment = Environment(Vec::new())
            .with("LISTEN__PUBLIC", &"127.0.0.1:0")
            .with("LISTEN__ADMIN", &"")
            .with("ADMIN__TOKEN_FILE", &file("operator.token"))
            .with("STORE__PATH", &file("lessor.db"))
            .with("CHAIN__NODE", &self.devnet.rpc_url())
            .with("KEY__FILE", &file("provider.key"))
            .with("KEY__INDEX", &1)
            .with("CLUSTER__KIND", &"simulated")
            .with("CLUSTER__URL", &self.devnet.cluster_url())
            .with("LOG__FILTER", &"warn");
        let names = (0..STREAMS).map(|number| format!("s{number}")).chain(["relay".to_owned()]);
        for (number, name) in names.enumerate() {
            let key = stream_key(number).public();
            let value = format!("[{{ name = \"figures\", key = \"{key}\" }}]");
            environment =
                environment.with(&format!("STREAMS__{}__KEYS", name.to_uppercase()), &value);
        }
        environment
    }

    /// A gateway as a process.
    pub(super) fn serve(&self, lessor: &Path, options: &[&str]) -> anyhow::Result<Gateway> {
        self.serve_with(lessor, options, &self.environment())
    }

    /// A gateway as a process that expects the relay's stream alone: it hears all that it waits for.
    pub(super) fn serve_one_stream(&self, lessor: &Path) -> anyhow::Result<Gateway> {
        let mut environment = self.environment();
        environment.0.retain(|(name, _)| !name.contains("STREAMS__S"));
        self.serve_with(lessor, &[], &environment)
    }

    /// A gateway as a process with settings of its own.
    pub(super) fn serve_with(
        &self,
        lessor: &Path,
        options: &[&str],
        environment: &Environment,
    ) -> anyhow::Result<Gateway> {
        let arguments: Vec<&str> = ["serve"].iter().chain(options).copied().collect();
        let mut process = Process::spawn(lessor, &arguments, environment, &self.log())?;
        let url = process.url()?;
        Ok(Gateway { process, url })
    }

    /// The reference indexer, from the newest block on, towards a gateway.
    pub(super) fn relay(&self, gateway: &str) -> anyhow::Result<Relaying> {
        let data = self.folder.path().join("relay");
        let mut settings = relay::Settings::new(self.devnet.rpc_url().parse()?, data);
        settings.start = relay::Start::Newest;
        settings.sinks.push(relay::SinkSettings {
            stream: "relay".to_owned(),
            url: format!("{gateway}/webhooks/relay").parse()?,
            keys: vec![SigningKey::Private(stream_key(STREAMS))],
        });
        let relay = relay::Relay::open(settings, &(Arc::new(host::now) as relay::Clock))?;
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let task = tokio::spawn(async move {
            if let Err(error) = relay.run(stopping).await {
                eprintln!("the relay ended: {error}");
            }
        });
        Ok(Relaying { stop, task })
    }

    /// Makes deployments `first` and the following, all in one block; returns its height.
    pub(super) async fn order(&self, first: u64, count: u64) -> anyhow::Result<Height> {
        let deposit = Coin { denom: Denom::uact(), amount: 500_000 };
        let messages = (first..first + count).map(|dseq| {
            let id = self.tenant.deployment(dseq);
            Any::pack(&deployment::MsgCreateDeployment::new(
                &id,
                &self.compiled.groups,
                &self.compiled.hash,
                &deposit,
                None,
            ))
        });
        let sent = self.tenant.send("the deployments", messages.collect()).await?;
        Ok(sent.height)
    }

    /// Closes deployments `first` and the following.
    pub(super) async fn close(&self, first: u64, count: u64) -> anyhow::Result<()> {
        let messages = (first..first + count).map(|dseq| {
            Any::pack(&deployment::MsgCloseDeployment::new(&self.tenant.deployment(dseq)))
        });
        self.tenant.send("the closing", messages.collect()).await?;
        Ok(())
    }

    /// Takes the provider's bids on deployments `first` and the following.
    pub(super) async fn lease(&self, first: u64, count: u64) -> anyhow::Result<()> {
        let provider = test_key(1)?.public_key().address().clone();
        let messages = (first..first + count).map(|dseq| {
            let id = self.tenant.deployment(dseq);
            let order: Result<OrderId, _> = format!("{id}/1/1").parse();
            order.map(|order| Any::pack(&market::MsgCreateLease::new(&order.bid(&provider))))
        });
        self.tenant.send("the leases", messages.collect::<Result<_, _>>()?).await?;
        Ok(())
    }

    /// The chain's journal from a height on.
    pub(super) fn journal(&self, from: Height) -> Vec<BlockLine> {
        self.devnet.node().journal(from)
    }

    /// When the gateway had answered the relay's delivery of a block.
    pub(super) fn answered_at(&self, height: Height) -> anyhow::Result<Timestamp> {
        let journal = self.folder.path().join("relay").join("relay.journal.jsonl");
        let text = std::fs::read_to_string(&journal)
            .with_context(|| format!("read {}", journal.display()))?;
        let subject = format!("\"{}/{height}\"", self.chain_id());
        let line =
            text.lines().rev().find(|line| line.contains(&subject)).context("no delivery")?;
        let line: serde_json::Value = serde_json::from_str(line)?;
        Ok(line["at"].as_str().context("at")?.parse()?)
    }

    /// Every create-bid of the chain from a height on, by order: when the node was handed it, and its block.
    pub(super) fn bids(&self, from: Height) -> HashMap<String, (Timestamp, u64)> {
        let mut found = HashMap::new();
        for block in self.journal(from) {
            for tx in block.txs.iter().filter(|tx| tx.code == 0) {
                let bids =
                    tx.messages.iter().filter(|message| message.type_url.ends_with("MsgCreateBid"));
                for bid in bids {
                    let order =
                        bid.subject.rsplit_once('/').map_or(&*bid.subject, |(order, _)| order);
                    found.insert(
                        order.to_owned(),
                        (tx.heard_at.unwrap_or(block.time), block.height),
                    );
                }
            }
        }
        found
    }

    /// Waits until `count` create-bids from `from` on are in blocks.
    pub(super) async fn wait_for_bids(
        &self,
        from: Height,
        count: usize,
    ) -> anyhow::Result<HashMap<String, (Timestamp, u64)>> {
        until("bids", || async {
            let bids = self.bids(from);
            Ok((bids.len() >= count).then_some(bids))
        })
        .await
    }

    /// The order of deployment `dseq`.
    pub(super) fn order_of(&self, dseq: u64) -> String {
        format!("{}/1/1", self.tenant.deployment(dseq))
    }

    pub(super) async fn end(self) {
        self.devnet.shutdown().await;
    }
}

/// Waits until `check` finds something.
pub(super) async fn until<T, F: Future<Output = anyhow::Result<Option<T>>>>(
    what: &str,
    mut check: impl FnMut() -> F,
) -> anyhow::Result<T> {
    let give_up = Instant::now() + PATIENCE;
    let mut pace = tokio::time::interval(Duration::from_millis(20));
    loop {
        pace.tick().await;
        if let Some(found) = check().await? {
            return Ok(found);
        }
        if Instant::now() > give_up {
            bail!("{what} did not come in {PATIENCE:?}");
        }
    }
}

/// A client that keeps its connections.
pub(super) fn http_client() -> anyhow::Result<reqwest::Client> {
    Ok(reqwest::Client::builder().no_proxy().build()?)
}

/// What an operator's route answers.
pub(super) async fn ask(http: &reqwest::Client, url: &str) -> anyhow::Result<serde_json::Value> {
    let answer = http.get(url).bearer_auth(TOKEN).send().await?.error_for_status()?;
    Ok(serde_json::from_slice(&answer.bytes().await?)?)
}
