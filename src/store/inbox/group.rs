//! Deliveries that are committed together: one commit is on the disk for all.
//!
//! Each is judged on what those before it left, so the answers are the same as one after the other.

use std::collections::BTreeMap;

use jiff::Timestamp;
use sqlx::{SqliteConnection, query_scalar};

use super::{
    line::Waiting,
    rows::{
        Growth, Stored, clear_unverified, grow_streams, insert_deliveries, insert_events,
        insert_others, known_contents, mark_unverified, stored,
    },
    sort::{Sorted, Variant, Wakes, sort},
};
use crate::{
    provider::port::{AuditLine, Delivery, Ingested, StreamPlan, StreamState, Subject, Topic},
    store::{
        columns::{Micros, signed, unsigned},
        error::Failure,
        open::Sqlite,
        operator::count_changes,
        reading::append_audit,
        sql,
        subjects::{Wake, wake},
    },
};

impl Sqlite {
    /// The answers, in the order of the group.
    pub(super) async fn commit_group(&self, group: &[Waiting]) -> Result<Vec<Ingested>, Failure> {
        let mut tx = self.write().await?;
        let deliveries = group.iter().map(|waiting| &waiting.delivery);
        let events = group.iter().flat_map(|waiting| &waiting.content.events);
        let mut judged = Judged {
            stored: stored(&mut tx, deliveries, events).await?,
            answers: vec![Ingested::Full; group.len()],
            ..Judged::default()
        };
        for (place, waiting) in group.iter().enumerate() {
            self.judge(&mut tx, &mut judged, place, waiting).await?;
        }
        judged.keep_taken(&mut tx).await?;
        let Judged { growth, audit, stored, answers, .. } = judged;
        if !growth.is_empty() {
            grow_streams(&mut tx, &growth, &stored.states).await?;
            append_audit(&mut tx, &audit).await?;
            count_changes(&mut tx, &[Topic::Streams]).await?;
            tx.commit().await?;
        }
        Ok(answers)
    }

    /// Decides about one delivery, on what those before it left.
    async fn judge<'g>(
        &self,
        connection: &mut SqliteConnection,
        judged: &mut Judged<'g>,
        place: usize,
        waiting: &'g Waiting,
    ) -> Result<(), Failure> {
        let Waiting { delivery, content, plan, .. } = waiting;
        let stream = delivery.stream.as_str();
        let state = judged.stored.states.get(stream).cloned().unwrap_or_default();
        let key = (delivery.stream.clone(), delivery.id.clone());
        if let Some(digest) = judged.stored.digests.get(&key) {
            judged.answers[place] = if digest[..] == delivery.digest {
                Ingested::Repeated { state }
            } else {
                judged.growth.entry(stream).or_default().conflicts += 1;
                judged.audit.push(other_body(delivery));
                Ingested::OtherBody
            };
            return Ok(());
        }
        let mut plan = plan(&state);
        if let Some(why) = plan.refuse {
            let StreamState { heard_at, keys_used, .. } = plan.state;
            let state = StreamState { heard_at, keys_used, ..state };
            judged.growth.entry(stream).or_default();
            judged.stored.states.insert(key.0, state.clone());
            judged.answers[place] = Ingested::Refused { why, state };
            return Ok(());
        }
        let wakes = content.events.iter().filter(|event| event.subject.is_some()).count();
        if wakes > 0 && self.is_full(connection, judged, wakes, delivery.received_at).await? {
            // The answer that stands there.
            return Ok(());
        }
        if let Some(above) = plan.unverified_above {
            // What came before is marked, what comes behind is not.
            judged.keep_taken(connection).await?;
            plan.wake.extend(mark_unverified(connection, above).await?);
        }
        judged.stored.states.insert(delivery.stream.clone(), plan.state.clone());
        judged.stored.digests.insert(key, delivery.digest.to_vec());
        judged.taken.push(Taken { place, waiting, plan });
        Ok(())
    }

    async fn is_full(
        &self,
        connection: &mut SqliteConnection,
        judged: &mut Judged<'_>,
        wakes: usize,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let more = u64::try_from(wakes).unwrap_or(u64::MAX);
        let limit = u64::from(self.settings.max_waiting);
        if self.waiting.has_room(more, limit, now) {
            return Ok(false);
        }
        // The rows are counted, and those that are taken are to be among them.
        judged.keep_taken(connection).await?;
        let waiting: i64 = query_scalar(sql::WAITING)
            .bind(Micros(now))
            .bind(signed(limit))
            .fetch_one(connection)
            .await?;
        let waiting = unsigned(waiting);
        self.waiting.counted(waiting.saturating_add(more), now);
        Ok(waiting >= limit)
    }
}

