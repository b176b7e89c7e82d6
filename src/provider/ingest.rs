//! A verified delivery becomes rows: events with their identities, the stream's cursor, and woken subjects.
//!
//! What an indexer says is a hint. It decides nothing: it wakes the subject that it concerns, whose step reads the chain.

use jiff::{SignedDuration, Timestamp};

use super::{
    Error, Kind, Provider,
    port::{AuditLine, Delivery, EventRow, Ingested, StreamPlan, StreamState, Subject},
};
use crate::{
    domain::Address,
    event::{
        envelope::{BlockEvent, ChainEvent, CloudEvent, Payload},
        link::{Outcome, RewindVerdict},
        subject::{Concern, concern_of},
    },
    wire::event::ChainEvent as Typed,
};

/// An indexer may take back so many blocks without an operator's agreement.
const AUTOMATIC_REWIND: u64 = 100;

impl Provider {
    /// Commits a delivery whose signature was verified. What it answers is durable.
    ///
    /// # Errors
    /// `wrong_chain` when it is about another chain than the store's; `store_unavailable`.
    pub async fn ingest(
        &self,
        delivery: &Delivery,
        events: &[CloudEvent],
    ) -> Result<Ingested, Error> {
        let chain_id = self.chain_id().await?;
        for payload in events.iter().map(|event| &event.payload) {
            if let Some(given) = payload.chain_id().filter(|given| *given != chain_id) {
                let detail =
                    format!("the delivery is about {given:?}, this provider serves {chain_id:?}");
                return Err(Error::new(Kind::Invalid(Vec::new()), "wrong_chain", detail));
            }
        }
        let settings = self.settings();
        let stream = settings.streams.get(&delivery.stream);
        let context = Context {
            provider: &self.address,
            now: delivery.received_at,
            strict: stream.is_some_and(|stream| stream.strict),
            backfill_after: stream
                .map_or(SignedDuration::from_secs(10), |stream| stream.backfill_after),
            stream: &delivery.stream,
        };
        let ingested = self.store.ingest(delivery, &|state| plan(state, events, &context)).await?;
        self.poke.notify_one();
        Ok(ingested)
    }

    /// The chain's name, as the store recorded it or as the node says.
    async fn chain_id(&self) -> Result<String, Error> {
        if let Some(known) = self.store.chain_identity().await? {
            return Ok(known.chain_id);
        }
        let found = self.chain.identity().await?;
        Ok(self.store.record_chain_identity(&found).await?.chain_id)
    }
}

/// What a plan needs beyond the stream's state and the delivery.
pub(super) struct Context<'a> {
    pub(super) provider: &'a Address,
    pub(super) now: Timestamp,
    pub(super) strict: bool,
    pub(super) backfill_after: SignedDuration,
    pub(super) stream: &'a str,
}

/// What a delivery changes; pure.
pub(super) fn plan(
    state: &StreamState,
    events: &[CloudEvent],
    context: &Context<'_>,
) -> StreamPlan {
    let mut plan = StreamPlan {
        state: state.clone(),
        events: Vec::new(),
        refuse: false,
        wake_at: None,
        wake: Vec::new(),
        audit: Vec::new(),
    };
    plan.state.heard_at = Some(context.now);
    for event in events {
        match &event.payload {
            Payload::Block(block) => plan.take_block(block, event.time, context),
            Payload::Heartbeat(heartbeat) => {
                plan.state.heartbeat_at = Some(context.now);
                plan.state.indexer_tip = Some((heartbeat.tip_height, heartbeat.tip_time));
            }
            Payload::Rewind(rewind) => {
                match plan.state.link.judge_rewind(rewind, AUTOMATIC_REWIND) {
                    RewindVerdict::Nothing => {}
                    RewindVerdict::Mark(gap) => {
                        plan.state.link.rewound(rewind.to);
                        plan.wake.push(Subject::Provider);
                        plan.note(
                            context,
                            "rewind",
                            format!(
                                "heights {} to {} taken back: {}",
                                gap.from, gap.to, rewind.reason
                            ),
                        );
                    }
                    RewindVerdict::NeedsApproval(gap) => {
                        plan.state.rewind_waits = Some(rewind.to);
                        plan.wake.push(Subject::Provider);
                        plan.note(context, "alarm", format!("heights {} to {} are to be taken back, which an operator must allow: {}", gap.from, gap.to, rewind.reason));
                    }
                }
            }
            Payload::Unknown { .. } => {}
        }
    }
    if plan.state.link.gap().is_some() {
        let since = *plan.state.gap_since.get_or_insert(context.now);
        plan.refuse = context.strict && state.link.gap().is_none();
        plan.wake_at = since.checked_add(context.backfill_after).ok();
    } else {
        plan.state.gap_since = None;
    }
    plan
}

impl StreamPlan {
    fn take_block(&mut self, block: &BlockEvent, time: Option<Timestamp>, context: &Context<'_>) {
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
        for event in &block.events {
            let subject = subject(event, context.provider);
            self.events.push(EventRow {
                identity: block.identity(event),
                kind: event.kind.clone(),
                attributes: event.attributes.clone(),
                subject,
            });
        }
    }

    fn note(&mut self, context: &Context<'_>, action: &str, reason: String) {
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
