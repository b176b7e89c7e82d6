//! Deliveries of streams: each is committed once, its events once each, and the subjects of new events are woken with it.
//!
//! The one surprising fact: an event's identity may come again with other content. Both contents are kept, numbered as
//! *variants*, because neither is proof of anything; a step reads the chain.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::{
    SqliteConnection, query, query_as, query_scalar,
    types::{Json, Text},
};

use super::{
    columns::{Micros, height, signed, small, unsigned},
    error::Failure,
    open::Sqlite,
    operator::count_changes,
    reading::append_audit,
    sql,
    subjects::{Wake, wake},
};
use crate::{
    domain::Height,
    event::{envelope::EventIdentity, hash::TxHash},
    provider::port::{
        AuditLine, Delivery, EventRow, Ingested, OtherEvent, Plan, Spent, StreamChange, StreamPlan,
        StreamRow, StreamState, Subject, Topic,
    },
};

/// The most contents that are kept for one identity; more are counted and not kept, so that a liar cannot fill the disk
/// with one event.
const MAX_VARIANTS: usize = 4;
/// Seconds of the host's clock for which a stream's read budget counts.
const BUDGET_WINDOW: i64 = 60;

/// An indexer took back what is above `$1`.
const MARK_UNVERIFIED: &str = "
    UPDATE events SET unverified = 1 WHERE unverified = 0 AND height > $1
      AND chain_id = (SELECT chain_id FROM chain_identity) RETURNING subject";
/// What came again stands again.
const CLEAR_UNVERIFIED: &str = "
    UPDATE events SET unverified = 0
    WHERE unverified = 1 AND (chain_id, height, tx_hash, msg_index, event_index) IN
        (SELECT value ->> 'chain_id', value ->> 'height', value ->> 'tx_hash', value ->> 'msg_index',
            value ->> 'event_index' FROM json_each($1))";
/// `$2` is the stream, `$3` the time.
const INSERT_OTHERS: &str = "
    INSERT INTO other_events (stream, source, id, kind, data, received_at)
    SELECT $2, value ->> 'source', value ->> 'id', value ->> 'kind', value -> 'data', $3
    FROM json_each($1) WHERE true ON CONFLICT (stream, source, id) DO NOTHING";

/// What an event says: its type and its fields.
type Content = (String, Map<String, Value>);
/// A [`Content`] that is stored or that came earlier in the batch.
type Seen<'a> = (&'a str, &'a Map<String, Value>);
/// What is stored of a batch's identities.
#[derive(Default)]
struct Known {
    /// The contents, by position in the batch.
    contents: HashMap<usize, Vec<Content>>,
    /// Whether any of them was taken back by an indexer.
    any_unverified: bool,
}

/// An event with the number of its content among those of its identity.
struct Variant<'a> {
    row: &'a EventRow,
    number: usize,
}

/// What a batch is worth, against what is known.
#[derive(Default)]
struct Sorted<'a> {
    keep: Vec<Variant<'a>>,
    accepted: u64,
    duplicates: u64,
    conflicts: u64,
    ignored: u64,
    first_conflict: Option<&'a EventIdentity>,
}

/// Sorts a batch into new events, known ones and other contents of known identities.
fn sort<'a>(events: &'a [EventRow], known: &'a Known) -> Sorted<'a> {
    let mut sorted = Sorted::default();
    let mut contents: HashMap<&EventIdentity, Vec<Seen<'_>>> = HashMap::new();
    for (position, row) in events.iter().enumerate() {
        let seen = contents.entry(&row.identity).or_insert_with(|| {
            let stored = known.contents.get(&position).map_or(&[][..], Vec::as_slice);
            stored.iter().map(|(kind, attributes)| (kind.as_str(), attributes)).collect()
        });
        let content = (row.kind.as_str(), &row.attributes);
        if seen.contains(&content) {
            sorted.duplicates += 1;
            continue;
        }
        if seen.is_empty() {
            sorted.accepted += 1;
            sorted.ignored += u64::from(row.subject.is_none());
        } else {
            sorted.conflicts += 1;
            sorted.first_conflict.get_or_insert(&row.identity);
        }
        if seen.len() < MAX_VARIANTS {
            sorted.keep.push(Variant { row, number: seen.len() });
            seen.push(content);
        }
    }
    sorted
}

