//! The statements, as constants: what another engine would have to say differently is in this file, in [`outbox`], in the
//! inbox's own and in the migrations.
//!
//! The dialect is what SQLite and PostgreSQL share (`$1`, `ON CONFLICT … excluded`, `RETURNING`, `->>`). A list comes in as
//! one JSON array through `json_each($n)`, whose rows PostgreSQL calls `jsonb_array_elements($n) AS each (value)`: so a batch
//! of any length is one prepared statement. `CASE` stands where the engines' two-argument minimum has different names.

mod outbox;

pub(super) use self::outbox::*;

// -- counters, chain identity, health

pub(super) const NEXT_FENCE: &str =
    "UPDATE counters SET value = value + 1 WHERE name = 'fence' RETURNING value";
pub(super) const RESERVATIONS_VERSION: &str =
    "SELECT value FROM counters WHERE name = 'reservations'";
pub(super) const RAISE_RESERVATIONS_VERSION: &str =
    "UPDATE counters SET value = value + 1 WHERE name = 'reservations'";
pub(super) const TOUCH: &str = "UPDATE counters SET value = value + 1 WHERE name = 'health'";

pub(super) const CHAIN_IDENTITY: &str =
    "SELECT chain_id, first_block_hash, first_block_height FROM chain_identity";
pub(super) const RECORD_CHAIN_IDENTITY: &str = "
    INSERT INTO chain_identity (id, chain_id, first_block_hash, first_block_height)
    VALUES (1, $1, $2, $3)
    ON CONFLICT (id) DO NOTHING";

// -- what is old

pub(super) const NOTE_HEIGHT: &str = "
    INSERT INTO heights (day, height) VALUES ($1, $2) ON CONFLICT (day) DO NOTHING";
/// All but the newest of the days up to `$1`.
pub(super) const FORGET_HEIGHTS: &str = "
    DELETE FROM heights WHERE day < (SELECT max(day) FROM heights WHERE day <= $1)";
pub(super) const HEIGHT_OF_DAY: &str = "SELECT max(height) FROM heights WHERE day <= $1";
pub(super) const SWEEP_DELIVERIES: &str = "
    DELETE FROM deliveries WHERE (stream, id) IN
        (SELECT stream, id FROM deliveries WHERE received_at < $1 LIMIT $2)";
pub(super) const SWEEP_OTHER_EVENTS: &str = "
    DELETE FROM other_events WHERE (stream, source, id) IN
        (SELECT stream, source, id FROM other_events WHERE received_at < $1 LIMIT $2)";
pub(super) const SWEEP_EVENTS: &str = "
    DELETE FROM events
    WHERE (chain_id, height, tx_hash, msg_index, event_index, variant) IN
        (SELECT e.chain_id, e.height, e.tx_hash, e.msg_index, e.event_index, e.variant
         FROM events AS e
         WHERE e.chain_id = (SELECT chain_id FROM chain_identity) AND e.height < $1
           AND NOT EXISTS (SELECT 1 FROM subjects AS s
                WHERE s.subject = e.subject AND (s.due_at IS NOT NULL OR EXISTS
                    (SELECT 1 FROM deadlines AS d WHERE d.subject = s.subject)))
         LIMIT $2)";
pub(super) const SWEEP_EFFECTS: &str = "
    DELETE FROM effects WHERE seq IN
        (SELECT e.seq FROM effects AS e
         WHERE e.absorbed = 1 AND e.wanted_at < $1
           AND NOT EXISTS (SELECT 1 FROM subjects AS s
                WHERE s.subject = e.subject AND (s.due_at IS NOT NULL OR EXISTS
                    (SELECT 1 FROM deadlines AS d WHERE d.subject = s.subject)))
         ORDER BY e.seq LIMIT $2)";
pub(super) const SWEEP_TRANSACTIONS: &str = "
    DELETE FROM transactions WHERE seq IN
        (SELECT t.seq FROM transactions AS t
         WHERE t.settled = 1 AND t.signed_at < $1
           AND NOT EXISTS (SELECT 1 FROM effects AS e WHERE e.tx_hash = t.hash)
         ORDER BY t.seq LIMIT $2)";
