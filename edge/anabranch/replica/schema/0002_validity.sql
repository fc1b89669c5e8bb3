-- Which content readers see: 'head' is what is confirmed with the outbox merged into it, 'live' the hub's last
-- valid one, 'confirmed' the one without the outbox. All else in the row but `live` is of the head.
ALTER TABLE documents ADD COLUMN served TEXT NOT NULL DEFAULT 'head';

-- Documents whose head the hub keeps in quarantine: what is live of them, since which version, and why.
CREATE TABLE quarantined (
    document INTEGER PRIMARY KEY,
    checksum BLOB NOT NULL,
    body BLOB NOT NULL
);
