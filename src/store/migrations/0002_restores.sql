-- A line for each time that the rows were put back from a backup. Until the newest is settled, nothing new is decided.
CREATE TABLE restores (
    number         INTEGER PRIMARY KEY,
    restored_at    BIGINT NOT NULL,        -- host time
    quiet_until    BIGINT,                 -- block time; null: no block was read since
    settled_height BIGINT                  -- null: rows and chain were not found to agree yet
);
