//! The inbox's statements: what is read and written of deliveries, events and streams.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use data_encoding::HEXLOWER;
use serde::Serialize;
use serde_json::{Map, Value};
use sqlx::{
    QueryBuilder, Sqlite as Engine, SqliteConnection, query, query_as, query_scalar,
    types::{Json, Text},
};

use super::{sort::Variant, sql};
use crate::{
    domain::Height,
    event::{envelope::EventIdentity, hash::TxHash},
    provider::port::{Delivery, EventRow, OtherEvent, StreamState, Subject},
    store::{
        columns::{Micros, height},
        error::Failure,
    },
};

/// So many rows go in one `VALUES` list, which is the quickest way; fewer go as one JSON list, so that one statement takes
/// any number of them. What counts with few is how often the connection's thread is woken.
const MANY: usize = 128;

/// What an event says: its type and its fields.
type Content = (String, Map<String, Value>);

/// What is stored of a group's identities.
#[derive(Default)]
pub(super) struct Known {
    /// The contents, by position in the group.
    pub(super) contents: HashMap<usize, Vec<Content>>,
    /// Whether any of them was taken back by an indexer.
    pub(super) any_unverified: bool,
}

/// An event's identity as a list for `json_each` has it.
#[derive(Serialize)]
pub(super) struct Key<'a> {
    position: usize,
    chain_id: &'a str,
    height: i64,
    tx_hash: TxHash,
    msg_index: u32,
    event_index: u32,
}

/// The identities of a group's events with their positions.
pub(super) fn keys<'a>(events: impl Iterator<Item = &'a EventRow>) -> Vec<Key<'a>> {
    let key = |(position, EventRow { identity, .. }): (usize, &'a EventRow)| Key {
        position,
        chain_id: &identity.chain_id,
        height: height(identity.height),
        tx_hash: identity.tx_hash,
        msg_index: identity.msg_index,
        event_index: identity.event_index,
    };
    events.enumerate().map(key).collect()
}

/// Chains and heights.
pub(super) type Blocks = HashSet<(String, i64)>;

/// What is stored of a group before it is committed.
#[derive(Default)]
pub(super) struct Stored {
    /// The digests of deliveries, by stream and id.
    pub(super) digests: HashMap<(String, String), Vec<u8>>,
    /// The states of streams.
    pub(super) states: HashMap<String, StreamState>,
    /// The blocks of which there are events.
    pub(super) blocks: Blocks,
}

/// The block of an event.
fn block_of(EventRow { identity, .. }: &EventRow) -> (&str, i64) {
    (&identity.chain_id, height(identity.height))
}

/// Looks for what is stored of deliveries and of their events' blocks, all at once.
pub(super) async fn stored<'a>(
    connection: &mut SqliteConnection,
    deliveries: impl Iterator<Item = &'a Delivery> + Clone,
    events: impl Iterator<Item = &'a EventRow>,
) -> Result<Stored, Failure> {
    type Row = (String, String, String, Option<Vec<u8>>);
    let keys: Vec<(&str, &str)> =
        deliveries.clone().map(|delivery| (&*delivery.stream, &*delivery.id)).collect();
    let streams: BTreeSet<&str> = deliveries.map(|delivery| &*delivery.stream).collect();
    let blocks: BTreeSet<(&str, i64)> = events.map(block_of).collect();
    let rows: Vec<Row> = query_as(sql::STORED)
        .bind(Json(keys))
        .bind(Json(streams))
        .bind(Json(blocks))
        .fetch_all(connection)
        .await?;
    let mut stored = Stored::default();
    for (what, first, second, digest) in rows {
        match (what.as_str(), digest) {
            ("digest", Some(digest)) => {
                stored.digests.insert((first, second), digest);
            }
            ("state", _) => {
                let state = serde_json::from_str(&second)
                    .map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
                stored.states.insert(first, state);
            }
            _ => {
                stored.blocks.insert((first, second.parse().unwrap_or(i64::MAX)));
            }
        }
    }
    Ok(stored)
}

