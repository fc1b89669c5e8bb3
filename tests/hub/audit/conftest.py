"""A store, a Vault and a fresh tenant whose log can be signed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest
from anabranch_hub.audit.anchors import Anchors
from anabranch_hub.audit.signer import LogSigner
from anabranch_hub.secrets.vault import Vault, VaultAccess
from anabranch_hub.store import Store

from tests.hub.store.conftest import anyio_backend, query, store, tenant

__all__ = ["anyio_backend", "query", "store", "tenant"]


@pytest.fixture(scope="session")
async def vault(anyio_backend: str, vault_access: VaultAccess) -> AsyncIterator[Vault]:
    async with Vault(vault_access) as vault:
        await vault.ensure_transit()
        yield vault


@pytest.fixture
def anchors(tmp_path: Path) -> Anchors:
    return Anchors(tmp_path)


@pytest.fixture
def signer(store: Store, vault: Vault, anchors: Anchors) -> LogSigner:
    return LogSigner(store, vault, anchors)


class Superuser:
    """Whoever owns the Postgres, in a tenant's schema."""

    def __init__(self, dsn: str, tenant: str) -> None:
        self._dsn = dsn
        self.tenant = tenant

    def does(self, text: str) -> None:
        """Run these statements, in one transaction."""
        with psycopg.connect(self._dsn) as connection:
            connection.execute(f'SET search_path TO "tenant_{self.tenant}"; {text}'.encode())


@pytest.fixture
def superuser(postgres_dsn: str, tenant: str) -> Superuser:
    return Superuser(postgres_dsn, tenant)
