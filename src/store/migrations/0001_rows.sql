-- The durable rows. SQLite and PostgreSQL both take these statements; `INTEGER PRIMARY KEY` and `BLOB` are the two words
-- that PostgreSQL spells otherwise.
--
-- Times are whole microseconds of Unix time. Money, ids and JSON are text. `seq` is the order of arrival.
-- `ready_at` is computed by the engine, so that no statement can forget it: the moment from which a row may be claimed.

-- Numbers that belong to no row: the last fence given out, the version of the reservations.
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('fence', 0), ('reservations', 0), ('health', 0);

-- One row: the chain that everything here belongs to.
CREATE TABLE chain_identity (
    id                 INTEGER PRIMARY KEY CHECK (id = 1),
    chain_id           TEXT   NOT NULL,
    first_block_hash   TEXT   NOT NULL,
    first_block_height BIGINT NOT NULL
);

-- What a step owns. Fences come from one counter: a subject that was forgotten and came back must not see an old one again.
CREATE TABLE subjects (
    subject    TEXT PRIMARY KEY,
    kind       TEXT   NOT NULL,            -- deployment, provider, account, stream
    state      TEXT,                       -- null: only hinted at
    hint       BIGINT,                     -- the highest block that an event claimed
    hinted_by  TEXT,                       -- the stream that made it known
    wakes      BIGINT NOT NULL DEFAULT 1,  -- how often it was woken, ever
    due_at     BIGINT,                     -- null: nothing waits
    free_at    BIGINT NOT NULL DEFAULT 0,  -- end of the claim or of the back-off
    fence      BIGINT NOT NULL DEFAULT 0,
    worker     TEXT,
    failures   BIGINT NOT NULL DEFAULT 0,
    last_error TEXT,
    hinted     BIGINT GENERATED ALWAYS AS (CASE WHEN state IS NULL THEN 1 ELSE 0 END) STORED,
    ready_at   BIGINT GENERATED ALWAYS AS
        (CASE WHEN due_at IS NULL THEN NULL WHEN due_at > free_at THEN due_at ELSE free_at END) STORED
);
CREATE INDEX subjects_ready ON subjects (hinted, ready_at);
CREATE INDEX subjects_next ON subjects (ready_at);

CREATE TABLE deadlines (
    subject TEXT   NOT NULL REFERENCES subjects (subject) ON DELETE CASCADE,
    name    TEXT   NOT NULL,
    due     BIGINT NOT NULL,               -- block time
    fired   BIGINT NOT NULL DEFAULT 0,     -- 1: the subject was woken for it since its last commit
    PRIMARY KEY (subject, name)
);
CREATE INDEX deadlines_due ON deadlines (fired, due);

CREATE TABLE streams (
    name       TEXT PRIMARY KEY,
    state      TEXT   NOT NULL,
    deliveries BIGINT NOT NULL DEFAULT 0,
    events     BIGINT NOT NULL DEFAULT 0,
    duplicates BIGINT NOT NULL DEFAULT 0,
    ignored    BIGINT NOT NULL DEFAULT 0,
    conflicts  BIGINT NOT NULL DEFAULT 0
);

-- Reads that a stream's unproven hints cost in one minute.
CREATE TABLE read_budgets (
    stream TEXT PRIMARY KEY,
    minute BIGINT NOT NULL,
    reads  BIGINT NOT NULL
);

CREATE TABLE deliveries (
    stream      TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    digest      BLOB   NOT NULL,
    origin      TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (stream, id)
);

-- `variant` counts the contents that were claimed for one identity; more than one is an alarm.
CREATE TABLE events (
    chain_id    TEXT   NOT NULL,
    height      BIGINT NOT NULL,
    tx_hash     TEXT   NOT NULL,
    msg_index   BIGINT NOT NULL,
    event_index BIGINT NOT NULL,
    variant     BIGINT NOT NULL,
    kind        TEXT   NOT NULL,
    attributes  TEXT   NOT NULL,
    subject     TEXT,                      -- null: of a type that nobody handles
    PRIMARY KEY (chain_id, height, tx_hash, msg_index, event_index, variant)
);
CREATE INDEX events_subject ON events (subject, height) WHERE subject IS NOT NULL;

