-- Invitations of operators, apart from those of edges: neither token is ever good for the other.

CREATE TABLE operator_invitations (
    token_hash bytea PRIMARY KEY,
    tenant text COLLATE "C" NOT NULL REFERENCES tenants ON DELETE CASCADE,
    operator text COLLATE "C" NOT NULL,
    -- How long the certificate is to be good.
    lasts_s bigint NOT NULL,
    expires_ms bigint NOT NULL,
    invited_by text NOT NULL,
    invited_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz,
    -- The hash of the key that used it, which may ask again: its answer may have been lost.
    used_by bytea
);
CREATE INDEX invitations_of_operator ON operator_invitations (tenant, operator);
