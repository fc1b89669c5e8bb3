-- What each edge said of itself when it came last, and when it was last proved equal. It is written with what an
-- exchange writes in any case.
CREATE TABLE edge_reports (
    edge text COLLATE "C" PRIMARY KEY REFERENCES edges,
    told_at timestamptz NOT NULL DEFAULT now(),
    clock_offset_ms bigint NOT NULL,
    disk_free_bytes bigint NOT NULL,
    -- By the edge's clock; 0: all is sent.
    oldest_unsent_ms bigint NOT NULL,
    protocol smallint NOT NULL,
    proved_at timestamptz,
    proved_epoch bigint NOT NULL DEFAULT 0,
    proved_seq bigint NOT NULL DEFAULT 0
);

-- Where a replica was not what is here, and what was done about it.
CREATE TABLE incidents (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    edge text COLLATE "C" NOT NULL REFERENCES edges,
    at timestamptz NOT NULL DEFAULT now(),
    kind text NOT NULL,
    remedy text NOT NULL,
    hub_seq bigint NOT NULL,
    count bigint NOT NULL,
    documents text[] NOT NULL
);
CREATE INDEX incidents_of_edge ON incidents (edge, id);
