"""Tables come from numbered files, applied in order, each once, by whichever hub process is first.

`migrations/` makes the hub's own schema, `migrations/tenant/` the schema of each tenant. Which were
applied stands in `anabranch.migrations`; a hub refuses tables of a newer release. Files that were
released are never changed, only added to.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from anabranch_sync.ids import check_tenant
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from anabranch_hub.errors import SchemaNewer, TenantExists
from anabranch_hub.store.pool import connection_settings, translated
from anabranch_hub.store.queries import HUB_SCHEMA, tenant_schema

# Whoever holds this advisory lock migrates; the number is "anabranc" in ASCII, to meet no other use.
MIGRATION_LOCK = int.from_bytes(b"anabranc", "big")
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

    Each schema is migrated whole or not at all. Raises SchemaNewer, StoreUnavailable.
    """
    with translated():
        async with await AsyncConnection.connect(dsn, **connection_settings()) as connection:
            await connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
            await _prepare(connection)
            await _migrate_schema(connection, HUB_SCHEMA, migrations.hub)
            rows = await connection.execute(
                sql.SQL("SELECT name FROM {}.tenants ORDER BY name").format(sql.Identifier(HUB_SCHEMA))
            )
            for row in await rows.fetchall():
                await _migrate_schema(connection, tenant_schema(row["name"]), migrations.tenant)


async def create_tenant(dsn: str, tenant: str, migrations: Migrations) -> None:
    """Make a tenant's schema, whole or not at all.

    Raises InvalidName, TenantExists, StoreUnavailable.
    """
    check_tenant(tenant)
    with translated():
        async with await AsyncConnection.connect(dsn, **connection_settings()) as connection:
            await connection.execute("SELECT pg_advisory_lock(%s)", (MIGRATION_LOCK,))
            async with connection.transaction():
                added = await connection.execute(
                    sql.SQL("INSERT INTO {}.tenants (name) VALUES (%s) ON CONFLICT DO NOTHING").format(
                        sql.Identifier(HUB_SCHEMA)
                    ),
                    (tenant,),
                )
                if not added.rowcount:
                    raise TenantExists(tenant)
                await _migrate_schema(connection, tenant_schema(tenant), migrations.tenant)


async def _prepare(connection: AsyncConnection[DictRow]) -> None:
    """Make the table of applied steps."""
    async with connection.transaction():
        await connection.execute(_in_schema("CREATE SCHEMA IF NOT EXISTS {}", HUB_SCHEMA))
        await connection.execute(
            _in_schema(
                "CREATE TABLE IF NOT EXISTS {}.migrations (schema text, number int, name text NOT NULL,"
                " applied_at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (schema, number))",
                HUB_SCHEMA,
            )
        )


async def _migrate_schema(
    connection: AsyncConnection[DictRow], schema: str, steps: Sequence[Migration]
) -> None:
    rows = await connection.execute(
        _in_schema(
            "SELECT coalesce(max(number), 0) AS last FROM {}.migrations WHERE schema = %s", HUB_SCHEMA
        ),
        (schema,),
    )
    row = await rows.fetchone()
    last = int(row["last"] or 0) if row else 0
    supported = steps[-1].number if steps else 0
    if last > supported:
        raise SchemaNewer(schema, found=last, supported=supported)
    async with connection.transaction():
        await connection.execute(_in_schema("CREATE SCHEMA IF NOT EXISTS {}", schema))
        for step in steps:
            if step.number > last:
                # Files name their tables plainly and find their schema by this path alone.
                await connection.execute(_in_schema("SET LOCAL search_path TO {}", schema))
                await connection.execute(step.text.encode())
                await connection.execute(
                    _in_schema(
                        "INSERT INTO {}.migrations (schema, number, name) VALUES (%s, %s, %s)", HUB_SCHEMA
                    ),
                    (schema, step.number, step.name),
                )


def _in_schema(text: str, schema: str) -> sql.Composed:
    return sql.SQL(text).format(sql.Identifier(schema))


def _steps(folder: Traversable) -> tuple[Migration, ...]:
    steps = sorted(
        (Migration(int(match[1]), file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")))
        for file in folder.iterdir()
        if (match := _FILE.fullmatch(file.name))
    )
    assert [step.number for step in steps] == list(range(1, len(steps) + 1)), (
        "migrations are numbered 1, 2, 3..."
    )
    return tuple(steps)
