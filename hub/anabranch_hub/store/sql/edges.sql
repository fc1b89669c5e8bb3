-- name: add_invitation
-- Keep a token's hash and what it entitles to.
INSERT INTO {hub}.invitations (token_hash, tenant, edge, prefixes, expires_ms, invited_by)
VALUES (%(token_hash)b, %(tenant)s, %(edge)s, %(prefixes)s, %(expires_ms)s, %(invited_by)s)

-- name: add_edge
-- Make an invited edge known; an edge that is known stays as it is.
INSERT INTO {tenant}.edges (name, status, prefixes) VALUES (%(edge)s, 'invited', %(prefixes)s)
ON CONFLICT DO NOTHING

-- name: set_relay
-- Let an edge pass others on, or not.
UPDATE {tenant}.edges SET relay = %(relay)s WHERE name = %(edge)s

-- name: use_invitation
-- Use a token up, for one key; no row where that was not possible.
UPDATE {hub}.invitations SET used_at = coalesce(used_at, now()), used_by = %(key_hash)b
WHERE token_hash = %(token_hash)b AND expires_ms > %(now_ms)s
    AND (used_at IS NULL OR used_by = %(key_hash)b)
RETURNING tenant, edge, prefixes

-- name: invitation
-- What a token is good for, and whether it still is.
SELECT tenant, edge, prefixes, used_at IS NOT NULL AND used_by IS DISTINCT FROM %(key_hash)b AS used, expires_ms
FROM {hub}.invitations WHERE token_hash = %(token_hash)b

-- name: scope_of_edge
-- What an edge may replicate and asks for, held until the transaction ends; no row where it is unknown or revoked.
SELECT prefixes, subscription FROM {tenant}.edges WHERE name = %(edge)s AND status <> 'revoked' FOR UPDATE

-- name: lately_rescoped
-- Who may have got another scope, or is to be wiped, while a hub process did not hear of it: that it does not, it knows
-- within a minute.
SELECT edge FROM {tenant}.former_scopes WHERE left_at > now() - interval '1 hour'
UNION
SELECT name FROM {tenant}.edges WHERE wipe_ordered_at IS NOT NULL AND wiped_at IS NULL

-- name: leave_scope
-- Remember a scope that an edge had, and of each edge the newest.
WITH old AS (
    DELETE FROM {tenant}.former_scopes WHERE edge = %(edge)s AND fingerprint IN (
        SELECT fingerprint FROM {tenant}.former_scopes WHERE edge = %(edge)s AND fingerprint <> %(fingerprint)b
        ORDER BY left_at DESC OFFSET %(kept)s
    )
)
INSERT INTO {tenant}.former_scopes (edge, fingerprint, prefixes)
VALUES (%(edge)s, %(fingerprint)b, %(prefixes)s)
ON CONFLICT (edge, fingerprint) DO UPDATE SET left_at = now()

-- name: former_scope
-- The scope of this fingerprint that an edge had.
SELECT prefixes FROM {tenant}.former_scopes WHERE edge = %(edge)s AND fingerprint = %(fingerprint)b

-- name: drop_spools_of
-- Pulls on their way to an edge: they are of the scope that it had.
DELETE FROM {tenant}.spool WHERE incarnation IN (SELECT incarnation FROM {tenant}.replicas WHERE edge = %(edge)s)

-- name: rescope_edge
-- Give an edge a scope; no row where it is revoked.
UPDATE {tenant}.edges SET prefixes = %(prefixes)s WHERE name = %(edge)s AND status <> 'revoked' RETURNING name

-- name: subscribe_edge
-- What an edge asks for of its scope.
UPDATE {tenant}.edges SET subscription = %(subscription)s WHERE name = %(edge)s

-- name: certify_edge
-- Record the only certificate an edge now has; no row where it is unknown or revoked.
UPDATE {tenant}.edges
SET status = 'enrolled', certificate_serial = %(serial)s, next_serial = '', not_after_ms = %(not_after_ms)s,
    wipe_ordered_at = NULL, wipe_at_once = false, wiped_at = NULL
WHERE name = %(edge)s AND status <> 'revoked'
RETURNING name

-- name: certify_edge_next
-- Record the certificate an edge will show next; no row where it is unknown or revoked.
UPDATE {tenant}.edges SET next_serial = %(serial)s, not_after_ms = %(not_after_ms)s
WHERE name = %(edge)s AND status = 'enrolled'
RETURNING name

