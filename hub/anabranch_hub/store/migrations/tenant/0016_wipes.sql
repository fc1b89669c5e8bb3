-- An operator's order that everything leaves an edge's disk: since when, whether what is unsent there goes too, and
-- when the edge said that it was done. The order stands until the edge is enrolled anew: an older image of its disk
-- may call.
ALTER TABLE edges
    ADD COLUMN wipe_ordered_at timestamptz,
    ADD COLUMN wipe_at_once boolean NOT NULL DEFAULT false,
    ADD COLUMN wiped_at timestamptz;
