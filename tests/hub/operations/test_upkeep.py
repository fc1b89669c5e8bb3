"""A hub folds, collects and trims by itself, says so in one line, and goes on however it went."""

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator

import pytest
from anabranch_hub.operations import upkeep
from anabranch_hub.settings import Upkeep
from anabranch_hub.store import Edit, Store
from anabranch_sync.ids import document_id

from tests.hub.store.conftest import Query, queries
from tests.hub.store.replica import enrolled

pytestmark = pytest.mark.anyio

ROUTER = document_id("acme/prod/router")
NOW_MS = time.time_ns() // 1_000_000


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def store(anyio_backend: str, postgres_dsn: str) -> AsyncIterator[Store]:
    store = await Store.connect(postgres_dsn)
    yield store
    await store.close()


async def aged_tenant(store: Store, postgres_dsn: str) -> tuple[str, Query]:
    """A tenant with one change of long ago, and one of now that deletes what a replica has seen deleted."""
    tenant = f"t{secrets.token_hex(6)}"
    await store.create_tenant(tenant)
    await store.write(tenant, [Edit(ROUTER, {"a": 1, "b": 1})], author="op", message="")
    await store.write(tenant, [Edit(ROUTER, {"a": 1})], author="op", message="")
    await (await enrolled(store, tenant, "e1")).pull()
    ask = queries(postgres_dsn, tenant)
    ask("UPDATE changes SET received_at = now() - interval '91 days' WHERE hub_seq = 1 RETURNING 1")
    return tenant, ask


async def test_a_run_keeps_up_every_tenant_and_tells_so_in_one_line(
    store: Store, postgres_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    tenants = [await aged_tenant(store, postgres_dsn) for _ in range(2)]

    # when
    with caplog.at_level(logging.INFO, "anabranch_hub.operations.upkeep"):
        await upkeep.keep_up(store, Upkeep(), NOW_MS)

    # then
    for tenant, ask in tenants:
        assert (await store.retention(tenant)).folded_seq == 1
        assert ask("SELECT trimmed_seq, collected_seq, swept_seq FROM tenant_state") == [(1, 2, 2)]
    [newest] = [each for each in await store.upkeep.newest() if each.tenant == tenants[0][0]]
    assert newest.ended_ms is not None
    assert (newest.done["collected_tombstones"], newest.done["trimmed_changes"]) == (1, 1)
    (record,) = caplog.records
    assert record.message == "upkeep done"
    assert vars(record)["collected_tombstones"] >= 2


async def test_what_an_operator_switches_off_is_left(store: Store, postgres_dsn: str) -> None:
    tenant, ask = await aged_tenant(store, postgres_dsn)

    await upkeep.keep_up(store, Upkeep(trim_after_days=None, collects=False), NOW_MS)

    assert (await store.retention(tenant)).folded_seq == 1
    assert ask("SELECT trimmed_seq, collected_seq FROM tenant_state") == [(0, 0)]


async def test_of_several_hubs_one_keeps_up_a_tenant_once_a_day(store: Store, postgres_dsn: str) -> None:
    tenant, _ = await aged_tenant(store, postgres_dsn)

    turns = await asyncio.gather(*(store.upkeep.take(tenant, upkeep.EACH_S) for _ in range(5)))
    later = await store.upkeep.take(tenant, 0)

    assert sorted(turns) == [False, False, False, False, True]
    assert later


async def test_a_defect_costs_neither_other_tenants_nor_other_steps_their_turn(
    store: Store, postgres_dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    tenants = [(await aged_tenant(store, postgres_dsn))[0] for _ in range(2)]

    async def defect(*_: object) -> object:
        raise RuntimeError("a defect")

    monkeypatch.setattr(store, "fold", defect)

    # when
    await upkeep.keep_up(store, Upkeep(), NOW_MS)

    # then
    runs = {each.tenant: each for each in await store.upkeep.newest()}
    for tenant in tenants:
        assert ["a defect" in reason for reason in runs[tenant].failed] == [True]
        assert runs[tenant].done["collected_tombstones"] == 1


async def test_a_run_that_fails_is_told_and_the_next_one_comes(
    store: Store,
    postgres_dsn: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # given
    tenant, _ = await aged_tenant(store, postgres_dsn)
    monkeypatch.setattr(upkeep, "FIRST_S", 0)
    monkeypatch.setattr(upkeep, "LOOK_S", 0.01)
    tenants, broken = store.tenants, [RuntimeError("a defect")]

    async def once_broken() -> object:
        if broken:
            raise broken.pop()
        return await tenants()

    monkeypatch.setattr(store, "tenants", once_broken)

    # when
    async with upkeep.upkeep(store, Upkeep()):
        while (await store.retention(tenant)).folded_seq == 0:
            await asyncio.sleep(0.01)

    # then
    assert caplog.records[0].message == "upkeep failed"
