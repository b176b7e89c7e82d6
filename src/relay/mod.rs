//! The reference indexer: follows a CometBFT node and pushes the events of each block, signed, to webhooks.
//!
//! It owns its place in the chain (one durable file per sink) and nothing else: it decides nothing about a market. It
//! stands on `domain`, `wire` and `event` only, so it is also what an indexer's author reads.
//!
//! | file | what |
//! |---|---|
//! | [`node`] | the node's RPC; its websocket only wakes |
//! | [`follow`] | which block is the newest, and the events of a range of blocks |
//! | [`pack`] | events to CloudEvents to batches, within limits; pure |
//! | [`sink`] | one receiver: sends in order, keeps its place |
//! | [`place`] | that place as a file, and the journal of what was sent |
//! | [`pull`] | the pull API for missed blocks, loopback only |
//! | [`webhook`] | sign, send, verify one delivery by hand |
//!
//! The one surprising fact: blocks without events are not sent at all; a heartbeat with the newest height is, so a quiet
//! market and a dead indexer look different.

pub mod follow;
mod metrics;
pub mod node;
pub mod pack;
pub mod place;
pub mod pull;
pub mod sink;
pub mod webhook;

use std::{path::PathBuf, sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use self::{
    follow::{Follower, Tip},
    node::{Node, NodeError},
    pack::BatchLimits,
    place::{DataDir, PlaceError},
    sink::{Sink, SinkState},
};
use crate::{domain::Height, event::key::SigningKey};

/// Says what time it is.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where a stream begins that has no place yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With the first block that the node has.
    Earliest,
    /// With the next block.
    Newest,
    /// With this block.
    At(Height),
}

/// How deliveries are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retry {
    /// The pause after the first failure; doubles with each.
    pub first: Duration,
    /// The longest pause, also when a receiver asks for a longer one.
    pub most: Duration,
    /// How long one attempt may take.
    pub timeout: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            most: Duration::from_mins(5),
            timeout: Duration::from_secs(30),
        }
    }
}

/// One receiver.
#[derive(Debug, Clone)]
pub struct SinkSettings {
    /// The stream's name there; also names the files of its place and journal.
    pub stream: String,
    /// Where to post.
    pub url: reqwest::Url,
    /// Signs; two while they are rotated.
    pub keys: Vec<SigningKey>,
}

/// What a relay is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The node's RPC address.
    pub node: reqwest::Url,
    /// Where places and journals are kept.
    pub data: PathBuf,
    /// Who receives.
    pub sinks: Vec<SinkSettings>,
    /// The indexer's name in the CloudEvents' `source`.
    pub name: String,
    /// Where new streams begin.
    pub start: Start,
    /// Prefixes of the event types that are sent; empty for those that a provider lives by.
    pub filter: Vec<String>,
    /// How large a delivery may be.
    pub limits: BatchLimits,
    /// The longest silence.
    pub heartbeat: Duration,
    /// How often the node is asked for its newest block, besides the websocket.
    pub poll: Duration,
    /// How many blocks are read at once.
    pub prefetch: usize,
    /// How deliveries are tried again.
    pub retry: Retry,
}

impl Settings {
    /// The defaults, for a node and a folder.
    #[must_use]
    pub fn new(node: reqwest::Url, data: PathBuf) -> Self {
        Self {
            node,
            data,
            sinks: Vec::new(),
            name: "lessor".to_owned(),
            start: Start::Earliest,
            filter: Vec::new(),
            limits: BatchLimits::default(),
            heartbeat: Duration::from_secs(30),
            poll: Duration::from_secs(1),
            prefetch: 8,
            retry: Retry::default(),
        }
    }
}

/// How long the node may take over one answer.
const READ: Duration = Duration::from_secs(10);

/// Why a relay does not run.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// A setting that is not allowed.
    #[error("relay settings: {0}")]
    Settings(String),
    /// Its folder or a file in it.
    #[error("relay place: {0}")]
    Place(#[from] PlaceError),
    /// The node, at the start or where trying again is of no use.
    #[error("relay node: {0}")]
    Node(#[from] NodeError),
    /// The HTTP client.
    #[error("relay client: {0}")]
    Client(#[source] reqwest::Error),
    /// The node follows another chain than the one that a place is on.
    #[error(
        "stream {stream:?} is at block {height} of chain {known}, which the node does not have; \
         another chain needs another data folder"
    )]
    OtherChain {
        /// The stream.
        stream: String,
        /// Its place.
        height: Height,
        /// The chain and the block's hash as they were.
        known: String,
    },
}

