//! The step of one stream: a gap that did not close by itself is pulled from the indexer, or from the node, and so is what a
//! deaf stream does not tell, and what an operator asks for.
//!
//! The one surprising fact: not every missing block is pulled. Reads of the node come out of the stream's own budget, and
//! what is older than a bound is left to the comparison of rows and chain, which finds everything that still matters.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{
    Error, Kind, Provider,
    ingest::{Context, plan, take_content},
    port::{
        AuditLine, Commit, Compared, Delivery, Indexer, Ingested, Loaded, Missed, StreamPlan,
        StreamState, Subject, Tip,
    },
    settings::StreamSettings,
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
/// How often what a deaf stream does not tell is pulled, and rows and chain compared.
const DEAF_AGAIN: SignedDuration = SignedDuration::from_secs(15);
/// The most blocks of one pull.
const PAGE: u64 = 32;
/// The window in which a stream's reads are counted, in seconds of the host's clock.
const BUDGET_WINDOW: i64 = 60;

/// What a stream's subject keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
struct StreamRecord {
    /// Since when nothing has been heard for too long.
    deaf_since: Option<Timestamp>,
    /// The node's newest block when rows and chain were last compared because of that.
    compared_at: Option<Height>,
}

impl Provider {
    pub(super) async fn run_stream(
        &self,
        name: String,
        loaded: Loaded,
        tip: &Tip,
    ) -> Result<(), Error> {
        let settings = self.settings();
        let now = self.clock.now();
        let Some(stream) = settings.streams.get(&name).filter(|stream| !stream.deleted) else {
            self.store.commit(&loaded.claim, now, &Commit::default()).await?;
            return Ok(());
        };
        let record: StreamRecord =
            loaded.state.and_then(|state| serde_json::from_value(state).ok()).unwrap_or_default();
        let state = self.store.stream(&name).await?.map(|row| row.state).unwrap_or_default();
        let changed = self.compare_block(&name, &state, tip, now).await?;
        let mut step = StreamStep::new(&name, record, &state, stream, now);
        step.judge_silence(tip);
        step.note_comparison(changed.as_ref());
        if let Some(wanted) = state.pull_wanted {
            let wait = self.pull_wanted(&name, &state, wanted, tip, now).await?;
            step.wake_within(wait);
        } else if let Some(missing) = step.missing(tip) {
            let wait = self.pull(&name, stream, missing, tip, now).await?;
            step.wake_within(wait);
        }
        let commit = Commit {
            state: Some(serde_json::to_value(step.record).unwrap_or_default()),
            wake_at: step.wake_at,
            wake: step.wake,
            audit: step.audit,
            ..Commit::default()
        };
        self.store.commit(&loaded.claim, self.clock.now(), &commit).await?;
        Ok(())
    }

    /// Pulls some of the missing blocks. Returns how long until it goes on.
    async fn pull(
        &self,
        name: &str,
        stream: &StreamSettings,
        missing: Gap,
        tip: &Tip,
        now: Timestamp,
    ) -> Result<SignedDuration, Error> {
        if self.indexer.is_none() {
            return Ok(DEAF_AGAIN);
        }
        let (from, to) = (missing.from.0.max(1), missing.to.0.min(tip.height.0));
        if from > to {
            return Ok(PULL_AGAIN);
        }
        let blocks = to - from + 1;
        let most = u64::from(stream.backfill_blocks);
        if blocks > most {
            return self.skip(name, stream, from, to - most, now).await;
        }
        let page = self.fetch(name, Some(stream), Height(from), blocks.min(PAGE), now).await?;
        let Some(missed) = page else { return Ok(until_next_window(now)) };
        tracing::info!(stream = %name, %from, blocks = missed.blocks.len(), "missed blocks were pulled");
        let moved = self.keep(name, missed, now, None).await?;
        Ok(if moved { SignedDuration::ZERO } else { PULL_AGAIN })
    }

