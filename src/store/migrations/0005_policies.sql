-- Policy and prices, every version that ever was in force. The newest is; decisions name theirs.
CREATE TABLE policies (
    version BIGINT PRIMARY KEY,
    body    TEXT   NOT NULL,
    made_at BIGINT NOT NULL,               -- host time
    made_by TEXT   NOT NULL,               -- settings, operator
    reason  TEXT   NOT NULL
);