CREATE TABLE effects (
    seq         INTEGER PRIMARY KEY,
    key         TEXT   NOT NULL UNIQUE,    -- the idempotency key
    subject     TEXT   NOT NULL,
    kind        TEXT   NOT NULL,           -- chain, cluster
    account     TEXT,
    body        TEXT   NOT NULL,
    priority    BIGINT NOT NULL,
    state       TEXT   NOT NULL DEFAULT 'wanted',
    outcome     TEXT,
    attempts    BIGINT NOT NULL DEFAULT 0,
    last_error  TEXT,
    wanted_at   BIGINT NOT NULL,
    free_at     BIGINT NOT NULL DEFAULT 0, -- end of the executor's claim or of the back-off
    fence       BIGINT NOT NULL DEFAULT 0,
    worker      TEXT,
    claimed     BIGINT NOT NULL DEFAULT 0, -- 1: an executor is at it until free_at
    tx_hash     TEXT,                      -- the transaction that holds it
    absorbed    BIGINT NOT NULL DEFAULT 0, -- 1: settled, and the subject's state has taken it in
    ready_at    BIGINT GENERATED ALWAYS AS
        (CASE WHEN kind = 'cluster' AND state IN ('wanted', 'begun') THEN free_at END) STORED
);
CREATE INDEX effects_of_subject ON effects (subject) WHERE absorbed = 0;
CREATE INDEX effects_ready ON effects (ready_at) WHERE ready_at IS NOT NULL;
CREATE INDEX effects_wanted ON effects (account, priority, seq) WHERE state = 'wanted' AND kind = 'chain';
CREATE INDEX effects_of_transaction ON effects (tx_hash) WHERE tx_hash IS NOT NULL;

CREATE TABLE transactions (
    seq          INTEGER PRIMARY KEY,
    hash         TEXT   NOT NULL UNIQUE,
    account      TEXT   NOT NULL,
    effects      TEXT   NOT NULL,          -- keys, in the order of the messages
    bytes        BLOB   NOT NULL,          -- set once, before any node sees them
    timeout_ns   BIGINT NOT NULL,
    gas_limit    BIGINT NOT NULL,
    fee          TEXT   NOT NULL,
    state        TEXT   NOT NULL,
    settled      BIGINT NOT NULL DEFAULT 0,
    signed_at    BIGINT NOT NULL,
    broadcast_at BIGINT,
    broadcasts   BIGINT NOT NULL DEFAULT 0,
    UNIQUE (account, timeout_ns)
);
CREATE INDEX transactions_unsettled ON transactions (account, seq) WHERE settled = 0;

CREATE TABLE reservations (
    order_id   TEXT PRIMARY KEY,
    placement  TEXT   NOT NULL,
    reason     TEXT   NOT NULL,
    made_at    BIGINT NOT NULL,
    look_at    BIGINT NOT NULL,            -- block time
    leased     BIGINT NOT NULL,
    applied_at BIGINT                      -- an inventory that is younger counts the workload already
);

CREATE TABLE hostnames (
    hostname TEXT PRIMARY KEY,
    lease    TEXT NOT NULL,
    subject  TEXT NOT NULL,                -- the lease's deployment
    service  TEXT NOT NULL
);
CREATE INDEX hostnames_of_lease ON hostnames (lease);
CREATE INDEX hostnames_of_subject ON hostnames (subject);

CREATE TABLE manifests (
    seq         INTEGER PRIMARY KEY,
    subject     TEXT   NOT NULL,           -- the deployment
    hash        TEXT   NOT NULL,
    body        TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    UNIQUE (subject, hash)
);

CREATE TABLE orders (
    id         TEXT PRIMARY KEY,
    owner      TEXT   NOT NULL,
    phase      TEXT   NOT NULL,
    bid        TEXT,
    lease      TEXT,
    seen_at    BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    body       TEXT   NOT NULL
);
CREATE INDEX orders_changed ON orders (changed_at, id);
CREATE INDEX orders_phase ON orders (phase);

CREATE TABLE decisions (
    order_id TEXT PRIMARY KEY,
    body     TEXT NOT NULL
);

CREATE TABLE observations (
    key      TEXT PRIMARY KEY,
    taken_at BIGINT NOT NULL,
    body     TEXT   NOT NULL
);

CREATE TABLE audit (
    seq     INTEGER PRIMARY KEY,
    at      BIGINT NOT NULL,
    actor   TEXT   NOT NULL,
    action  TEXT   NOT NULL,
    subject TEXT   NOT NULL,
    reason  TEXT   NOT NULL
);
