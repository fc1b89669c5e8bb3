"""A ledger made of rows, without the changes that would lead to them: for searching in many."""

import psycopg
from psycopg import sql

# Position 0 stands in for all changes; decided one second after the other from 2023-11-14T22:13:20Z on.
FIRST_DECIDED_MS = 1_700_000_001_000

_ROWS = """
INSERT INTO merges (id, hub_seq, document_id, path, kind, policy, policy_version, candidates, actors, waiting,
    decided_at, reviewed_by, reviewed_at)
SELECT n, n, 'acme/' || (ARRAY['prod', 'dev', 'staging'])[1 + n % 3] || '/service-' || n % 200 || '/config',
    path, CASE WHEN n % 1000 = 0 THEN 'prefix' WHEN n % 10 = 0 THEN 'delete/update' ELSE 'value' END,
    CASE WHEN n % 500 = 0 THEN 'manual' ELSE (ARRAY['latest', 'min', 'union:id'])[1 + n % 3] END, 'router@4',
    json_build_array(
        json_build_object('path', path, 'element', NULL, 'value', n, 'writes', json_build_array(
            json_build_object('hub_seq', n, 'timestamp', n, 'incarnation', 1, 'local_seq', n, 'base_epoch', 1,
                'base_seq', 0, 'author', 'author-' || n % 40, 'edge', 'shop-' || n % 300, 'skew_ms', 0))),
        json_build_object('path', path, 'element', NULL, 'value', -n, 'writes', json_build_array(
            json_build_object('hub_seq', n, 'timestamp', n, 'incarnation', 0, 'local_seq', n, 'base_epoch', 1,
                'base_seq', 0, 'author', 'olga', 'edge', '', 'skew_ms', 0)))),
    ARRAY[1, 0], n % 500 = 0, to_timestamp(1700000000 + n),
    CASE WHEN n % 20 <> 0 THEN 'olga' END, CASE WHEN n % 20 <> 0 THEN to_timestamp(1800000000) END
FROM generate_series(1, {count}) AS n,
    LATERAL (SELECT json_build_array('limits', 'field-' || n % 50)) AS place (path)
"""


def generate(dsn: str, tenant: str, count: int) -> None:
    """Fill the ledger of a fresh tenant with rows 1 to `count`, and let Postgres know what they look like."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("SET search_path TO {}").format(sql.Identifier(f"tenant_{tenant}")))
        connection.execute(sql.SQL(_ROWS).format(count=sql.Literal(count)))
        connection.execute("VACUUM ANALYZE merges")