-- name: show_certificate
-- An edge has shown its next certificate: the one before is worth nothing from now on.
UPDATE {tenant}.edges SET certificate_serial = next_serial, next_serial = ''
WHERE name = %(edge)s AND next_serial = %(serial)s AND next_serial <> ''

-- name: revoked_edges
-- Whom a hub process must not serve.
SELECT name FROM {tenant}.edges WHERE status = 'revoked'

-- name: revoke_edge
-- Shut an edge out for good; no row where it is unknown.
UPDATE {tenant}.edges SET status = 'revoked', revoked_at = coalesce(revoked_at, now())
WHERE name = %(edge)s RETURNING name

-- name: order_wipe
-- Everything is to leave an edge's disk; no row where it is unknown.
UPDATE {tenant}.edges
SET wipe_ordered_at = coalesce(wipe_ordered_at, now()), wipe_at_once = %(at_once)s, wiped_at = NULL
WHERE name = %(edge)s RETURNING name

-- name: cancel_wipe
-- It keeps what it has; no row where nothing was ordered, or it was done.
UPDATE {tenant}.edges SET wipe_ordered_at = NULL, wipe_at_once = false
WHERE name = %(edge)s AND wipe_ordered_at IS NOT NULL AND wiped_at IS NULL RETURNING name

-- name: wiped_edge
-- An edge says that it was done; no row where that was not ordered, or is known.
UPDATE {tenant}.edges SET wiped_at = now()
WHERE name = %(edge)s AND wipe_ordered_at IS NOT NULL AND wiped_at IS NULL RETURNING name

-- name: retire_edge
-- Let an edge hold nothing back any more; no row where it is unknown or revoked.
UPDATE {tenant}.edges SET retired_at = coalesce(retired_at, now())
WHERE name = %(edge)s AND status <> 'revoked' RETURNING name

-- name: return_edge
-- It has come again; no row where it was not retired.
UPDATE {tenant}.edges SET retired_at = NULL WHERE name = %(edge)s AND retired_at IS NOT NULL RETURNING name

-- name: void_invitations
-- Tokens of a revoked edge that nobody used.
DELETE FROM {hub}.invitations WHERE tenant = %(tenant)s AND edge = %(edge)s AND used_at IS NULL

-- name: edges
-- Edges with their latest replica; one of them, or all where no name is given.
SELECT e.name, e.status, e.prefixes, e.subscription, e.relay, e.certificate_serial, e.next_serial, e.not_after_ms,
    coalesce(r.incarnation, 0) AS incarnation, coalesce(r.push_mark, 0) AS push_mark,
    coalesce(r.cursor_epoch, 0) AS cursor_epoch, coalesce(r.cursor_seq, 0) AS cursor_seq,
    coalesce((extract(epoch FROM r.seen_at) * 1000)::bigint, 0) AS seen_ms,
    (extract(epoch FROM t.proved_at) * 1000)::bigint AS proved_ms, t.proved_seq, t.proved_epoch,
    (extract(epoch FROM t.told_at) * 1000)::bigint AS told_ms, t.clock_offset_ms, t.disk_free_bytes,
    t.oldest_unsent_ms, t.damaged_changes, t.protocol, t.link_class, t.byte_budget, t.budget_until_ms,
    e.budget_day_bytes, e.budget_month_bytes,
    (extract(epoch FROM e.retired_at) * 1000)::bigint AS retired_ms,
    (extract(epoch FROM e.wipe_ordered_at) * 1000)::bigint AS wipe_ordered_ms, e.wipe_at_once,
    (extract(epoch FROM e.wiped_at) * 1000)::bigint AS wiped_ms,
    -- Whoever goes on under a number of before the last lease is another than who asked for that.
    ARRAY(
        SELECT incarnation FROM {tenant}.replicas
        WHERE edge = e.name AND incarnation < r.incarnation AND seen_at > r.leased_at ORDER BY incarnation
    ) AS twins
FROM {tenant}.edges e
LEFT JOIN {tenant}.edge_reports t ON t.edge = e.name
LEFT JOIN LATERAL (
    SELECT * FROM {tenant}.replicas WHERE edge = e.name ORDER BY incarnation DESC LIMIT 1
) r ON true
WHERE %(edge)s::text IS NULL OR e.name = %(edge)s::text
ORDER BY e.name

-- name: lease
-- A new incarnation for an edge.
INSERT INTO {tenant}.replicas (edge, chain, seen_at) VALUES (%(edge)s, %(chain)b, now()) RETURNING incarnation

