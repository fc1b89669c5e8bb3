-- Scopes cut into parts, for replicas that lack most of one. Losing them in a crash costs the work of cutting
-- them again, so they need no write-ahead log.
CREATE UNLOGGED TABLE snapshots (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    prefixes text[] NOT NULL,
    epoch bigint NOT NULL,
    hub_seq bigint NOT NULL,
    digest_count bigint NOT NULL,
    digest_sum bytea NOT NULL,
    -- Of its parts, in the order of the documents in them.
    names bytea[] NOT NULL,
    sizes bigint[] NOT NULL,
    used_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX snapshots_of_scope ON snapshots (prefixes, hub_seq);

-- By the sha256 of the body: what is in several snapshots is kept once.
CREATE UNLOGGED TABLE snapshot_parts (
    name bytea PRIMARY KEY,
    body bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

-- NULL: trimmed. What recognises a change, says who made it and what became of it stays.
ALTER TABLE changes ALTER COLUMN body DROP NOT NULL;

ALTER TABLE tenant_state
    -- Bodies of changes up to here may be gone.
    ADD COLUMN trimmed_seq bigint NOT NULL DEFAULT 0;
