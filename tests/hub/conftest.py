"""Real servers for the hub's tests, started once per session."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from anabranch_hub.secrets.vault import VaultAccess
from anabranch_hub.servers.supervise import EmbeddedServers


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the session's servers are, and as whom to ask them."""

    postgres_dsn: str
    vault: VaultAccess


@pytest.fixture(scope="session")
def embedded_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """A real Postgres and a real OpenBao.

    They live on a loop of their own, so that plain and asynchronous tests can use them alike, in a thread
    that lasts as long as the session: they end with the thread that started them.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="embedded servers", daemon=True)
    thread.start()
    servers = EmbeddedServers(tmp_path_factory.mktemp("servers"))
    asyncio.run_coroutine_threadsafe(servers.__aenter__(), loop).result()
    yield Servers(servers.postgres_dsn, servers.vault)
    asyncio.run_coroutine_threadsafe(servers.__aexit__(None, None, None), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


@pytest.fixture(scope="session")
def postgres_dsn(embedded_servers: Servers) -> str:
    """A superuser's connection string to the session's Postgres; make a database or schema of your own."""
    return embedded_servers.postgres_dsn


@pytest.fixture(scope="session")
def vault_access(embedded_servers: Servers) -> VaultAccess:
    """Address and credentials of the session's OpenBao."""
    return embedded_servers.vault
