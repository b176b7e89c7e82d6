//! One receiver of one stream: reads on from its place, sends in order, one delivery at a time, and moves the place when
//! the receiver has taken it.
//!
//! A delivery is tried until it is taken: skipping one would be a hole that only the receiver could see.
//!
//! The one surprising fact: a receiver that asks for an earlier block (409 with `expected_prev_height`) gets it, because
//! the relay can read any block again and its own place is only where it stopped.

use std::{sync::Arc, time::Duration};

use http::header::{CONTENT_TYPE, RETRY_AFTER};
use jiff::Timestamp;
use serde_json::{Value, value::RawValue};
use tokio::{
    sync::watch,
    task::spawn_blocking,
    time::{Instant, sleep, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Clock, RelayError, Retry, Settings, SinkSettings, Start,
    follow::{Follower, Found, Tip},
    node::NodeError,
    pack::{self, Batch, BatchLimits, Packed},
    place::{Journal, JournalLine, Place, PlaceError, Position},
};
use crate::{
    domain::Height,
    event::{
        envelope::{self, BlockRef},
        hash::BodyDigest,
        signature::{delivery_id, sign},
    },
};

/// How many blocks are read before what they hold is sent.
const WINDOW: u64 = 64;
/// How much of a receiver's answer is read.
const MAX_ANSWER: usize = 64 * 1024;
/// The pause after the node failed for longer than its reader is patient.
const NODE_PAUSE: Duration = Duration::from_secs(1);

/// How a sink stands.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct SinkState {
    /// The stream.
    pub stream: String,
    /// How far it has come; none before the node was heard.
    pub position: Option<Position>,
    /// Deliveries that were taken since the relay started.
    pub deliveries: u64,
    /// Heartbeats among them.
    pub heartbeats: u64,
    /// Why the last attempt failed; none since one succeeded.
    pub last_error: Option<String>,
    /// The receiver said that the stream is gone (410).
    pub gone: bool,
}

/// One receiver.
pub struct Sink {
    settings: SinkSettings,
    source_name: String,
    start: Start,
    limits: BatchLimits,
    heartbeat: Duration,
    retry: Retry,
    place: Place,
    journal: Journal,
    http: reqwest::Client,
    follower: Arc<Follower>,
    clock: Clock,
    state: watch::Sender<SinkState>,
}

/// What became of a delivery.
enum Delivered {
    Taken,
    Gone,
    /// The receiver misses what comes after this block.
    GoBack(Height),
}

/// What became of one attempt.
enum Tried {
    Decided(Delivered),
    /// Not taken, perhaps with a time after which the receiver wants to be asked again.
    Again {
        after: Option<Duration>,
    },
}

/// When the next heartbeat is due, and how many were not taken since the last that was.
struct Pulse {
    next: Instant,
    missed: u32,
}

/// Why a round ended early.
enum Interrupt {
    Gone,
    Node(NodeError),
    Fatal(RelayError),
}

impl From<NodeError> for Interrupt {
    fn from(error: NodeError) -> Self {
        Self::Node(error)
    }
}

impl From<PlaceError> for Interrupt {
    fn from(error: PlaceError) -> Self {
        Self::Fatal(error.into())
    }
}

