"""A hub on the session's real Postgres and OpenBao, and a fresh tenant for each test."""

from collections.abc import AsyncIterator

import pytest
from anabranch_hub.api.grpc_service import serve_grpc
from anabranch_hub.secrets.authority import Authority
from anabranch_hub.secrets.vault import Vault, VaultAccess
from anabranch_hub.store import Store

from tests.hub.api.fleet import Fleet, Hub, new_tenant


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """All asynchronous tests of this folder share one loop, and so one hub."""
    return "asyncio"


@pytest.fixture(scope="session")
async def store(anyio_backend: str, postgres_dsn: str) -> AsyncIterator[Store]:
    store = await Store.connect(postgres_dsn)
    yield store
    await store.close()


@pytest.fixture(scope="session")
async def authority(anyio_backend: str, vault_access: VaultAccess) -> AsyncIterator[Authority]:
    async with Vault(vault_access) as vault:
        authority = Authority(vault)
        await authority.ensure()
        yield authority


@pytest.fixture(scope="session")
async def hub(store: Store, authority: Authority) -> AsyncIterator[Hub]:
    server = await serve_grpc(store, authority, host="127.0.0.1", port=0, enrolment_port=0)
    yield Hub(store, authority, server)
    await server.stop()


@pytest.fixture
async def fleet(hub: Hub, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """A tenant of the test's own; its agents end with the test."""
    fleet = Fleet(hub, await new_tenant(hub.store), tmp_path_factory.mktemp("fleet"))
    yield fleet
    await fleet.stop()
