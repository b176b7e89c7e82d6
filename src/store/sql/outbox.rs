//! The statements of the outbox: effects, and the account that sends.

pub(in crate::store) const INSERT_EFFECTS: &str = "
    INSERT INTO effects (key, subject, kind, account, body, priority, wanted_at)
    SELECT value ->> 'key', $2, value ->> 'kind', value ->> 'account', value -> 'body',
        value ->> 'priority', $3
    FROM json_each($1) WHERE true
    ON CONFLICT (key) DO NOTHING
    RETURNING account";
pub(in crate::store) const WITHDRAW_EFFECTS: &str = "
    UPDATE effects SET state = 'withdrawn'
    WHERE subject = $1 AND state = 'wanted' AND key IN (SELECT value FROM json_each($2))";
pub(in crate::store) const ABSORB_EFFECTS: &str = "
    UPDATE effects SET absorbed = 1
    WHERE subject = $1 AND state IN ('withdrawn', 'done', 'failed')
      AND key IN (SELECT value FROM json_each($2))";
pub(in crate::store) const EFFECTS_OF: &str = "
    SELECT key, subject, kind, body, state, outcome, attempts, paid, last_error, wanted_at FROM effects
    WHERE absorbed = 0 AND subject IN (SELECT value FROM json_each($1)) ORDER BY seq";

/// One cluster effect of a subject at a time, so that what was wanted later does not overtake what is being done.
pub(in crate::store) const READY_EFFECTS: &str = "
    SELECT e.key FROM effects AS e
    WHERE e.ready_at <= $1 AND NOT EXISTS
        (SELECT 1 FROM effects AS o
         WHERE o.subject = e.subject AND o.absorbed = 0 AND o.kind = 'cluster' AND o.seq <> e.seq
           AND ((o.claimed = 1 AND o.free_at > $1) OR (o.ready_at <= $1 AND o.seq < e.seq)))
    ORDER BY e.priority, e.seq LIMIT $2";
pub(in crate::store) const CLAIM_EFFECTS: &str = "
    UPDATE effects AS e SET
        state = 'begun', attempts = attempts + 1, claimed = 1, worker = $2, fence = $3, free_at = $4
    WHERE e.key IN (SELECT value FROM json_each($1)) AND e.ready_at <= $5 AND NOT EXISTS
        (SELECT 1 FROM effects AS o
         WHERE o.subject = e.subject AND o.absorbed = 0 AND o.kind = 'cluster' AND o.seq <> e.seq
           AND o.claimed = 1 AND o.free_at > $5)
    RETURNING key, subject, kind, body, state, outcome, attempts, paid, last_error, wanted_at";
pub(in crate::store) const SETTLE_EFFECT: &str = "
    UPDATE effects SET
        state = $3, outcome = $4, claimed = 0, worker = NULL, last_error = NULL
    WHERE key = $1 AND fence = $2 AND claimed = 1
    RETURNING subject";
pub(in crate::store) const DELAY_EFFECT: &str = "
    UPDATE effects SET free_at = $3, last_error = $4, claimed = 0, worker = NULL
    WHERE key = $1 AND fence = $2 AND claimed = 1";

// -- the account's effects and transactions

pub(in crate::store) const WANTED_EFFECTS: &str = "
    SELECT key, subject, kind, body, state, outcome, attempts, paid, last_error, wanted_at FROM effects
    WHERE state = 'wanted' AND kind = 'chain' AND account = $1 AND free_at <= $2
    ORDER BY priority, seq LIMIT $3";
pub(in crate::store) const COUNT_WANTED: &str = "
    SELECT count(*) FROM effects
    WHERE state = 'wanted' AND kind = 'chain' AND account = $1
      AND key IN (SELECT value FROM json_each($2))";
pub(in crate::store) const HOLD_EFFECTS: &str = "
    UPDATE effects SET state = 'begun', attempts = attempts + 1, tx_hash = $3, last_error = NULL
    WHERE account = $1 AND key IN (SELECT value FROM json_each($2))";
pub(in crate::store) const SETTLE_UNSENT_EFFECT: &str = "
    UPDATE effects SET state = $3, outcome = $4, attempts = attempts + 1
    WHERE key = $2 AND state = 'wanted' AND kind = 'chain' AND account = $1
    RETURNING subject";
pub(in crate::store) const DELAY_UNSENT_EFFECT: &str = "
    UPDATE effects SET free_at = $3, last_error = $4, attempts = attempts + 1
    WHERE key = $2 AND state = 'wanted' AND kind = 'chain' AND account = $1";
pub(in crate::store) const SETTLE_HELD_EFFECTS: &str = "
    UPDATE effects SET state = $2, outcome = $3 WHERE tx_hash = $1 AND state = 'begun'
    RETURNING subject";

/// What its transaction gives back. A transaction that another process settled before holds it no more.
pub(in crate::store) const RELEASE_EFFECT: &str = "
    UPDATE effects SET state = 'wanted', tx_hash = NULL, free_at = $4, last_error = $5,
        paid = paid + $6
    WHERE account = $1 AND key = $2 AND tx_hash = $3 AND state = 'begun'";
/// Refused and expired transactions paid nothing.
pub(in crate::store) const FEES_SINCE: &str = "
    SELECT fee, count(*) FROM transactions
    WHERE account = $1 AND signed_at >= $2 AND state ->> 'state' NOT IN ('expired', 'refused')
    GROUP BY fee";

pub(in crate::store) const INSERT_TRANSACTION: &str = "
    INSERT INTO transactions
        (hash, account, effects, bytes, timeout_ns, gas_limit, fee, state, settled, signed_at,
         broadcast_at, broadcasts, sequence, last_block)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)
    ON CONFLICT DO NOTHING";
pub(in crate::store) const SET_TRANSACTION_STATE: &str = "
    UPDATE transactions SET state = $3, settled = $4
    WHERE hash = $1 AND account = $2 AND settled = 0";
pub(in crate::store) const HAND_TRANSACTION: &str = "
    UPDATE transactions SET broadcast_at = $3, broadcasts = broadcasts + 1
    WHERE hash = $1 AND account = $2";
pub(in crate::store) const UNSETTLED_TRANSACTIONS: &str = "
    SELECT seq, hash, account, effects, bytes, timeout_ns, sequence, last_block, gas_limit, fee, state,
        signed_at, broadcast_at, broadcasts
    FROM transactions WHERE account = $1 AND settled = 0 ORDER BY seq";
pub(in crate::store) const TRANSACTIONS: &str = "
    SELECT seq, hash, account, effects, bytes, timeout_ns, sequence, last_block, gas_limit, fee, state,
        signed_at, broadcast_at, broadcasts
    FROM transactions WHERE seq < $1 AND ($2 = 0 OR settled = 0) ORDER BY seq DESC LIMIT $3";
/// When the account has work by itself: the first retry after `$2`, the first retry at all, the first time-out of what
/// is unsettled, and whether any of that was never handed to a node.
pub(in crate::store) const ACCOUNT_OUTLOOK: &str = "
    SELECT
        (SELECT min(free_at) FROM effects
         WHERE state = 'wanted' AND kind = 'chain' AND account = $1 AND free_at > $2),
        (SELECT min(free_at) FROM effects
         WHERE state = 'wanted' AND kind = 'chain' AND account = $1),
        (SELECT min(timeout_ns) FROM transactions WHERE account = $1 AND settled = 0),
        EXISTS (SELECT 1 FROM transactions
         WHERE account = $1 AND settled = 0 AND broadcasts = 0)";