    /// Pulls some of the blocks that an operator wants, which no budget holds up. Returns how long until it goes on.
    async fn pull_wanted(
        &self,
        name: &str,
        state: &StreamState,
        wanted: Gap,
        tip: &Tip,
        now: Timestamp,
    ) -> Result<SignedDuration, Error> {
        if self.indexer.is_none() {
            return Ok(DEAF_AGAIN);
        }
        let to = wanted.to.min(tip.height).min(Height(wanted.from.0.saturating_add(PAGE - 1)));
        let mut through = None;
        if wanted.from <= to
            && let Some(missed) =
                self.fetch(name, None, wanted.from, to.0 - wanted.from.0 + 1, now).await?
        {
            through = missed.through;
            tracing::info!(stream = %name, from = %wanted.from, %to, blocks = missed.blocks.len(), "blocks that were asked for were pulled");
            // Only what begins where the stream stands tells that nothing is missing up to there.
            let joins =
                state.link.cursor().is_none_or(|cursor| wanted.from <= above(cursor.height));
            let missed = Missed { through: through.filter(|_| joins), ..missed };
            self.keep(name, missed, now, None).await?;
        }
        let left = through
            .map(|through| Gap { from: above(through.height), to: wanted.to })
            .filter(|left| left.from > wanted.from && left.from <= left.to.min(tip.height));
        let settle = |state: &StreamState| {
            let mut state = state.clone();
            if state.pull_wanted == Some(wanted) {
                state.pull_wanted = left;
            }
            state
        };
        self.store.change_stream(name, &settle).await?;
        Ok(SignedDuration::ZERO)
    }

    /// Leaves blocks up to `last` to the comparison of rows and chain: the stream goes on behind them.
    async fn skip(
        &self,
        name: &str,
        stream: &StreamSettings,
        from: u64,
        last: u64,
        now: Timestamp,
    ) -> Result<SignedDuration, Error> {
        let Some(missed) = self.fetch(name, Some(stream), Height(last), 1, now).await? else {
            return Ok(until_next_window(now));
        };
        let why = format!(
            "blocks {from} to {last} are too many to be pulled; open orders, own bids and own leases are compared with the chain instead"
        );
        let moved = self.keep(name, missed, now, Some(why)).await?;
        Ok(if moved { SignedDuration::ZERO } else { PULL_AGAIN })
    }

    /// At most so many blocks from `from` on: from the indexer, and from the node when that fails. As many as the budget of
    /// `payer` pays for; `None` when none.
    async fn fetch(
        &self,
        name: &str,
        payer: Option<&StreamSettings>,
        from: Height,
        blocks: u64,
        now: Timestamp,
    ) -> Result<Option<Missed>, Error> {
        let Some(indexer) = &self.indexer else { return Ok(None) };
        let fetched = self.fetch_from(indexer.as_ref(), name, payer, from, blocks, now).await;
        match (fetched, indexer.fallback(name)) {
            (Err(error), Some(node)) => {
                tracing::warn!(stream = %name, %error, "the indexer gave no blocks; the node is read instead");
                self.fetch_from(node, name, payer, from, blocks, now).await
            }
            (fetched, _) => fetched,
        }
    }

    async fn fetch_from(
        &self,
        indexer: &dyn Indexer,
        name: &str,
        payer: Option<&StreamSettings>,
        from: Height,
        blocks: u64,
        now: Timestamp,
    ) -> Result<Option<Missed>, Error> {
        let blocks = match payer {
            Some(stream) => {
                let cost = u64::from(indexer.reads_per_block(name));
                self.afford(name, stream, cost, blocks, now).await?
            }
            None => Some(blocks),
        };
        let Some(blocks) = blocks else { return Ok(None) };
        let to = Height(from.0.saturating_add(blocks.saturating_sub(1)));
        let missed = indexer.blocks(name, from, to).await?;
        self.check(&missed, from, to).await?;
        Ok(Some(missed))
    }

    /// How many of `blocks` the stream's budget pays for now, at `cost` reads each; `None` when none. Half of the budget stays
    /// for hints.
    async fn afford(
        &self,
        name: &str,
        stream: &StreamSettings,
        cost: u64,
        blocks: u64,
        now: Timestamp,
    ) -> Result<Option<u64>, Error> {
        if cost == 0 {
            return Ok(Some(blocks));
        }
        let limit = stream.reads_per_minute / 2;
        let reads = |blocks: u64| u32::try_from(blocks * cost).unwrap_or(u32::MAX);
        let spent = self.store.spend(name, reads(blocks), limit, now).await?;
        if spent.granted {
            return Ok(Some(blocks));
        }
        let left = u64::from(limit.saturating_sub(spent.reads)) / cost;
        let is_granted = left > 0 && self.store.spend(name, reads(left), limit, now).await?.granted;
        Ok(is_granted.then_some(left))
    }

