-- What restores of the hub from a backup left here.

-- The epoch in which the newest checkpoint of the hub's log was seen.
ALTER TABLE log ADD COLUMN epoch INTEGER NOT NULL DEFAULT 0;
UPDATE log SET epoch = (SELECT base_epoch FROM replica);

-- Where a log that had been seen did not go on, because the hub was restored: what was seen, as evidence.
CREATE TABLE log_breaks (
    epoch INTEGER PRIMARY KEY,          -- the one that began
    reason TEXT NOT NULL,
    seen BLOB NOT NULL,                 -- the newest checkpoint before
    shown BLOB NOT NULL,                -- the first one after
    noted_ms INTEGER NOT NULL
);

-- What was offered again to a restored hub.
CREATE TABLE reoffers (
    epoch INTEGER PRIMARY KEY,          -- the one that began
    past INTEGER NOT NULL,              -- the one that ended
    known INTEGER NOT NULL,             -- and up to where the hub knows it
    changes INTEGER NOT NULL,           -- how many were offered
    withheld TEXT NOT NULL,             -- documents of which something was not, as a JSON list of addresses
    noted_ms INTEGER NOT NULL
);

-- The incarnations under which this replica wrote in the present epoch, before the one it has.
CREATE TABLE incarnations (incarnation INTEGER PRIMARY KEY);
