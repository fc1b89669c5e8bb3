-- A change of an edge may stand for others of one field that its author overwrote before they were sent.
ALTER TABLE changes
    -- How many before it, by number, it stands for besides itself: they have no rows.
    ADD COLUMN absorbed bigint NOT NULL DEFAULT 0;
