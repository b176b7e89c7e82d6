-- What an operator's page needs: how far each order came, who is signed in, whether bids are wanted, and what changed.

-- How far an order came (0 seen … 6 deployed) and what keeps it there. Rows of an older program are placed by what their
-- columns tell; their next step says it exactly.
ALTER TABLE orders ADD COLUMN reached BIGINT NOT NULL DEFAULT 0;
ALTER TABLE orders ADD COLUMN held_by TEXT;
UPDATE orders SET reached = CASE WHEN lease IS NOT NULL THEN 5 WHEN bid IS NOT NULL THEN 4 ELSE 0 END;
-- One day's orders are counted from this index alone.
CREATE INDEX orders_seen ON orders (seen_at, reached, held_by, id);
-- The newest orders of one place in the funnel.
CREATE INDEX orders_reached ON orders (reached, held_by, seen_at, id);
CREATE INDEX orders_lease ON orders (lease) WHERE lease IS NOT NULL;

-- One row: whether bids are wanted.
CREATE TABLE maintenance (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    state  TEXT   NOT NULL,                -- bidding, paused, maintenance
    reason TEXT   NOT NULL,
    actor  TEXT   NOT NULL,
    since  BIGINT NOT NULL
);

-- Operators who signed in with a browser. Neither the session's id nor the operator's token can be told from the digest.
CREATE TABLE sessions (
    digest     BLOB   PRIMARY KEY,
    opened_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);

-- How often each kind of row was changed, ever. Readers that compare two counts need not read the rows.
CREATE TABLE changes (
    topic TEXT PRIMARY KEY,
    count BIGINT NOT NULL
);
INSERT INTO changes (topic, count) VALUES
    ('orders', 0), ('streams', 0), ('capacity', 0), ('deadlines', 0), ('tip', 0), ('inventory', 0),
    ('maintenance', 0), ('sessions', 0);
