-- name: end_epoch
-- The present epoch has ended: behind this position it is not known here.
INSERT INTO {tenant}.epochs (epoch, known, ended_by) VALUES (%(epoch)s, %(known)s, %(author)s)

-- name: begin_epoch
-- The epoch after it, greater than any before and than any that a later backup may have had.
UPDATE {tenant}.tenant_state SET epoch = greatest(epoch + 1, %(now_s)s) RETURNING epoch

-- name: drop_all_spools
-- Pulls on their way: they are of the epoch that ended.
DELETE FROM {tenant}.spool

-- name: position_of_leaf
-- Where the tenant stood when a leaf of the log was written.
SELECT hub_seq FROM {tenant}.audit_leaves WHERE leaf = %(leaf)s

-- name: lately_restored
-- Whether another epoch may have begun while a hub process did not hear of it, as of `lately_rescoped`.
SELECT EXISTS (SELECT FROM {tenant}.epochs WHERE ended_at > now() - interval '1 hour') AS restored
