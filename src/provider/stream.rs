//! The step of one stream: a gap that did not close by itself is pulled from the indexer, or from the node.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::{
    Error, Provider,
    ingest::{Context, plan},
    port::{Commit, Delivery, Loaded, Missed, StreamPlan, StreamState, Tip},
};
use crate::event::envelope::{BlockEvent, BlockRef, CloudEvent, Payload};

/// How long a pull that brought nothing waits for the next.
const PULL_AGAIN: SignedDuration = SignedDuration::from_secs(5);

impl Provider {
    pub(super) async fn run_stream(
        &self,
        name: String,
        loaded: Loaded,
        _tip: &Tip,
    ) -> Result<(), Error> {
        let settings = self.settings();
        let now = self.clock.now();
        let wait = settings.streams.get(&name).map_or(PULL_AGAIN, |stream| stream.backfill_after);
        let state = self.store.stream(&name).await?.map(|row| row.state).unwrap_or_default();
        let since = state.gap_since.unwrap_or(now);
        let due = since.saturating_add(wait).unwrap_or(Timestamp::MAX);
        let mut again = None;
        if state.link.gap().is_some() {
            again = Some(if now >= due { self.pull(&name, &state, now).await? } else { due });
        }
        let commit = Commit {
            state: Some(serde_json::json!({})),
            wake_at: again.filter(|_| self.indexer.is_some()),
            ..Commit::default()
        };
        self.store.commit(&loaded.claim, self.clock.now(), &commit).await?;
        Ok(())
    }

    /// Pulls what fits one answer of the missing blocks. Returns when to look again.
    async fn pull(
        &self,
        name: &str,
        state: &StreamState,
        now: Timestamp,
    ) -> Result<Timestamp, Error> {
        let (Some(indexer), Some(gap)) = (&self.indexer, state.link.gap()) else { return Ok(now) };
        let Missed { blocks, through, complete } = indexer.blocks(name, gap.from, gap.to).await?;
        tracing::info!(stream = %name, from = %gap.from, to = %gap.to, blocks = blocks.len(), complete, "a gap was pulled");
        self.keep(name, blocks, through, now).await?;
        let wait = if complete { SignedDuration::ZERO } else { PULL_AGAIN };
        Ok(self.clock.now().saturating_add(wait).unwrap_or(Timestamp::MAX))
    }

    /// Commits pulled blocks as a delivery of their own.
    async fn keep(
        &self,
        name: &str,
        blocks: Vec<BlockEvent>,
        through: Option<BlockRef>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let events: Vec<CloudEvent> = blocks.into_iter().map(pulled).collect();
        let body = serde_json::to_vec(&events).unwrap_or_default();
        let digest: [u8; 32] = Sha256::digest(&body).into();
        let delivery = Delivery {
            stream: name.to_owned(),
            id: format!("backfill-{}-{}", now.as_microsecond(), crate::wire::tx::hash(&body)),
            digest,
            received_at: now,
            origin: "backfill",
        };
        let context = Context {
            provider: &self.address,
            now,
            strict: false,
            backfill_after: PULL_AGAIN,
            stream: name,
        };
        let heard_at = |before: &StreamState, mut plan: StreamPlan| {
            // What we fetched ourselves does not show that the indexer lives.
            plan.state.heard_at = before.heard_at;
            if let Some(through) = through {
                plan.state.link.backfilled(through);
            }
            if plan.state.link.gap().is_none() {
                plan.state.gap_since = None;
                plan.wake_at = None;
            }
            plan
        };
        self.store
            .ingest(&delivery, &|state| heard_at(state, plan(state, &events, &context)))
            .await?;
        Ok(())
    }
}

fn pulled(block: BlockEvent) -> CloudEvent {
    CloudEvent {
        id: format!("{}:{}:{}", block.chain_id, block.at.height, block.at.hash),
        source: "urn:lessor:backfill".to_owned(),
        subject: None,
        time: None,
        sequence: None,
        partition_key: None,
        payload: Payload::Block(block),
    }
}
