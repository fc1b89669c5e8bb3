-- NULL: it counts. A retired edge holds no tombstones back until it comes again.
ALTER TABLE edges ADD COLUMN retired_at timestamptz;

ALTER TABLE tenant_state
    -- Tombstones up to here may be collected: to a replica that stands before, a delta would not tell all.
    ADD COLUMN collected_seq bigint NOT NULL DEFAULT 0;

-- Tombstones that were taken out of the documents, and so neither travel nor stand in the way. A write whose
-- author had not seen them is decided against them all the same.
CREATE TABLE collected_tombstones (
    id text COLLATE "C" PRIMARY KEY,
    state bytea NOT NULL
);
