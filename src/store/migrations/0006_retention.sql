-- How high the chain was on each day: events carry heights, so this tells which of them are old.
CREATE TABLE heights (
    day    BIGINT PRIMARY KEY,             -- days of Unix time
    height BIGINT NOT NULL
);
