-- Parts of a snapshot that have arrived whole, until the last one lets all of them be swapped in at once.
CREATE TABLE staged (
    name BLOB PRIMARY KEY,              -- the sha256 of the body
    body BLOB NOT NULL                  -- as it came: a sealed slice of documents
);