pub(super) const SWEEP_AUDIT: &str = "
    DELETE FROM audit WHERE seq IN
        (SELECT seq FROM audit WHERE at < $1 ORDER BY seq LIMIT $2)";

// -- policy and prices

pub(super) const POLICY_VERSION: &str = "SELECT coalesce(max(version), 0) FROM policies";
pub(super) const NEWEST_POLICY: &str = "
    SELECT version, body, made_at, made_by, reason FROM policies
    WHERE $1 IS NULL OR made_by = $1 ORDER BY version DESC LIMIT 1";
pub(super) const POLICIES: &str = "
    SELECT version, body, made_at, made_by, reason FROM policies
    WHERE version < $1 ORDER BY version DESC LIMIT $2";
pub(super) const ADD_POLICY: &str = "
    INSERT INTO policies (version, body, made_at, made_by, reason) VALUES ($1, $2, $3, $4, $5)";

// -- restores

/// The last restore, with how many deployments that have something of ours no step has looked at since.
pub(super) const LAST_RESTORE: &str = "
    SELECT r.number, r.restored_at, r.quiet_until, r.settled_height,
        CASE WHEN r.settled_height IS NOT NULL THEN 0 ELSE
            (SELECT count(*) FROM subjects AS s
             WHERE s.kind = 'deployment' AND s.state IS NOT NULL
               AND coalesce(s.state ->> 'restore', 0) < r.number
               AND EXISTS (SELECT 1 FROM orders AS o
                    WHERE o.id > s.subject || '/' AND o.id < s.subject || '0'
                      AND (o.phase NOT IN ('won', 'lost', 'done')
                        OR o.lease IN ('active', 'reclaiming'))))
        END
    FROM restores AS r ORDER BY r.number DESC LIMIT 1";
pub(super) const CHANGE_RESTORE: &str =
    "UPDATE restores SET quiet_until = $2, settled_height = $3 WHERE number = $1";
pub(super) const RECORD_RESTORE: &str = "
    INSERT INTO restores (number, restored_at)
    SELECT coalesce(max(number), 0) + 1, $1 FROM restores";
/// No process that had a claim in a backup still runs. What has anything of ours is due at once.
pub(super) const END_ALL_CLAIMS: &str = "
    UPDATE subjects SET worker = NULL, free_at = 0, failures = 0,
        hinted_by = CASE WHEN state IS NULL THEN hinted_by END,
        due_at = CASE WHEN kind <> 'deployment' OR EXISTS
            (SELECT 1 FROM orders AS o
             WHERE o.id > subjects.subject || '/' AND o.id < subjects.subject || '0'
               AND (o.phase NOT IN ('won', 'lost', 'done') OR o.lease IN ('active', 'reclaiming')))
            THEN 0 ELSE due_at END";
pub(super) const END_ALL_EFFECT_CLAIMS: &str =
    "UPDATE effects SET claimed = 0, worker = NULL, free_at = 0 WHERE claimed = 1";
/// Who signed out since must not be signed in again.
pub(super) const END_ALL_SESSIONS: &str = "DELETE FROM sessions";
/// Observations that must be made anew.
pub(super) const FORGET_WHAT_WAS_SEEN: &str =
    "DELETE FROM observations WHERE key IN ('tip', 'inventory', 'registration')";

// -- what a check looks at

pub(super) const RESTORE_WAITS: &str =
    "SELECT EXISTS (SELECT 1 FROM restores WHERE settled_height IS NULL)";
pub(super) const ROW_COUNTS: &str = "
    SELECT 'audit', count(*) FROM audit
    UNION ALL SELECT 'decisions', count(*) FROM decisions
    UNION ALL SELECT 'deliveries', count(*) FROM deliveries
    UNION ALL SELECT 'effects', count(*) FROM effects
    UNION ALL SELECT 'events', count(*) FROM events
    UNION ALL SELECT 'hostnames', count(*) FROM hostnames
    UNION ALL SELECT 'manifests', count(*) FROM manifests
    UNION ALL SELECT 'orders', count(*) FROM orders
    UNION ALL SELECT 'reservations', count(*) FROM reservations
    UNION ALL SELECT 'subjects', count(*) FROM subjects
    UNION ALL SELECT 'transactions', count(*) FROM transactions";
