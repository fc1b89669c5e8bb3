-- Histories that can be read at any moment, and folded: of versions that are older than the tenant keeps
-- them the patches go, the content at the fold stays whole, and so do digests, authors and messages.

ALTER TABLE tenant_state
    ADD COLUMN retention_days integer NOT NULL DEFAULT 90 CHECK (retention_days >= 90),
    -- Histories are folded up to here: whatever stood at this position or later can be read.
    ADD COLUMN folded_seq bigint NOT NULL DEFAULT 0;

-- NULL: folded.
ALTER TABLE versions
    ALTER COLUMN patch DROP NOT NULL,
    ALTER COLUMN inverse DROP NOT NULL;

-- The oldest version of a document that can be read, where its history was folded.
CREATE TABLE base_versions (
    document_id text COLLATE "C" PRIMARY KEY,
    version bigint NOT NULL,
    -- NULL: it was deleted then.
    content json,
    folded_at timestamptz NOT NULL DEFAULT now()
);

-- The position whose values a rollback wrote again; NULL for any other change.
ALTER TABLE changes ADD COLUMN rolled_back_to bigint;
