-- A hostname that moved to another lease of its owner is routed there once the one before has let it go.
ALTER TABLE hostnames ADD COLUMN leaving TEXT;  -- the lease that may still route it; null for none
CREATE INDEX hostnames_leaving ON hostnames (leaving) WHERE leaving IS NOT NULL;
