-- Manifests hold their tenants' passwords: the body is sealed with a key that is not in this file. Null: a row from before,
-- which the next process that opens the store seals.
ALTER TABLE manifests ADD COLUMN sealed_by TEXT;
CREATE INDEX manifests_sealed_by ON manifests (sealed_by);
