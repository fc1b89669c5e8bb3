-- Bytes that many of the confirmed documents look like: those whose bodies are packed behind it take half of what
-- they take by themselves. At most one row. Their checksums cover it.
CREATE TABLE dictionary (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    body BLOB NOT NULL                  -- sealed: some of them, as they are encoded
);
