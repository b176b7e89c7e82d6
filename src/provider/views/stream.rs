//! Indexers' streams: where each stands, whether it can be trusted to tell what happens, and who may send on it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use utoipa::ToSchema;

use super::HeightView;
use crate::{
    domain::Height,
    event::{
        envelope::BlockRef,
        freshness::{self, Freshness, Patience, Sightings},
        key::VerifyingKey,
        link::Gap,
        signature::StreamKey,
    },
    provider::{
        Error, Provider,
        port::{StreamRow, StreamState, Tip},
        settings::StreamSettings,
        tip::TipSighting,
    },
};

/// An indexer may be so many blocks behind our node before its stream counts as behind.
const LAG: u64 = 20;

/// One indexer's feed.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
pub struct StreamView {
    /// Its name in the settings and in the webhook's path.
    pub name: String,
    /// `live`, `deaf` (nothing is heard while the node goes on), `halted` (the node stands still too), `behind`, `node_silent`
    /// (it is heard, and the node gives no answer to compare it with).
    #[schema(example = "live")]
    pub freshness: &'static str,
    /// Since when it is deaf, the chain halted, or the node silent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// The last block up to which nothing is missing: what the next block's `prev_height` and `prev_hash` should name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cursor: Option<BlockView>,
    /// The node's newest block.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_tip: Option<HeightView>,
    /// The newest block that the indexer says it has read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub indexer_tip: Option<HeightView>,
    /// How many blocks the indexer is behind the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lag_blocks: Option<u64>,
    /// When a rightly signed delivery was taken last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub heard_at: Option<Timestamp>,
    /// When the last heartbeat was taken.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub heartbeat_at: Option<Timestamp>,
    /// Blocks that are missing; a second gap shows once the first is closed.
    pub gaps: Vec<GapView>,
    /// Blocks that an operator asked for and that are not pulled yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backfill: Option<GapView>,
    /// The indexer took back what it sent above this block, and the operator has not agreed yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rewind_waits: Option<BlockView>,
    /// Our node has another block than the stream: nothing ends a lease until they agree.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disagreement: Option<DisagreementView>,
    /// The highest block that the indexer claims although our node is too far below it to believe that; it moves nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub above_tip: Option<u64>,
    /// Whether a delivery that does not join is refused.
    pub strict: bool,
    /// Whether deliveries are answered with 410.
    pub deleted: bool,
    /// Reads of the chain that its unproven hints may cost a minute.
    pub reads_per_minute: u32,
    /// Who may sign, without secrets.
    pub keys: Vec<KeyView>,
    /// What came on it so far.
    pub counts: StreamCounts,
}

/// A block by height and hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct BlockView {
    /// Its height.
    pub height: u64,
    /// Its hash, upper-case hex.
    pub hash: String,
}

impl From<BlockRef> for BlockView {
    fn from(block: BlockRef) -> Self {
        Self { height: block.height.0, hash: block.hash.to_string() }
    }
}

/// One height, two blocks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct DisagreementView {
    /// The block as the stream has it.
    pub stream: BlockView,
    /// Our node's hash of that height, upper-case hex.
    pub node_hash: String,
    /// Since when they disagree.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// Heights between which blocks are missing, both included.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct GapView {
    /// The first that can be missing.
    pub from: u64,
    /// The last that can be missing.
    pub to: u64,
    /// When it opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
}

impl From<Gap> for GapView {
    fn from(gap: Gap) -> Self {
        Self { from: gap.from.0, to: gap.to.0, since: None }
    }
}

/// A key that an indexer may sign with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct KeyView {
    /// What the operator calls it.
    pub name: String,
    /// The public key itself, or the start of a shared secret's digest.
    pub label: String,
    /// `v1a` (ed25519) or `v1` (HMAC).
    pub scheme: &'static str,
    /// Not valid before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_before: Option<Timestamp>,
    /// Not valid from then on.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub not_after: Option<Timestamp>,
    /// Whether it is valid now.
    pub is_valid: bool,
    /// When it signed a delivery last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub last_used_at: Option<Timestamp>,
}

/// What came on a stream so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, ToSchema)]
pub struct StreamCounts {
    /// Deliveries that were taken.
    pub deliveries: u64,
    /// Events that were new.
    pub events: u64,
    /// Events that were known already.
    pub duplicates: u64,
    /// Events of types that nobody handles.
    pub ignored: u64,
    /// The same id with another body, or the same event with other content.
    pub conflicts: u64,
    /// Events, whoever told them, that an indexer took back and that have not come again.
    pub unverified: u64,
}

