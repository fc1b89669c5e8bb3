-- Up to here every document was searched for tombstones to collect: only what changed since may hold others.
ALTER TABLE tenant_state ADD COLUMN swept_seq bigint NOT NULL DEFAULT 0;