    /// What comes from outside passes the same rules whether it is pushed or pulled.
    async fn check(&self, missed: &Missed, from: Height, to: Height) -> Result<(), Error> {
        let refused = |detail: String| {
            Err(Error::new(Kind::Upstream, "chain_unavailable", format!("pulled blocks: {detail}")))
        };
        let chain = self.chain_name().await?;
        for block in &missed.blocks {
            if block.chain_id != chain {
                return refused(format!("{:?} is another chain than {chain:?}", block.chain_id));
            }
            if !(from..=to).contains(&block.at.height) {
                return refused(format!("{} was not asked for ({from} to {to})", block.at.height));
            }
        }
        match missed.through {
            Some(through) if through.height > to => {
                refused(format!("through {} is above {to}, the last asked for", through.height))
            }
            _ => Ok(()),
        }
    }

    /// Commits pulled blocks as a delivery of their own; `skipped` says why those before them are left out. Returns whether the
    /// stream moved on.
    async fn keep(
        &self,
        name: &str,
        missed: Missed,
        now: Timestamp,
        skipped: Option<String>,
    ) -> Result<bool, Error> {
        let mut events: Vec<CloudEvent> = missed.blocks.into_iter().map(pulled).collect();
        let through = missed.through.map_or(0, |through| through.height.0);
        let delivery = own_delivery(name, "backfill", through, &events, now);
        let context = Context { backfill_after: PULL_AGAIN, ..Self::own_context(name, now) };
        let content = take_content(&mut events, &self.address);
        let stream = name.to_owned();
        let joined = move |state: &StreamState| {
            let mut plan = plan(state, &events, &context);
            let moved = missed.through.is_some_and(|through| plan.close_up_to(through));
            if let Some(why) = &skipped {
                if !moved {
                    plan.state.link.give_up_gap();
                }
                plan.wake.push(Subject::Provider);
                plan.audit.push(line(&stream, "lessor", "reconciled", why.clone(), now));
            }
            if plan.state.link.gap().is_none() {
                plan.state.gap_since = None;
                plan.wake_at = None;
            }
            plan
        };
        let before = self.store.stream(name).await?.map(|row| row.state.link);
        let ingested = self.store.ingest(delivery, content, Box::new(joined)).await?;
        let Ingested::Accepted { state, .. } = ingested else { return Ok(false) };
        Ok(before != Some(state.link))
    }

    /// The context of what no indexer sent.
    pub(super) fn own_context(name: &str, now: Timestamp) -> Context {
        Context {
            now,
            strict: false,
            backfill_after: SignedDuration::ZERO,
            deaf_after: SignedDuration::ZERO,
            stream: name.to_owned(),
            // No more was asked for than the node has.
            believed: None,
            // What we fetched ourselves does not show that the indexer lives.
            key: None,
        }
    }
}

impl StreamPlan {
    /// Everything up to this block is here. Returns whether that moved the stream on.
    fn close_up_to(&mut self, through: BlockRef) -> bool {
        let before = self.state.link.cursor();
        self.state.link.backfilled(through);
        self.state.link.cursor() != before
    }
}

/// One step of a stream as it grows.
struct StreamStep<'a> {
    name: &'a str,
    record: StreamRecord,
    state: &'a StreamState,
    settings: &'a StreamSettings,
    now: Timestamp,
    wake_at: Option<Timestamp>,
    wake: Vec<Subject>,
    audit: Vec<AuditLine>,
}

impl<'a> StreamStep<'a> {
    fn new(
        name: &'a str,
        record: StreamRecord,
        state: &'a StreamState,
        settings: &'a StreamSettings,
        now: Timestamp,
    ) -> Self {
        let (wake_at, wake, audit) = (None, Vec::new(), Vec::new());
        Self { name, record, state, settings, now, wake_at, wake, audit }
    }

