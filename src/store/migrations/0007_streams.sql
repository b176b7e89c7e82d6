-- CloudEvents of types that lessor does not know: kept for people, and nobody acts on them.
CREATE TABLE other_events (
    stream      TEXT   NOT NULL,
    source      TEXT   NOT NULL,
    id          TEXT   NOT NULL,
    kind        TEXT   NOT NULL,
    data        TEXT   NOT NULL,
    received_at BIGINT NOT NULL,
    PRIMARY KEY (stream, source, id)
);

-- 1: an indexer took the event's block back, and the event has not come again since.
ALTER TABLE events ADD COLUMN unverified BIGINT NOT NULL DEFAULT 0;
CREATE INDEX events_unverified ON events (height) WHERE unverified = 1;

-- When a subject is due on our own account, without what is due only because a stream hinted at it.
ALTER TABLE subjects ADD COLUMN own_due_at BIGINT;
UPDATE subjects SET own_due_at = due_at WHERE state IS NOT NULL OR hinted_by IS NULL;
