-- name: lock_tenant
-- The tenant's lock, held until the transaction ends, and where it stands.
SELECT epoch, hub_seq, ledger, timestamp, schemas_seq FROM {tenant}.tenant_state FOR UPDATE

-- name: ended_epochs
-- The epochs before the present one. Not with the lock: who waited for that reads other tables as they were before.
SELECT ARRAY(SELECT epoch FROM {tenant}.epochs ORDER BY epoch) AS ended_epochs,
    ARRAY(SELECT known FROM {tenant}.epochs ORDER BY epoch) AS ended_known

-- name: deciding_replicas
-- The replicas that push, with the rights of their edges.
SELECT r.incarnation, coalesce(r.edge, '') AS edge, r.push_mark, r.chain,
    coalesce(e.prefixes, ARRAY[]::text[]) AS prefixes, coalesce(e.status = 'revoked', false) AS revoked
FROM {tenant}.replicas r LEFT JOIN {tenant}.edges e ON e.name = r.edge
WHERE r.incarnation = ANY(%(incarnations)s::bigint[])

-- name: deciding_documents
-- The documents that pushes and writes mention; of those in quarantine also what is live, and why.
SELECT id, state, CASE WHEN violations IS NOT NULL THEN content END AS live, live_version, violations, since,
    forgotten_seq
FROM {tenant}.documents WHERE id = ANY(%(ids)s::text[])

-- name: merged_before
-- Which of these changes were merged, and where.
SELECT content_id, hub_seq FROM {tenant}.changes
WHERE content_id = ANY(%(content_ids)b::bytea[]) AND outcome = 'merged'

-- name: chains
-- The chains at these changes.
SELECT c.incarnation, c.local_seq, c.chain FROM {tenant}.changes c
JOIN unnest(%(incarnations)s::bigint[], %(local_seqs)s::bigint[]) AS wanted (incarnation, local_seq)
    USING (incarnation, local_seq)

-- name: schemas
-- The schema documents in force.
SELECT id, version, content FROM {tenant}.documents
WHERE namespace = %(namespace)s AND content IS NOT NULL

-- name: writes
-- Who wrote at these positions.
SELECT hub_seq, incarnation, local_seq, base_epoch, base_seq, author, edge, skew_ms, absorbed FROM {tenant}.changes
WHERE hub_seq = ANY(%(hub_seqs)s::bigint[])

-- name: save_documents
-- Documents as they stand now.
INSERT INTO {tenant}.documents AS d (id, namespace, key, version, hub_seq, digest, state, content,
    live_version, violations, since, urgent_seq)
SELECT id, namespace, key, version, hub_seq, digest, state, content::json, live_version, violations::json, since,
    urgent_seq
FROM unnest(%(id)b::text[], %(namespace)b::text[], %(key)b::text[], %(version)b::bigint[],
    %(hub_seq)b::bigint[], %(digest)b::bytea[], %(state)b::bytea[], %(content)b::text[],
    %(live_version)b::bigint[], %(violations)b::text[], %(since)b::bigint[],
    %(urgent_seq)b::bigint[])
    AS new (id, namespace, key, version, hub_seq, digest, state, content, live_version, violations, since,
        urgent_seq)
ON CONFLICT (id) DO UPDATE SET version = excluded.version, hub_seq = excluded.hub_seq,
    digest = excluded.digest, state = excluded.state, content = excluded.content,
    live_version = excluded.live_version, violations = excluded.violations, since = excluded.since,
    urgent_seq = greatest(d.urgent_seq, excluded.urgent_seq)

-- name: save_versions
-- One row for each step of each document.
INSERT INTO {tenant}.versions (document_id, version, hub_seq, digest_before, digest_after, patch, inverse)
SELECT document_id, version, hub_seq, digest_before, digest_after, patch::json, inverse::json
FROM unnest(%(document_id)b::text[], %(version)b::bigint[], %(hub_seq)b::bigint[],
    %(digest_before)b::bytea[], %(digest_after)b::bytea[], %(patch)b::text[], %(inverse)b::text[])
    AS new (document_id, version, hub_seq, digest_before, digest_after, patch, inverse)

-- name: save_changes
-- The change log, refused and repeated ones included.
INSERT INTO {tenant}.changes (hub_seq, incarnation, local_seq, content_id, chain, body, author, message,
    base_epoch, base_seq, timestamp, skew_ms, outcome, reason, restores, edge, rolled_back_to,
    absorbed)
SELECT * FROM unnest(%(hub_seq)b::bigint[], %(incarnation)b::bigint[], %(local_seq)b::bigint[],
    %(content_id)b::bytea[], %(chain)b::bytea[], %(body)b::bytea[], %(author)b::text[], %(message)b::text[],
    %(base_epoch)b::bigint[], %(base_seq)b::bigint[], %(timestamp)b::bigint[], %(skew_ms)b::bigint[],
    %(outcome)b::text[], %(reason)b::text[], %(restores)b::bigint[], %(edge)b::text[],
    %(rolled_back_to)b::bigint[], %(absorbed)b::bigint[])

-- name: save_merges
-- Ledger rows. Arrays cannot hold arrays of different lengths: actors come as JSON.
INSERT INTO {tenant}.merges (id, hub_seq, document_id, path, element, kind, policy, policy_version,
    candidates, actors, waiting, quarantined)
SELECT id, hub_seq, document_id, path::json, element, kind, policy, policy_version, candidates::json,
    ARRAY(SELECT json_array_elements_text(actors::json)::bigint), waiting, quarantined
FROM unnest(%(id)b::bigint[], %(hub_seq)b::bigint[], %(document_id)b::text[], %(path)b::text[],
    %(element)b::bytea[], %(kind)b::text[], %(policy)b::text[], %(policy_version)b::text[],
    %(candidates)b::text[], %(actors)b::text[], %(waiting)b::boolean[], %(quarantined)b::boolean[])
    AS new (id, hub_seq, document_id, path, element, kind, policy, policy_version, candidates, actors, waiting,
        quarantined)

-- name: save_marks
-- How far each replica's changes are decided.
UPDATE {tenant}.replicas r SET push_mark = new.push_mark, chain = new.chain
FROM unnest(%(incarnation)b::bigint[], %(push_mark)b::bigint[], %(chain)b::bytea[])
    AS new (incarnation, push_mark, chain)
WHERE r.incarnation = new.incarnation

-- name: save_state
-- Where the tenant stands now.
UPDATE {tenant}.tenant_state
SET hub_seq = %(hub_seq)s, ledger = %(ledger)s, timestamp = %(timestamp)s, schemas_seq = %(schemas_seq)s

-- name: notify
-- Tell every hub process; delivered with the commit or not at all.
SELECT pg_notify(%(channel)s, %(payload)s)
