-- Everything of one tenant, in a schema of its own.

-- One row. Its lock is the tenant's lock: whoever decides holds it, so `hub_seq` has no gaps and is
-- the order of commits.
CREATE TABLE tenant_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    -- Seconds since 1970 at creation: no later hub of the same name repeats it.
    epoch bigint NOT NULL,
    hub_seq bigint NOT NULL DEFAULT 0,
    -- The last ledger row, so that ledger ids have no gaps either.
    ledger bigint NOT NULL DEFAULT 0,
    -- The greatest timestamp decided so far: the hub's own changes come after it.
    timestamp bigint NOT NULL DEFAULT 0,
    -- Where a schema document last changed: cached policies of another position are stale.
    schemas_seq bigint NOT NULL DEFAULT 0
);

-- `id` is "namespace/key"; C collation makes its order that of the code points, as in the core.
CREATE TABLE documents (
    id text COLLATE "C" PRIMARY KEY,
    namespace text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    hub_seq bigint NOT NULL,
    -- NULL: deleted, of which the tombstones in `state` remain.
    digest bytea,
    state bytea NOT NULL,
    -- json, not jsonb: jsonb refuses the character U+0000, which values may hold.
    content json
);
CREATE INDEX documents_by_position ON documents (hub_seq);

CREATE TABLE versions (
    document_id text COLLATE "C" NOT NULL,
    version bigint NOT NULL,
    hub_seq bigint NOT NULL,
    digest_before bytea,
    digest_after bytea,
    patch json NOT NULL,
    inverse json NOT NULL,
    PRIMARY KEY (document_id, version)
);
CREATE INDEX versions_by_position ON versions (hub_seq);

CREATE TABLE changes (
    hub_seq bigint PRIMARY KEY,
    incarnation bigint NOT NULL,
    local_seq bigint NOT NULL,
    content_id bytea NOT NULL,
    -- The incarnation's chain up to here: a push that repeats or contradicts it is recognised.
    chain bytea NOT NULL,
    body bytea NOT NULL,
    author text NOT NULL,
    message text NOT NULL,
    base_epoch bigint NOT NULL,
    base_seq bigint NOT NULL,
    timestamp bigint NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    skew_ms bigint NOT NULL,
    outcome text NOT NULL,
    reason text NOT NULL,
    -- The ledger row whose losing value it brought back; 0: none.
    restores bigint NOT NULL,
    -- Who vouched for the author; empty for the hub's own.
    edge text NOT NULL,
    UNIQUE (incarnation, local_seq)
);
-- The same bytes are merged once, under whatever dot they come.
CREATE UNIQUE INDEX changes_merged_once ON changes (content_id) WHERE outcome = 'merged';

-- The merge ledger: one row for each concurrent write that was decided. The winner is candidate 0.
CREATE TABLE merges (
    id bigint PRIMARY KEY,
    hub_seq bigint NOT NULL,
    document_id text COLLATE "C" NOT NULL,
    path json NOT NULL,
    element bytea,
    kind text NOT NULL,
    policy text NOT NULL,
    policy_version text NOT NULL,
    candidates json NOT NULL,
    -- Every incarnation that wrote one of the candidates: whom a pull must tell.
    actors bigint[] NOT NULL,
    waiting boolean NOT NULL,
    reviewed_by text,
    reviewed_at timestamptz,
    -- The change that restored a losing value, when that was the review.
    reviewed_seq bigint
);
CREATE INDEX merges_by_position ON merges (hub_seq);
CREATE INDEX merges_of_document ON merges (document_id, id);
CREATE INDEX merges_waiting ON merges (id) WHERE waiting;

CREATE TABLE edges (
    name text COLLATE "C" PRIMARY KEY,
    status text NOT NULL,
    prefixes text[] NOT NULL,
    certificate_serial text NOT NULL DEFAULT '',
    -- A renewed certificate that was not shown yet: it may never have arrived, so the one before counts too.
    next_serial text NOT NULL DEFAULT '',
    not_after_ms bigint NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    revoked_at timestamptz
);

-- Incarnations are leased from the identity, so none is given out twice; 0 is the hub's own.
CREATE TABLE replicas (
    incarnation bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    edge text COLLATE "C" REFERENCES edges,
    push_mark bigint NOT NULL DEFAULT 0,
    chain bytea NOT NULL,
    cursor_epoch bigint NOT NULL DEFAULT 0,
    cursor_seq bigint NOT NULL DEFAULT 0,
    leased_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz
);
CREATE INDEX replicas_of_edge ON replicas (edge);

-- Heads of pushes that a break cut off, in the pieces they came in: appending to one value would
-- rewrite all of it for each piece.
CREATE TABLE uploads (
    incarnation bigint NOT NULL REFERENCES replicas,
    batch bytea NOT NULL,
    starts_at bigint NOT NULL,
    total bigint NOT NULL,
    piece bytea NOT NULL,
    PRIMARY KEY (incarnation, batch, starts_at)
);

-- Pulls under way. Losing them in a crash costs bytes only, so they need no write-ahead log.
CREATE UNLOGGED TABLE spool (
    incarnation bigint PRIMARY KEY,
    batch bytea NOT NULL,
    body bytea NOT NULL
);

INSERT INTO tenant_state (epoch) VALUES (extract(epoch FROM now())::bigint);
INSERT INTO replicas (incarnation, chain) OVERRIDING SYSTEM VALUE VALUES (0, '\x0000000000000000');
