//! A verified delivery becomes rows: events with their identities, the stream's cursor, and woken subjects.
//!
//! What an indexer says is a hint. It decides nothing: it wakes the subject that it concerns, whose step reads the chain.
//! How high the chain can be is our own node's word: a claim above that moves no cursor and no tip, and its events wait.
//! Before any node has answered there is nothing to hold a claim against; it is taken at its word, and what was too high
//! is forgotten with the first delivery after the node's first answer.

use jiff::{SignedDuration, Timestamp};

use super::{
    Error, Kind, Provider,
    port::{
        AuditLine, Content, Delivery, EventRow, Ingested, NotTaken, OtherEvent, StreamPlan,
        StreamState, Subject,
    },
};
use crate::{
    domain::{Address, Height},
    event::{
        envelope::{BlockEvent, BlockRef, ChainEvent, CloudEvent, Heartbeat, Payload, Rewind},
        link::{Gap, Outcome, RewindVerdict},
        subject::{Concern, concern_of},
    },
    wire::event::ChainEvent as Typed,
};

/// An indexer may take back so many blocks without an operator's agreement.
const AUTOMATIC_REWIND: u64 = 100;
/// How long an event of a block that the chain cannot have reached waits before it is looked at.
const TOO_HIGH: SignedDuration = SignedDuration::from_secs(60);

impl Provider {
    /// Commits a delivery whose signature was verified, with the name of the key that made it. What it answers is durable.
    ///
    /// # Errors
    /// `wrong_chain` when it is about another chain than the store's; `store_unavailable`.
    pub async fn ingest(
        &self,
        delivery: Delivery,
        mut events: Vec<CloudEvent>,
        key: Option<&str>,
    ) -> Result<Ingested, Error> {
        let chain_id = self.chain_name().await?;
        let foreign = |given: &&str| *given != chain_id;
        if let Some(given) =
            events.iter().filter_map(|event| event.payload.chain_id()).find(foreign)
        {
            let detail =
                format!("the delivery is about {given:?}, this provider serves {chain_id:?}");
            return Err(Error::new(Kind::Invalid(Vec::new()), "wrong_chain", detail));
        }
        let settings = self.settings();
        let stream = settings.streams.get(&delivery.stream);
        let claimed = events.iter().filter_map(|event| claimed(&event.payload)).max();
        let context = Context {
            now: delivery.received_at,
            strict: stream.is_some_and(|stream| stream.strict),
            backfill_after: stream
                .map_or(SignedDuration::from_secs(10), |stream| stream.backfill_after),
            deaf_after: stream.map_or(SignedDuration::from_secs(90), |stream| stream.deaf_after),
            believed: self.believed(claimed, delivery.received_at).await,
            key: key.map(str::to_owned),
            stream: delivery.stream.clone(),
        };
        // Rows are made before the store's transaction begins: whoever else waits for it does not wait for that.
        let content = take_content(&mut events, &self.address);
        let plan = move |state: &StreamState| plan(state, &events, &context);
        let ingested = self.store.ingest(delivery, content, Box::new(plan)).await?;
        self.poke.notify_one();
        Ok(ingested)
    }

    /// The chain's name, as the store recorded it or as the node says.
    ///
    /// # Errors
    /// When the store has none yet and no node answers.
    pub async fn chain_name(&self) -> Result<&str, Error> {
        let name = self.chain_name.get_or_try_init(|| async {
            if let Some(known) = self.store.chain_identity().await? {
                return Ok(known.chain_id);
            }
            let found = self.chain.identity().await?;
            Ok::<_, Error>(self.store.record_chain_identity(&found).await?.chain_id)
        });
        name.await.map(String::as_str)
    }
}

/// The height that an event claims the chain to have reached.
fn claimed(payload: &Payload) -> Option<Height> {
    match payload {
        Payload::Block(block) => Some(block.at.height),
        Payload::Heartbeat(heartbeat) => Some(heartbeat.tip_height),
        Payload::Rewind(_) | Payload::Unknown { .. } => None,
    }
}