impl Sorted<'_> {
    /// Who is to be woken, each once, with the highest height that was claimed: the subjects of what is new, and those that
    /// the plan names. What the chain cannot have reached wakes later and leaves no height behind.
    fn wakes(&self, plan: &StreamPlan, now: Timestamp) -> Vec<Wake> {
        let mut hints: BTreeMap<&Subject, (Option<Height>, Timestamp)> =
            plan.wake.iter().map(|subject| (subject, (None, now))).collect();
        for Variant { row, .. } in &self.keep {
            let Some(subject) = &row.subject else { continue };
            let height = row.identity.height;
            let later = plan.waits_above.filter(|(limit, _)| height > *limit);
            let (hint, at) = later.map_or((Some(height), now), |(_, later)| (None, later.max(now)));
            let (highest, soonest) = hints.entry(subject).or_insert((hint, at));
            *highest = (*highest).max(hint);
            *soonest = (*soonest).min(at);
        }
        hints.into_iter().map(|(subject, (hint, at))| Wake::new(subject, hint, at)).collect()
    }

    fn alarm(&self, delivery: &Delivery) -> Option<AuditLine> {
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

/// An event's identity as a list for `json_each` has it.
#[derive(Serialize)]
struct Key<'a> {
    position: usize,
    chain_id: &'a str,
    height: i64,
    tx_hash: TxHash,
    msg_index: u32,
    event_index: u32,
}

#[derive(Serialize)]
struct NewEvent<'a> {
    #[serde(flatten)]
    key: Key<'a>,
    variant: usize,
    kind: &'a str,
    attributes: &'a Map<String, Value>,
    subject: Option<String>,
}

fn key(position: usize, identity: &EventIdentity) -> Key<'_> {
    Key {
        position,
        chain_id: &identity.chain_id,
        height: height(identity.height),
        tx_hash: identity.tx_hash,
        msg_index: identity.msg_index,
        event_index: identity.event_index,
    }
}

fn keys(events: &[EventRow]) -> Vec<Key<'_>> {
    events.iter().enumerate().map(|(position, row)| key(position, &row.identity)).collect()
}

async fn known_contents(
    connection: &mut SqliteConnection,
    events: &[EventRow],
) -> Result<Known, Failure> {
    type Row = (i64, String, Json<Map<String, Value>>, bool);
    let mut known = Known::default();
    if events.is_empty() {
        return Ok(known);
    }
    let rows: Vec<Row> =
        query_as(sql::KNOWN_EVENTS).bind(Json(keys(events))).fetch_all(connection).await?;
    for (position, kind, Json(attributes), unverified) in rows {
        known.any_unverified |= unverified;
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        known.contents.entry(position).or_default().push((kind, attributes));
    }
    Ok(known)
}

async fn insert_events(
    connection: &mut SqliteConnection,
    events: &[Variant<'_>],
) -> Result<(), Failure> {
    if events.is_empty() {
        return Ok(());
    }
    let rows: Vec<NewEvent<'_>> = events
        .iter()
        .enumerate()
        .map(|(position, Variant { row, number })| NewEvent {
            key: key(position, &row.identity),
            variant: *number,
            kind: &row.kind,
            attributes: &row.attributes,
            subject: row.subject.as_ref().map(ToString::to_string),
        })
        .collect();
    query(sql::INSERT_EVENTS).bind(Json(rows)).execute(connection).await?;
    Ok(())
}

async fn stream_state(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<StreamState, Failure> {
    let state: Option<Json<StreamState>> =
        query_scalar(sql::STREAM_STATE).bind(name).fetch_optional(connection).await?;
    Ok(state.map(|Json(state)| state).unwrap_or_default())
}

async fn set_stream_state(
    connection: &mut SqliteConnection,
    name: &str,
    state: &StreamState,
) -> Result<(), Failure> {
    query(sql::SET_STREAM_STATE).bind(name).bind(Json(state)).execute(connection).await?;
    Ok(())
}

/// Marks what an indexer took back. Returns whom it concerned.
async fn mark_unverified(
    connection: &mut SqliteConnection,
    above: Height,
) -> Result<BTreeSet<Subject>, Failure> {
    let subjects: Vec<Option<Text<Subject>>> =
        query_scalar(MARK_UNVERIFIED).bind(height(above)).fetch_all(connection).await?;
    Ok(subjects.into_iter().flatten().map(|Text(subject)| subject).collect())
}

/// Keeps events of unknown types. Returns how many are new.
async fn insert_others(
    connection: &mut SqliteConnection,
    delivery: &Delivery,
    others: &[OtherEvent],
) -> Result<u64, Failure> {
    #[derive(Serialize)]
    struct Row<'a> {
        source: &'a str,
        id: &'a str,
        kind: &'a str,
        data: &'a Value,
    }
    if others.is_empty() {
        return Ok(0);
    }
    let rows: Vec<Row<'_>> = others
        .iter()
        .map(|OtherEvent { source, id, kind, data }| Row { source, id, kind, data })
        .collect();
    let inserted = query(INSERT_OTHERS)
        .bind(Json(rows))
        .bind(&delivery.stream)
        .bind(Micros(delivery.received_at))
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected())
}

