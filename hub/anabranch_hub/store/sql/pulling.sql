-- name: pulling_replica
-- Where the tenant stands, what this replica may see, and what all documents take that may be new to it. It is
-- overtaken where changes of its own of which it knows no outcome were trimmed, or tombstones collected that it
-- has not seen: then all are.
SELECT s.epoch, s.hub_seq, s.schemas_seq, s.trimmed_seq, s.collected_seq, e.prefixes, e.subscription, r.push_mark,
    e.status = 'revoked' AS revoked, e.wipe_ordered_at IS NOT NULL AS wiping, e.budget_day_bytes, e.budget_month_bytes,
    (
        SELECT coalesce(sum(octet_length(state)), 0)::bigint FROM {tenant}.documents
        WHERE hub_seq > CASE WHEN o.overtaken THEN 0 ELSE c.after END
    ) AS bytes,
    o.overtaken
FROM {tenant}.replicas r, {tenant}.edges e, {tenant}.tenant_state s,
    LATERAL (SELECT CASE WHEN s.epoch = %(epoch)s AND s.hub_seq >= %(after)s THEN %(after)s ELSE 0 END AS after) c,
    LATERAL (
        SELECT c.after < s.collected_seq OR EXISTS (
            SELECT FROM {tenant}.changes WHERE incarnation = r.incarnation AND body IS NULL
                AND hub_seq > c.after AND hub_seq <= s.trimmed_seq
        ) AS overtaken
    ) o
WHERE r.incarnation = %(incarnation)s AND r.edge = %(edge)s AND e.name = r.edge

-- name: concerns
-- Whether a pull would find anything (`changed_documents`, `own_changes`, `own_merges`), reading none of it.
SELECT EXISTS (
        SELECT FROM {tenant}.documents WHERE hub_seq > %(after)s AND {in_scope}
    )
    OR EXISTS (SELECT FROM {tenant}.changes WHERE incarnation = %(incarnation)s AND hub_seq > %(after)s)
    OR EXISTS (
        SELECT FROM {tenant}.merges
        WHERE %(incarnation)s = ANY(actors) AND (hub_seq > %(after)s OR reviewed_seq > %(after)s)
    ) AS anything

-- name: changed_addresses
-- Which documents in the scope changed after a position, and whether an author called that urgent.
SELECT id, urgent_seq > %(after)s AS is_urgent FROM {tenant}.documents
WHERE hub_seq > %(after)s
    AND {in_scope}

-- name: changed_documents
-- Documents in the scope that changed after a position; of those in quarantine also what is live, and why.
-- Those of which nothing is left after a collection do not travel.
SELECT id, state, CASE WHEN violations IS NOT NULL THEN content END AS live, live_version, violations, since
FROM {tenant}.documents
WHERE hub_seq > %(after)s
    AND (digest IS NOT NULL OR violations IS NOT NULL
        OR hub_seq > (SELECT collected_seq FROM {tenant}.tenant_state))
    AND {in_scope}

-- name: entering
-- Documents in the scope that are not in the former one, and what each takes.
SELECT id, octet_length(state)::bigint AS bytes FROM {tenant}.documents
WHERE {in_scope}
    AND NOT (id LIKE ANY(%(former_below)s::text[])
        OR id LIKE ANY(%(former_loosely)s::text[]) AND id ~ %(former_exactly)s::text)

-- name: bytes_of
-- What these documents take.
SELECT coalesce(sum(octet_length(state)), 0)::bigint AS bytes FROM {tenant}.documents
WHERE id = ANY(%(ids)s::text[])

-- name: own_changes
-- A replica's changes that were decided after a position.
SELECT hub_seq, local_seq, body, outcome, reason, absorbed FROM {tenant}.changes
WHERE incarnation = %(incarnation)s AND hub_seq > %(after)s
ORDER BY hub_seq

-- name: own_outcomes
-- What became of a replica's changes that were decided between two positions.
SELECT hub_seq, local_seq, outcome, reason, absorbed FROM {tenant}.changes
WHERE incarnation = %(incarnation)s AND hub_seq > %(after)s AND hub_seq <= %(upto)s
ORDER BY hub_seq