/// What is stored of these identities. Most deliveries tell blocks of which nothing is stored; those that are not among
/// `blocks` are not looked for.
pub(super) async fn known_contents(
    connection: &mut SqliteConnection,
    events: impl Iterator<Item = &EventRow>,
    blocks: &Blocks,
) -> Result<Known, Failure> {
    type Row = (i64, String, Json<Map<String, Value>>, bool);
    let is_stored = |key: &Key<'_>| blocks.contains(&(key.chain_id.to_owned(), key.height));
    let mut known = Known::default();
    if blocks.is_empty() {
        return Ok(known);
    }
    let keys: Vec<Key<'_>> = keys(events).into_iter().filter(is_stored).collect();
    if keys.is_empty() {
        return Ok(known);
    }
    let rows: Vec<Row> = query_as(sql::KNOWN_EVENTS).bind(Json(keys)).fetch_all(connection).await?;
    for (position, kind, Json(attributes), unverified) in rows {
        known.any_unverified |= unverified;
        let position = usize::try_from(position).unwrap_or(usize::MAX);
        known.contents.entry(position).or_default().push((kind, attributes));
    }
    Ok(known)
}

/// Writes events, and notes their blocks.
pub(super) async fn insert_events(
    connection: &mut SqliteConnection,
    events: &[&Variant<'_>],
    blocks: &mut Blocks,
) -> Result<(), Failure> {
    let told: BTreeSet<(&str, i64)> = events.iter().map(|variant| block_of(variant.row)).collect();
    blocks.extend(told.into_iter().map(|(chain, height)| (chain.to_owned(), height)));
    let (lists, few) = events.as_chunks::<MANY>();
    for list in lists {
        insert_many(connection, list).await?;
    }
    insert_few(connection, few).await
}

async fn insert_many(
    connection: &mut SqliteConnection,
    events: &[&Variant<'_>],
) -> Result<(), Failure> {
    let mut insert = QueryBuilder::<Engine>::new(sql::INSERT_MANY_EVENTS);
    insert.push_values(events, |mut values, Variant { row, number }| {
        let EventRow { identity, kind, attributes, subject } = row;
        values
            .push_bind(&*identity.chain_id)
            .push_bind(height(identity.height))
            .push_bind(Text(identity.tx_hash))
            .push_bind(i64::from(identity.msg_index))
            .push_bind(i64::from(identity.event_index))
            .push_bind(i64::try_from(*number).unwrap_or(i64::MAX))
            .push_bind(&**kind)
            .push_bind(Json(attributes))
            .push_bind(subject.as_ref().map(Text));
    });
    insert.build().execute(connection).await?;
    Ok(())
}

async fn insert_few<'a>(
    connection: &mut SqliteConnection,
    events: &[&Variant<'a>],
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Row<'a> {
        chain_id: &'a str,
        height: i64,
        tx_hash: TxHash,
        msg_index: u32,
        event_index: u32,
        variant: usize,
        kind: &'a str,
        attributes: &'a Map<String, Value>,
        subject: Option<String>,
    }
    if events.is_empty() {
        return Ok(());
    }
    let row = |Variant { row, number }: &Variant<'a>| {
        let EventRow { identity, kind, attributes, subject } = row;
        Row {
            chain_id: &identity.chain_id,
            height: height(identity.height),
            tx_hash: identity.tx_hash,
            msg_index: identity.msg_index,
            event_index: identity.event_index,
            variant: *number,
            kind,
            attributes,
            subject: subject.as_ref().map(ToString::to_string),
        }
    };
    let rows: Vec<Row<'_>> = events.iter().map(|event| row(event)).collect();
    query(sql::INSERT_EVENTS).bind(Json(rows)).execute(connection).await?;
    Ok(())
}

