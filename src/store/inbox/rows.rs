//! The inbox's statements: what is read and written of deliveries, events and streams.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

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

/// The most rows of one `VALUES` list. Lists have a power of two of rows, so that few statements stay prepared.
const MOST_ROWS: usize = 64;

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

/// What is stored of these identities. Most deliveries tell blocks of which nothing is stored, which one look tells.
pub(super) async fn known_contents(
    connection: &mut SqliteConnection,
    events: impl Iterator<Item = &EventRow> + Clone,
) -> Result<Known, Failure> {
    type Row = (i64, String, Json<Map<String, Value>>, bool);
    let stored = stored_heights(connection, events.clone()).await?;
    let keys: Vec<Key<'_>> =
        keys(events).into_iter().filter(|key| stored.contains(&key.height)).collect();
    let mut known = Known::default();
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

/// The heights of these events of which anything is stored.
async fn stored_heights(
    connection: &mut SqliteConnection,
    events: impl Iterator<Item = &EventRow>,
) -> Result<HashSet<i64>, Failure> {
    let mut told: BTreeMap<&str, BTreeSet<i64>> = BTreeMap::new();
    for EventRow { identity, .. } in events {
        told.entry(&identity.chain_id).or_default().insert(height(identity.height));
    }
    let mut stored = HashSet::new();
    for (chain_id, heights) in told {
        let found: Vec<i64> = query_scalar(sql::STORED_HEIGHTS)
            .bind(chain_id)
            .bind(Json(heights))
            .fetch_all(&mut *connection)
            .await?;
        stored.extend(found);
    }
    Ok(stored)
}

/// Splits rows into lists that the same few statements take.
fn lists<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let largest = rows.len().min(MOST_ROWS).checked_ilog2()?;
        let (list, rest) = rows.split_at(1 << largest);
        rows = rest;
        Some(list)
    })
}

pub(super) async fn insert_events(
    connection: &mut SqliteConnection,
    events: &[&Variant<'_>],
) -> Result<(), Failure> {
    for list in lists(events) {
        let mut insert = QueryBuilder::<Engine>::new(sql::INSERT_EVENTS);
        insert.push_values(list, |mut values, Variant { row, number }| {
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
        insert.build().execute(&mut *connection).await?;
    }
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

/// The digests of those deliveries that are stored, by stream and id.
pub(super) async fn digests(
    connection: &mut SqliteConnection,
    deliveries: impl Iterator<Item = &Delivery>,
) -> Result<HashMap<(String, String), Vec<u8>>, Failure> {
    let keys: Vec<(&str, &str)> =
        deliveries.map(|delivery| (&*delivery.stream, &*delivery.id)).collect();
    let rows: Vec<(String, String, Vec<u8>)> =
        query_as(sql::DELIVERY_DIGESTS).bind(Json(keys)).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(stream, id, digest)| ((stream, id), digest)).collect())
}

pub(super) async fn insert_deliveries(
    connection: &mut SqliteConnection,
    deliveries: &[&Delivery],
) -> Result<(), Failure> {
    for list in lists(deliveries) {
        let mut insert = QueryBuilder::<Engine>::new(sql::INSERT_DELIVERIES);
        insert.push_values(list, |mut values, delivery| {
            values
                .push_bind(&*delivery.stream)
                .push_bind(&*delivery.id)
                .push_bind(&delivery.digest[..])
                .push_bind(delivery.origin)
                .push_bind(Micros(delivery.received_at));
        });
        insert.build().execute(&mut *connection).await?;
    }
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

/// The states of these streams, as far as they have one.
pub(super) async fn stream_states(
    connection: &mut SqliteConnection,
    names: &BTreeSet<&str>,
) -> Result<HashMap<String, StreamState>, Failure> {
    let rows: Vec<(String, Json<StreamState>)> =
        query_as(sql::STREAM_STATES).bind(Json(names)).fetch_all(connection).await?;
    Ok(rows.into_iter().map(|(name, Json(state))| (name, state)).collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_split_into_lists_of_powers_of_two_and_none_is_left_out() {
        for length in [0, 1, 5, 63, 64, 65, 500] {
            let rows: Vec<usize> = (0..length).collect();
            let split: Vec<&[usize]> = lists(&rows).collect();
            assert_eq!(split.concat(), rows);
            assert!(split.iter().all(|list| list.len().is_power_of_two() && list.len() <= 64));
        }
    }
}
