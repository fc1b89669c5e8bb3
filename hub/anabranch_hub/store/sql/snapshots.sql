-- name: changed_bytes
-- What the documents in the scope that changed after a position take.
SELECT coalesce(sum(octet_length(state)), 0)::bigint AS bytes FROM {tenant}.documents
WHERE hub_seq > %(after)s
    AND {in_scope}

-- name: usable_snapshot
-- The newest snapshot of a scope that is no older than a position.
SELECT epoch, hub_seq, digest_count, digest_sum, names, sizes FROM {tenant}.snapshots
WHERE prefixes = %(prefixes)s::text[] AND epoch = %(epoch)s AND hub_seq >= %(not_before)s
ORDER BY hub_seq DESC LIMIT 1

-- name: use_snapshot
-- It is of use: others go first.
UPDATE {tenant}.snapshots SET used_at = now()
WHERE prefixes = %(prefixes)s::text[] AND hub_seq = %(hub_seq)s

-- name: documents_to_cut
-- Documents in the scope by address, a page at a time; of those in quarantine also what is live, and why.
-- Those of which nothing is left after a collection do not travel.
SELECT id, state, CASE WHEN violations IS NOT NULL THEN content END AS live, live_version, violations, since
FROM {tenant}.documents
WHERE id > %(after)s
    AND (digest IS NOT NULL OR violations IS NOT NULL
        OR hub_seq > (SELECT collected_seq FROM {tenant}.tenant_state))
    AND {in_scope}
ORDER BY id LIMIT %(limit)s

-- name: put_snapshot_part
-- Keep a part, in place of one of this name whose bytes may be damaged.
INSERT INTO {tenant}.snapshot_parts (name, body) VALUES (%(part)b, %(body)b)
ON CONFLICT (name) DO UPDATE SET made_at = now(), body = excluded.body

-- name: put_snapshot
-- Its parts are all there.
INSERT INTO {tenant}.snapshots (prefixes, epoch, hub_seq, digest_count, digest_sum, names, sizes)
VALUES (%(prefixes)s, %(epoch)s, %(hub_seq)s, %(digest_count)s, %(digest_sum)b, %(names)b, %(sizes)s)

-- name: drop_snapshots
-- Of each scope those before the newest few, and of all those that were used least recently, beyond a count and
-- beyond so many bytes.
WITH ranked AS (
    SELECT id, row_number() OVER (PARTITION BY prefixes ORDER BY hub_seq DESC, id DESC) AS of_scope,
        row_number() OVER newest AS place,
        sum((SELECT sum(size) FROM unnest(sizes) AS size)) OVER newest AS bytes
    FROM {tenant}.snapshots
    WINDOW newest AS (ORDER BY used_at DESC, id DESC)
)
DELETE FROM {tenant}.snapshots s USING ranked r
WHERE r.id = s.id AND (r.of_scope > %(of_scope)s OR r.place > %(count)s OR r.place > 1 AND r.bytes > %(bytes)s)

-- name: drop_snapshot_parts
-- Parts of no snapshot, but for those that are being made now.
DELETE FROM {tenant}.snapshot_parts p
WHERE p.made_at < now() - make_interval(secs => %(making_s)s)
    AND NOT EXISTS (SELECT FROM {tenant}.snapshots s WHERE p.name = ANY(s.names))

-- name: snapshot_part
-- The bytes of a part, if they are still there.
SELECT body FROM {tenant}.snapshot_parts WHERE name = %(part)b

-- name: is_offered
-- Whether a snapshot of a scope names this part.
SELECT EXISTS (
    SELECT FROM {tenant}.snapshots WHERE prefixes = %(prefixes)s::text[] AND %(part)b = ANY(names)
) AS offered

-- name: drop_damaged_snapshots
-- Those that name a part which is gone or damaged.
DELETE FROM {tenant}.snapshots WHERE %(part)b = ANY(names)
