-- name: trimmable_until
-- The last position before anything that was decided after some time, of those that were not trimmed yet.
SELECT s.trimmed_seq, s.hub_seq, coalesce(
    (SELECT hub_seq - 1 FROM {tenant}.changes
     WHERE hub_seq > s.trimmed_seq AND received_at > to_timestamp(%(wall_ms)s / 1000.0)
     ORDER BY hub_seq LIMIT 1),
    s.hub_seq
) AS until
FROM {tenant}.tenant_state s

-- name: trimmable
-- What would go between two positions.
SELECT count(*) AS changes, coalesce(sum(octet_length(body)), 0)::bigint AS bytes FROM {tenant}.changes
WHERE hub_seq > %(after)s AND hub_seq <= %(upto)s AND body IS NOT NULL AND outcome <> 'refused'

-- name: trim_changes
-- Forget the bodies of what was merged: its values stand in the documents, or in the ledger. A change that was
-- refused is nowhere else.
UPDATE {tenant}.changes SET body = NULL
WHERE hub_seq > %(after)s AND hub_seq <= %(upto)s AND body IS NOT NULL AND outcome <> 'refused'

-- name: trimmed
-- Bodies of changes up to here may be gone.
UPDATE {tenant}.tenant_state SET trimmed_seq = %(upto)s WHERE trimmed_seq < %(upto)s
