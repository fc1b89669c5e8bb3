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

-- name: commit_without_waiting
-- For what may be lost in a crash: a replica says again where it stands.
SET LOCAL synchronous_commit TO off

-- name: drop_spool
-- What was applied needs no resuming.
DELETE FROM {tenant}.spool WHERE incarnation = %(incarnation)s