/// A relay that is ready to run.
#[derive(Debug)]
pub struct Relay {
    follower: Arc<Follower>,
    sinks: Vec<Sink>,
    states: Vec<watch::Receiver<SinkState>>,
    /// The node's newest block.
    tips: watch::Sender<Option<Tip>>,
    settings: Settings,
    // Held for its lock.
    _data: DataDir,
}

impl Relay {
    /// Opens the folder and every sink's place.
    ///
    /// # Errors
    /// [`RelayError`]; another relay on the same folder is one.
    pub fn open(settings: Settings, clock: &Clock) -> Result<Self, RelayError> {
        check(&settings)?;
        let data = DataDir::open(&settings.data)?;
        let http = client(settings.retry.timeout).map_err(RelayError::Client)?;
        // A connection that died half must not hold the reading up for longer than two blocks.
        let reading = client(settings.retry.timeout.min(READ)).map_err(RelayError::Client)?;
        let follower = Arc::new(Follower::new(
            Node::new(reading, settings.node.clone()),
            settings.filter.clone(),
            settings.prefetch,
        ));
        let mut sinks = Vec::with_capacity(settings.sinks.len());
        let mut states = Vec::with_capacity(settings.sinks.len());
        for sink in &settings.sinks {
            let (place, journal) = (data.place(&sink.stream)?, data.journal(&sink.stream)?);
            let (sink, state) = Sink::new(
                &settings,
                sink.clone(),
                (place, journal),
                http.clone(),
                Arc::clone(&follower),
                Arc::clone(clock),
            );
            sinks.push(sink);
            states.push(state);
        }
        let (tips, _) = watch::channel(None);
        Ok(Self { follower, sinks, states, tips, settings, _data: data })
    }

    /// How each sink stands, in the settings' order; changes are seen by waiting on the receivers.
    #[must_use]
    pub fn states(&self) -> Vec<watch::Receiver<SinkState>> {
        self.states.clone()
    }

    /// The pull API. Whoever serves it listens on loopback only: it has no authentication.
    pub fn pull_router(&self) -> axum::Router {
        let tip = self.tips.subscribe();
        pull::router(Arc::clone(&self.follower), &self.settings, self.states(), tip)
    }

    /// Runs until `stop`. A sink that ends (gone, or on another chain) leaves the others running.
    ///
    /// # Errors
    /// The first sink's error, once all have ended.
    pub async fn run(self, stop: CancellationToken) -> Result<(), RelayError> {
        let tip = self.tips.subscribe();
        let follower = Arc::clone(&self.follower);
        let watching = follow::watch_tip(&follower, self.settings.poll, &self.tips);
        let sinks = self.sinks.into_iter().map(|sink| {
            let tip = tip.clone();
            let stop = stop.clone();
            async move {
                let stream = sink.stream().to_owned();
                let ended = sink.run(tip, &stop).await;
                if let Err(error) = &ended {
                    tracing::error!(%stream, %error, "stream ended");
                }
                ended
            }
        });
        let running = async { join_all(sinks).await.into_iter().collect::<Result<(), _>>() };
        tokio::select! {
            ended = running => ended,
            () = watching => Ok(()),
        }
    }
}

/// An HTTP client that follows no redirects: an answer must not lead a signed delivery elsewhere.
pub(crate) fn client(timeout: Duration) -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(Duration::from_secs(5))
        .timeout(timeout)
        .user_agent(concat!("lessor-relay/", env!("CARGO_PKG_VERSION")))
        .build()
}

fn check(settings: &Settings) -> Result<(), RelayError> {
    let refused = |text: String| Err(RelayError::Settings(text));
    let mut names: Vec<&str> = settings.sinks.iter().map(|sink| sink.stream.as_str()).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        if pair[0] == pair[1] {
            return refused(format!(
                "stream {:?} has two sinks, each needs a name of its own",
                pair[0]
            ));
        }
    }
    for sink in &settings.sinks {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        if sink.stream.is_empty() || sink.stream.len() > 64 || !sink.stream.bytes().all(plain) {
            return refused(format!(
                "stream {:?} may have 1 to 64 letters, digits, '-' and '_'",
                sink.stream
            ));
        }
        if sink.keys.is_empty() {
            return refused(format!("stream {:?} has no key to sign with", sink.stream));
        }
    }
    Ok(())
}
