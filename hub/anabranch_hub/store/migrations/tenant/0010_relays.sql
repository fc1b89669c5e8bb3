-- The last courier file of each edge: whom the next answer is for. `hello` is its first frame, `lease` an
-- incarnation that it was given because it asked for one, or because its history was another one here.
CREATE TABLE parcels (
    edge text PRIMARY KEY,
    export bytea NOT NULL,
    made_ms bigint NOT NULL,
    hello bytea NOT NULL,
    lease bigint NOT NULL
);

-- Whether an edge may pass others on.
ALTER TABLE edges ADD COLUMN relay boolean NOT NULL DEFAULT false;
