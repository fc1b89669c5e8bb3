-- name: take_upkeep
-- Begin a tenant's upkeep; no row where somebody began it lately. Of two at once one waits, and gets none.
INSERT INTO {hub}.upkeep AS u (tenant) VALUES (%(tenant)s)
ON CONFLICT (tenant) DO UPDATE SET begun_at = now(), ended_at = NULL
WHERE u.begun_at < now() - make_interval(secs => %(each_s)s)
RETURNING tenant

-- name: note_upkeep
-- It has ended: what was done, and what failed.
UPDATE {hub}.upkeep SET ended_at = now(), done = %(done)s, failed = %(failed)s WHERE tenant = %(tenant)s

-- name: upkept
-- The newest upkeep of each tenant.
SELECT tenant, (extract(epoch FROM begun_at) * 1000)::bigint AS begun_ms,
    (extract(epoch FROM ended_at) * 1000)::bigint AS ended_ms, done, failed
FROM {hub}.upkeep ORDER BY tenant
