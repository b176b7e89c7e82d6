//! `lessor dev`: the development world and the provider in it, in one process.
//!
//! Nothing here is special to development but the parts that are put together: the same node protocol, relay, gateway,
//! steps and store serve in production.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use axum::{
    Router,
    extract::{ConnectInfo, Request},
    response::{IntoResponse, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::StatusCode;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    devnet as world, host, output, parts,
    reload::{Fit, Watch},
    serve::{self, Serving},
    settings::{Settings, Stream, Verifying},
};
use crate::{
    chain::{AccountKey, read_private},
    devnet::{self, genesis::test_key},
    event::key::{PrivateKey, SigningKey},
    provider::{Provider, port::Signer},
    relay,
};

/// The name of the built-in relay's stream.
pub const STREAM: &str = "dev";
/// Which of the public test accounts the provider is.
pub const PROVIDER_INDEX: u32 = 1;

/// `lessor dev`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Keep everything in this folder; the same folder again goes on where it was. A temporary one when left out.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where the gateway listens.
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// Listen on --listen although it is beyond loopback. Whoever reaches it can spend the test accounts.
    #[arg(long)]
    beyond_loopback: bool,
    /// Milliseconds between blocks.
    #[arg(long, default_value_t = 1000)]
    block_interval_ms: u64,
}

/// Runs until SIGTERM or SIGINT.
pub async fn run(args: Args, config: Option<&Path>) -> anyhow::Result<ExitCode> {
    let stop = serve::stop_on_signal()?;
    let temporary = args.data.is_none().then(tempfile::tempdir).transpose()?;
    let data =
        args.data.clone().or_else(|| temporary.as_ref().map(|folder| folder.path().to_owned()));
    let data = data.context("no folder")?;
    if !args.listen.ip().is_loopback() && !args.beyond_loopback {
        bail!(
            "{} is beyond loopback: a development world is anybody's who reaches it; add --beyond-loopback if you want that",
            args.listen
        );
    }
    let mut settings = Settings::load(config, std::env::vars())?;
    serve::write_logs(&settings)?;
    settings.listen.public = args.listen.to_string();
    settings.listen.behind_proxy |= args.beyond_loopback;
    let options = Options {
        data,
        settings,
        world: world::Options {
            block_interval: Duration::from_millis(args.block_interval_ms),
            ..world::Options::default()
        },
        works: true,
        place: Place::default(),
    };
    let dev = Dev::start(options).await?;
    output::tell(welcome(&dev));
    stop.cancelled().await;
    dev.stop().await;
    Ok(ExitCode::SUCCESS)
}

fn welcome(dev: &Dev) -> String {
    let url = &dev.url;
    let option =
        if url == "http://127.0.0.1:8443" { String::new() } else { format!(" --url {url}") };
    format!(
        "lessor dev is up\n\n\
         \x20 gateway         {url}\n\
         \x20 node            {}\n\
         \x20 cluster         {}\n\
         \x20 provider        {}\n\
         \x20 operator token  {}\n\
         \x20 data            {}\n\n\
         next, in another terminal:\n\n\
         \x20 cargo run -- tenant{option} deploy deploy/examples/web.yaml\n",
        dev.node,
        dev.devnet.cluster_url(),
        dev.provider.address,
        dev.operator_token.expose_secret(),
        dev.data.display(),
    )
}

/// What a development world is made of.
pub struct Options {
    /// Where everything is kept.
    pub data: PathBuf,
    /// The provider's settings; what the world itself decides is put in their place.
    pub settings: Settings,
    /// The ledger and the cluster.
    pub world: world::Options,
    /// Whether this process works off what is due; if not, only `step` and tick do.
    pub works: bool,
    /// Where the provider stands in the world.
    pub place: Place,
}

/// Who the provider is, and which way it and its indexer have to the chain.
#[derive(Debug, Clone)]
pub struct Place {
    /// Which of the public test accounts the provider is.
    pub account: u32,
    /// The node that the provider asks; the world's own when `None`.
    pub node: Option<String>,
    /// The node that the indexer follows; the world's own when `None`.
    pub followed: Option<String>,
}

impl Default for Place {
    fn default() -> Self {
        Self { account: PROVIDER_INDEX, node: None, followed: None }
    }
}

