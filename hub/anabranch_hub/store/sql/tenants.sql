
-- name: tenants
-- All tenants, by name.
SELECT name, (extract(epoch FROM created_at) * 1000)::bigint AS created_ms FROM {hub}.tenants ORDER BY name

-- name: position
-- Where a tenant stands.
SELECT epoch, hub_seq FROM {tenant}.tenant_state