/// A delivery that will be committed, with what it changes.
struct Taken<'g> {
    place: usize,
    waiting: &'g Waiting,
    plan: StreamPlan,
}

/// A group as far as it is judged.
#[derive(Default)]
struct Judged<'g> {
    /// What is stored, and what is taken: it is stored next.
    stored: Stored,
    /// What is taken and not written yet.
    taken: Vec<Taken<'g>>,
    growth: BTreeMap<&'g str, Growth>,
    audit: Vec<AuditLine>,
    answers: Vec<Ingested>,
}

impl<'g> Judged<'g> {
    /// Writes what is taken, and answers it.
    async fn keep_taken(&mut self, connection: &mut SqliteConnection) -> Result<(), Failure> {
        let taken = std::mem::take(&mut self.taken);
        if taken.is_empty() {
            return Ok(());
        }
        let rows = || taken.iter().flat_map(|taken| &taken.waiting.content.events);
        let known = known_contents(connection, rows(), &self.stored.blocks).await?;
        let events = taken.iter().map(|taken| &taken.waiting.content.events[..]);
        let mut sorted: Vec<Sorted<'_>> = sort(events, &known);
        let keep: Vec<&Variant<'_>> = sorted.iter().flat_map(|sorted| &sorted.keep).collect();
        insert_events(connection, &keep, &mut self.stored.blocks).await?;
        if known.any_unverified {
            clear_unverified(connection, rows()).await?;
        }
        for (taken, sorted) in taken.iter().zip(&mut sorted) {
            let others = &taken.waiting.content.others;
            let new = insert_others(connection, &taken.waiting.delivery, others).await?;
            sorted.accepted += new;
            sorted.ignored += new;
            sorted.duplicates += u64::try_from(others.len()).unwrap_or(u64::MAX) - new;
        }
        wake(connection, &wakes(&taken, &sorted)).await?;
        let deliveries = taken.iter().map(|taken| &taken.waiting.delivery);
        insert_deliveries(connection, deliveries).await?;
        for (taken, sorted) in taken.into_iter().zip(sorted) {
            self.answer_taken(taken, &sorted);
        }
        Ok(())
    }

    fn answer_taken(&mut self, taken: Taken<'g>, sorted: &Sorted<'_>) {
        let Taken { place, waiting: Waiting { delivery, .. }, plan } = taken;
        let Sorted { accepted, duplicates, conflicts, ignored, .. } = *sorted;
        let growth = self.growth.entry(&delivery.stream).or_default();
        growth.deliveries += 1;
        growth.events += accepted;
        growth.duplicates += duplicates;
        growth.ignored += ignored;
        growth.conflicts += conflicts;
        self.audit.extend(plan.audit);
        self.audit.extend(sorted.alarm(delivery));
        self.answers[place] =
            Ingested::Accepted { accepted, duplicates, conflicts, state: plan.state };
    }
}

/// Whom a group wakes: the subjects of its events, and the streams whose own step is to look.
fn wakes(taken: &[Taken<'_>], sorted: &[Sorted<'_>]) -> Vec<Wake> {
    let mut subjects = Wakes::default();
    let mut streams: BTreeMap<&str, Timestamp> = BTreeMap::new();
    for (Taken { waiting, plan, .. }, sorted) in taken.iter().zip(sorted) {
        subjects.add(&waiting.delivery, plan, sorted);
        if let Some(at) = plan.wake_at {
            let soonest = streams.entry(&waiting.delivery.stream).or_insert(at);
            *soonest = (*soonest).min(at);
        }
    }
    let mut wakes = subjects.into_rows();
    wakes.extend(
        streams
            .into_iter()
            .map(|(name, at)| Wake::new(&Subject::Stream(name.to_owned()), None, at)),
    );
    wakes
}

/// The same id with another body: the alarm is all that is kept.
fn other_body(delivery: &Delivery) -> AuditLine {
    AuditLine {
        at: delivery.received_at,
        actor: delivery.stream.clone(),
        action: "alarm".to_owned(),
        subject: format!("delivery/{}", delivery.id),
        reason: "the same delivery id came with another body; the first one stands".to_owned(),
    }
}
