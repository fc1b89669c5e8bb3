-- Scopes that edges had before: a replica that still holds one lacks only what is in the present one and was not
-- in that.
CREATE TABLE former_scopes (
    edge text NOT NULL,
    fingerprint bytea NOT NULL,
    prefixes text[] NOT NULL,
    left_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (edge, fingerprint)
);