/// The same id with another body: the alarm is all that is kept.
async fn raise_alarm(
    connection: &mut SqliteConnection,
    delivery: &Delivery,
) -> Result<(), Failure> {
    query(sql::COUNT_CONFLICT).bind(&delivery.stream).execute(&mut *connection).await?;
    let line = AuditLine {
        at: delivery.received_at,
        actor: delivery.stream.clone(),
        action: "alarm".to_owned(),
        subject: format!("delivery/{}", delivery.id),
        reason: "the same delivery id came with another body; the first one stands".to_owned(),
    };
    append_audit(connection, &[line]).await
}

impl Sqlite {
    pub(super) async fn ingest_delivery(
        &self,
        delivery: &Delivery,
        plan: &Plan<'_>,
    ) -> Result<Ingested, Failure> {
        let mut tx = self.write().await?;
        let known: Option<Vec<u8>> = query_scalar(sql::DELIVERY_DIGEST)
            .bind(&delivery.stream)
            .bind(&delivery.id)
            .fetch_optional(&mut *tx)
            .await?;
        let state = stream_state(&mut tx, &delivery.stream).await?;
        if let Some(digest) = known {
            if digest == delivery.digest {
                return Ok(Ingested::Repeated { state });
            }
            raise_alarm(&mut tx, delivery).await?;
            count_changes(&mut tx, &[Topic::Streams]).await?;
            tx.commit().await?;
            return Ok(Ingested::OtherBody);
        }

        let mut plan = plan(&state);
        if let Some(why) = plan.refuse {
            let StreamState { heard_at, keys_used, .. } = plan.state;
            let state = StreamState { heard_at, keys_used, ..state };
            set_stream_state(&mut tx, &delivery.stream, &state).await?;
            count_changes(&mut tx, &[Topic::Streams]).await?;
            tx.commit().await?;
            return Ok(Ingested::Refused { why, state });
        }
        let wakes = plan.events.iter().filter(|event| event.subject.is_some()).count();
        if wakes > 0 && self.is_full(&mut tx, wakes, delivery.received_at).await? {
            return Ok(Ingested::Full);
        }
        if let Some(above) = plan.unverified_above {
            plan.wake.extend(mark_unverified(&mut tx, above).await?);
        }
        let known = known_contents(&mut tx, &plan.events).await?;
        let mut sorted = sort(&plan.events, &known);
        insert_events(&mut tx, &sorted.keep).await?;
        if known.any_unverified {
            let keys = Json(keys(&plan.events));
            query(CLEAR_UNVERIFIED).bind(keys).execute(&mut *tx).await?;
        }
        let new = insert_others(&mut tx, delivery, &plan.others).await?;
        sorted.accepted += new;
        sorted.ignored += new;
        sorted.duplicates += u64::try_from(plan.others.len()).unwrap_or(u64::MAX) - new;
        let wakes = sorted.wakes(&plan, delivery.received_at);
        wake(&mut tx, &wakes, Some(&delivery.stream)).await?;
        if let Some(at) = plan.wake_at {
            let stream = Subject::Stream(delivery.stream.clone());
            wake(&mut tx, &[Wake::new(&stream, None, at)], None).await?;
        }
        query(sql::INSERT_DELIVERY)
            .bind(&delivery.stream)
            .bind(&delivery.id)
            .bind(&delivery.digest[..])
            .bind(delivery.origin)
            .bind(Micros(delivery.received_at))
            .execute(&mut *tx)
            .await?;
        query(sql::COUNT_DELIVERY)
            .bind(&delivery.stream)
            .bind(Json(&plan.state))
            .bind(signed(sorted.accepted))
            .bind(signed(sorted.duplicates))
            .bind(signed(sorted.ignored))
            .bind(signed(sorted.conflicts))
            .execute(&mut *tx)
            .await?;
        let alarm = sorted.alarm(delivery);
        let Sorted { accepted, duplicates, conflicts, .. } = sorted;
        append_audit(&mut tx, &plan.audit).await?;
        append_audit(&mut tx, alarm.as_slice()).await?;
        count_changes(&mut tx, &[Topic::Streams]).await?;
        tx.commit().await?;
        Ok(Ingested::Accepted { accepted, duplicates, conflicts, state: plan.state })
    }

