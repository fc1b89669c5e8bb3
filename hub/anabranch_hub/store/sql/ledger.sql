-- name: merges
-- Ledger rows that fulfil every condition, the latest first.
SELECT m.id, m.hub_seq, m.document_id, m.path, m.element, m.kind, m.policy, m.policy_version, m.candidates,
    m.waiting, m.quarantined, m.review, m.reviewed_by, coalesce(m.reviewed_seq, 0) AS reviewed_seq,
    (extract(epoch FROM m.decided_at) * 1000)::bigint AS decided_ms,
    coalesce((extract(epoch FROM m.reviewed_at) * 1000)::bigint, 0) AS reviewed_ms
FROM {tenant}.merges m
WHERE m.id < %(before)s {conditions}
ORDER BY m.id DESC LIMIT %(limit)s

-- name: merge
-- One ledger row.
SELECT m.id, m.hub_seq, m.document_id, m.path, m.element, m.kind, m.policy, m.policy_version, m.candidates,
    m.waiting, m.quarantined, m.review, m.reviewed_by, coalesce(m.reviewed_seq, 0) AS reviewed_seq,
    (extract(epoch FROM m.decided_at) * 1000)::bigint AS decided_ms,
    coalesce((extract(epoch FROM m.reviewed_at) * 1000)::bigint, 0) AS reviewed_ms
FROM {tenant}.merges m
WHERE m.id = %(id)s

-- name: in_namespace
-- Of the documents of a namespace and those below it, or of one address.
AND (m.document_id = %(prefix)s::text
    OR m.document_id >= %(prefix)s::text || '/' AND m.document_id < %(prefix)s::text || '0')

-- name: of_kind
-- Of one kind.
AND m.kind = %(kind)s

-- name: of_rule
-- Decided by one rule.
AND m.rule = %(rule)s

-- name: of_edge
-- One of the candidates was written by this edge; empty: by the hub.
AND m.edges @> ARRAY[%(edge)s::text]

-- name: of_author
-- One of the candidates was written by this author.
AND m.authors @> ARRAY[%(author)s::text]

-- name: at_path
-- At this path or below it: the index has the beginnings of pointers, in order.
AND left(m.pointer, 200) BETWEEN left(%(pointer)s::text, 200) AND left(%(pointer)s::text || '0', 200)
AND (m.pointer = %(pointer)s OR starts_with(m.pointer, %(pointer)s::text || '/'))

-- name: decided_since
-- Decided then or later.
AND m.decided_at >= to_timestamp(%(since_ms)s::bigint / 1000.0)

-- name: decided_until
-- Decided before then.
AND m.decided_at < to_timestamp(%(until_ms)s::bigint / 1000.0)

-- name: reviewed
-- Somebody looked at it.
AND m.reviewed_at IS NOT NULL

-- name: unreviewed
-- Nobody has looked at it.
AND m.reviewed_at IS NULL

-- name: waiting
-- It waits for an operator to choose.
AND m.waiting

-- name: received
-- When these changes came to the hub.
SELECT hub_seq, (extract(epoch FROM received_at) * 1000)::bigint AS received_ms FROM {tenant}.changes
WHERE hub_seq = ANY(%(hub_seqs)s::bigint[])

-- name: reviews
-- What operators did about a row, in order.
SELECT what, candidate, reviewer, note, hub_seq, (extract(epoch FROM reviewed_at) * 1000)::bigint AS reviewed_ms
FROM {tenant}.reviews WHERE merge = %(id)s ORDER BY id

-- name: merge_totals
-- How many rows fulfil every condition, and how many of them are not looked at, or wait.
SELECT count(*) AS rows, count(*) FILTER (WHERE m.reviewed_at IS NULL) AS unreviewed,
    count(*) FILTER (WHERE m.waiting) AS waiting
FROM {tenant}.merges m WHERE true {conditions}