/// A development world with its provider.
pub struct Dev {
    /// The gateway, everything on one listener.
    pub url: String,
    /// The node's RPC.
    pub node: String,
    /// The ledger and the cluster.
    pub devnet: devnet::server::Running,
    /// The provider.
    pub provider: Arc<Provider>,
    /// The operator's token.
    pub operator_token: SecretString,
    /// Where everything is kept.
    pub data: PathBuf,
    /// The settings that the provider runs with.
    pub settings: Settings,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Dev {
    /// Starts the world, then the gateway, then the relay that feeds it.
    pub async fn start(options: Options) -> anyhow::Result<Self> {
        let data = &options.data;
        std::fs::create_dir_all(data).with_context(|| format!("make {}", data.display()))?;
        let devnet = start_world(data, options.world.clone()).await?;
        Self::start_in(devnet, options).await
    }

    /// Starts the gateway in a world, then the relay that feeds it.
    pub async fn start_in(
        devnet: devnet::server::Running,
        options: Options,
    ) -> anyhow::Result<Self> {
        let Options { data, mut settings, world, works, place } = options;
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        let heartbeat = heartbeat(world.block_interval);
        let Place { account, node, followed } = place;
        let followed = followed.unwrap_or_else(|| devnet.rpc_url());

        let feed = relay_key(&data.join("relay.key"))?;
        let operator_token = operator_token(&data.join("operator.token"))?;
        settings.store.path = data.join("lessor.db");
        settings.chain.node = node.unwrap_or_else(|| devnet.rpc_url());
        settings.chain.nodes.clear();
        "simulated".clone_into(&mut settings.cluster.kind);
        settings.cluster.url = devnet.cluster_url();
        settings.admin.token_file = data.join("operator.token").display().to_string();
        settings.listen.admin = String::new();
        settings.streams.insert(
            STREAM.to_owned(),
            Stream {
                keys: vec![Verifying::for_ever("built-in relay", feed.public().to_string().into())],
                ..Stream::default()
            },
        );

        let key = AccountKey::from(test_key(account)?);
        let provider =
            parts::provider_with_key(&settings, Some(Arc::new(key) as Arc<dyn Signer>)).await?;
        let about = about(&devnet, &provider);
        let serving = Serving::bind(&settings, provider.clone(), Some(about), &stop).await?;
        let (_, address) = serving.addresses().into_iter().next().context("no listener")?;
        let url = format!("http://{address}");
        tasks.spawn(serving.run(stop.clone()));
        if works {
            let (provider, stop) = (provider.clone(), stop.clone());
            let poll = Duration::from_millis(settings.chain.poll_ms);
            tasks.spawn(async move { serve::work(&provider, poll, &stop).await });
        }
        let watch = Watch::new(&settings, provider.clone(), as_in_the_world(&settings))?;
        tasks.spawn(watch.run(stop.clone()));
        start_relay(&followed, &url, &data.join("relay"), feed, heartbeat, &stop, &tasks)?;
        tasks.close();
        Ok(Self {
            url,
            node: devnet.rpc_url(),
            devnet,
            provider,
            operator_token,
            data,
            settings,
            stop,
            tasks,
        })
    }

    /// Stops everything and waits for it. What was accepted is durable.
    pub async fn stop(self) {
        self.stop.cancel();
        if tokio::time::timeout(Duration::from_secs(15), self.tasks.wait()).await.is_err() {
            tracing::warn!("not everything ended in time");
        }
        self.devnet.shutdown().await;
    }
}

/// What the world decides stays as it is when the settings are read again.
fn as_in_the_world(settings: &Settings) -> Fit {
    let world = settings.clone();
    Box::new(move |again| {
        again.listen.clone_from(&world.listen);
        again.admin.clone_from(&world.admin);
        again.store.clone_from(&world.store);
        again.chain.node.clone_from(&world.chain.node);
        again.chain.nodes.clear();
        again.chain.poll_ms = world.chain.poll_ms;
        again.cluster.kind.clone_from(&world.cluster.kind);
        again.cluster.url.clone_from(&world.cluster.url);
        if let Some(relay) = world.streams.get(STREAM) {
            again.streams.insert(STREAM.to_owned(), relay.clone());
        }
    })
}

/// Starts the ledger where it listened before: tools that were told the node's address find it again.
async fn start_world(
    data: &Path,
    options: world::Options,
) -> anyhow::Result<devnet::server::Running> {
    let kept = data.join("node.address");
    let before = std::fs::read_to_string(&kept).ok().and_then(|text| text.trim().parse().ok());
    let before = before.filter(|address: &SocketAddr| address.ip().is_loopback());
    let folder = data.join("devnet");
    if let Some(address) = before {
        // Asked first: a world that cannot listen has its files open already.
        if tokio::net::TcpListener::bind(address).await.is_ok() {
            return world::start(&folder, address, options).await;
        }
        tracing::warn!(%address, "the node's address of last time is taken; it gets another");
    }
    let anywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let running = world::start(&folder, anywhere, options).await?;
    std::fs::write(&kept, running.addr().to_string())
        .with_context(|| format!("write {}", kept.display()))?;
    Ok(running)
}

/// A quiet chain is heard of before the stream would count as behind it, however fast the world's blocks are.
fn heartbeat(block_interval: Duration) -> Duration {
    (block_interval * 10).clamp(Duration::from_secs(1), Duration::from_secs(10))
}

fn start_relay(
    node: &str,
    gateway: &str,
    data: &Path,
    key: PrivateKey,
    heartbeat: Duration,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> anyhow::Result<()> {
    let mut settings = relay::Settings::new(node.parse()?, data.to_owned());
    settings.sinks.push(relay::SinkSettings {
        stream: STREAM.to_owned(),
        url: format!("{gateway}/webhooks/{STREAM}").parse()?,
        keys: vec![SigningKey::Private(key)],
    });
    settings.heartbeat = heartbeat;
    let relay = relay::Relay::open(settings, &(Arc::new(host::now) as relay::Clock))?;
    let stop = stop.clone();
    tasks.spawn(async move {
        if let Err(error) = relay.run(stop).await {
            tracing::error!(error = %error, "the relay ended");
        }
    });
    Ok(())
}

/// `GET /dev`: what a tenant's tool needs to know. For callers on this machine only.
fn about(devnet: &devnet::server::Running, provider: &Provider) -> Router {
    let body = serde_json::json!({
        "chain_id": devnet.node().chain_id(),
        "node": devnet.rpc_url(),
        "cluster": devnet.cluster_url(),
        "provider": provider.address,
    });
    Router::new().route(
        "/dev",
        get(move |request: Request| {
            let peer = request.extensions().get().map(|ConnectInfo(peer)| *peer);
            std::future::ready(answer_about(peer, &body))
        }),
    )
}

fn answer_about(peer: Option<SocketAddr>, body: &serde_json::Value) -> Response {
    if peer.is_some_and(|peer: SocketAddr| peer.ip().to_canonical().is_loopback()) {
        ([(http::header::CONTENT_TYPE, "application/json")], body.to_string()).into_response()
    } else {
        StatusCode::NOT_FOUND.into_response()
    }
}

/// The relay's key: kept, so that a restart signs with the one that the gateway knows.
fn relay_key(path: &Path) -> anyhow::Result<PrivateKey> {
    let text = kept(path, || {
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        seed[16..].copy_from_slice(uuid::Uuid::new_v4().as_bytes());
        PrivateKey::from_seed(&seed).to_text()
    })?;
    text.expose_secret().parse().context("the relay's key")
}

fn operator_token(path: &Path) -> anyhow::Result<SecretString> {
    kept(path, || {
        let mut bytes = uuid::Uuid::new_v4().as_bytes().to_vec();
        bytes.extend_from_slice(uuid::Uuid::new_v4().as_bytes());
        URL_SAFE_NO_PAD.encode(bytes).into()
    })
}

/// A secret from its file, made at the first start.
fn kept(path: &Path, make: impl FnOnce() -> SecretString) -> anyhow::Result<SecretString> {
    use std::{io::Write, os::unix::fs::OpenOptionsExt};
    if path.exists() {
        return Ok(read_private(path)?);
    }
    let secret = make();
    let mut file =
        std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(secret.expose_secret().as_bytes())?;
    file.sync_all()?;
    Ok(secret)
}
