-- name: read
-- One document.
SELECT id, version, hub_seq, digest, content, live_version, violations, since,
    CASE WHEN violations IS NOT NULL THEN state END AS head
FROM {tenant}.documents WHERE id = %(id)s

-- name: documents
-- The live documents below a prefix (all where it is empty), by address, a page at a time.
SELECT id, version, hub_seq, digest, content, live_version, violations, since,
    CASE WHEN violations IS NOT NULL THEN state END AS head
FROM {tenant}.documents
WHERE digest IS NOT NULL AND id > %(after)s
    AND (%(prefix)s = '' OR starts_with(id, %(prefix)s || '/'))
ORDER BY id LIMIT %(limit)s

-- name: quarantined
-- The documents whose head is invalid, below a prefix (all where it is empty), by address.
SELECT id, version, hub_seq, digest, content, live_version, violations, since, state AS head
FROM {tenant}.documents
WHERE violations IS NOT NULL AND id > %(after)s
    AND (%(prefix)s = '' OR starts_with(id, %(prefix)s || '/'))
ORDER BY id LIMIT %(limit)s

-- name: merges
-- Ledger rows, the latest first.
SELECT m.*, (extract(epoch FROM c.received_at) * 1000)::bigint AS decided_ms,
    coalesce((extract(epoch FROM m.reviewed_at) * 1000)::bigint, 0) AS reviewed_ms
FROM {tenant}.merges m JOIN {tenant}.changes c USING (hub_seq)
WHERE m.id < %(before)s
    AND (%(prefix)s = '' OR m.document_id = %(prefix)s OR starts_with(m.document_id, %(prefix)s || '/'))
    AND (%(kind)s = '' OR m.kind = %(kind)s)
    AND (%(policy)s = '' OR split_part(m.policy, ':', 1) = %(policy)s)
    AND (NOT %(waiting)s OR m.waiting)
ORDER BY m.id DESC LIMIT %(limit)s