-- name: oldest_unreviewed
-- The first row that nobody has looked at.
SELECT m.id, (extract(epoch FROM m.decided_at) * 1000)::bigint AS decided_ms FROM {tenant}.merges m
WHERE m.reviewed_at IS NULL {conditions} ORDER BY m.id LIMIT 1

-- name: merge_counts
-- The rows that fulfil every condition, counted by what they have in common, the most frequent first.
WITH matching AS (
    SELECT m.rule, m.kind, m.edges, m.authors, m.document_id, m.pointer FROM {tenant}.merges m
    WHERE true {conditions}
), counted AS (
    SELECT 'policy' AS what, rule AS name, count(*) AS rows FROM matching GROUP BY 2
    UNION ALL SELECT 'kind', kind, count(*) FROM matching GROUP BY 2
    UNION ALL SELECT 'namespace', regexp_replace(document_id, '/[^/]*$', ''), count(*) FROM matching GROUP BY 2
    UNION ALL SELECT 'edge', edge, count(*) FROM matching, unnest(edges) AS edge GROUP BY 2
    UNION ALL SELECT 'author', author, count(*) FROM matching, unnest(authors) AS author GROUP BY 2
    UNION ALL SELECT 'place', document_id || ' ' || coalesce(nullif(pointer, ''), '/'), count(*)
        FROM matching GROUP BY 2
)
SELECT what, name, rows
FROM (SELECT *, row_number() OVER (PARTITION BY what ORDER BY rows DESC, name) AS rank FROM counted) AS ranked
WHERE rank <= %(limit)s
ORDER BY what, rank

-- name: restored_merges
-- The rows that changes name as restored.
SELECT id, document_id, policy, candidates FROM {tenant}.merges WHERE id = ANY(%(ids)s::bigint[])

-- name: review_merges
-- Changes that brought candidates back are reviews of their rows.
WITH new AS (
    SELECT * FROM unnest(%(merge)s::bigint[], %(candidate)s::int[], %(reviewer)s::text[], %(note)s::text[],
        %(hub_seq)s::bigint[]) AS new (merge, candidate, reviewer, note, hub_seq)
), kept AS (
    INSERT INTO {tenant}.reviews (merge, what, candidate, reviewer, note, hub_seq)
    SELECT merge, 'restored', candidate, reviewer, note, hub_seq FROM new ORDER BY hub_seq
)
UPDATE {tenant}.merges m
SET waiting = false, review = 'restored', reviewed_by = last.reviewer, reviewed_at = now(),
    reviewed_seq = last.hub_seq
FROM (SELECT DISTINCT ON (merge) * FROM new ORDER BY merge, hub_seq DESC) AS last
WHERE m.id = last.merge

-- name: reviewing
-- Rows to be accepted, and whether this reviewer has done so since anything was restored.
SELECT m.id, m.document_id, EXISTS (
    SELECT FROM {tenant}.reviews r WHERE r.merge = m.id AND r.what = 'accepted' AND r.reviewer = %(reviewer)s
        AND NOT EXISTS (
            SELECT FROM {tenant}.reviews later
            WHERE later.merge = m.id AND later.id > r.id AND later.what = 'restored'
        )
) AS accepted
FROM {tenant}.merges m WHERE m.id = ANY(%(ids)s::bigint[]) ORDER BY m.id

-- name: accept_merges
-- Somebody finds these rows right as they were decided, or as they were restored. Edges hear of it where
-- they wait for the choice: telling of every acceptance would cost bytes, and change nothing there.
WITH kept AS (
    INSERT INTO {tenant}.reviews (merge, what, reviewer, note, hub_seq)
    SELECT id, 'accepted', %(reviewer)s, %(note)s, %(hub_seq)s FROM unnest(%(ids)s::bigint[]) AS id
)
UPDATE {tenant}.merges SET waiting = false, review = 'accepted', reviewed_by = %(reviewer)s, reviewed_at = now(),
    reviewed_seq = CASE WHEN rule = 'manual' THEN %(hub_seq)s ELSE reviewed_seq END
WHERE id = ANY(%(ids)s::bigint[])
