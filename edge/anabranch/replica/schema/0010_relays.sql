-- Courier files made here, the newest ones: an answer to any other was meant for another copy of this replica.
CREATE TABLE exports (
    number INTEGER PRIMARY KEY,
    export BLOB NOT NULL,
    made_ms INTEGER NOT NULL
);
-- Incarnations under which this replica must not go on: the next courier file asks for another.
CREATE TABLE renewals (incarnation INTEGER PRIMARY KEY);