/// What came again stands again.
pub(super) async fn clear_unverified<'a>(
    connection: &mut SqliteConnection,
    events: impl Iterator<Item = &'a EventRow>,
) -> Result<(), Failure> {
    query(sql::CLEAR_UNVERIFIED).bind(Json(keys(events))).execute(connection).await?;
    Ok(())
}

/// Marks what an indexer took back. Returns whom it concerned.
pub(super) async fn mark_unverified(
    connection: &mut SqliteConnection,
    above: Height,
) -> Result<BTreeSet<Subject>, Failure> {
    let subjects: Vec<Option<Text<Subject>>> =
        query_scalar(sql::MARK_UNVERIFIED).bind(height(above)).fetch_all(connection).await?;
    Ok(subjects.into_iter().flatten().map(|Text(subject)| subject).collect())
}

/// Keeps events of unknown types. Returns how many are new.
pub(super) async fn insert_others(
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
    let inserted = query(sql::INSERT_OTHERS)
        .bind(Json(rows))
        .bind(&delivery.stream)
        .bind(Micros(delivery.received_at))
        .execute(connection)
        .await?;
    Ok(inserted.rows_affected())
}

pub(super) async fn insert_deliveries(
    connection: &mut SqliteConnection,
    deliveries: impl Iterator<Item = &Delivery>,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Row<'a> {
        stream: &'a str,
        id: &'a str,
        digest: String,
        origin: &'a str,
        received_at: Micros,
    }
    let rows: Vec<Row<'_>> = deliveries
        .map(|delivery| Row {
            stream: &delivery.stream,
            id: &delivery.id,
            digest: HEXLOWER.encode(&delivery.digest[..]),
            origin: delivery.origin,
            received_at: Micros(delivery.received_at),
        })
        .collect();
    query(sql::INSERT_DELIVERIES).bind(Json(rows)).execute(connection).await?;
    Ok(())
}

/// What a stream's counts grow by.
#[derive(Debug, Default, Serialize)]
pub(super) struct Growth {
    pub(super) deliveries: u64,
    pub(super) events: u64,
    pub(super) duplicates: u64,
    pub(super) ignored: u64,
    pub(super) conflicts: u64,
}

/// Gives streams their new states and counts.
pub(super) async fn grow_streams(
    connection: &mut SqliteConnection,
    streams: &BTreeMap<&str, Growth>,
    states: &HashMap<String, StreamState>,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Row<'a> {
        name: &'a str,
        state: &'a StreamState,
        #[serde(flatten)]
        growth: &'a Growth,
    }
    let row = |(name, growth)| Some(Row { name, state: states.get(name)?, growth });
    let rows: Vec<Row<'_>> =
        streams.iter().filter_map(|(name, growth)| row((*name, growth))).collect();
    query(sql::GROW_STREAMS).bind(Json(rows)).execute(connection).await?;
    Ok(())
}

pub(super) async fn stream_state(
    connection: &mut SqliteConnection,
    name: &str,
) -> Result<StreamState, Failure> {
    let state: Option<Json<StreamState>> =
        query_scalar(sql::STREAM_STATE).bind(name).fetch_optional(connection).await?;
    Ok(state.map(|Json(state)| state).unwrap_or_default())
}

pub(super) async fn set_stream_state(
    connection: &mut SqliteConnection,
    name: &str,
    state: &StreamState,
) -> Result<(), Failure> {
    query(sql::SET_STREAM_STATE).bind(name).bind(Json(state)).execute(connection).await?;
    Ok(())
}

/// An event's identity as its columns say it.
pub(super) fn identity_of(
    (chain_id, at, tx_hash, msg_index, event_index): (String, i64, TxHash, i64, i64),
) -> EventIdentity {
    use crate::store::columns::{small, unsigned};
    EventIdentity {
        chain_id,
        height: Height(unsigned(at)),
        tx_hash,
        msg_index: small(msg_index),
        event_index: small(event_index),
    }
}
