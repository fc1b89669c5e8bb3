-- The hub's transparency log as far as it was seen here: at most one row.
CREATE TABLE log (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    public_key BLOB NOT NULL,           -- pinned when the first checkpoint was seen
    checkpoint BLOB NOT NULL,           -- the newest one, packed; its signature is its checksum
    pinned_ms INTEGER NOT NULL,
    seen_ms INTEGER NOT NULL,
    hub_seq INTEGER NOT NULL            -- the hub's position when it showed it
);

-- Logs that were refused, with what was shown: two signed checkpoints that do not fit are the proof.
CREATE TABLE log_refusals (
    id INTEGER PRIMARY KEY,
    reason TEXT NOT NULL,
    checkpoint BLOB NOT NULL,           -- as it came
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    times INTEGER NOT NULL,
    UNIQUE (reason, checkpoint)
);
