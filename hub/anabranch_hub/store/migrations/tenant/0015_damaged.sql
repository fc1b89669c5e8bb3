-- How many changes rotted in an edge's outbox, and are set aside there.
ALTER TABLE edge_reports ADD COLUMN damaged_changes bigint NOT NULL DEFAULT 0;