/// Rules that every commit keeps, each with a statement that names what breaks it, at most `$1` rows.
pub(super) const INVARIANTS: &[(&str, &str)] = &[
    ("reservations", "
        SELECT 'capacity is reserved for ' || r.order_id || ', which is not known' FROM reservations AS r
        WHERE NOT EXISTS (SELECT 1 FROM orders AS o WHERE o.id = r.order_id) LIMIT $1"),
    ("reservations", "
        SELECT 'capacity is reserved for ' || r.order_id || ', of which nothing is ours (' || o.phase || ')'
        FROM reservations AS r JOIN orders AS o ON o.id = r.order_id
        WHERE o.phase IN ('seen', 'declined', 'lost', 'done') AND o.lease IS NULL LIMIT $1"),
    ("effects", "
        SELECT 'effect ' || key || ' is in the state ' || state FROM effects
        WHERE state NOT IN ('wanted', 'withdrawn', 'begun', 'done', 'failed')
           OR (kind NOT IN ('chain', 'cluster')) OR ((kind = 'chain') <> (account IS NOT NULL))
        LIMIT $1"),
    ("effects", "
        SELECT 'effect ' || key || ' ended and has no outcome' FROM effects
        WHERE state IN ('done', 'failed') AND outcome IS NULL LIMIT $1"),
    ("outbox", "
        SELECT 'effect ' || e.key || ' is begun and no transaction holds it' FROM effects AS e
        WHERE e.kind = 'chain' AND e.state = 'begun'
          AND NOT EXISTS (SELECT 1 FROM transactions AS t WHERE t.hash = e.tx_hash) LIMIT $1"),
    ("outbox", "
        SELECT 'transaction ' || t.hash || ' is settled and effect ' || e.key || ' is not'
        FROM transactions AS t JOIN effects AS e ON e.tx_hash = t.hash
        WHERE t.settled = 1 AND e.state = 'begun' LIMIT $1"),
    ("outbox", "
        SELECT 'transaction ' || t.hash || ' waits and effect ' || e.key || ' is ' || e.state
        FROM transactions AS t JOIN effects AS e ON e.tx_hash = t.hash
        WHERE t.settled = 0 AND e.state <> 'begun' LIMIT $1"),
    ("outbox", "
        SELECT 'transaction ' || hash || ' has no bytes' FROM transactions
        WHERE length(bytes) = 0 LIMIT $1"),
    ("hostnames", "
        SELECT 'hostname ' || h.hostname || ' is held by ' || h.lease || ', whose deployment is not known'
        FROM hostnames AS h
        WHERE NOT EXISTS (SELECT 1 FROM subjects AS s WHERE s.subject = h.subject) LIMIT $1"),
];

// -- subjects

/// Subjects that wait for a step, counted up to `$2` each: those only hinted at, and known ones that are due.
pub(super) const WAITING: &str = "
    SELECT (SELECT count(*) FROM (SELECT 1 FROM subjects WHERE hinted = 1 LIMIT $2) AS h)
         + (SELECT count(*) FROM
               (SELECT 1 FROM subjects WHERE hinted = 0 AND ready_at <= $1 LIMIT $2) AS k)";
/// `hinted_by` is the stream whose word alone wakes deployments and the provider, or null: then it is on our own account
/// (`own_due_at`), which also ends the waiting of a subject that was only put off.
pub(super) const WAKE: &str = "
    INSERT INTO subjects (subject, kind, hint, hinted_by, due_at, own_due_at)
    SELECT value ->> 'subject', value ->> 'kind', value ->> 'hint',
        CASE WHEN value ->> 'kind' IN ('deployment', 'provider') THEN value ->> 'hinted_by' END,
        value ->> 'due_at',
        CASE WHEN value ->> 'hinted_by' IS NULL OR value ->> 'kind' = 'stream'
            THEN value ->> 'due_at' END
    FROM json_each($1) WHERE true
    ON CONFLICT (subject) DO UPDATE SET
        wakes = subjects.wakes + 1,
        due_at = CASE WHEN subjects.due_at < excluded.due_at
            THEN subjects.due_at ELSE excluded.due_at END,
        hint = CASE WHEN subjects.hint > excluded.hint
            THEN subjects.hint ELSE coalesce(excluded.hint, subjects.hint) END,
        hinted_by = coalesce(excluded.hinted_by, subjects.hinted_by),
        own_due_at = CASE WHEN subjects.own_due_at < excluded.own_due_at
            THEN subjects.own_due_at ELSE coalesce(excluded.own_due_at, subjects.own_due_at) END,
        free_at = CASE WHEN excluded.own_due_at IS NULL OR subjects.worker IS NOT NULL
            OR subjects.failures > 0 THEN subjects.free_at ELSE 0 END";
pub(super) const FIRE_DEADLINES: &str = "
    UPDATE deadlines SET fired = 1 WHERE fired = 0 AND due <= $1 RETURNING subject";
pub(super) const ANY_DEADLINE_DUE: &str =
    "SELECT EXISTS (SELECT 1 FROM deadlines WHERE fired = 0 AND due <= $1)";

pub(super) const ANY_WAITS_BEYOND: &str = "
    SELECT EXISTS (SELECT 1 FROM subjects WHERE ready_at > $1)
        OR EXISTS (SELECT 1 FROM effects WHERE state IN ('wanted', 'begun') AND free_at > $1)";
pub(super) const WAKE_WAITING_BEYOND: &str = "
    UPDATE subjects SET due_at = $2, free_at = $2, worker = NULL WHERE ready_at > $1";
pub(super) const FREE_WAITING_BEYOND: &str = "
    UPDATE effects SET free_at = $2, claimed = 0, worker = NULL
    WHERE state IN ('wanted', 'begun') AND free_at > $1";
pub(super) const READY_SUBJECTS: &str = "
    SELECT subject FROM subjects
    WHERE hinted = $1 AND ready_at <= $2 AND kind <> 'account'
    ORDER BY ready_at LIMIT $3";
/// A claim moves `due_at` to its own end. So a worker that dies leaves the subject due again then, and a wake during the
/// step can be told by an earlier time; `own_due_at` moves with it when it is due, so that what is due for a mere hint can be
/// told.
pub(super) const CLAIM: &str = "
    UPDATE subjects SET worker = $2, fence = $3, due_at = $4, free_at = $4,
        own_due_at = CASE WHEN own_due_at <= $5 THEN $4 ELSE own_due_at END
    WHERE subject IN (SELECT value FROM json_each($1)) AND ready_at <= $5
    RETURNING subject, wakes, state, hint,
        CASE WHEN own_due_at = $4 THEN NULL ELSE hinted_by END AS hinted_by, failures";
pub(super) const READY_WAKES: &str =
    "SELECT wakes FROM subjects WHERE subject = $1 AND ready_at <= $2";
pub(super) const OWNED: &str =
    "SELECT wakes FROM subjects WHERE subject = $1 AND fence = $2 AND worker IS NOT NULL";
/// `$3` is the new state, `$4` the wakes at the claim, `$5` when to wake by itself, `$6` when to look again for the hint.
pub(super) const FINISH: &str = "
    UPDATE subjects SET
        state = $3, worker = NULL, free_at = 0, failures = 0, last_error = NULL,
        hint = CASE WHEN wakes = $4 AND $6 IS NULL THEN NULL ELSE hint END,
        hinted_by = CASE WHEN wakes = $4 AND $6 IS NULL THEN NULL ELSE hinted_by END,
        due_at = CASE
            WHEN wakes = $4 THEN CASE WHEN $6 < $5 THEN $6 ELSE coalesce($5, $6) END
            WHEN $5 < due_at THEN $5 ELSE due_at END,
        own_due_at = CASE
            WHEN wakes = $4 OR own_due_at IS NULL OR own_due_at >= free_at THEN $5
            WHEN $5 < own_due_at THEN $5 ELSE own_due_at END
    WHERE subject = $1 AND fence = $2";
/// As [`FINISH`] for an account, which nobody claims: `$2` are the wakes that were seen, `$3` when to wake by itself.
pub(super) const FINISH_ACCOUNT: &str = "
    UPDATE subjects SET
        due_at = CASE WHEN wakes = $2 THEN $3 WHEN $3 < due_at THEN $3 ELSE due_at END
    WHERE subject = $1";
/// Removes the subject unless it was woken since.
pub(super) const DELETE_SUBJECT: &str =
    "DELETE FROM subjects WHERE subject = $1 AND fence = $2 AND wakes = $3";
/// Without an error it is put off, and waits no longer than for what it wants on its own account.
pub(super) const GIVE_BACK: &str = "
    UPDATE subjects SET worker = NULL,
        free_at = CASE WHEN $4 IS NULL AND own_due_at < $3 THEN own_due_at ELSE $3 END,
        due_at = CASE WHEN own_due_at < $3 AND own_due_at < due_at THEN own_due_at
            WHEN due_at < $3 THEN due_at ELSE $3 END,
        own_due_at = CASE WHEN own_due_at = free_at THEN $3 ELSE own_due_at END,
        failures = failures + CASE WHEN $4 IS NULL THEN 0 ELSE 1 END,
        last_error = coalesce($4, last_error)
    WHERE subject = $1 AND fence = $2 AND worker IS NOT NULL";
pub(super) const FORGET: &str = "
    DELETE FROM subjects
    WHERE hinted = 1 AND (subject, fence, wakes) IN
        (SELECT value ->> 'subject', value ->> 'fence', value ->> 'wakes' FROM json_each($1))";
/// Of those whose hint was worth nothing, the ones that have a state: as if it had not come. And all that were woken since:
/// free again, and due.
pub(super) const RELEASE: &str = "
    UPDATE subjects SET worker = NULL, free_at = 0, hint = NULL, hinted_by = NULL, due_at = own_due_at
    WHERE state IS NOT NULL AND worker IS NOT NULL AND (subject, fence, wakes) IN
        (SELECT value ->> 'subject', value ->> 'fence', value ->> 'wakes' FROM json_each($1))";
pub(super) const RELEASE_WOKEN: &str = "
    UPDATE subjects SET worker = NULL, free_at = 0 WHERE worker IS NOT NULL
      AND (subject, fence) IN (SELECT value ->> 'subject', value ->> 'fence' FROM json_each($1))";
pub(super) const NEXT_DUE: &str = "
    SELECT min(ready_at) FROM
        (SELECT min(ready_at) AS ready_at FROM subjects WHERE ready_at IS NOT NULL
         UNION ALL
         SELECT min(ready_at) FROM effects WHERE ready_at IS NOT NULL) AS next";
pub(super) const SUBJECT_STATE: &str = "SELECT state FROM subjects WHERE subject = $1";

pub(super) const DELETE_DEADLINES: &str = "DELETE FROM deadlines WHERE subject = $1";
pub(super) const INSERT_DEADLINES: &str = "
    INSERT INTO deadlines (subject, name, due)
    SELECT $1, value ->> 'name', value ->> 'due' FROM json_each($2) WHERE true
    ON CONFLICT (subject, name) DO UPDATE SET due = excluded.due";
pub(super) const DEADLINES_OF: &str = "
    SELECT subject, name, due FROM deadlines
    WHERE subject IN (SELECT value FROM json_each($1)) ORDER BY due, name";
pub(super) const DEADLINES: &str =
    "SELECT subject, name, due FROM deadlines ORDER BY due, subject, name LIMIT $1";

// -- reservations, hostnames, manifests

pub(super) const RESERVATIONS: &str = "
    SELECT order_id, placement, reason, made_at, look_at, leased, applied_at
    FROM reservations ORDER BY made_at, order_id";
pub(super) const RESERVE: &str = "
    INSERT INTO reservations (order_id, placement, reason, made_at, look_at, leased, applied_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (order_id) DO UPDATE SET
        placement = excluded.placement, reason = excluded.reason, look_at = excluded.look_at,
        leased = excluded.leased, applied_at = excluded.applied_at";
pub(super) const MARK_LEASED: &str = "
    UPDATE reservations SET leased = 1
    WHERE leased = 0 AND order_id IN (SELECT value FROM json_each($1))";
pub(super) const MARK_APPLIED: &str = "
    UPDATE reservations SET applied_at = $2
    WHERE order_id = $1 AND (applied_at IS NULL OR applied_at <> $2)";
pub(super) const RELEASE_RESERVATIONS: &str =
    "DELETE FROM reservations WHERE order_id IN (SELECT value FROM json_each($1))";

pub(super) const HOSTNAMES_HELD: &str = "
    SELECT hostname, lease FROM hostnames
    WHERE hostname IN (SELECT value FROM json_each($1)) ORDER BY hostname";
pub(super) const RELEASE_HOSTNAMES: &str =
    "DELETE FROM hostnames WHERE lease IN (SELECT value FROM json_each($1))";
/// All of these leases but those of these names.
pub(super) const RELEASE_OTHER_HOSTNAMES: &str = "
    DELETE FROM hostnames WHERE lease IN (SELECT value FROM json_each($1))
        AND hostname NOT IN (SELECT value FROM json_each($2))";
pub(super) const CLAIM_HOSTNAMES: &str = "
    INSERT INTO hostnames (hostname, lease, subject, service)
    SELECT value ->> 'hostname', value ->> 'lease', $2, value ->> 'service' FROM json_each($1)
    WHERE true
    ON CONFLICT (hostname) DO UPDATE SET
        lease = excluded.lease, subject = excluded.subject, service = excluded.service";
/// Whoever holds it now may route it until it says otherwise; of several moves in a row only the first holder does.
pub(super) const MOVE_HOSTNAMES: &str = "
    INSERT INTO hostnames (hostname, lease, subject, service)
    SELECT value ->> 'hostname', value ->> 'lease', $2, value ->> 'service' FROM json_each($1)
    WHERE true
    ON CONFLICT (hostname) DO UPDATE SET
        leaving = CASE
            WHEN hostnames.lease = excluded.lease THEN hostnames.leaving
            ELSE nullif(coalesce(hostnames.leaving, hostnames.lease), excluded.lease) END,
        lease = excluded.lease, subject = excluded.subject, service = excluded.service";
/// What this lease was still to let go, but for what it routes.
pub(super) const LET_HOSTNAMES_GO: &str = "
    UPDATE hostnames SET leaving = NULL
    WHERE leaving = $1 AND hostname NOT IN (SELECT value FROM json_each($2)) RETURNING subject";
pub(super) const HOSTNAMES_OF_LEASE: &str = "
    SELECT hostname, lease, service FROM hostnames
    WHERE lease = $1 AND leaving IS NULL ORDER BY hostname";
pub(super) const HOSTNAMES_OF: &str = "
    SELECT subject, hostname, lease, service FROM hostnames
    WHERE subject IN (SELECT value FROM json_each($1)) AND leaving IS NULL ORDER BY hostname";

pub(super) const STORE_MANIFEST: &str = "
    INSERT INTO manifests (subject, hash, body, sealed_by, received_at)
    VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (subject, hash) DO UPDATE SET
        body = excluded.body, sealed_by = excluded.sealed_by, received_at = excluded.received_at";
pub(super) const DROP_OLD_MANIFESTS: &str = "
    DELETE FROM manifests WHERE subject = $1 AND seq NOT IN
        (SELECT seq FROM manifests WHERE subject = $1 ORDER BY received_at DESC, seq DESC LIMIT 3)";
pub(super) const MANIFEST_HASHES_OF: &str = "
    SELECT subject, hash FROM manifests
    WHERE subject IN (SELECT value FROM json_each($1))
    ORDER BY subject, received_at DESC, seq DESC";
pub(super) const MANIFESTS_OF: &str = "
    SELECT subject, hash, body, sealed_by, received_at FROM manifests WHERE subject = $1
    ORDER BY received_at DESC, seq DESC";
pub(super) const MANIFEST: &str = "
    SELECT subject, hash, body, sealed_by, received_at FROM manifests
    WHERE subject = $1 AND hash = $2";

pub(super) const SEALING_KEYS: &str = "
    SELECT sealed_by, count(*) FROM manifests WHERE sealed_by IS NOT NULL GROUP BY sealed_by";
pub(super) const ANY_UNSEALED: &str =
    "SELECT EXISTS (SELECT 1 FROM manifests WHERE sealed_by IS NULL)";
/// Rows behind `$1` that are not sealed, or with another key than `$2`.
pub(super) const SEALED_OTHERWISE: &str = "
    SELECT seq, subject, hash, body, sealed_by FROM manifests
    WHERE seq > $1 AND (sealed_by IS NULL OR sealed_by <> $2) ORDER BY seq LIMIT $3";
/// Unless the row was written since it was read.
pub(super) const RESEAL: &str = "
    UPDATE manifests SET body = $3, sealed_by = $4 WHERE seq = $1 AND body = $2";

// -- what pages and routes read

pub(super) const UPSERT_ORDERS: &str = "
    INSERT INTO orders
        (id, owner, phase, bid, lease, reached, held_by, seen_at, changed_at, body)
    SELECT value ->> 'id', value ->> 'owner', value ->> 'phase', value ->> 'bid',
        value ->> 'lease', value ->> 'reached', value ->> 'held_by', value ->> 'seen_at',
        value ->> 'changed_at', value -> 'body'
    FROM json_each($1) WHERE true
    ON CONFLICT (id) DO UPDATE SET
        phase = excluded.phase, bid = excluded.bid, lease = excluded.lease,
        reached = excluded.reached, held_by = excluded.held_by, changed_at = excluded.changed_at, body = excluded.body";
pub(super) const ORDER: &str = "
    SELECT id, phase, bid, lease, reached, held_by, seen_at, changed_at, body
    FROM orders WHERE id = $1";
pub(super) const ORDERS: &str = "
    SELECT id, phase, bid, lease, reached, held_by, seen_at, changed_at, body FROM orders
    WHERE (changed_at, id) < ($1, $2)
      AND ($3 IS NULL OR phase = $3)
      AND ($4 = 0 OR bid IS NOT NULL) AND ($5 IS NULL OR bid = $5)
      AND ($6 = 0 OR lease IS NOT NULL) AND ($7 IS NULL OR lease = $7)
      AND ($8 IS NULL OR owner = $8)
    ORDER BY changed_at DESC, id DESC LIMIT $9";
/// Leases end and their rows stay for ever: those that are open are found by their state, not among all by their last change.
pub(super) const OPEN_LEASES: &str = "
    SELECT id, phase, bid, lease, reached, held_by, seen_at, changed_at, body FROM orders
    WHERE lease IN ('active', 'reclaiming', 'insufficient_funds')
      AND (+changed_at, +id) < ($1, $2) AND ($3 IS NULL OR +owner = $3)
    ORDER BY +changed_at DESC, +id DESC LIMIT $4";
pub(super) const ORDER_COUNTS: &str =
    "SELECT phase, count(*) FROM orders GROUP BY phase ORDER BY phase";

/// Orders first seen since `$1`, by how far they came and what holds them there. The sum keeps SQLite from reading all orders there
/// ever were in the order of their places.
pub(super) const FUNNEL: &str = "
    SELECT reached + 0, held_by, count(*) FROM orders WHERE seen_at >= $1 GROUP BY 1, 2";
/// Those of them at `$2` (priced) whose create-bid a transaction has held: they are sent, and the row itself changes only when
/// that is settled. `$3` is what the keys of create-bids begin with.
pub(super) const FUNNEL_SENT: &str = "
    SELECT held_by, count(*) FROM orders AS o
    WHERE seen_at >= $1 AND reached = $2 AND EXISTS
        (SELECT 1 FROM effects AS e
         WHERE e.key > $3 || o.id || '/' AND e.key < $3 || o.id || '0' AND e.tx_hash IS NOT NULL)
    GROUP BY held_by";
/// The newest `$4` orders of one place in the funnel; of those at a price only the sent ones (`$6` = 1) or the others (0).
pub(super) const FUNNEL_SAMPLE: &str = "
    SELECT id FROM orders AS o
    WHERE reached = $2 AND held_by IS NOT DISTINCT FROM $3 AND seen_at >= $1
      AND ($6 IS NULL OR $6 = EXISTS
        (SELECT 1 FROM effects AS e
         WHERE e.key > $5 || o.id || '/' AND e.key < $5 || o.id || '0' AND e.tx_hash IS NOT NULL))
    ORDER BY seen_at DESC, id DESC LIMIT $4";
pub(super) const TOTALS: &str = "
    SELECT count(*), count(CASE WHEN reached >= $2 THEN 1 END),
        count(CASE WHEN reached >= $3 THEN 1 END),
        (SELECT count(*) FROM orders WHERE lease IN ('active', 'reclaiming'))
    FROM orders WHERE seen_at >= $1";
/// `$1` is how many failures are too many, `$2` the block time, `$3` what the keys of create-bids begin with.
pub(super) const BACKLOG: &str = "
    SELECT
        (SELECT count(*) FROM orders WHERE lease IN ('active', 'reclaiming', 'insufficient_funds')),
        (SELECT count(*) FROM deadlines),
        (SELECT count(*) FROM deadlines WHERE due <= $2),
        (SELECT count(*) FROM subjects WHERE failures >= $1),
        (SELECT count(*) FROM transactions WHERE settled = 0),
        (SELECT count(*) FROM transactions AS t WHERE settled = 0 AND EXISTS
            (SELECT 1 FROM json_each(t.effects) AS e WHERE e.value LIKE $3 || '%'))";

pub(super) const UPSERT_DECISIONS: &str = "
    INSERT INTO decisions (order_id, body)
    SELECT value ->> 'order', value -> 'body' FROM json_each($1) WHERE true
    ON CONFLICT (order_id) DO UPDATE SET body = excluded.body";
pub(super) const DECISION: &str = "SELECT body FROM decisions WHERE order_id = $1";

/// One that is a minute younger than what comes now was dated by a clock that was wrong, and must not be kept till then.
pub(super) const OBSERVE: &str = "
    INSERT INTO observations (key, taken_at, body) VALUES ($1, $2, $3)
    ON CONFLICT (key) DO UPDATE SET taken_at = excluded.taken_at, body = excluded.body
    WHERE excluded.taken_at >= observations.taken_at
       OR observations.taken_at > excluded.taken_at + 60000000";
pub(super) const OBSERVATION: &str = "SELECT key, taken_at, body FROM observations WHERE key = $1";

pub(super) const INSERT_AUDIT: &str = "
    INSERT INTO audit (at, actor, action, subject, reason)
    SELECT value ->> 'at', value ->> 'actor', value ->> 'action', value ->> 'subject',
        value ->> 'reason'
    FROM json_each($1)";
pub(super) const AUDIT_LINES: &str = "
    SELECT seq, at, actor, action, subject, reason FROM audit
    WHERE seq < $1 ORDER BY seq DESC LIMIT $2";

// -- what operators want, who is signed in, what changed

pub(super) const MAINTENANCE: &str =
    "SELECT state, reason, actor, since FROM maintenance WHERE id = 1";
pub(super) const SET_MAINTENANCE: &str = "
    INSERT INTO maintenance (id, state, reason, actor, since) VALUES (1, $1, $2, $3, $4)
    ON CONFLICT (id) DO UPDATE SET
        state = excluded.state, reason = excluded.reason, actor = excluded.actor,
        since = excluded.since";

pub(super) const INSERT_SESSION: &str =
    "INSERT INTO sessions (digest, opened_at, expires_at) VALUES ($1, $2, $3)";
pub(super) const FORGET_SESSIONS: &str = "
    DELETE FROM sessions WHERE digest <> $3 AND (expires_at <= $1 OR digest NOT IN
        (SELECT digest FROM sessions ORDER BY opened_at DESC LIMIT $2))";
pub(super) const SESSION: &str = "SELECT opened_at, expires_at FROM sessions WHERE digest = $1";
pub(super) const END_SESSION: &str = "DELETE FROM sessions WHERE digest = $1";

pub(super) const CHANGES: &str = "SELECT topic, count FROM changes";
pub(super) const COUNT_CHANGES: &str = "
    UPDATE changes SET count = count + 1 WHERE topic IN (SELECT value FROM json_each($1))";

// -- what came, and what is stuck

pub(super) const DELIVERIES: &str = "
    SELECT id, digest, origin, received_at FROM deliveries
    WHERE stream = $1 AND (received_at < $2 OR (received_at = $2 AND id < $3))
    ORDER BY received_at DESC, id DESC LIMIT $4";
pub(super) const STUCK: &str = "
    SELECT subject, failures, last_error, ready_at FROM subjects
    WHERE failures >= $1 AND subject > $2 ORDER BY subject LIMIT $3";
/// Only what waits: a worker that is at it ends its own step.
pub(super) const TRY_NOW: &str = "
    UPDATE subjects SET free_at = $2, due_at = $2, own_due_at = $2, wakes = wakes + 1
    WHERE subject = $1 AND failures > 0 AND worker IS NULL";
