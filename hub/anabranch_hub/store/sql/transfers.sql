-- name: drop_other_uploads
-- A replica has one push under way: an earlier one that was broken off is of no use any more.
DELETE FROM {tenant}.uploads WHERE incarnation = %(incarnation)s AND batch <> %(batch)b

-- name: add_piece
-- Append a piece where it continues what is there; a piece that came before changes nothing.
INSERT INTO {tenant}.uploads (incarnation, batch, starts_at, total, piece)
SELECT %(incarnation)s, %(batch)b, %(offset)s, %(total)s, %(piece)b
WHERE %(offset)s = (
    SELECT coalesce(sum(octet_length(piece)), 0) FROM {tenant}.uploads
    WHERE incarnation = %(incarnation)s AND batch = %(batch)b
)
ON CONFLICT DO NOTHING

-- name: upload
-- What has arrived of a replica's push.
SELECT batch, total, string_agg(piece, ''::bytea ORDER BY starts_at) AS received
FROM {tenant}.uploads WHERE incarnation = %(incarnation)s
GROUP BY batch, total ORDER BY max(starts_at) DESC LIMIT 1

-- name: drop_uploads
-- What was decided needs no resuming.
DELETE FROM {tenant}.uploads WHERE incarnation = ANY(%(incarnations)s::bigint[])

-- name: spool
-- Keep a pull's bytes in place of the one before.
INSERT INTO {tenant}.spool (incarnation, batch, body) VALUES (%(incarnation)s, %(batch)b, %(body)b)
ON CONFLICT (incarnation) DO UPDATE SET batch = excluded.batch, body = excluded.body

-- name: spooled
-- A pull's bytes, if this very pull is still there.
SELECT body FROM {tenant}.spool WHERE incarnation = %(incarnation)s AND batch = %(batch)b

-- name: seen
-- A replica has applied everything up to its cursor, and is proved equal there: its spooled pull needs no resuming.
-- What was carried meanwhile is added to the sums of today; where the day has many rows, what is new to OTHERS. Old
-- days fade. A crash may take all of this, as a replica says again where it stands: no disk is waited for.
WITH unawaited AS (
    SELECT set_config('synchronous_commit', 'off', true)
), dropped AS (
    DELETE FROM {tenant}.spool WHERE incarnation = %(incarnation)s
), seen AS (
    UPDATE {tenant}.replicas SET cursor_epoch = %(epoch)s, cursor_seq = %(hub_seq)s, seen_at = now()
    FROM unawaited WHERE incarnation = %(incarnation)s
    RETURNING edge, (now() AT TIME ZONE 'UTC')::date AS today
), proved AS (
    UPDATE {tenant}.edge_reports r SET proved_at = now(), proved_epoch = %(epoch)s, proved_seq = %(hub_seq)s
    FROM seen WHERE r.edge = seen.edge
), faded AS (
    DELETE FROM {tenant}.edge_traffic t USING seen r WHERE t.edge = r.edge AND t.day < r.today - %(days_kept)s::int
), placed AS (
    SELECT r.edge, r.today, s.namespace, s.key, s.bytes_up, s.bytes_down,
        (SELECT count(*) < %(rows_max)s FROM {tenant}.edge_traffic t WHERE t.edge = r.edge AND t.day = r.today)
        OR EXISTS (
            SELECT FROM {tenant}.edge_traffic t WHERE t.edge = r.edge AND t.day = r.today
                AND t.namespace = s.namespace AND t.key = s.key
        ) AS has_place
    FROM seen r, unnest(
        %(namespaces)s::text[], %(keys)s::text[], %(bytes_up)s::bigint[], %(bytes_down)s::bigint[]
    ) AS s (namespace, key, bytes_up, bytes_down)
)
INSERT INTO {tenant}.edge_traffic AS t (edge, day, namespace, key, bytes_up, bytes_down)
SELECT edge, today, CASE WHEN has_place THEN namespace ELSE %(others)s END,
    CASE WHEN has_place THEN key ELSE '' END, sum(bytes_up), sum(bytes_down)
FROM placed GROUP BY 1, 2, 3, 4
ON CONFLICT (edge, day, namespace, key) DO UPDATE
SET bytes_up = t.bytes_up + excluded.bytes_up, bytes_down = t.bytes_down + excluded.bytes_down

-- name: edge_traffic
-- What an edge's link carried for each document since a day.
SELECT namespace, key, sum(bytes_up)::bigint AS bytes_up, sum(bytes_down)::bigint AS bytes_down
FROM {tenant}.edge_traffic WHERE edge = %(edge)s AND day > (now() AT TIME ZONE 'UTC')::date - %(days)s::int
GROUP BY namespace, key ORDER BY sum(bytes_up + bytes_down) DESC, namespace, key
