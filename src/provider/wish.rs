//! What an operator asks of a stream: to pull blocks, and to allow or turn down a rewind.
//!
//! Both are words that the rows keep; the stream's own step, and the steps of what is woken, do the work.

use super::{
    Error, Kind, Provider,
    ingest::Context,
    port::{AuditLine, Content, StreamPlan, StreamState, Subject},
    stream::{line, own_delivery},
};
use crate::{
    domain::Height,
    event::{
        envelope::Rewind,
        link::{Gap, RewindVerdict},
    },
};

/// The most blocks that an operator may ask for at once: two weeks of them.
const MAX_BLOCKS: u64 = 200_000;

impl Provider {
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

    /// Tries at once what does not get on, instead of when its back-off is over.
    ///
    /// # Errors
    /// `not_stuck` when there is no such subject, its steps do not fail, or one is at work; when the store gives no answer.
    pub async fn try_now(&self, subject: &Subject, actor: &str) -> Result<(), Error> {
        let now = self.clock.now();
        if !self.store.try_now(subject, now).await? {
            return Err(Error::not_found(
                "not_stuck",
                format!("no step of {subject} failed last, or one is at work"),
            ));
        }
        let line = AuditLine {
            at: now,
            actor: actor.to_owned(),
            action: "try_now".to_owned(),
            subject: subject.to_string(),
            reason: "its back-off was cut short".to_owned(),
        };
        self.store.audit(&[line]).await?;
        self.poke.notify_one();
        Ok(())
    }

    /// Carries out or turns down a rewind that waits for an operator. Events above the block are marked and their subjects
    /// looked at; nothing is undone.
    ///
    /// # Errors
    /// `stream_not_found`; `conflict` when no rewind waits; when the store gives no answer.
    pub async fn decide_rewind(&self, name: &str, accept: bool, actor: &str) -> Result<(), Error> {
        if !self.settings().streams.contains_key(name) {
            return Err(Error::not_found("stream_not_found", format!("{name:?} is no stream")));
        }
        let row = self.store.stream(name).await?;
        if row.is_none_or(|row| row.state.rewind_waits.is_none()) {
            let detail = format!("no rewind of stream {name:?} waits for an operator");
            return Err(Error::new(Kind::Conflict, "conflict", detail));
        }
        let now = self.clock.now();
        let context = Self::own_context(name, now);
        let actor = actor.to_owned();
        let decided = move |state: &StreamState| decide(state, accept, &actor, &context);
        let delivery = own_delivery(name, "operator", self.entropy.bits(), &[], now);
        self.store.ingest(delivery, Content::default(), Box::new(decided)).await?;
        self.poke.notify_one();
        Ok(())
    }
}

/// What an operator's word on a rewind changes; pure.
fn decide(state: &StreamState, accept: bool, actor: &str, context: &Context) -> StreamPlan {
    let mut plan = StreamPlan { state: state.clone(), ..StreamPlan::default() };
    let Some(to) = plan.state.rewind_waits.take() else { return plan };
    let rewind = Rewind { to, reason: "an operator allowed it".to_owned() };
    if !accept {
        let why = format!("taking back what is above {} was turned down", to.height);
        plan.audit.push(line(&context.stream, actor, "rewind_refused", why, context.now));
    } else if let RewindVerdict::Mark(gap) = plan.state.link.judge_rewind(&rewind, u64::MAX) {
        plan.take_back(to, gap, &rewind.reason, context);
        for line in &mut plan.audit {
            actor.clone_into(&mut line.actor);
        }
    }
    plan
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
