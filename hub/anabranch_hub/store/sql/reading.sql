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
