-- How pressing each own change is (0 urgent to 3), as its author said or its documents' schemas did when it was
-- written, and how this edge keeps in touch: each poll_ms instead of always, and whether bytes cost something.
ALTER TABLE outbox ADD COLUMN priority INTEGER NOT NULL DEFAULT 1;
ALTER TABLE replica ADD COLUMN poll_ms INTEGER NOT NULL DEFAULT 0;
ALTER TABLE replica ADD COLUMN metered INTEGER NOT NULL DEFAULT 0;