-- name: own_merges
-- Ledger rows in which a replica takes part and that were decided after a position, or reviewed since so that
-- it matters there.
SELECT m.id, m.hub_seq, m.document_id, m.kind, m.policy, m.policy_version, m.candidates, m.waiting,
    m.quarantined, r.reviews
FROM {tenant}.merges m
LEFT JOIN LATERAL (
    SELECT json_agg(json_build_object('what', what, 'candidate', candidate, 'reviewer', reviewer, 'note', note,
        'reviewed_ms', (extract(epoch FROM reviewed_at) * 1000)::bigint) ORDER BY id) AS reviews
    FROM (SELECT * FROM {tenant}.reviews WHERE merge = m.id ORDER BY id DESC LIMIT %(reviews)s) AS last
) r ON m.reviewed_at IS NOT NULL
WHERE %(incarnation)s = ANY(m.actors) AND {to_be_told}
ORDER BY m.id

-- name: to_be_told
-- Whether those who take part in the ledger row `m` are to be told of it after a position: a part of others.
-- An acceptance has no position of its own: one where a replica stands may have come after it pulled.
(m.hub_seq > %(after)s OR m.reviewed_seq > %(after)s
    OR m.reviewed_seq = %(after)s AND m.review = 'accepted' AND m.rule = 'manual')

-- name: standing_alike
-- Those of the replicas for whom a pull after a position holds nothing of their own: neither what became of
-- changes of theirs nor a ledger row. What they replicate is to be compared.
SELECT r.incarnation, r.edge, e.prefixes, e.subscription
FROM {tenant}.replicas r JOIN {tenant}.edges e ON e.name = r.edge, {tenant}.tenant_state s
WHERE r.incarnation = ANY(%(incarnations)s::bigint[]) AND e.status <> 'revoked'
    AND s.epoch = %(epoch)s AND %(after)s BETWEEN s.collected_seq AND s.hub_seq
    AND NOT EXISTS (
        SELECT FROM {tenant}.changes c WHERE c.incarnation = r.incarnation AND c.hub_seq > %(after)s
    )
    AND NOT EXISTS (
        SELECT FROM (SELECT unnest(m.actors) AS actor FROM {tenant}.merges m WHERE {to_be_told}) told
        WHERE told.actor = r.incarnation
    )

-- name: in_scope
-- Whether the document `id` is in a scope (`scope_filter.reading`): a part of other statements.
(id LIKE ANY(%(below)s::text[]) OR id LIKE ANY(%(loosely)s::text[]) AND id ~ %(exactly)s::text)

-- name: digests
-- The digests of the live documents in the scope.
SELECT digest FROM {tenant}.documents
WHERE digest IS NOT NULL AND {in_scope}

-- name: surveyed
-- The live documents in the scope with their digests.
SELECT id, digest FROM {tenant}.documents
WHERE digest IS NOT NULL AND {in_scope}

-- name: digest_steps
-- How the digests in the scope changed between two positions.
SELECT digest_before, digest_after FROM (SELECT *, document_id AS id FROM {tenant}.versions) AS versions
WHERE hub_seq > %(after)s AND hub_seq <= %(upto)s
    AND {in_scope}

-- name: versions_since
-- What leads back to a position, oldest first; of what was folded, and beyond so many bytes, nothing does.
SELECT document_id, digest_before, CASE WHEN read_bytes <= %(bytes_max)s THEN inverse END AS inverse
FROM (
    SELECT document_id, version, digest_before, inverse,
        sum(octet_length(inverse::text)) OVER (ORDER BY document_id, version) AS read_bytes
    FROM (
        SELECT document_id, version, digest_before, inverse FROM {tenant}.versions
        WHERE document_id = ANY(%(ids)s::text[]) AND hub_seq > %(after)s
        ORDER BY document_id, version LIMIT %(limit)s
    ) AS since
) AS summed
ORDER BY document_id, version