/// What a plan needs beyond the stream's state and the delivery.
pub(super) struct Context {
    pub(super) now: Timestamp,
    pub(super) strict: bool,
    pub(super) backfill_after: SignedDuration,
    /// How long the stream may be silent.
    pub(super) deaf_after: SignedDuration,
    pub(super) stream: String,
    /// The highest block that the chain can have; `None` while no node has ever answered.
    pub(super) believed: Option<Height>,
    /// The name of the key that signed; `None` for what we fetched ourselves.
    pub(super) key: Option<String>,
}

impl Context {
    fn is_too_high(&self, height: Height) -> bool {
        self.believed.is_some_and(|believed| height > believed)
    }
}

/// Takes what is kept of a delivery out of its events. Blocks stay, without their events: the order of blocks is judged
/// without them.
pub(super) fn take_content(events: &mut [CloudEvent], provider: &Address) -> Content {
    let mut content = Content::default();
    for event in events {
        match &mut event.payload {
            Payload::Block(block) => {
                let told = std::mem::take(&mut block.events);
                content.events.extend(told.into_iter().map(|event| EventRow {
                    identity: block.identity(&event),
                    subject: subject(&event, provider),
                    kind: event.kind,
                    attributes: event.attributes,
                }));
            }
            Payload::Unknown { kind, data } => content.others.push(OtherEvent {
                source: event.source.clone(),
                id: event.id.clone(),
                kind: kind.clone(),
                data: std::mem::take(data),
            }),
            Payload::Heartbeat(_) | Payload::Rewind(_) => {}
        }
    }
    content
}

/// What a delivery changes besides what it holds; pure.
pub(super) fn plan(state: &StreamState, events: &[CloudEvent], context: &Context) -> StreamPlan {
    let mut plan = StreamPlan { state: state.clone(), ..StreamPlan::default() };
    if let Some(key) = &context.key {
        plan.state.heard_at = Some(context.now);
        plan.state.keys_used.insert(key.clone(), context.now);
    }
    plan.forget_what_cannot_be(context);
    for event in events {
        match &event.payload {
            Payload::Block(block) => plan.take_block(block, event.time, context),
            Payload::Heartbeat(heartbeat) => plan.take_heartbeat(heartbeat, context),
            Payload::Rewind(rewind) => plan.take_rewind(rewind, context),
            Payload::Unknown { .. } => {}
        }
    }
    plan.judge_claims(events, context);
    plan.look_after_gap(state, context);
    if state.heard_at.is_none() && context.key.is_some() {
        // From now on the stream's own step sees to it that its silence is noticed.
        let deaf_at = context.now.checked_add(context.deaf_after).ok();
        plan.wake_at = plan.wake_at.or(deaf_at);
    }
    plan
}

impl StreamPlan {
    /// Forgets what was taken at its word before our node could be asked.
    fn forget_what_cannot_be(&mut self, context: &Context) {
        let Some(believed) = context.believed else { return };
        if self.state.link.forget_above(believed) {
            self.note(context, "alarm", format!("blocks above {believed} had come, which the chain cannot have reached; the stream begins anew"));
            self.wake.push(Subject::Provider);
        }
        self.state.indexer_tip = self.state.indexer_tip.filter(|(tip, _)| *tip <= believed);
    }

    fn take_block(&mut self, block: &BlockEvent, time: Option<Timestamp>, context: &Context) {
        if context.is_too_high(block.at.height) {
            return;
        }
        match self.state.link.receive(block) {
            Outcome::Conflict { height, known, given } => {
                self.note(
                    context,
                    "alarm",
                    format!("two hashes for block {height}: {known} is known, {given} was given"),
                );
                self.wake.push(Subject::Provider);
            }
            Outcome::Gap { gap, opened: true } => {
                self.note(
                    context,
                    "gap",
                    format!("blocks from {} to {} are missing", gap.from, gap.to),
                );
            }
            _ => {}
        }
        if let Some(time) = time
            && self.state.indexer_tip.is_none_or(|(tip, _)| tip < block.at.height)
        {
            self.state.indexer_tip = Some((block.at.height, time));
        }
    }

