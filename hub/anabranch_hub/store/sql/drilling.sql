-- name: see_one_moment
-- A transaction that writes, but sees what others wrote before its first statement only.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ

-- name: copy_log
-- The log and the tables that it speaks of, in a schema that no tenant can have; it is rolled back.
CREATE SCHEMA "tenant_-drill";
CREATE TABLE "tenant_-drill".tenant_state AS TABLE {tenant}.tenant_state;
CREATE TABLE "tenant_-drill".audit_leaves AS TABLE {tenant}.audit_leaves;
CREATE TABLE "tenant_-drill".audit_openings AS TABLE {tenant}.audit_openings;
CREATE TABLE "tenant_-drill".audit_checkpoints AS TABLE {tenant}.audit_checkpoints;
CREATE TABLE "tenant_-drill".changes AS TABLE {tenant}.changes;
CREATE TABLE "tenant_-drill".versions AS
    SELECT hub_seq, document_id, version, digest_before, digest_after FROM {tenant}.versions;
CREATE TABLE "tenant_-drill".merges AS
    SELECT id, hub_seq, document_id, path, kind, policy, policy_version, candidates FROM {tenant}.merges;
CREATE INDEX ON "tenant_-drill".audit_leaves (leaf);
CREATE INDEX ON "tenant_-drill".audit_openings (leaf);
CREATE INDEX ON "tenant_-drill".changes (hub_seq);
CREATE INDEX ON "tenant_-drill".versions (hub_seq);
CREATE INDEX ON "tenant_-drill".merges (hub_seq)

-- name: before_tampering
-- Up to here everything is undone.
SAVEPOINT tampering

-- name: undo_tampering
-- The copy as it was.
ROLLBACK TO SAVEPOINT tampering

-- name: tamper_event
-- Write another event into a leaf.
UPDATE {tenant}.audit_leaves SET event = %(event)b WHERE leaf = %(leaf)s

-- name: tamper_delete
-- Take leaves out.
DELETE FROM {tenant}.audit_leaves WHERE leaf BETWEEN %(first)s AND %(last)s

-- name: tamper_swap
-- Change the places of two leaves.
UPDATE {tenant}.audit_leaves SET leaf = %(one)s + %(other)s - leaf WHERE leaf IN (%(one)s, %(other)s)

-- name: tamper_insert
-- Put the copy of a leaf before it.
WITH moved AS (
    UPDATE {tenant}.audit_leaves SET leaf = leaf + 1 WHERE leaf >= %(leaf)s
)
INSERT INTO {tenant}.audit_leaves SELECT * FROM {tenant}.audit_leaves WHERE leaf = %(leaf)s

-- name: tamper_append
-- Put the copy of a leaf behind the last.
INSERT INTO {tenant}.audit_leaves (leaf, month, hub_seq, event, hashes)
SELECT %(behind)s, month, hub_seq, event, hashes FROM {tenant}.audit_leaves WHERE leaf = %(leaf)s

-- name: tamper_hashes
-- Write other hashes beside the leaves.
UPDATE {tenant}.audit_leaves l SET hashes = new.hashes
FROM unnest(%(leaf)s::bigint[], %(hashes)b::bytea[]) AS new (leaf, hashes) WHERE l.leaf = new.leaf

-- name: tamper_end
-- Write another end of the log.
UPDATE {tenant}.tenant_state SET log_size = %(log_size)s, log_frontier = %(log_frontier)b

-- name: tamper_checkpoints
-- Leave one checkpoint, of another tree.
WITH others AS (
    DELETE FROM {tenant}.audit_checkpoints WHERE size <> %(size)s
)
UPDATE {tenant}.audit_checkpoints SET root = %(root)b, note = %(note)s WHERE size = %(size)s

-- name: tamper_forget
-- Take checkpoints out.
DELETE FROM {tenant}.audit_checkpoints WHERE size > %(size)s

-- name: tamper_position
-- Let the tenant stand where it stood before.
UPDATE {tenant}.tenant_state SET hub_seq = %(hub_seq)s, ledger = %(ledger)s

-- name: tamper_opening
-- Keep another value behind a commitment.
UPDATE {tenant}.audit_openings SET value = '"another"' WHERE leaf = %(leaf)s

-- name: tamper_change
-- Let another have written a change.
UPDATE {tenant}.changes SET author = author || '?' WHERE hub_seq = %(hub_seq)s

-- name: tamper_body
-- Let a change have written something else.
UPDATE {tenant}.changes SET body = body || '\x00' WHERE hub_seq = %(hub_seq)s

-- name: tamper_digest
-- Let a change have made another version.
UPDATE {tenant}.versions SET digest_after = '\x00' WHERE hub_seq = %(hub_seq)s

-- name: tamper_merge
-- Let another rule have decided a conflict.
UPDATE {tenant}.merges SET policy = policy || '?' WHERE id = %(id)s
