-- What belongs to no single tenant: their names, and the invitations that are redeemed by token alone.

CREATE TABLE tenants (
    name text COLLATE "C" PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- A token is kept as its hash only; `used_at` makes it single use. `used_by` is the hash of the key that used
-- it: the same key may ask again, for its answer may have been lost.
CREATE TABLE invitations (
    token_hash bytea PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    edge text COLLATE "C" NOT NULL,
    prefixes text[] NOT NULL,
    expires_ms bigint NOT NULL,
    invited_by text NOT NULL,
    invited_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz,
    used_by bytea
);
CREATE INDEX invitations_of_edge ON invitations (tenant, edge);
