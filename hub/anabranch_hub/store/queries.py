"""The statements of `sql/`, by name, for one tenant's schema.

Names of tenants reach a statement only here, as quoted identifiers; values are always parameters.
"""

import re
from functools import lru_cache
from importlib.resources import files

from psycopg import sql

HUB_SCHEMA = "anabranch"
_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)
# What stands in several statements, under its name in braces.
_PARTS = ("in_scope", "counting", "to_be_told")
# Statements that are kept composed: the 60 there are, for some seventy tenants that are busy at once.
_COMPOSED_MAX = 4_096


def tenant_schema(tenant: str) -> str:
    """The schema that holds a tenant's tables."""
    return f"tenant_{tenant}"


@lru_cache(maxsize=_COMPOSED_MAX)
def statement(name: str, tenant: str, conditions: tuple[str, ...] = ()) -> bytes:
    """The named statement over the tables of `tenant`, as bytes for psycopg.

    `conditions` are named too, and stand where the statement says so. Only those that are asked for:
    a plan for all of them at once would use the index of none.
    """
    text = _statements()[name]
    for part in _PARTS:
        text = text.replace(f"{{{part}}}", _statements()[part])
    if "{conditions}" in text:
        text = text.replace("{conditions}", " ".join(_statements()[each] for each in conditions))
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
