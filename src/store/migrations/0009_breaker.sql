-- Teardowns that were too many at once, and are held until an operator agrees.
CREATE TABLE breaker (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    held_since BIGINT,                     -- null while none are held
    decided    BIGINT NOT NULL DEFAULT 0,  -- how many had been decided when they were held
    agreed_at  BIGINT,                     -- decisions up to then are agreed to
    agreed_by  TEXT
);
INSERT INTO breaker (id) VALUES (1);
CREATE INDEX audit_teardowns ON audit (at) WHERE action = 'teardown';