-- name: open_replica
-- An incarnation, its edge and where the tenant stands; the replica has been seen now.
UPDATE {tenant}.replicas r SET seen_at = now()
FROM {tenant}.edges e, {tenant}.tenant_state s
WHERE r.incarnation = %(incarnation)s AND r.edge = %(edge)s AND e.name = r.edge
RETURNING s.epoch, s.hub_seq, r.push_mark, r.chain, e.prefixes, e.subscription, e.budget_day_bytes, e.budget_month_bytes,
    (SELECT max(incarnation) FROM {tenant}.replicas WHERE edge = r.edge) AS latest,
    ARRAY(SELECT epoch FROM {tenant}.epochs ORDER BY epoch) AS ended_epochs,
    ARRAY(SELECT known FROM {tenant}.epochs ORDER BY epoch) AS ended_known

-- name: drained
-- All that a replica has written is here, and it stands there. Within an epoch it never knows less than it did.
UPDATE {tenant}.replicas SET drained_epoch = %(epoch)s,
    drained_seq = CASE WHEN drained_epoch = %(epoch)s THEN greatest(drained_seq, %(hub_seq)s) ELSE %(hub_seq)s END
WHERE incarnation = %(incarnation)s

-- name: tell_report
-- What an edge says of itself; how many damaged changes it told of before.
WITH before AS (SELECT damaged_changes FROM {tenant}.edge_reports WHERE edge = %(edge)s)
INSERT INTO {tenant}.edge_reports AS r (
    edge, clock_offset_ms, disk_free_bytes, oldest_unsent_ms, protocol, link_class, byte_budget, budget_until_ms,
    damaged_changes
) VALUES (
    %(edge)s, %(clock_offset_ms)s, %(disk_free_bytes)s, %(oldest_unsent_ms)s, %(protocol)s, %(link_class)s,
    %(byte_budget)s, %(budget_until_ms)s, %(damaged_changes)s
)
ON CONFLICT (edge) DO UPDATE SET told_at = now(), clock_offset_ms = excluded.clock_offset_ms,
    disk_free_bytes = excluded.disk_free_bytes, oldest_unsent_ms = excluded.oldest_unsent_ms,
    protocol = excluded.protocol, link_class = excluded.link_class, byte_budget = excluded.byte_budget,
    budget_until_ms = excluded.budget_until_ms, damaged_changes = excluded.damaged_changes
RETURNING coalesce((SELECT damaged_changes FROM before), 0) AS damaged_before

-- name: tell_budget_used_up
-- An edge says so each time it looks in; written down once.
UPDATE {tenant}.edge_reports SET byte_budget = 0, budget_until_ms = %(until_ms)s
WHERE edge = %(edge)s AND budget_until_ms <> %(until_ms)s

-- name: set_edge_budget
-- What an edge's link may carry; a limit that is null stays as it is.
UPDATE {tenant}.edges
SET budget_day_bytes = coalesce(%(day_bytes)s, budget_day_bytes),
    budget_month_bytes = coalesce(%(month_bytes)s, budget_month_bytes)
WHERE name = %(edge)s
RETURNING budget_day_bytes, budget_month_bytes

-- name: report_incident
-- Keep an incident, and of each edge the newest.
WITH old AS (
    DELETE FROM {tenant}.incidents WHERE id IN (
        SELECT id FROM {tenant}.incidents WHERE edge = %(edge)s ORDER BY id DESC OFFSET %(kept)s
    )
)
INSERT INTO {tenant}.incidents (edge, kind, remedy, hub_seq, count, documents)
VALUES (%(edge)s, %(kind)s, %(remedy)s, %(hub_seq)s, %(count)s, %(documents)s)

-- name: incidents
-- The incidents of an edge, or of all, newest first.
SELECT edge, (extract(epoch FROM at) * 1000)::bigint AS at_ms, kind, remedy, hub_seq, count, documents
FROM {tenant}.incidents WHERE %(edge)s::text IS NULL OR edge = %(edge)s::text
ORDER BY id DESC LIMIT %(limit)s

-- name: behind
-- How many documents in the scope changed after a position, and how many are in quarantine. Each has its index.
SELECT (SELECT count(*) FROM {tenant}.documents WHERE hub_seq > %(after)s AND {in_scope}) AS changed,
    (SELECT count(*) FROM {tenant}.documents WHERE violations IS NOT NULL AND {in_scope}) AS quarantined
