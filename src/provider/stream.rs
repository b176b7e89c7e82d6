//! The step of one stream: a gap that did not close by itself is pulled from the indexer, or from the node.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use super::{
    Error, Kind, Provider,
    ingest::{Context, plan},
    port::{AuditLine, Commit, Delivery, Loaded, Missed, StreamPlan, StreamState, Subject},
};
use crate::{
    domain::Height,
    event::{
        envelope::{BlockEvent, BlockRef, CloudEvent, Payload},
        link::Gap,
    },
};

/// How long a pull that brought nothing waits for the next.
const PULL_AGAIN: SignedDuration = SignedDuration::from_secs(5);
/// The most blocks that an operator may ask for at once: two weeks of them.
const MAX_BLOCKS: u64 = 200_000;

impl Provider {
    pub(super) async fn run_stream(&self, name: String, loaded: Loaded) -> Result<(), Error> {
        let settings = self.settings();
        let now = self.clock.now();
        let wait = settings.streams.get(&name).map_or(PULL_AGAIN, |stream| stream.backfill_after);
        let state = self.store.stream(&name).await?.map(|row| row.state).unwrap_or_default();
        let since = state.gap_since.unwrap_or(now);
        let due = since.saturating_add(wait).unwrap_or(Timestamp::MAX);
        let mut again = None;
        if let Some(wanted) = state.pull_wanted {
            again = self.pull_wanted(&name, &state, wanted, now).await?;
        } else if state.link.gap().is_some() {
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

    /// Asks for a stream's blocks to be pulled now: those of its gap, or the range that is given; `from` alone goes up to the
    /// end of the gap, or to the newest block of the stream. What was asked for before is replaced.
    ///
    /// # Errors
    /// `stream_not_found`, `nothing_missing` without a range and a gap, `range_invalid`; when the store gives no answer.
    pub async fn backfill(
        &self,
        name: &str,
        from: Option<Height>,
        to: Option<Height>,
        actor: &str,
    ) -> Result<Gap, Error> {
        if !self.settings().streams.contains_key(name) {
            return Err(Error::not_found("stream_not_found", format!("{name:?} is no stream")));
        }
        let state = self.store.stream(name).await?.map(|row| row.state).unwrap_or_default();
        let wanted = range(&state, from, to)?;
        let now = self.clock.now();
        self.store
            .change_stream(name, &|state| StreamState {
                pull_wanted: Some(wanted),
                ..state.clone()
            })
            .await?;
        let line = AuditLine {
            at: now,
            actor: actor.to_owned(),
            action: "backfill".to_owned(),
            subject: format!("stream/{name}"),
            reason: format!("blocks {} to {} were asked for", wanted.from, wanted.to),
        };
        self.store.audit(&[line]).await?;
        self.store.wake(&[Subject::Stream(name.to_owned())], None, now).await?;
        self.poke.notify_one();
        Ok(wanted)
    }

    /// Pulls what fits one answer of the blocks that an operator wants. Returns when to look again.
    async fn pull_wanted(
        &self,
        name: &str,
        state: &StreamState,
        wanted: Gap,
        now: Timestamp,
    ) -> Result<Option<Timestamp>, Error> {
        let Some(indexer) = &self.indexer else { return Ok(None) };
        let Missed { blocks, through, complete } =
            indexer.blocks(name, wanted.from, wanted.to).await?;
        tracing::info!(stream = %name, from = %wanted.from, to = %wanted.to, blocks = blocks.len(), complete, "a range was pulled");
        // Only what begins where the stream stands tells that nothing is missing up to there.
        let joins = state.link.cursor().is_none_or(|cursor| wanted.from <= next(cursor.height));
        self.keep(name, blocks, through.filter(|_| joins), now).await?;
        let reached = through.map(|block| block.height).filter(|_| !complete);
        let left = reached.map(|reached| Gap { from: next(reached), to: wanted.to });
        let left = left.filter(|left| left.from <= left.to && left.from > wanted.from);
        let settle = |state: &StreamState| {
            let mut state = state.clone();
            if state.pull_wanted == Some(wanted) {
                state.pull_wanted = left;
            }
            state
        };
        let state = self.store.change_stream(name, &settle).await?;
        let goes_on = state.pull_wanted.is_some() || state.link.gap().is_some();
        Ok(goes_on.then(|| self.clock.now()))
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
            // No more was asked for than the node has.
            believed: None,
            // What we fetched ourselves does not show that the indexer lives.
            key: None,
        };
        let joined = |mut plan: StreamPlan| {
            if let Some(through) = through {
                plan.state.link.backfilled(through);
            }
            if plan.state.link.gap().is_none() {
                plan.state.gap_since = None;
                plan.wake_at = None;
            }
            plan
        };
        self.store.ingest(&delivery, &|state| joined(plan(state, &events, &context))).await?;
        Ok(())
    }
}

fn next(height: Height) -> Height {
    Height(height.0.saturating_add(1))
}

/// The blocks that an operator wants.
fn range(state: &StreamState, from: Option<Height>, to: Option<Height>) -> Result<Gap, Error> {
    let gap = state.link.gap();
    let from = from.or_else(|| gap.map(|gap| gap.from));
    let newest = || state.link.highest().map(|block| block.height);
    let to = to.or_else(|| gap.map(|gap| gap.to)).or_else(newest);
    let (Some(from), Some(to)) = (from, to) else {
        let detail = "the stream has no gap, and no range was given";
        return Err(Error::new(Kind::Conflict, "nothing_missing", detail));
    };
    let refused =
        |detail: String| Err(Error::new(Kind::Invalid(Vec::new()), "range_invalid", detail));
    if from.0 == 0 || from > to {
        return refused(format!(
            "from is {from} and to is {to}; heights are 1 and above, in order"
        ));
    }
    let blocks = to.0 - from.0;
    if blocks >= MAX_BLOCKS {
        return refused(format!("{from} to {to} are more than {MAX_BLOCKS} blocks"));
    }
    Ok(Gap { from, to })
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
