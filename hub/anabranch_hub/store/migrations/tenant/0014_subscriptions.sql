-- What an edge asks for of the scope that it was granted: it replicates what both cover.
ALTER TABLE edges ADD COLUMN subscription text[] NOT NULL DEFAULT '{*}';