    fn wake_within(&mut self, wait: SignedDuration) {
        self.wake_by(self.now.saturating_add(wait).unwrap_or(Timestamp::MAX));
    }

    fn wake_by(&mut self, at: Timestamp) {
        self.wake_at = Some(self.wake_at.map_or(at, |earlier| earlier.min(at)));
    }

    /// Whether the stream has been silent for too long; while it is, rows and chain are compared with every new block.
    fn judge_silence(&mut self, tip: &Tip) {
        let deaf_at = self
            .state
            .heard_at
            .map(|heard| heard.saturating_add(self.settings.deaf_after).unwrap_or(Timestamp::MAX));
        match deaf_at {
            // A stream that was never heard is not set up yet.
            None => {}
            Some(deaf_at) if self.now <= deaf_at => {
                if self.record.deaf_since.is_some() {
                    self.note("heard", "the stream is heard again".to_owned());
                }
                self.record = StreamRecord::default();
                // Due a moment later than deaf, since deaf is longer silent than allowed.
                self.wake_by(
                    deaf_at.saturating_add(SignedDuration::from_secs(1)).unwrap_or(deaf_at),
                );
            }
            Some(deaf_at) => {
                if self.record.deaf_since.is_none() {
                    self.record.deaf_since = Some(self.now);
                    self.note("deaf", format!("nothing was heard in time, by {deaf_at}"));
                }
                if self.record.compared_at < Some(tip.height) {
                    self.record.compared_at = Some(tip.height);
                    self.wake.push(Subject::Provider);
                }
                self.wake_within(DEAF_AGAIN);
            }
        }
    }

    /// The blocks to pull now.
    fn missing(&mut self, tip: &Tip) -> Option<Gap> {
        if let Some(gap) = self.state.link.gap() {
            let since = self.state.gap_since.unwrap_or(self.now);
            let due = since.saturating_add(self.settings.backfill_after).unwrap_or(Timestamp::MAX);
            if self.now < due {
                self.wake_by(due);
                return None;
            }
            return Some(gap);
        }
        let cursor = self.state.link.cursor().filter(|_| self.record.deaf_since.is_some())?;
        (cursor.height < tip.height).then(|| Gap { from: above(cursor.height), to: tip.height })
    }

    /// Tells people when a comparison with our node says something new.
    fn note_comparison(&mut self, changed: Option<&Compared>) {
        let Some(Compared { at, other, .. }) = changed else { return };
        let before = self.state.compared.as_ref().and_then(|before| before.other.as_ref());
        let height = at.height;
        match (before, other) {
            (None, Some(other)) => self.note(
                "alarm",
                format!("block {height} is {} here and {other} at our node", at.hash),
            ),
            (Some(_), None) => self.note("agrees", format!("block {height} is the node's too")),
            _ => {}
        }
    }

    fn note(&mut self, action: &str, reason: String) {
        self.audit.push(line(self.name, "lessor", action, reason, self.now));
    }
}

pub(super) fn above(height: Height) -> Height {
    Height(height.0.saturating_add(1))
}

/// How long until the stream's reads are counted anew.
fn until_next_window(now: Timestamp) -> SignedDuration {
    SignedDuration::from_secs(BUDGET_WINDOW - now.as_second().rem_euclid(BUDGET_WINDOW))
}

pub(super) fn line(
    stream: &str,
    actor: &str,
    action: &str,
    reason: String,
    at: Timestamp,
) -> AuditLine {
    let subject = format!("stream/{stream}");
    AuditLine { at, actor: actor.to_owned(), action: action.to_owned(), subject, reason }
}

/// A delivery that nobody sent.
pub(super) fn own_delivery(
    stream: &str,
    origin: &'static str,
    unique: u64,
    events: &[CloudEvent],
    now: Timestamp,
) -> Delivery {
    let body = serde_json::to_vec(events).unwrap_or_default();
    let digest: [u8; 32] = Sha256::digest(&body).into();
    Delivery {
        stream: stream.to_owned(),
        id: format!("{origin}-{}-{unique}-{}", now.as_microsecond(), crate::wire::tx::hash(&body)),
        digest,
        received_at: now,
        origin,
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
