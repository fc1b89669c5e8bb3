-- name: add_operator_invitation
-- Keep a token's hash and whom it lets in.
INSERT INTO {hub}.operator_invitations (token_hash, tenant, operator, lasts_s, expires_ms, invited_by)
VALUES (%(token_hash)b, %(tenant)s, %(operator)s, %(lasts_s)s, %(expires_ms)s, %(invited_by)s)

-- name: add_operator
-- Make an invited operator known; one that is known stays as it is.
INSERT INTO {tenant}.operators (name, status, invited_by) VALUES (%(operator)s, 'invited', %(invited_by)s)
ON CONFLICT DO NOTHING

-- name: operator_invitation
-- Whom a token lets in, and whether it still does.
SELECT tenant, operator, lasts_s, expires_ms,
    used_at IS NOT NULL AND used_by IS DISTINCT FROM %(key_hash)b AS used
FROM {hub}.operator_invitations WHERE token_hash = %(token_hash)b

-- name: use_operator_invitation
-- Use a token up, for one key; no row where that was not possible.
UPDATE {hub}.operator_invitations SET used_at = coalesce(used_at, now()), used_by = %(key_hash)b
WHERE token_hash = %(token_hash)b AND expires_ms > %(now_ms)s
    AND (used_at IS NULL OR used_by = %(key_hash)b)
RETURNING tenant, operator

-- name: void_operator_invitations
-- Tokens of a revoked operator that nobody used.
DELETE FROM {hub}.operator_invitations
WHERE tenant = %(tenant)s AND operator = %(operator)s AND used_at IS NULL

-- name: certify_operator
-- Record the only certificate an operator now has; no row where it is unknown or revoked.
UPDATE {tenant}.operators
SET status = 'enrolled', certificate_serial = %(serial)s, not_after_ms = %(not_after_ms)s
WHERE name = %(operator)s AND status <> 'revoked'
RETURNING name

-- name: revoke_operator
-- Shut an operator out for good; no row where it is unknown.
UPDATE {tenant}.operators SET status = 'revoked', revoked_at = coalesce(revoked_at, now())
WHERE name = %(operator)s RETURNING name

-- name: operators
-- Operators by name; one of them, or all where no name is given.
SELECT name, status, certificate_serial, not_after_ms, invited_by FROM {tenant}.operators
WHERE %(operator)s::text IS NULL OR name = %(operator)s::text
ORDER BY name
