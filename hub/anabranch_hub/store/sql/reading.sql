-- name: read
-- One document.
SELECT id, version, hub_seq, digest, content FROM {tenant}.documents WHERE id = %(id)s

-- name: documents
-- The live documents below a prefix (all where it is empty), by address, a page at a time.
SELECT id, version, hub_seq, digest, content FROM {tenant}.documents
WHERE digest IS NOT NULL AND id > %(after)s
    AND (%(prefix)s = '' OR starts_with(id, %(prefix)s || '/'))
ORDER BY id LIMIT %(limit)s
