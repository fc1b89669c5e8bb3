-- name: parcel
-- The last courier file of an edge.
SELECT export, made_ms, hello, lease FROM {tenant}.parcels WHERE edge = %(edge)s

-- name: put_parcel
-- Remember a courier file in place of the one before.
INSERT INTO {tenant}.parcels (edge, export, made_ms, hello, lease)
VALUES (%(edge)s, %(export)b, %(made_ms)s, %(hello)b, %(lease)s)
ON CONFLICT (edge) DO UPDATE SET
    export = excluded.export, made_ms = excluded.made_ms, hello = excluded.hello, lease = excluded.lease
