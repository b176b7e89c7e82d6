-- Transactions may have a place in the account's sequence, and effects that were paid for in vain are counted.

ALTER TABLE transactions ADD COLUMN sequence BIGINT;     -- NULL: unordered
ALTER TABLE transactions ADD COLUMN last_block BIGINT;   -- of an ordered one
ALTER TABLE effects ADD COLUMN paid BIGINT NOT NULL DEFAULT 0;
CREATE INDEX transactions_signed ON transactions (account, signed_at);
