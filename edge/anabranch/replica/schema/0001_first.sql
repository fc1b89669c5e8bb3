-- One row: who this replica is and where it stands.
CREATE TABLE replica (
    only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
    tenant TEXT NOT NULL,
    edge TEXT NOT NULL,
    author TEXT NOT NULL,
    prefixes TEXT NOT NULL,             -- of the scope, as a JSON list
    incarnation INTEGER NOT NULL,
    cursor_epoch INTEGER NOT NULL,      -- where the next pull starts
    cursor_hub_seq INTEGER NOT NULL,
    base_epoch INTEGER NOT NULL,        -- what authors here have seen; a reset cursor leaves it alone
    base_hub_seq INTEGER NOT NULL,
    push_mark INTEGER NOT NULL,         -- the last own change that the hub acknowledged
    push_chain BLOB NOT NULL,           -- and the chain up to it
    last_local INTEGER NOT NULL,        -- the last own change written here
    last_chain BLOB NOT NULL,
    last_timestamp INTEGER NOT NULL,
    digest_count INTEGER NOT NULL,      -- of the confirmed documents
    digest_sum BLOB NOT NULL,
    revision INTEGER NOT NULL,          -- grows with every transaction that changes what readers see
    link TEXT,                          -- the agent's last word on it: up, down, denied
    heard_ms INTEGER,                   -- when the hub was last known to have nothing newer
    applied_ms INTEGER,                 -- when a pull was last applied
    clock_offset_ms INTEGER             -- the hub's clock minus ours
);

-- What readers see of each document, in short. Rows stay when documents are deleted.
CREATE TABLE documents (
    document INTEGER PRIMARY KEY,
    namespace TEXT NOT NULL,
    key TEXT NOT NULL,
    revision INTEGER NOT NULL,          -- replica.revision when anything here last changed
    content_revision INTEGER NOT NULL,  -- and when its content did
    version INTEGER NOT NULL,
    pending INTEGER NOT NULL,           -- changes in the outbox that touch it
    live INTEGER NOT NULL,              -- 0: deleted
    UNIQUE (namespace, key)
);
CREATE INDEX documents_by_revision ON documents (revision);

-- What the hub has confirmed. The checksum covers address, digest and body: bits rot.
CREATE TABLE confirmed (
    document INTEGER PRIMARY KEY,
    digest BLOB NOT NULL,
    checksum BLOB NOT NULL,
    body BLOB NOT NULL                  -- sealed columns.encode_document
);

-- What readers see where the outbox has something to add to what is confirmed, so that they need not
-- merge a long outbox again. Changes after `upto` are still to be merged into it.
CREATE TABLE visible (
    document INTEGER PRIMARY KEY,
    upto INTEGER NOT NULL,              -- the local_seq of the last change in it
    checksum BLOB NOT NULL,
    body BLOB NOT NULL                  -- columns.encode_document, not compressed: it lives shortly
);

-- Own changes until a pull names their position. chain = chained(chain before, body).
CREATE TABLE outbox (
    local_seq INTEGER PRIMARY KEY,
    written_ms INTEGER NOT NULL,
    chain BLOB NOT NULL,
    checksum BLOB NOT NULL,
    body BLOB NOT NULL
);
CREATE TABLE outbox_documents (           -- which documents each touches
    document INTEGER NOT NULL,
    local_seq INTEGER NOT NULL,
    PRIMARY KEY (document, local_seq)
) WITHOUT ROWID;

-- The durable head of one inbound batch.
CREATE TABLE parts (
    offset INTEGER PRIMARY KEY,
    batch BLOB NOT NULL,
    total INTEGER NOT NULL,
    piece BLOB NOT NULL
);

-- Own changes that the hub refused, kept whole until somebody looks at them.
CREATE TABLE refused (
    id INTEGER PRIMARY KEY,
    incarnation INTEGER NOT NULL,
    local_seq INTEGER NOT NULL,
    reason TEXT NOT NULL,
    decided_ms INTEGER NOT NULL,
    body BLOB NOT NULL
);

-- Rows of the hub's ledger in which one of the candidates is ours.
CREATE TABLE notices (
    ledger INTEGER PRIMARY KEY,
    body BLOB NOT NULL
);

-- What became of documents here: own changes decided, versions received.
CREATE TABLE history (
    id INTEGER PRIMARY KEY,
    document INTEGER NOT NULL,
    version INTEGER,
    hub_seq INTEGER,
    incarnation INTEGER NOT NULL,
    local_seq INTEGER,
    wall_ms INTEGER NOT NULL,
    author TEXT NOT NULL,
    message TEXT NOT NULL,
    outcome TEXT NOT NULL
);
CREATE INDEX history_by_document ON history (document);
