"""A store on the session's real Postgres, and a fresh tenant for each test."""

import secrets
from collections.abc import AsyncIterator, Callable

import psycopg
import pytest
from anabranch_hub.audit.verifying import Known, verify
from anabranch_hub.store import Store
from psycopg import sql


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """All asynchronous tests of this folder share one loop, and so one store."""
    return "asyncio"


@pytest.fixture(scope="session")
async def store(anyio_backend: str, postgres_dsn: str) -> AsyncIterator[Store]:
    store = await Store.connect(postgres_dsn)
    yield store
    await store.close()


@pytest.fixture
async def tenant(store: Store, request: pytest.FixtureRequest) -> AsyncIterator[str]:
    """A tenant whose log is whole after every test, but for those that are marked to tamper with it."""
    name = f"t{secrets.token_hex(6)}"
    await store.create_tenant(name)
    yield name
    if request.node.get_closest_marker("tampers") is None:
        async with store.log_snapshot(name) as log:
            await verify(log, name, Known(None))


Query = Callable[[str], list[tuple[object, ...]]]


@pytest.fixture
def query(tenant: str, postgres_dsn: str) -> Query:
    """Ask Postgres itself about the tenant's tables."""
    return queries(postgres_dsn, tenant)


def queries(postgres_dsn: str, tenant: str) -> Query:
    """A way to ask Postgres itself about a tenant's tables."""

    def ask(text: str) -> list[tuple[object, ...]]:
        with psycopg.connect(postgres_dsn) as connection:
            path = sql.SQL("SET search_path TO {}").format(sql.Identifier(f"tenant_{tenant}"))
            connection.execute(path)
            return connection.execute(text.encode()).fetchall()

    return ask