impl KeyView {
    fn of(key: &StreamKey, used: &BTreeMap<String, Timestamp>, now: Timestamp) -> Self {
        Self {
            name: key.name.clone(),
            label: key.key.label(),
            scheme: match key.key {
                VerifyingKey::Shared(_) => "v1",
                VerifyingKey::Public(_) => "v1a",
            },
            not_before: key.not_before,
            not_after: key.not_after,
            is_valid: key.is_valid(now),
            last_used_at: used.get(&key.name).copied(),
        }
    }
}

/// What is said of all streams at once.
struct Present {
    now: Timestamp,
    tip: Option<Tip>,
    moved_at: Option<Timestamp>,
    seen_at: Option<Timestamp>,
}

impl Present {
    async fn read(provider: &Provider) -> Result<Self, Error> {
        let now = provider.clock.now();
        let observed = provider.store.observation("tip").await?;
        let seen_at = observed.as_ref().map(|found| found.taken_at);
        let sighting: Option<TipSighting> =
            observed.and_then(|found| serde_json::from_value(found.body).ok());
        let moved_at = sighting.as_ref().and_then(|sighting| sighting.moved_at);
        Ok(Self { now, tip: sighting.map(|sighting| sighting.tip), moved_at, seen_at })
    }

    fn freshness(&self, state: &StreamState, silence: SignedDuration) -> Freshness {
        let sightings = Sightings {
            heard_at: state.heard_at,
            indexer_tip: state.indexer_tip.map(|(height, _)| height),
            node_tip: self.tip.as_ref().map(|tip| tip.height),
            node_moved_at: self.moved_at,
            node_seen_at: self.seen_at,
        };
        let patience = Patience { silence, standstill: silence, lag: LAG };
        freshness::judge(&sightings, &patience, self.now)
    }

    fn view(&self, name: &str, settings: &StreamSettings, row: Option<StreamRow>) -> StreamView {
        let counts = row.as_ref().map_or_else(StreamCounts::default, |row| StreamCounts {
            deliveries: row.deliveries,
            events: row.events,
            duplicates: row.duplicates,
            ignored: row.ignored,
            conflicts: row.conflicts,
            unverified: row.unverified,
        });
        let state = row.map(|row| row.state).unwrap_or_default();
        let freshness = self.freshness(&state, settings.deaf_after);
        let since = match freshness {
            Freshness::Deaf { since } => since,
            Freshness::Halted { since, .. } | Freshness::NodeSilent { since } => Some(since),
            Freshness::Live | Freshness::Behind { .. } => None,
        };
        let indexer_height = state.indexer_tip.map(|(height, _)| height);
        let lag = |node: Height| indexer_height.map(|height| node.0.saturating_sub(height.0));
        let gap = state.link.gap().map(|gap| GapView {
            from: gap.from.0,
            to: gap.to.0,
            since: state.gap_since,
        });
        StreamView {
            name: name.to_owned(),
            freshness: freshness.as_str(),
            since,
            cursor: state.link.cursor().map(BlockView::from),
            node_tip: self
                .tip
                .as_ref()
                .map(|tip| HeightView { height: tip.height.0, time: tip.time }),
            indexer_tip: state
                .indexer_tip
                .map(|(height, time)| HeightView { height: height.0, time }),
            lag_blocks: self.tip.as_ref().and_then(|tip| lag(tip.height)),
            heard_at: state.heard_at,
            heartbeat_at: state.heartbeat_at,
            gaps: gap.into_iter().collect(),
            backfill: state.pull_wanted.map(GapView::from),
            rewind_waits: state.rewind_waits.map(BlockView::from),
            disagreement: state.compared.and_then(|compared| {
                let node_hash = compared.other?;
                let stream = BlockView::from(compared.at);
                Some(DisagreementView { stream, node_hash, since: compared.since })
            }),
            above_tip: state.above_tip.map(|height| height.0),
            strict: settings.strict,
            deleted: settings.deleted,
            reads_per_minute: settings.reads_per_minute,
            keys: settings
                .keys
                .iter()
                .map(|key| KeyView::of(key, &state.keys_used, self.now))
                .collect(),
            counts,
        }
    }
}

/// Every stream of the settings, by name.
///
/// # Errors
/// When the store gives no answer.
pub async fn streams(provider: &Provider) -> Result<Vec<StreamView>, Error> {
    let present = Present::read(provider).await?;
    let mut views = Vec::new();
    for (name, settings) in &provider.settings().streams {
        views.push(present.view(name, settings, provider.store.stream(name).await?));
    }
    Ok(views)
}

/// One stream; `None` when the settings do not name it.
///
/// # Errors
/// When the store gives no answer.
pub async fn stream(provider: &Provider, name: &str) -> Result<Option<StreamView>, Error> {
    let settings = provider.settings();
    let Some(stream) = settings.streams.get(name) else { return Ok(None) };
    let present = Present::read(provider).await?;
    Ok(Some(present.view(name, stream, provider.store.stream(name).await?)))
}