    fn take_heartbeat(&mut self, heartbeat: &Heartbeat, context: &Context) {
        self.state.heartbeat_at = Some(context.now);
        if !context.is_too_high(heartbeat.tip_height) {
            self.state.indexer_tip = Some((heartbeat.tip_height, heartbeat.tip_time));
        }
    }

    fn take_rewind(&mut self, rewind: &Rewind, context: &Context) {
        match self.state.link.judge_rewind(rewind, AUTOMATIC_REWIND) {
            RewindVerdict::Nothing => {}
            RewindVerdict::Mark(gap) => self.take_back(rewind.to, gap, &rewind.reason, context),
            RewindVerdict::NeedsApproval(Gap { from, to }) => {
                self.state.rewind_waits = Some(rewind.to);
                self.note(
                    context,
                    "alarm",
                    format!("heights {from} to {to} are to be taken back, which an operator must allow: {}", rewind.reason),
                );
            }
        }
    }

    /// Carries a rewind out: the stream goes on from `to`, the events above it are marked, and rows and chain are compared.
    pub(super) fn take_back(
        &mut self,
        to: BlockRef,
        Gap { from, to: last }: Gap,
        reason: &str,
        context: &Context,
    ) {
        self.state.link.rewound(to);
        self.unverified_above = Some(to.height);
        self.wake.push(Subject::Provider);
        self.note(context, "rewind", format!("heights {from} to {last} are taken back: {reason}"));
    }

    /// Sets aside what claims a block that the chain cannot have reached, and says so once.
    fn judge_claims(&mut self, events: &[CloudEvent], context: &Context) {
        let Some(believed) = context.believed else { return };
        let Some(highest) = events.iter().filter_map(|event| claimed(&event.payload)).max() else {
            return;
        };
        if highest <= believed {
            // What waited may be on chain by now.
            if self.state.above_tip.take().is_some() {
                self.wake.push(Subject::Provider);
            }
            return;
        }
        if self.state.above_tip.replace(highest).is_none() {
            self.note(context, "alarm", format!("block {highest} is claimed, and our node is too far below it: at most {believed} is believed"));
        }
        let later = context.now.saturating_add(TOO_HIGH).unwrap_or(Timestamp::MAX);
        self.waits_above = Some((believed, later));
        let has_block =
            |event: &CloudEvent| event.block().is_some_and(|block| block.at.height > believed);
        if context.strict && events.iter().any(has_block) {
            self.refuse = Some(NotTaken::AboveTip { believed });
        }
    }

    fn look_after_gap(&mut self, before: &StreamState, context: &Context) {
        if self.state.link.gap().is_none() {
            self.state.gap_since = None;
            return;
        }
        let since = *self.state.gap_since.get_or_insert(context.now);
        if context.strict && before.link.gap().is_none() {
            self.refuse.get_or_insert(NotTaken::DoesNotJoin);
        }
        self.wake_at = since.checked_add(context.backfill_after).ok();
    }

    fn note(&mut self, context: &Context, action: &str, reason: String) {
        self.audit.push(AuditLine {
            at: context.now,
            actor: format!("stream/{}", context.stream),
            action: action.to_owned(),
            subject: format!("stream/{}", context.stream),
            reason,
        });
    }
}

/// Whose step is to look. Bids of others change nothing for us: how many there are is read when it matters. An event that
/// cannot be read wakes nobody; what it was to say is found by reconciliation.
fn subject(event: &ChainEvent, provider: &Address) -> Option<Subject> {
    let typed = Typed::from_attributes(&event.kind, &event.attributes).ok()?;
    match &typed {
        Typed::BidCreated { id, .. } | Typed::BidClosed { id } if id.provider != *provider => {
            return None;
        }
        _ => {}
    }
    match concern_of(&typed)? {
        Concern::Deployment(id) => Some(Subject::Deployment(id)),
        Concern::Provider(owner) => (owner == *provider).then_some(Subject::Provider),
    }
}
