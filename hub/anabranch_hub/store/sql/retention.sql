-- name: retention
-- How long a tenant keeps its histories readable, and up to where they were folded.
SELECT retention_days, folded_seq FROM {tenant}.tenant_state

-- name: set_retention
-- Keep histories readable for so long.
UPDATE {tenant}.tenant_state SET retention_days = %(days)s

-- name: foldable_until
-- The last position before anything that was decided after some time. Asked of those after the last fold
-- only, and not for the last position before that time: a clock that once was wrong folds too little so.
SELECT coalesce(
    (SELECT hub_seq - 1 FROM {tenant}.changes
     WHERE hub_seq > s.folded_seq AND received_at > to_timestamp(%(wall_ms)s / 1000.0)
     ORDER BY hub_seq LIMIT 1),
    s.hub_seq
) AS hub_seq
FROM {tenant}.tenant_state s

-- name: documents_to_fold
-- Documents with patches up to a position, by address, a page at a time: as `document_at` at the last of
-- those versions, and how many patches go, of how many bytes.
SELECT d.id, d.version AS head_version, d.state, v.version, v.hub_seq, v.digest_after,
    coalesce(b.version, 0) AS base_version, b.content AS base_content, w.versions, w.bytes
FROM (
    SELECT document_id, max(version) AS version, count(*) AS versions,
        sum(pg_column_size(patch) + pg_column_size(inverse))::bigint AS bytes
    FROM {tenant}.versions
    WHERE hub_seq > %(after_seq)s AND hub_seq <= %(upto)s AND patch IS NOT NULL AND document_id > %(after)s
    GROUP BY document_id ORDER BY document_id LIMIT %(limit)s
) w
JOIN {tenant}.documents d ON d.id = w.document_id
JOIN {tenant}.versions v ON v.document_id = w.document_id AND v.version = w.version
LEFT JOIN {tenant}.base_versions b ON b.document_id = d.id
ORDER BY d.id

-- name: save_bases
-- The oldest versions that can be read from now on.
INSERT INTO {tenant}.base_versions AS b (document_id, version, content)
SELECT document_id, version, content::json
FROM unnest(%(document_id)s::text[], %(version)s::bigint[], %(content)s::text[])
    AS new (document_id, version, content)
ON CONFLICT (document_id) DO UPDATE
SET version = excluded.version, content = excluded.content, folded_at = now()
WHERE b.version < excluded.version

-- name: drop_patches
-- Of these documents the patches up to their bases; what they were is told by whoever asked before.
UPDATE {tenant}.versions v SET patch = NULL, inverse = NULL
FROM unnest(%(document_id)s::text[], %(version)s::bigint[]) AS base (document_id, version)
WHERE v.document_id = base.document_id AND v.version <= base.version AND v.patch IS NOT NULL
RETURNING v.document_id

-- name: folded
-- Everything up to a position is folded.
UPDATE {tenant}.tenant_state SET folded_seq = %(upto)s WHERE folded_seq < %(upto)s
