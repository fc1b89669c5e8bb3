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

-- name: log_end
-- Where the log ends, and its newest checkpoint.
SELECT s.hub_seq, s.log_size, s.log_frontier, s.log_month, c.size, c.root, c.key, c.note
FROM {tenant}.tenant_state s
LEFT JOIN LATERAL (SELECT * FROM {tenant}.audit_checkpoints ORDER BY size DESC LIMIT 1) c ON true

-- name: subtrees
-- The hashes of complete subtrees, each kept by the last of its leaves.
SELECT w.level, w.index, substring(l.hashes FROM w.level * 32 + 1 FOR 32) AS hash
FROM unnest(%(levels)s::int[], %(indexes)s::bigint[]) AS w (level, index)
JOIN {tenant}.audit_leaves l ON l.leaf = ((w.index + 1) << w.level) - 1

-- name: save_checkpoint
-- Keep what was signed; another hub may have signed the same a moment before.
INSERT INTO {tenant}.audit_checkpoints (size, root, key, note)
VALUES (%(size)s, %(root)b, %(key)s, %(note)s) ON CONFLICT DO NOTHING

-- name: log_totals
-- Where the tenant stands: the log has to account for all of it.
SELECT hub_seq, ledger, (SELECT count(*) FROM {tenant}.audit_leaves) AS leaves FROM {tenant}.tenant_state

-- name: log_leaves
-- Leaves in their order, a page at a time.
SELECT leaf, hub_seq, event, hashes FROM {tenant}.audit_leaves
WHERE leaf >= %(first)s ORDER BY leaf, month LIMIT %(limit)s

-- name: log_openings
-- The values behind some leaves.
SELECT leaf, commitment, salt, value::text AS value FROM {tenant}.audit_openings
WHERE leaf BETWEEN %(first)s AND %(last)s ORDER BY leaf, commitment

-- name: log_checkpoints
-- What was signed at sizes within a page.
SELECT size, root, key, note FROM {tenant}.audit_checkpoints
WHERE size > %(after)s AND size <= %(upto)s ORDER BY size

-- name: logged_changes
-- Changes as the change log has them.
SELECT hub_seq, incarnation, local_seq, content_id, body, author, message, outcome, reason, restores, edge,
    absorbed
FROM {tenant}.changes WHERE hub_seq = ANY(%(hub_seqs)s::bigint[])

-- name: logged_versions
-- The digests that these changes made.
SELECT hub_seq, document_id, version, digest_before, digest_after FROM {tenant}.versions
WHERE hub_seq = ANY(%(hub_seqs)s::bigint[])

-- name: logged_merges
-- Ledger rows as the ledger has them.
SELECT id, hub_seq, document_id, path, kind, policy, policy_version, candidates FROM {tenant}.merges
WHERE hub_seq = ANY(%(hub_seqs)s::bigint[])

-- name: leaves_at
-- The leaves at a position.
SELECT leaf, event FROM {tenant}.audit_leaves WHERE hub_seq = %(hub_seq)s ORDER BY leaf

-- name: merge_position
-- Where a ledger row was decided.
SELECT hub_seq FROM {tenant}.merges WHERE id = %(id)s

-- name: erase_openings
-- Forget the values behind a leaf.
DELETE FROM {tenant}.audit_openings WHERE leaf = %(leaf)s RETURNING commitment
