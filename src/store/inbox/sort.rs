//! What a delivery's events are worth against what is known: new, known, or other content of a known identity; pure.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::rows::Known;
use crate::{
    domain::Height,
    event::envelope::EventIdentity,
    provider::port::{AuditLine, Delivery, EventRow, StreamPlan, Subject},
    store::subjects::Wake,
};

/// The most contents that are kept for one identity; more are counted and not kept, so that a liar cannot fill the disk
/// with one event.
const MAX_VARIANTS: usize = 4;

/// A content that is stored or that came earlier in the group: type and fields.
type Seen<'a> = (&'a str, &'a Map<String, Value>);

/// An event with the number of its content among those of its identity.
pub(super) struct Variant<'a> {
    pub(super) row: &'a EventRow,
    pub(super) number: usize,
}

/// One delivery's events.
#[derive(Default)]
pub(super) struct Sorted<'a> {
    pub(super) keep: Vec<Variant<'a>>,
    pub(super) accepted: u64,
    pub(super) duplicates: u64,
    pub(super) conflicts: u64,
    pub(super) ignored: u64,
    first_conflict: Option<&'a EventIdentity>,
}

/// Sorts the events of several deliveries, in their order: what came in the first is known to the second.
pub(super) fn sort<'a>(
    deliveries: impl IntoIterator<Item = &'a [EventRow]>,
    known: &'a Known,
) -> Vec<Sorted<'a>> {
    let mut contents: HashMap<&EventIdentity, Vec<Seen<'_>>> = HashMap::new();
    let mut position = 0;
    let mut all = Vec::new();
    for events in deliveries {
        let mut sorted = Sorted::default();
        for row in events {
            let seen = contents.entry(&row.identity).or_insert_with(|| {
                let stored = known.contents.get(&position).map_or(&[][..], Vec::as_slice);
                stored.iter().map(|(kind, attributes)| (kind.as_str(), attributes)).collect()
            });
            position += 1;
            sorted.take(row, seen);
        }
        all.push(sorted);
    }
    all
}

impl<'a> Sorted<'a> {
    fn take(&mut self, row: &'a EventRow, seen: &mut Vec<Seen<'a>>) {
        let content = (row.kind.as_str(), &row.attributes);
        if seen.contains(&content) {
            self.duplicates += 1;
            return;
        }
        if seen.is_empty() {
            self.accepted += 1;
            self.ignored += u64::from(row.subject.is_none());
        } else {
            self.conflicts += 1;
            self.first_conflict.get_or_insert(&row.identity);
        }
        if seen.len() < MAX_VARIANTS {
            self.keep.push(Variant { row, number: seen.len() });
            seen.push(content);
        }
    }

    pub(super) fn alarm(&self, delivery: &Delivery) -> Option<AuditLine> {
        self.first_conflict.map(|identity| AuditLine {
            at: delivery.received_at,
            actor: delivery.stream.clone(),
            action: "alarm".to_owned(),
            subject: format!("event/{identity}"),
            reason: format!(
                "delivery {} gives known events with other content: {}; both are kept as hints",
                delivery.id, self.conflicts
            ),
        })
    }
}

/// Who is to be woken by several deliveries, each once: the highest height that was claimed, the soonest time, and the last
/// stream that named it.
#[derive(Default)]
pub(super) struct Wakes<'a>(BTreeMap<&'a Subject, Wanted<'a>>);

#[derive(Clone, Copy)]
struct Wanted<'a> {
    hint: Option<Height>,
    at: Timestamp,
    stream: &'a str,
}

impl<'a> Wakes<'a> {
    /// The subjects of what is new in a delivery, and those that its plan names. What the chain cannot have reached wakes
    /// later and leaves no height behind.
    pub(super) fn add(
        &mut self,
        delivery: &'a Delivery,
        plan: &'a StreamPlan,
        sorted: &Sorted<'a>,
    ) {
        let now = delivery.received_at;
        let stream = delivery.stream.as_str();
        for subject in &plan.wake {
            self.want(subject, Wanted { hint: None, at: now, stream });
        }
        for Variant { row, .. } in &sorted.keep {
            let Some(subject) = &row.subject else { continue };
            let height = row.identity.height;
            let later = plan.waits_above.filter(|(limit, _)| height > *limit);
            let (hint, at) = later.map_or((Some(height), now), |(_, later)| (None, later.max(now)));
            self.want(subject, Wanted { hint, at, stream });
        }
    }

    fn want(&mut self, subject: &'a Subject, wanted: Wanted<'a>) {
        let Wanted { hint, at, stream } = wanted;
        self.0
            .entry(subject)
            .and_modify(|known| {
                known.hint = known.hint.max(hint);
                known.at = known.at.min(at);
                known.stream = stream;
            })
            .or_insert(Wanted { hint, at, stream });
    }

    pub(super) fn into_rows(self) -> Vec<Wake> {
        let hinted =
            |(subject, Wanted { hint, at, stream })| Wake::hinted(subject, hint, at, stream);
        self.0.into_iter().map(hinted).collect()
    }
}
