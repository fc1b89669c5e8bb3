-- name: counting
-- Stands in statements: the replicas that hold tombstones back, with their edges and the tenant's state. One of whose
-- replicas none ever had anything begins with everything. A twin may come back as well as the newest.
FROM {tenant}.tenant_state s, {tenant}.edges e
JOIN LATERAL (
    SELECT incarnation, leased_at FROM {tenant}.replicas WHERE edge = e.name ORDER BY incarnation DESC LIMIT 1
) newest ON true
JOIN {tenant}.replicas r
    ON r.edge = e.name AND (r.incarnation = newest.incarnation OR r.seen_at > newest.leased_at)
WHERE e.status = 'enrolled' AND e.retired_at IS NULL
    AND EXISTS (SELECT FROM {tenant}.replicas a WHERE a.edge = e.name AND a.cursor_epoch <> 0)

-- name: holding_edges
-- The edges that hold tombstones back, the farthest behind first: how far each of their replicas is known to be. Who
-- stands in another epoch gets everything, but what it offers again may be older.
SELECT e.name, min(CASE WHEN r.cursor_epoch = s.epoch THEN r.cursor_seq ELSE 0 END) AS cursor_seq
{counting}
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

-- name: forgettable_until
-- Up to where tombstones may be forgotten: they are older than some time, and each replica that may come back has said,
-- or shown by its last change, that all it writes from now on was written by somebody who had seen them.
WITH counted AS (
    SELECT r.incarnation, CASE WHEN r.drained_epoch = s.epoch THEN r.drained_seq ELSE 0 END AS drained,
        coalesce((
            SELECT CASE WHEN c.base_epoch = s.epoch THEN c.base_seq ELSE 0 END FROM {tenant}.changes c
            WHERE c.incarnation = r.incarnation ORDER BY c.local_seq DESC LIMIT 1
        ), 0) AS based
    {counting}
)
SELECT s.forgotten_seq, least(
    s.collected_seq,
    (SELECT min(greatest(drained, based)) FROM counted),
    (
        SELECT hub_seq - 1 FROM {tenant}.changes
        WHERE hub_seq > s.forgotten_seq AND received_at > now() - make_interval(days => %(days)s)
        ORDER BY hub_seq LIMIT 1
    )
) AS until
FROM {tenant}.tenant_state s

-- name: tombstones_to_forget
-- A page of documents with collected tombstones, by address.
SELECT id, state FROM {tenant}.collected_tombstones WHERE id > %(after)s ORDER BY id LIMIT %(limit)s

-- name: forget_documents
-- How far the tombstones of documents are forgotten.
UPDATE {tenant}.documents d SET forgotten_seq = greatest(d.forgotten_seq, new.hub_seq)
FROM unnest(%(id)b::text[], %(hub_seq)b::bigint[]) AS new (id, hub_seq)
WHERE d.id = new.id

-- name: leave_tombstones
-- What is left of the collected tombstones of documents.
UPDATE {tenant}.collected_tombstones t SET state = new.state
FROM unnest(%(id)b::text[], %(state)b::bytea[]) AS new (id, state)
WHERE t.id = new.id

-- name: drop_collected
-- Documents of whose collected tombstones nothing is left.
DELETE FROM {tenant}.collected_tombstones WHERE id = ANY(%(ids)s::text[])

-- name: forgotten
-- Collected tombstones up to here are forgotten.
UPDATE {tenant}.tenant_state SET forgotten_seq = %(upto)s WHERE forgotten_seq < %(upto)s

-- name: collected
-- Tombstones up to here may be gone.
UPDATE {tenant}.tenant_state SET collected_seq = %(upto)s WHERE collected_seq < %(upto)s
