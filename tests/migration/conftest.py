"""A Postgres of its own: these tests make tables of other releases."""

import asyncio
import threading
from collections.abc import Iterator

import psycopg
import pytest
from anabranch_hub.servers.postgres import EmbeddedPostgres
from psycopg import sql


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def server_dsn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Runs on a loop in a thread that lasts as long as the session: the server ends with its thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="migration postgres", daemon=True)
    thread.start()
    postgres = EmbeddedPostgres(tmp_path_factory.mktemp("migration") / "postgres")
    asyncio.run_coroutine_threadsafe(postgres.start(), loop).result()
    yield postgres.dsn
    asyncio.run_coroutine_threadsafe(postgres.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture
def dsn(server_dsn: str, request: pytest.FixtureRequest) -> str:
    """An empty database."""
    name = f"test_{abs(hash(request.node.name)):x}"
    with psycopg.connect(server_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    return server_dsn.replace("/postgres?", f"/{name}?")
