"""Tables are brought up step by step, once, whoever comes first; those of a newer release are left alone."""

import asyncio

import psycopg
import pytest
from anabranch_hub.errors import SchemaNewer
from anabranch_hub.store import Edit, Store
from anabranch_hub.store.migrations import Migration, Migrations, create_tenant, migrate, released
from anabranch_sync.ids import document_id

pytestmark = pytest.mark.anyio

RELEASED = released()
ROUTER = document_id("acme/prod/router")


def _next(migrations: Migrations) -> Migrations:
    """What a later release may bring."""
    hub = Migration(len(migrations.hub) + 1, "9999_more", "ALTER TABLE tenants ADD COLUMN note text")
    tenant = Migration(
        len(migrations.tenant) + 1,
        "9999_more",
        "ALTER TABLE documents ADD COLUMN note text; CREATE INDEX by_note ON documents (note);",
    )
    return Migrations([*migrations.hub, hub], [*migrations.tenant, tenant])


def _described(dsn: str, schema: str) -> list[tuple[object, ...]]:
    """Tables, columns, constraints and indexes of a schema, its own name left out."""
    with psycopg.connect(dsn) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = %s ORDER BY table_name, column_name",
            (schema,),
        ).fetchall()
        indexes = connection.execute(
            "SELECT tablename, indexname, replace(indexdef, quote_ident(schemaname) || '.', '')"
            " FROM pg_indexes WHERE schemaname = %s ORDER BY indexname",
            (schema,),
        ).fetchall()
        constraints = connection.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = %s::regnamespace ORDER BY conname",
            (f'"{schema}"',),
        ).fetchall()
        # Both name the schema in front of the tables they refer to.
        named = [tuple(str(cell).replace(schema, "S") for cell in row) for row in constraints]
        return [*columns, *indexes, *named]


async def test_the_tables_of_a_new_tenant_are_the_sum_of_all_migrations(dsn: str) -> None:
    later = _next(RELEASED)
    for count in range(1, len(later.tenant) + 1):
        step = Migrations(later.hub[:count], later.tenant[:count])
        await migrate(dsn, step)
        if count == 1:
            await create_tenant(dsn, "old", step)
    await migrate(dsn, later)
    await create_tenant(dsn, "new", later)

    assert _described(dsn, "tenant_old") == _described(dsn, "tenant_new")


async def test_two_hubs_may_migrate_at_once(dsn: str) -> None:
    stores = await asyncio.gather(*(Store.connect(dsn) for _ in range(3)))
    await stores[0].create_tenant("acme")
    later = _next(RELEASED)

    await asyncio.gather(*(migrate(dsn, later) for _ in range(3)))

    with psycopg.connect(dsn) as connection:
        rows = connection.execute("SELECT schema, count(*) FROM anabranch.migrations GROUP BY 1").fetchall()
    assert dict(rows) == {"anabranch": len(later.hub), "tenant_acme": len(later.tenant)}
    for store in stores:
        await store.close()


async def test_what_was_written_before_a_migration_is_there_after_it(dsn: str) -> None:
    store = await Store.connect(dsn)
    await store.create_tenant("acme")
    await store.write("acme", [Edit(ROUTER, {"a": 1})], author="op", message="")

    await migrate(dsn, _next(RELEASED))

    # The process of the release before goes on meanwhile: steps add, they take nothing away.
    await store.write("acme", [Edit(ROUTER, {"a": 2})], author="op", message="")
    stored = await store.read("acme", ROUTER)
    assert stored is not None
    assert (stored.content, stored.version) == ({"a": 2}, 2)
    await store.close()


async def test_tables_of_a_newer_release_are_refused_and_left_alone(dsn: str) -> None:
    await migrate(dsn, _next(RELEASED))

    with pytest.raises(SchemaNewer, match=f"is at migration {len(RELEASED.hub) + 1}, this hub knows"):
        await Store.connect(dsn)


async def test_a_tenants_newer_tables_are_refused_too(dsn: str) -> None:
    later = Migrations(RELEASED.hub, _next(RELEASED).tenant)
    await migrate(dsn, later)
    await create_tenant(dsn, "acme", later)

    with pytest.raises(SchemaNewer, match="schema tenant_acme"):
        await Store.connect(dsn)


async def test_a_step_that_fails_leaves_no_half(dsn: str) -> None:
    await migrate(dsn, RELEASED)
    await create_tenant(dsn, "acme", RELEASED)
    broken = Migration(
        len(RELEASED.tenant) + 1, "9999_broken", "CREATE TABLE half (id int); SELECT no_such_function();"
    )

    with pytest.raises(psycopg.errors.UndefinedFunction):
        await migrate(dsn, Migrations(RELEASED.hub, [*RELEASED.tenant, broken]))
    await migrate(dsn, RELEASED)

    assert not [row for row in _described(dsn, "tenant_acme") if row[0] == "half"]
