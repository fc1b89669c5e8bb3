"""The statements of `sql/`, by name, for one tenant's schema.

Names of tenants reach a statement only here, as quoted identifiers; values are always parameters.
"""

import re
from functools import lru_cache
from importlib.resources import files

from psycopg import sql

HUB_SCHEMA = "anabranch"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
# Statements that are kept composed: the 40 there are, for a hundred tenants that are busy at once.
_COMPOSED_MAX = 4_096


def tenant_schema(tenant: str) -> str:
    """The schema that holds a tenant's tables."""
    return f"tenant_{tenant}"


@lru_cache(maxsize=_COMPOSED_MAX)
def statement(name: str, tenant: str) -> bytes:
    """The named statement over the tables of `tenant`, as bytes for psycopg."""
    text = _statements()[name]
    composed = sql.SQL(text).format(
        tenant=sql.Identifier(tenant_schema(tenant)), hub=sql.Identifier(HUB_SCHEMA)
    )
    return composed.as_string(None).encode()


@lru_cache(maxsize=1)
def _statements() -> dict[str, str]:
    found: dict[str, str] = {}
    for file in files(__package__).joinpath("sql").iterdir():
        _, *parts = _NAME.split(file.read_text(encoding="utf-8"))
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            assert name not in found, f"two statements are named {name}"
            found[name] = text.strip()
    return found
