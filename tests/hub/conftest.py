"""Real servers for the hub's tests, started once per session."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from anabranch_hub.servers.postgres import EmbeddedPostgres


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the session's servers are."""

    postgres_dsn: str


@pytest.fixture(scope="session")
def embedded_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A real Postgres in a folder of its own, on a loop of its own so that plain tests can use it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="embedded-servers", daemon=True)
    thread.start()
    folder: Path = tmp_path_factory.mktemp("servers")
    postgres = EmbeddedPostgres(folder / "postgres")
    asyncio.run_coroutine_threadsafe(postgres.start(), loop).result()
    yield Servers(postgres.dsn)
    asyncio.run_coroutine_threadsafe(postgres.stop(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="session")
def postgres_dsn(embedded_servers: Servers) -> str:
    return embedded_servers.postgres_dsn