    async fn is_full(
        &self,
        connection: &mut SqliteConnection,
        wakes: usize,
        now: Timestamp,
    ) -> Result<bool, Failure> {
        let more = u64::try_from(wakes).unwrap_or(u64::MAX);
        let limit = u64::from(self.settings.max_waiting);
        if self.waiting.has_room(more, limit, now) {
            return Ok(false);
        }
        let waiting: i64 = query_scalar(sql::WAITING)
            .bind(Micros(now))
            .bind(signed(limit))
            .fetch_one(connection)
            .await?;
        let waiting = unsigned(waiting);
        self.waiting.counted(waiting.saturating_add(more), now);
        Ok(waiting >= limit)
    }

    pub(super) async fn read_stream(&self, name: &str) -> Result<Option<StreamRow>, Failure> {
        type Row = (String, Json<StreamState>, i64, i64, i64, i64, i64, i64);
        let row: Option<Row> =
            query_as(sql::STREAM).bind(name).fetch_optional(&self.readers).await?;
        Ok(row.map(
            |(
                name,
                Json(state),
                deliveries,
                events,
                duplicates,
                ignored,
                conflicts,
                unverified,
            )| {
                StreamRow {
                    name,
                    state,
                    deliveries: unsigned(deliveries),
                    events: unsigned(events),
                    duplicates: unsigned(duplicates),
                    ignored: unsigned(ignored),
                    conflicts: unsigned(conflicts),
                    unverified: unsigned(unverified),
                }
            },
        ))
    }

    pub(super) async fn change_stream_state(
        &self,
        name: &str,
        change: &StreamChange<'_>,
    ) -> Result<StreamState, Failure> {
        let mut tx = self.write().await?;
        let state = change(&stream_state(&mut tx, name).await?);
        set_stream_state(&mut tx, name, &state).await?;
        count_changes(&mut tx, &[Topic::Streams]).await?;
        tx.commit().await?;
        Ok(state)
    }

    pub(super) async fn spend_reads(
        &self,
        stream: &str,
        reads: u32,
        limit: u32,
        now: Timestamp,
    ) -> Result<Spent, Failure> {
        let minute = now.as_second().div_euclid(BUDGET_WINDOW);
        let mut tx = self.write().await?;
        let stored: Option<(i64, i64)> =
            query_as(sql::READ_BUDGET).bind(stream).fetch_optional(&mut *tx).await?;
        let spent = match stored {
            Some((stored_minute, spent)) if stored_minute == minute => small(spent),
            _ => 0,
        };
        let with_these = spent.saturating_add(reads);
        if with_these > limit {
            return Ok(Spent { reads: spent, granted: false });
        }
        query(sql::SET_READ_BUDGET)
            .bind(stream)
            .bind(minute)
            .bind(i64::from(with_these))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(Spent { reads: with_these, granted: true })
    }

    pub(super) async fn read_events(
        &self,
        subject: &Subject,
        limit: u32,
    ) -> Result<Vec<EventRow>, Failure> {
        type Row = (String, i64, Text<TxHash>, i64, i64, String, Json<Map<String, Value>>);
        let rows: Vec<Row> = query_as(sql::EVENTS)
            .bind(Text(subject))
            .bind(i64::from(limit))
            .fetch_all(&self.readers)
            .await?;
        let rows = rows.into_iter().map(
            |(chain_id, height, Text(tx_hash), msg_index, event_index, kind, Json(attributes))| {
                EventRow {
                    identity: EventIdentity {
                        chain_id,
                        height: Height(unsigned(height)),
                        tx_hash,
                        msg_index: small(msg_index),
                        event_index: small(event_index),
                    },
                    kind,
                    attributes,
                    subject: Some(subject.clone()),
                }
            },
        );
        Ok(rows.collect())
    }
}
