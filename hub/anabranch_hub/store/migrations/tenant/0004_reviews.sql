-- The ledger as operators search it, what they did about its rows, and who they are.

-- Columns that follow from others, so that whoever writes a row need not know of them. Candidates may
-- hold the character U+0000, which Postgres cannot unpack: it is taken out of the copy that is searched.
CREATE FUNCTION without_nul(packed json) RETURNS json IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN CASE WHEN position('\u0000' IN packed::text) = 0 THEN packed
    ELSE regexp_replace(packed::text, '(?<!\\)((\\\\)*)\\u0000', '\1', 'g')::json END;

-- What all writers of the candidates have under this name, each once.
CREATE FUNCTION of_writers(candidates json, fact text) RETURNS text[] IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN ARRAY(
    SELECT DISTINCT writer ->> fact
    FROM json_array_elements(candidates) AS candidate, json_array_elements(candidate -> 'writes') AS writer
);

-- A path as a JSON Pointer.
CREATE FUNCTION json_pointer(path json) RETURNS text IMMUTABLE PARALLEL SAFE LANGUAGE sql
RETURN (
    SELECT coalesce(string_agg('/' || replace(replace(key, '~', '~0'), '/', '~1'), '' ORDER BY place), '')
    FROM json_array_elements_text(path) WITH ORDINALITY AS part (key, place)
);

ALTER TABLE merges
    ADD COLUMN decided_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN rule text COLLATE "C" NOT NULL GENERATED ALWAYS AS (split_part(policy, ':', 1)) STORED,
    ADD COLUMN pointer text COLLATE "C" NOT NULL GENERATED ALWAYS AS (json_pointer(without_nul(path))) STORED,
    -- The hub's own writes have an empty edge.
    ADD COLUMN edges text[] NOT NULL GENERATED ALWAYS AS (of_writers(without_nul(candidates), 'edge')) STORED,
    ADD COLUMN authors text[] NOT NULL GENERATED ALWAYS AS (of_writers(without_nul(candidates), 'author')) STORED,
    -- What the last review was. `reviewed_seq` is the last one that edges hear of: the change that restored,
    -- or where the tenant stood when a row was accepted that had waited.
    ADD COLUMN review text NOT NULL DEFAULT '';
UPDATE merges m SET decided_at = c.received_at FROM changes c WHERE c.hub_seq = m.hub_seq;
UPDATE merges SET review = 'restored' WHERE reviewed_at IS NOT NULL;

CREATE INDEX merges_by_time ON merges (decided_at, id);
CREATE INDEX merges_of_kind ON merges (kind, id);
CREATE INDEX merges_of_rule ON merges (rule, id);
-- A pointer may be longer than an entry of an index.
CREATE INDEX merges_at_pointer ON merges (left(pointer, 200), id);
CREATE INDEX merges_of_edge ON merges USING gin (edges);
CREATE INDEX merges_of_author ON merges USING gin (authors);
CREATE INDEX merges_unreviewed ON merges (id) WHERE reviewed_at IS NULL;
-- What a pull must tell again.
CREATE INDEX merges_by_review ON merges (reviewed_seq) WHERE reviewed_seq IS NOT NULL;

-- What operators did about rows, in order; nothing is taken out. The row itself has the last of it.
CREATE TABLE reviews (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    merge bigint NOT NULL REFERENCES merges,
    what text NOT NULL,
    -- Which candidate a change brought back; NULL: another value, or the row was accepted.
    candidate int,
    reviewer text NOT NULL,
    note text NOT NULL,
    reviewed_at timestamptz NOT NULL DEFAULT now(),
    -- The change that brought it back, or where the tenant stood.
    hub_seq bigint NOT NULL
);
CREATE INDEX reviews_of_merge ON reviews (merge, id);
INSERT INTO reviews (merge, what, reviewer, note, reviewed_at, hub_seq)
SELECT m.id, 'restored', m.reviewed_by, c.message, m.reviewed_at, m.reviewed_seq
FROM merges m JOIN changes c ON c.hub_seq = m.reviewed_seq
ORDER BY m.reviewed_seq;

-- Who may look after the tenant from afar. Only the certificate of this serial is good.
CREATE TABLE operators (
    name text COLLATE "C" PRIMARY KEY,
    status text NOT NULL,
    certificate_serial text NOT NULL DEFAULT '',
    not_after_ms bigint NOT NULL DEFAULT 0,
    invited_by text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);
