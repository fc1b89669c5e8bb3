-- name: document_at
-- A document's head and base, and the last of its versions up to a version and a position.
SELECT d.id, d.version AS head_version, d.state, v.version, v.hub_seq, v.digest_after,
    coalesce(b.version, 0) AS base_version, b.content AS base_content
FROM {tenant}.documents d
JOIN LATERAL (
    SELECT version, hub_seq, digest_after FROM {tenant}.versions
    WHERE document_id = d.id AND version <= %(version)s AND hub_seq <= %(hub_seq)s
    ORDER BY version DESC LIMIT 1
) v ON true
LEFT JOIN {tenant}.base_versions b ON b.document_id = d.id
WHERE d.id = %(id)s

-- name: documents_at
-- The same of the documents below a prefix that stood at a position, a page at a time; only of those
-- that have changed after another position.
SELECT d.id, d.version AS head_version, d.state, v.version, v.hub_seq, v.digest_after,
    coalesce(b.version, 0) AS base_version, b.content AS base_content
FROM {tenant}.documents d
JOIN LATERAL (
    SELECT version, hub_seq, digest_after FROM {tenant}.versions
    WHERE document_id = d.id AND hub_seq <= %(hub_seq)s
    ORDER BY version DESC LIMIT 1
) v ON true
LEFT JOIN {tenant}.base_versions b ON b.document_id = d.id
WHERE d.id > %(after)s AND d.hub_seq > %(changed_after)s
    AND (%(prefix)s = '' OR starts_with(d.id, %(prefix)s || '/'))
    AND v.digest_after IS NOT NULL
ORDER BY d.id LIMIT %(limit)s

-- name: history_steps
-- The patches that lead from one version of each document to another, forward or backward, each over as many
-- versions as its change stands for.
SELECT v.document_id, CASE WHEN w.backward THEN v.inverse ELSE v.patch END AS patch, c.absorbed
FROM unnest(%(ids)s::text[], %(lows)s::bigint[], %(highs)s::bigint[], %(backward)s::boolean[])
    AS w (id, low, high, backward)
JOIN {tenant}.versions v ON v.document_id = w.id AND v.version > w.low AND v.version <= w.high
JOIN {tenant}.changes c USING (hub_seq)
ORDER BY v.document_id, v.version

-- name: version_after
-- The next version of a document after one.
SELECT version FROM {tenant}.versions WHERE document_id = %(id)s AND version > %(version)s
ORDER BY version LIMIT 1

-- name: position_at
-- The last position that was decided by some time.
SELECT hub_seq FROM {tenant}.changes WHERE received_at <= to_timestamp(%(wall_ms)s / 1000.0)
ORDER BY hub_seq DESC LIMIT 1

-- name: versions
-- A document's steps before a version, the latest first.
SELECT v.document_id, v.version, v.hub_seq, v.digest_before, v.digest_after, v.patch, v.inverse,
    c.incarnation, c.local_seq, c.author, c.message, c.timestamp, c.edge, c.restores, c.rolled_back_to, c.absorbed,
    (extract(epoch FROM c.received_at) * 1000)::bigint AS decided_ms
FROM {tenant}.versions v JOIN {tenant}.changes c USING (hub_seq)
WHERE v.document_id = %(id)s AND v.version < %(before)s
ORDER BY v.version DESC LIMIT %(limit)s

-- name: changes_at
-- The changes at these positions.
SELECT hub_seq, author, message, edge, restores, rolled_back_to,
    (extract(epoch FROM received_at) * 1000)::bigint AS decided_ms
FROM {tenant}.changes WHERE hub_seq = ANY(%(hub_seqs)s::bigint[])

-- name: versions_below
-- The steps of all documents below a prefix, those of the last changes before a position, the latest first.
SELECT v.document_id, v.version, v.hub_seq, v.digest_before, v.digest_after, v.patch, v.inverse,
    c.incarnation, c.local_seq, c.author, c.message, c.timestamp, c.edge, c.restores, c.rolled_back_to, c.absorbed,
    (extract(epoch FROM c.received_at) * 1000)::bigint AS decided_ms
FROM {tenant}.versions v JOIN {tenant}.changes c USING (hub_seq)
WHERE (%(prefix)s = '' OR starts_with(v.document_id, %(prefix)s || '/'))
    AND v.hub_seq IN (
        SELECT DISTINCT hub_seq FROM {tenant}.versions
        WHERE hub_seq < %(before)s AND (%(prefix)s = '' OR starts_with(document_id, %(prefix)s || '/'))
        ORDER BY hub_seq DESC LIMIT %(limit)s
    )
ORDER BY v.hub_seq DESC, v.document_id
