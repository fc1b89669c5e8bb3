-- What the hub's operator lets the link carry, as the hub said last; 0: without limit.
ALTER TABLE replica ADD COLUMN ordered_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE replica ADD COLUMN ordered_month INTEGER NOT NULL DEFAULT 0;
