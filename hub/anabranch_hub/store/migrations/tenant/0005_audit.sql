-- The transparency log: a Merkle tree over everything that was done, written in the transaction that did it.

-- One row for each leaf. Partitions are months, added when the first leaf of one is written; they are made
-- beside the table and then attached, which waits for no reader.
CREATE TABLE audit_leaves (
    leaf bigint NOT NULL,
    -- The month it was written in; never one before that of an earlier leaf, whatever the clock says.
    month date NOT NULL,
    -- Where the tenant stood: a decided change is found by it.
    hub_seq bigint NOT NULL,
    -- The event as it was hashed, byte for byte.
    event bytea NOT NULL,
    -- The hash of the leaf, then of each larger complete subtree that it is the last leaf of. Together these
    -- are every inner node a proof can need, without a table and an index of their own.
    hashes bytea NOT NULL,
    PRIMARY KEY (leaf, month)
) PARTITION BY RANGE (month);
CREATE INDEX audit_leaves_by_position ON audit_leaves (hub_seq);

-- What the leaves commit to. Deleting a row erases a value; the tree stays as it is.
CREATE TABLE audit_openings (
    leaf bigint NOT NULL,
    commitment bytea NOT NULL,
    salt bytea NOT NULL,
    value json NOT NULL,
    PRIMARY KEY (leaf, commitment)
);

-- What was signed, and the key that signed it. Losing rows loses no proof: each later checkpoint covers the
-- earlier ones.
CREATE TABLE audit_checkpoints (
    size bigint PRIMARY KEY,
    root bytea NOT NULL,
    key text NOT NULL,
    note text NOT NULL,
    signed_at timestamptz NOT NULL DEFAULT now()
);

-- The right edge of the tree, under the tenant's lock like everything that decides.
ALTER TABLE tenant_state
    ADD COLUMN log_size bigint NOT NULL DEFAULT 0,
    ADD COLUMN log_frontier bytea NOT NULL DEFAULT '',
    -- The last month that has its partition. One that was dropped is not made again: writing fails.
    ADD COLUMN log_month date NOT NULL DEFAULT '0001-01-01';

CREATE FUNCTION add_audit_month(month date) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    name text := 'audit_leaves_' || to_char(month, 'YYYY_MM');
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE audit_leaves INCLUDING ALL)', name);
    EXECUTE format(
        'ALTER TABLE audit_leaves ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)',
        name, month, month + interval '1 month'
    );
END
$$;
