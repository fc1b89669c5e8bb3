-- name: lock_log
-- The tenant's lock, held until the transaction ends, and where its log ends.
SELECT hub_seq, log_size, log_frontier, log_month FROM {tenant}.tenant_state FOR UPDATE

-- name: add_audit_month
-- Make room for the leaves of a month.
SELECT {tenant}.add_audit_month(%(month)s)

-- name: save_leaves
-- Leaves, as they were hashed.
INSERT INTO {tenant}.audit_leaves (leaf, month, hub_seq, event, hashes)
SELECT leaf, %(month)s, hub_seq, event, hashes
FROM unnest(%(leaf)b::bigint[], %(hub_seq)b::bigint[], %(event)b::bytea[], %(hashes)b::bytea[])
    AS new (leaf, hub_seq, event, hashes)

-- name: save_openings
-- The values that leaves commit to.
INSERT INTO {tenant}.audit_openings (leaf, commitment, salt, value)
SELECT leaf, commitment, salt, value::json
FROM unnest(%(leaf)b::bigint[], %(commitment)b::bytea[], %(salt)b::bytea[], %(value)b::text[])
    AS new (leaf, commitment, salt, value)

-- name: save_log
-- Where the log ends now.
UPDATE {tenant}.tenant_state
SET log_size = %(log_size)s, log_frontier = %(log_frontier)b, log_month = %(log_month)s