/// What a receiver answered.
struct Answer {
    status: u16,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Sink {
    pub(super) fn new(
        settings: &Settings,
        sink: SinkSettings,
        (place, journal): (Place, Journal),
        http: reqwest::Client,
        follower: Arc<Follower>,
        clock: Clock,
    ) -> (Self, watch::Receiver<SinkState>) {
        let (state, receiver) =
            watch::channel(SinkState { stream: sink.stream.clone(), ..SinkState::default() });
        let sink = Self {
            settings: sink,
            source_name: settings.name.clone(),
            start: settings.start,
            limits: settings.limits,
            heartbeat: settings.heartbeat,
            retry: settings.retry,
            place,
            journal,
            http,
            follower,
            clock,
            state,
        };
        (sink, receiver)
    }

    pub(super) fn stream(&self) -> &str {
        &self.settings.stream
    }

    /// Sends until `stop`, or until the receiver says that the stream is gone.
    pub(super) async fn run(
        self,
        tips: watch::Receiver<Option<Tip>>,
        stop: &CancellationToken,
    ) -> Result<(), RelayError> {
        tokio::select! {
            () = stop.cancelled() => Ok(()),
            ended = self.follow(tips) => ended,
        }
    }

    async fn follow(&self, mut tips: watch::Receiver<Option<Tip>>) -> Result<(), RelayError> {
        let mut position: Option<Position> = None;
        let mut pulse = Pulse { next: Instant::now(), missed: 0 };
        loop {
            let tip = tips.borrow_and_update().clone();
            let round = match &tip {
                Some(tip) => self.round(&mut position, tip, &mut pulse).await,
                None => Ok(()),
            };
            match round {
                Ok(()) => {}
                Err(Interrupt::Gone) => {
                    self.state.send_modify(|state| state.gone = true);
                    tracing::error!(stream = %self.stream(), "receiver says that the stream is gone");
                    return Ok(());
                }
                Err(Interrupt::Fatal(error)) => return Err(error),
                Err(Interrupt::Node(error)) => {
                    tracing::warn!(stream = %self.stream(), %error, "node does not answer");
                    self.state.send_modify(|state| state.last_error = Some(error.to_string()));
                    sleep(NODE_PAUSE).await;
                    continue;
                }
            }
            let behind = |tip: &Tip| position.as_ref().is_none_or(|at| at.read < tip.height);
            if tip.as_ref().is_some_and(behind) {
                continue;
            }
            tokio::select! {
                changed = tips.changed() => if changed.is_err() { return Ok(()) },
                () = sleep_until(pulse.next), if tip.is_some() => {}
            }
        }
    }

    /// A heartbeat when it is due, then the next blocks.
    async fn round(
        &self,
        position: &mut Option<Position>,
        tip: &Tip,
        pulse: &mut Pulse,
    ) -> Result<(), Interrupt> {
        let at = match position {
            Some(at) => at,
            None => position.insert(self.begin(tip).await?),
        };
        if Instant::now() >= pulse.next {
            self.beat(at, tip, pulse).await?;
        }
        if at.read < tip.height {
            self.advance(at, tip).await?;
        }
        Ok(())
    }

    /// The stored position when the node is on the same chain, or where a new stream begins.
    async fn begin(&self, tip: &Tip) -> Result<Position, Interrupt> {
        let Some(position) = self.place.load()? else {
            let first = match self.start {
                Start::Earliest => tip.earliest,
                Start::Newest => Height(tip.height.0 + 1),
                Start::At(height) => height.max(tip.earliest),
            };
            let read = Height(first.0.saturating_sub(1));
            let position = Position { chain_id: tip.chain_id.clone(), read, sent: None };
            self.show(&position);
            return Ok(position);
        };
        if position.chain_id != tip.chain_id {
            return Err(self.other_chain(&position, None));
        }
        if let Some(sent) = position.sent {
            match self.follower.block_ref(sent.height).await {
                Ok(found) if found != sent => return Err(self.other_chain(&position, Some(sent))),
                Ok(_) | Err(NodeError::Pruned { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.show(&position);
        Ok(position)
    }

    fn other_chain(&self, position: &Position, sent: Option<BlockRef>) -> Interrupt {
        let hash = sent.map(|sent| format!(" (hash {})", sent.hash)).unwrap_or_default();
        Interrupt::Fatal(RelayError::OtherChain {
            stream: self.stream().to_owned(),
            height: sent.map_or(position.read, |sent| sent.height),
            known: format!("{:?}{hash}", position.chain_id),
        })
    }

    /// Sends one heartbeat, once: a new one says more than an old one that is tried again.
    async fn beat(
        &self,
        position: &mut Position,
        tip: &Tip,
        pulse: &mut Pulse,
    ) -> Result<(), Interrupt> {
        let event = pack::heartbeat(tip, (self.clock)(), &self.source(&tip.chain_id));
        let mut batch = Batch::new(self.limits);
        // An empty batch takes anything.
        let _ = batch.push(Packed::from(&event));
        let body = batch.body();
        let id = delivery_id(self.stream(), &BodyDigest::of(body.as_bytes()));
        let pause = match self.try_once(&id, position, &body, pulse.missed + 1).await? {
            Tried::Again { after } => {
                let pause = self.retry.first * 2_u32.saturating_pow(pulse.missed.min(16));
                pulse.missed = pulse.missed.saturating_add(1);
                after.unwrap_or(pause).max(self.retry.first).min(self.heartbeat)
            }
            Tried::Decided(Delivered::Gone) => return Err(Interrupt::Gone),
            Tried::Decided(Delivered::Taken | Delivered::GoBack(_)) => {
                pulse.missed = 0;
                self.taken(position, true);
                self.keep(position).await?;
                self.heartbeat
            }
        };
        pulse.next = Instant::now() + pause;
        Ok(())
    }

    fn taken(&self, position: &Position, heartbeat: bool) {
        self.state.send_modify(|state| {
            state.deliveries += 1;
            state.heartbeats += u64::from(heartbeat);
            state.last_error = None;
            state.position = Some(position.clone());
        });
    }

    /// Reads the next blocks up to the newest and sends what they hold.
    async fn advance(&self, position: &mut Position, tip: &Tip) -> Result<(), Interrupt> {
        let from = Height(position.read.0 + 1);
        let to = Height(tip.height.0.min(position.read.0 + WINDOW));
        let found = match self.follower.range(from, to).await {
            Ok(found) => found,
            Err(NodeError::Pruned { lowest, .. }) if lowest > from => {
                tracing::error!(
                    stream = %self.stream(), %from, %lowest,
                    "node has deleted blocks that were not sent; the stream goes on behind them"
                );
                // Without a block before it the next one opens a gap at the receiver, which is the truth.
                (position.read, position.sent) = (Height(lowest.0 - 1), None);
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        if self.send(position, &found).await? {
            position.read = to;
            self.show(position);
            if !found.is_empty() {
                self.keep(position).await?;
            }
        }
        Ok(())
    }

    /// Sends blocks in as few deliveries as the limits allow. False when the position went back.
    async fn send(&self, position: &mut Position, found: &[Found]) -> Result<bool, Interrupt> {
        let source = self.source(&position.chain_id);
        let mut batch = Batch::new(self.limits);
        let mut prev = position.sent;
        for block in found {
            if block.chain_id != position.chain_id {
                return Err(self.other_chain(position, None));
            }
            for event in pack::block(block, prev, &source, self.limits) {
                if let Err(item) = batch.push(Packed::from(&event)) {
                    if !self.deliver(position, &batch).await? {
                        return Ok(false);
                    }
                    self.keep(position).await?;
                    batch = Batch::new(self.limits);
                    let _ = batch.push(item);
                }
            }
            prev = Some(block.at);
        }
        if batch.is_empty() { Ok(true) } else { self.deliver(position, &batch).await }
    }

    /// Sends a batch until it is taken and moves `position` over what it completes. False when the receiver asked for an
    /// earlier block: then `position` is there.
    async fn deliver(&self, position: &mut Position, batch: &Batch) -> Result<bool, Interrupt> {
        match self.attempt(position, &batch.body()).await? {
            Delivered::Taken => {
                if let Some(sent) = batch.completes() {
                    (position.read, position.sent) = (sent.height, Some(sent));
                }
                self.taken(position, false);
                Ok(true)
            }
            Delivered::Gone => Err(Interrupt::Gone),
            Delivered::GoBack(height) => {
                tracing::warn!(stream = %self.stream(), %height, "receiver asks for earlier blocks");
                let sent = self.follower.block_ref(height).await?;
                (position.read, position.sent) = (height, Some(sent));
                self.keep(position).await?;
                Ok(false)
            }
        }
    }

    /// Tries until the receiver decides.
    async fn attempt(&self, position: &Position, body: &str) -> Result<Delivered, Interrupt> {
        let digest = BodyDigest::of(body.as_bytes());
        let id = delivery_id(self.stream(), &digest);
        let mut pause = self.retry.first;
        let mut attempts = 0_u32;
        loop {
            attempts = attempts.saturating_add(1);
            let asked_to_wait = match self.try_once(&id, position, body, attempts).await? {
                Tried::Decided(delivered) => return Ok(delivered),
                Tried::Again { after } => after,
            };
            let wait = asked_to_wait.unwrap_or(pause).min(self.retry.most);
            // Spread by the body's digest, so that many sinks do not come back at the same moment.
            let byte = digest.0[usize::try_from(attempts % 32).unwrap_or(0)];
            sleep(wait + wait * u32::from(byte) / 1024).await;
            pause = (pause * 2).min(self.retry.most);
        }
    }

    async fn try_once(
        &self,
        id: &str,
        position: &Position,
        body: &str,
        attempts: u32,
    ) -> Result<Tried, Interrupt> {
        let (after, error) = match self.post(id, body).await {
            Ok(answer) => match (answer.status, asked_for(&answer, position)) {
                (200..=299, _) => {
                    self.note(id, answer.status, attempts, body)?;
                    return Ok(Tried::Decided(Delivered::Taken));
                }
                (410, _) => return Ok(Tried::Decided(Delivered::Gone)),
                (_, Some(height)) => return Ok(Tried::Decided(Delivered::GoBack(height))),
                (status, None) => {
                    (answer.retry_after, format!("answer {status}: {}", excerpt(&answer.body)))
                }
            },
            Err(error) => (None, error),
        };
        tracing::warn!(stream = %self.stream(), %id, attempts, %error, "delivery was not taken");
        self.state.send_modify(|state| state.last_error = Some(error));
        Ok(Tried::Again { after })
    }

    async fn post(&self, id: &str, body: &str) -> Result<Answer, String> {
        let signed = sign(id, (self.clock)(), body.as_bytes(), &self.settings.keys)
            .map_err(|error| error.to_string())?;
        let mut request = self
            .http
            .post(self.settings.url.clone())
            .header(CONTENT_TYPE, envelope::BATCH)
            .body(body.to_owned());
        for (name, value) in &signed.0 {
            request = request.header(*name, value);
        }
        // The address may hold what should not be in a log.
        let failed = |error: reqwest::Error| chain_of(&error.without_url());
        let mut answer = request.send().await.map_err(failed)?;
        let status = answer.status().as_u16();
        let retry_after = answer
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|text| retry_after(text, (self.clock)()));
        let mut body = Vec::new();
        while let Ok(Some(chunk)) = answer.chunk().await {
            let room = MAX_ANSWER.saturating_sub(body.len());
            body.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if room == 0 {
                break;
            }
        }
        Ok(Answer { status, retry_after, body })
    }

    fn note(&self, id: &str, status: u16, attempts: u32, body: &str) -> Result<(), PlaceError> {
        // The relay wrote it, so it is JSON.
        let Ok(body) = serde_json::from_str::<&RawValue>(body) else { return Ok(()) };
        self.journal.append(&JournalLine { at: (self.clock)(), id, status, attempts, body })
    }

    fn show(&self, position: &Position) {
        self.state.send_modify(|state| state.position = Some(position.clone()));
    }

    /// Makes the position durable.
    async fn keep(&self, position: &Position) -> Result<(), Interrupt> {
        let (place, position) = (self.place.clone(), position.clone());
        match spawn_blocking(move || place.keep(&position)).await {
            Ok(kept) => Ok(kept?),
            // The runtime is going down; the old position stands.
            Err(_) => Err(Interrupt::Gone),
        }
    }

    fn source(&self, chain_id: &str) -> String {
        format!("urn:akash:indexer:{}:{chain_id}", self.source_name)
    }
}

impl std::fmt::Debug for Sink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sink").field("stream", &self.settings.stream).finish_non_exhaustive()
    }
}

/// The block after which a strict receiver wants everything again (409 with `expected_prev_height`), when the relay is
/// beyond it.
fn asked_for(answer: &Answer, position: &Position) -> Option<Height> {
    if answer.status != 409 {
        return None;
    }
    let problem: Value = serde_json::from_slice(&answer.body).ok()?;
    let height = Height(problem.get("expected_prev_height")?.as_u64()?);
    let sent = position.sent?.height;
    (height.0 > 0 && height < sent).then_some(height)
}

/// `Retry-After` in its two forms: seconds, or an HTTP date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Some(Duration::try_from(date.duration_since(now)).unwrap_or_default())
}

/// The start of a receiver's answer, on one line.
fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(body)
        .chars()
        .map(|letter| if letter.is_control() { ' ' } else { letter })
        .take(300)
        .collect()
}

/// An error and what caused it.
fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_as_seconds_and_as_a_date() {
        let now: Timestamp = "2026-08-22T10:00:00Z".parse().unwrap();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(
            retry_after("Sat, 22 Aug 2026 10:00:30 GMT", now),
            Some(Duration::from_secs(30))
        );
        assert_eq!(retry_after("Sat, 22 Aug 2026 09:00:30 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn a_strict_receiver_is_followed_back_and_never_forward() {
        let at = |height| BlockRef {
            height: Height(height),
            hash: crate::event::hash::BlockHash([0; 32]),
        };
        let position =
            Position { chain_id: "local".to_owned(), read: Height(9), sent: Some(at(9)) };
        let answer = |status, body: &str| Answer {
            status,
            retry_after: None,
            body: body.as_bytes().to_vec(),
        };
        let gap = r#"{"code":"gap","expected_prev_height":5}"#;
        assert_eq!(asked_for(&answer(409, gap), &position), Some(Height(5)));
        assert_eq!(asked_for(&answer(500, gap), &position), None);
        for other in [
            r#"{"code":"gap","expected_prev_height":9}"#,
            r#"{"code":"gap","expected_prev_height":null}"#,
            r#"{"code":"other_body"}"#,
            "no",
        ] {
            assert_eq!(asked_for(&answer(409, other), &position), None);
        }
    }
}
