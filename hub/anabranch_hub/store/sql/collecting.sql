-- name: holding_edges
-- The edges that hold tombstones back, the farthest behind first: how far each of their replicas is known to be.
-- One of whose replicas none ever had anything begins with everything. A twin may come back as well as the
-- newest; who stands in another epoch gets everything, but what it offers again may be older.
SELECT e.name, min(CASE WHEN r.cursor_epoch = s.epoch THEN r.cursor_seq ELSE 0 END) AS cursor_seq
FROM {tenant}.tenant_state s, {tenant}.edges e
JOIN LATERAL (
    SELECT incarnation, leased_at FROM {tenant}.replicas WHERE edge = e.name ORDER BY incarnation DESC LIMIT 1
) newest ON true
JOIN {tenant}.replicas r
    ON r.edge = e.name AND (r.incarnation = newest.incarnation OR r.seen_at > newest.leased_at)
WHERE e.status = 'enrolled' AND e.retired_at IS NULL
    AND EXISTS (SELECT FROM {tenant}.replicas a WHERE a.edge = e.name AND a.cursor_epoch <> 0)
GROUP BY e.name
ORDER BY cursor_seq, e.name

-- name: collecting_from
-- Where a tenant stands, and up to where it was searched before.
SELECT hub_seq, swept_seq FROM {tenant}.tenant_state

-- name: documents_to_collect
-- A page of documents that changed since, by address.
SELECT id, state FROM {tenant}.documents WHERE hub_seq > %(swept)s AND id > %(after)s ORDER BY id LIMIT %(limit)s

-- name: swept
-- All documents were searched for tombstones up to here.
UPDATE {tenant}.tenant_state SET swept_seq = %(upto)s WHERE swept_seq < %(upto)s

-- name: collected_tombstones
-- What was collected of these documents.
SELECT id, state FROM {tenant}.collected_tombstones WHERE id = ANY(%(ids)s::text[])

-- name: keep_tombstones
-- What was collected of documents, together with what was before.
INSERT INTO {tenant}.collected_tombstones (id, state)
SELECT * FROM unnest(%(id)b::text[], %(state)b::bytea[])
ON CONFLICT (id) DO UPDATE SET state = excluded.state

-- name: drop_tombstones
-- Documents without what was collected. Their positions, versions and digests are what they were.
UPDATE {tenant}.documents d SET state = new.state
FROM unnest(%(id)b::text[], %(state)b::bytea[]) AS new (id, state)
WHERE d.id = new.id

-- name: collected
-- Tombstones up to here may be gone.
UPDATE {tenant}.tenant_state SET collected_seq = %(upto)s WHERE collected_seq < %(upto)s
