-- What an operator lets an edge's link carry, both ways together; 0: without limit.
ALTER TABLE edges
    ADD COLUMN budget_day_bytes bigint NOT NULL DEFAULT 0,
    ADD COLUMN budget_month_bytes bigint NOT NULL DEFAULT 0;

-- What an edge said of its link: its class, what its budget left then, and, where it is used up, until when by
-- the edge's clock.
ALTER TABLE edge_reports
    ADD COLUMN link_class text NOT NULL DEFAULT '',
    ADD COLUMN byte_budget bigint NOT NULL DEFAULT 0,
    ADD COLUMN budget_until_ms bigint NOT NULL DEFAULT 0;

-- Bytes of frames by edge, day of UTC and document; the names in parentheses are those of attribution.py.
CREATE TABLE edge_traffic (
    edge text COLLATE "C" NOT NULL REFERENCES edges,
    day date NOT NULL,
    namespace text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    bytes_up bigint NOT NULL,
    bytes_down bigint NOT NULL,
    PRIMARY KEY (edge, day, namespace, key)
);
