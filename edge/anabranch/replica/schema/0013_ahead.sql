-- Urgent documents that overtook a pull: what readers see of them instead of what is confirmed, until an
-- applied pull comes as far.
CREATE TABLE ahead (
    document INTEGER PRIMARY KEY,
    upto_epoch INTEGER NOT NULL,        -- the position at which the body is what the hub had
    upto_hub_seq INTEGER NOT NULL,
    checksum BLOB NOT NULL,
    body BLOB NOT NULL
);
