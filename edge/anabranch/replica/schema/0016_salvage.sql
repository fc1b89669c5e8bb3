-- Own changes whose bytes in the outbox were not those that were written, as they were found there, until somebody
-- drops them.
CREATE TABLE damaged_changes (
    id INTEGER PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    local_seq INTEGER NOT NULL,
    merged INTEGER NOT NULL,            -- 1: the hub has it, so nothing is lost
    written_ms INTEGER,
    noted_ms INTEGER NOT NULL,
    documents TEXT NOT NULL,            -- addresses of those that it touches, as a JSON list
    body BLOB                           -- NULL: SQLite could not read it
);
