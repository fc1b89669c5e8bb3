-- When and where the documents here were last proved equal to the hub's: by its clock, at its position.
ALTER TABLE replica ADD COLUMN proved_ms INTEGER;
ALTER TABLE replica ADD COLUMN proved_hub_seq INTEGER;

-- Where they were not, and what was done about it.
CREATE TABLE incidents (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    kind TEXT NOT NULL,
    remedy TEXT NOT NULL,
    hub_seq INTEGER NOT NULL,
    count INTEGER NOT NULL,
    documents TEXT NOT NULL             -- addresses of some, as a JSON list
);

-- Documents of which some read met bytes that are not those that were written, until the hub has sent them.
CREATE TABLE damaged (
    document INTEGER PRIMARY KEY
);
