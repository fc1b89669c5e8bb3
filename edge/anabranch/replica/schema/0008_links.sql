-- What the link has carried, and what it may.

CREATE TABLE traffic (
    day TEXT PRIMARY KEY,               -- of UTC, as 2026-11-29
    bytes_up INTEGER NOT NULL,
    bytes_down INTEGER NOT NULL
) WITHOUT ROWID;

-- Bytes both ways together; 0: without limit.
ALTER TABLE replica ADD COLUMN budget_day INTEGER NOT NULL DEFAULT 0;
ALTER TABLE replica ADD COLUMN budget_month INTEGER NOT NULL DEFAULT 0;
