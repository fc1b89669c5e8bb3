"""A hub folds by itself, says so in one line, and goes on however it went."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from anabranch_hub.operations import folding
from anabranch_hub.store import Edit, Store
from anabranch_sync.ids import document_id

from tests.hub.store.conftest import queries

pytestmark = pytest.mark.anyio

ROUTER = document_id("acme/prod/router")


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(anyio_backend: str, postgres_dsn: str) -> AsyncIterator[Store]:
    store = await Store.connect(postgres_dsn)
    yield store
    await store.close()


async def aged_tenant(store: Store, postgres_dsn: str) -> str:
    """A tenant with one version from long ago and one from now."""
    tenant = f"t{secrets.token_hex(6)}"
    await store.create_tenant(tenant)
    for number in (1, 2):
        await store.write(tenant, [Edit(ROUTER, {"a": number})], author="op", message="")
    ask = queries(postgres_dsn, tenant)
    ask("UPDATE changes SET received_at = now() - interval '91 days' WHERE hub_seq = 1 RETURNING 1")
    return tenant


async def test_a_run_folds_every_tenant_and_tells_so_in_one_line(
    store: Store, postgres_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    tenants = [await aged_tenant(store, postgres_dsn) for _ in range(2)]

    with caplog.at_level(logging.INFO, "anabranch_hub.operations.folding"):
        await folding.fold_all(store, time.time_ns() // 1_000_000)

    assert [(await store.retention(tenant)).folded_seq for tenant in tenants] == [1, 1]
    (record,) = caplog.records
    assert record.message == "histories folded"
    assert vars(record)["versions"] >= 2


async def test_a_run_that_fails_is_told_and_the_next_one_comes(
    store: Store,
    postgres_dsn: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given
    tenant = await aged_tenant(store, postgres_dsn)
    monkeypatch.setattr(folding, "FIRST_S", 0)
    monkeypatch.setattr(folding, "EVERY_S", 0.01)
    tenants, broken = store.tenants, [RuntimeError("a defect")]

    async def once_broken() -> object:
        if broken:
            raise broken.pop()
        return await tenants()

    monkeypatch.setattr(store, "tenants", once_broken)

    # when
    async with folding.folding(store):
        while (await store.retention(tenant)).folded_seq == 0:
            await asyncio.sleep(0.01)

    # then
    assert caplog.records[0].message == "folding failed"
