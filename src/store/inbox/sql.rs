//! The inbox's statements, in the dialect that [`crate::store`]'s others have.

/// What is stored of a group: the digests of those of a list of `[stream, id]`, the states of a list of streams, and those of
/// a list of `[chain, height]` of which events are stored. Each row says in its first column which of these it is.
pub(super) const STORED: &str = "
    SELECT 'digest', d.stream, d.id, d.digest FROM json_each($1) AS told
    JOIN deliveries AS d ON d.stream = told.value ->> 0 AND d.id = told.value ->> 1
    UNION ALL
    SELECT 'state', name, state, NULL FROM streams WHERE name IN (SELECT value FROM json_each($2))
    UNION ALL
    SELECT 'height', told.value ->> 0, CAST(told.value ->> 1 AS TEXT), NULL FROM json_each($3) AS told
    WHERE EXISTS (SELECT 1 FROM events AS e
        WHERE e.chain_id = told.value ->> 0 AND e.height = told.value ->> 1)";
pub(super) const INSERT_DELIVERIES: &str = "
    INSERT INTO deliveries (stream, id, digest, origin, received_at)
    SELECT value ->> 'stream', value ->> 'id', unhex(value ->> 'digest'), value ->> 'origin',
        value ->> 'received_at'
    FROM json_each($1)";

pub(super) const STREAM_STATE: &str = "SELECT state FROM streams WHERE name = $1";
pub(super) const STREAM: &str = "
    SELECT name, state, deliveries, events, duplicates, ignored, conflicts,
        (SELECT count(*) FROM events WHERE unverified = 1)
    FROM streams WHERE name = $1";
pub(super) const GROW_STREAMS: &str = "
    INSERT INTO streams (name, state, deliveries, events, duplicates, ignored, conflicts)
    SELECT value ->> 'name', value -> 'state', value ->> 'deliveries', value ->> 'events',
        value ->> 'duplicates', value ->> 'ignored', value ->> 'conflicts'
    FROM json_each($1) WHERE true
    ON CONFLICT (name) DO UPDATE SET
        state = excluded.state,
        deliveries = streams.deliveries + excluded.deliveries,
        events = streams.events + excluded.events,
        duplicates = streams.duplicates + excluded.duplicates,
        ignored = streams.ignored + excluded.ignored,
        conflicts = streams.conflicts + excluded.conflicts";
pub(super) const SET_STREAM_STATE: &str = "
    INSERT INTO streams (name, state) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET state = excluded.state";

pub(super) const READ_BUDGET: &str = "SELECT minute, reads FROM read_budgets WHERE stream = $1";
pub(super) const SET_READ_BUDGET: &str = "
    INSERT INTO read_budgets (stream, minute, reads) VALUES ($1, $2, $3)
    ON CONFLICT (stream) DO UPDATE SET minute = excluded.minute, reads = excluded.reads";

/// The rows that a batch's identities have already, with the position in the batch.
pub(super) const KNOWN_EVENTS: &str = "
    SELECT batch.value ->> 'position', e.kind, e.attributes, e.unverified
    FROM json_each($1) AS batch
    JOIN events AS e
      ON e.chain_id = batch.value ->> 'chain_id' AND e.height = batch.value ->> 'height'
     AND e.tx_hash = batch.value ->> 'tx_hash' AND e.msg_index = batch.value ->> 'msg_index'
     AND e.event_index = batch.value ->> 'event_index'";
/// Rows follow.
pub(super) const INSERT_MANY_EVENTS: &str = "
    INSERT INTO events
        (chain_id, height, tx_hash, msg_index, event_index, variant, kind, attributes, subject) ";
pub(super) const INSERT_EVENTS: &str = "
    INSERT INTO events
        (chain_id, height, tx_hash, msg_index, event_index, variant, kind, attributes, subject)
    SELECT value ->> 'chain_id', value ->> 'height', value ->> 'tx_hash', value ->> 'msg_index',
        value ->> 'event_index', value ->> 'variant', value ->> 'kind', value -> 'attributes',
        value ->> 'subject'
    FROM json_each($1)";
pub(super) const EVENTS: &str = "
    SELECT chain_id, height, tx_hash, msg_index, event_index, kind, attributes
    FROM events WHERE subject = $1
    ORDER BY height DESC, tx_hash DESC, msg_index DESC, event_index DESC, variant DESC
    LIMIT $2";

/// An indexer took back what is above `$1`.
pub(super) const MARK_UNVERIFIED: &str = "
    UPDATE events SET unverified = 1 WHERE unverified = 0 AND height > $1
      AND chain_id = (SELECT chain_id FROM chain_identity) RETURNING subject";
/// What came again stands again.
pub(super) const CLEAR_UNVERIFIED: &str = "
    UPDATE events SET unverified = 0
    WHERE unverified = 1 AND (chain_id, height, tx_hash, msg_index, event_index) IN
        (SELECT value ->> 'chain_id', value ->> 'height', value ->> 'tx_hash', value ->> 'msg_index',
            value ->> 'event_index' FROM json_each($1))";
/// `$2` is the stream, `$3` the time.
pub(super) const INSERT_OTHERS: &str = "
    INSERT INTO other_events (stream, source, id, kind, data, received_at)
    SELECT $2, value ->> 'source', value ->> 'id', value ->> 'kind', value -> 'data', $3
    FROM json_each($1) WHERE true ON CONFLICT (stream, source, id) DO NOTHING";
