"""Tables come from numbered files, applied in order, each once, by whichever hub process is first.

`migrations/` makes the hub's own schema, `migrations/tenant/` the schema of each tenant. Which were
applied stands in `anabranch.migrations`; a hub refuses tables of a newer release. Files that were
released are never changed, only added to.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import TypeAlias

from anabranch_sync.ids import check_tenant
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from anabranch_hub.errors import SchemaNewer, TenantExists
from anabranch_hub.store.pool import Session, connection_settings, translated
from anabranch_hub.store.queries import HUB_SCHEMA, tenant_schema

# Whoever holds this advisory lock migrates; the number is "anabranc" in ASCII, to meet no other use.
MIGRATION_LOCK = int.from_bytes(b"anabranc", "big")
# The first transaction over a tenant's tables, within the one that makes them.
Founding: TypeAlias = Callable[[Session], Awaitable[None]]
_FILE = re.compile(r"(\d{4})_\w+\.sql")


@dataclass(frozen=True, slots=True, order=True)
class Migration:
    """One step from the tables of one release to those of the next."""

    number: int
    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Migrations:
    """The steps of the hub's schema and those of each tenant's, in order."""

    hub: Sequence[Migration]
    tenant: Sequence[Migration]


def released() -> Migrations:
    """The steps that this release knows."""
    folder = files(__package__).joinpath("migrations")
    return Migrations(_steps(folder), _steps(folder.joinpath("tenant")))


async def migrate(dsn: str, migrations: Migrations) -> None:
    """Bring every schema up to the last step; safe to repeat, and from several processes at once.

    Each schema is migrated whole or not at all, and none where one is newer. Raises SchemaNewer,
    StoreUnavailable.
    """
    async with _migrating(dsn) as connection:
        last = await _last_steps(connection)
        for schema, number in last.items():
            supported = len(migrations.hub if schema == HUB_SCHEMA else migrations.tenant)
            if number > supported:
                raise SchemaNewer(schema, found=number, supported=supported)
        async with connection.transaction():
            await _apply(connection, HUB_SCHEMA, migrations.hub[last.get(HUB_SCHEMA, 0) :])
        for schema, number in last.items():
            if schema != HUB_SCHEMA and number < len(migrations.tenant):
                async with connection.transaction():
                    await _apply(connection, schema, migrations.tenant[number:])


async def create_tenant(dsn: str, tenant: str, migrations: Migrations, found: Founding | None = None) -> None:
    """Make a tenant's schema and do what `found` does in it, whole or not at all.

    Raises InvalidName, TenantExists, StoreUnavailable.
    """
    check_tenant(tenant)
    async with _migrating(dsn) as connection, connection.transaction():
        added = await connection.execute(
            _with("INSERT INTO {}.tenants (name) VALUES (%s) ON CONFLICT DO NOTHING", HUB_SCHEMA), (tenant,)
        )
        if not added.rowcount:
            raise TenantExists(tenant)
        await _apply(connection, tenant_schema(tenant), migrations.tenant)
        if found is not None:
            await found(Session(connection, tenant))


@asynccontextmanager
async def _migrating(dsn: str) -> AsyncIterator[AsyncConnection[DictRow]]:
    """A connection that holds the lock of whoever migrates, until it is closed."""
    with translated():
        async with await AsyncConnection.connect(dsn, **connection_settings()) as connection:
            await connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
            yield connection


async def _last_steps(connection: AsyncConnection[DictRow]) -> dict[str, int]:
    """The last step applied to each schema, from a table that is made where it is missing."""
    table = (
        "CREATE TABLE IF NOT EXISTS {}.migrations (schema text, number int, name text NOT NULL,"
        " applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (schema, number))"
    )
    async with connection.transaction():
        await connection.execute(_with("CREATE SCHEMA IF NOT EXISTS {}", HUB_SCHEMA))
        await connection.execute(_with(table, HUB_SCHEMA))
    rows = await connection.execute(
        _with("SELECT schema, max(number) AS last FROM {}.migrations GROUP BY schema", HUB_SCHEMA)
    )
    return {row["schema"]: row["last"] for row in await rows.fetchall()}


async def _apply(connection: AsyncConnection[DictRow], schema: str, steps: Sequence[Migration]) -> None:
    """Apply these steps within the transaction that is open."""
    await connection.execute(_with("CREATE SCHEMA IF NOT EXISTS {}", schema))
    # Files name their tables plainly and find their schema by this path alone.
    await connection.execute(_with("SET LOCAL search_path TO {}", schema))
    for step in steps:
        await connection.execute(step.text.encode())
        await connection.execute(
            _with("INSERT INTO {}.migrations (schema, number, name) VALUES (%s, %s, %s)", HUB_SCHEMA),
            (schema, step.number, step.name),
        )


def _with(text: str, schema: str) -> sql.Composed:
    return sql.SQL(text).format(sql.Identifier(schema))


def _steps(folder: Traversable) -> tuple[Migration, ...]:
    steps = sorted(
        (Migration(int(match[1]), file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")))
        for file in folder.iterdir()
        if (match := _FILE.fullmatch(file.name))
    )
    numbers = [step.number for step in steps]
    assert numbers == list(range(1, len(steps) + 1)), f"migrations are numbered 1, 2, 3..., not {numbers}"
    return tuple(steps)
