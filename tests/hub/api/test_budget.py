"""Edges whose link may carry so many bytes."""

import asyncio
import random
from pathlib import Path

import pytest
from anabranch import agent
from anabranch.agent import run_agent
from anabranch.replica import Replica
from anabranch.replica.traffic import Traffic
from anabranch_hub.store import Edit
from anabranch_sync.budget import Budget, left_bytes
from anabranch_sync.document import Object
from anabranch_sync.ids import document_id

from tests.hub.api.fleet import ROUTER, Fleet, comes, now_ms, read, write

pytestmark = pytest.mark.anyio

SWITCHES = document_id("acme/prod/switches")
LOOK_MS = 200


def traffic_of(replica: Path) -> Traffic:
    with Replica.open(replica) as opened:
        return opened.traffic(now_ms())


async def test_what_a_link_carries_is_counted_with_its_transport(fleet: Fleet) -> None:
    one = await fleet.enrol("one")
    write(one, {"a": 1})

    outcome = await run_agent(one, once=True)
    counted = traffic_of(one)

    assert counted.month_bytes_up > outcome.bytes_up + 2_000
    assert counted.month_bytes_down > outcome.bytes_down + 3_000
    assert counted.spent.month_bytes < 12_000


async def test_once_its_budget_is_used_up_an_edge_hears_of_urgent_changes_only(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an edge that may carry less than waits for it
    monkeypatch.setattr(agent, "SAVING_LOOK_MS", LOOK_MS)
    schema: Object = {"namespaces": ["acme/prod/switches"], "schema": {"x-anabranch-priority": 0}}
    schemas = document_id("system/schemas", "switches")
    store, tenant = fleet.hub.store, fleet.tenant
    await store.write(tenant, [Edit(schemas, schema)], author="ops", message="")
    one = await fleet.enrol("one")
    await run_agent(one, once=True)
    with Replica.open(one) as opened:
        opened.set_budget(Budget(day_bytes=30_000))
    large: Object = {"text": random.Random(1).randbytes(40_000).hex()}
    await store.write(tenant, [Edit(ROUTER, large)], author="ops", message="")
    running = asyncio.create_task(run_agent(one))
    try:
        # when it has carried that much
        await comes(lambda: left_bytes(traffic_of(one).budget, traffic_of(one).spent) == 0)
        write(one, {"a": 1}, document_id("acme/prod/other"))
        await asyncio.sleep(3 * LOOK_MS / 1000)
        # then nothing goes that is not urgent
        assert read(one) is None
        assert await store.read(tenant, document_id("acme/prod/other")) is None
        # until something is
        await store.write(tenant, [Edit(SWITCHES, {"stop": True})], author="ops", message="")
        await comes(lambda: read(one, SWITCHES) == {"stop": True})
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_urgent_change_goes_whatever_the_budget(fleet: Fleet) -> None:
    # given
    schema: Object = {"namespaces": ["acme/prod/switches"], "schema": {"x-anabranch-priority": 0}}
    schemas = document_id("system/schemas", "switches")
    await fleet.hub.store.write(fleet.tenant, [Edit(schemas, schema)], author="ops", message="")
    one = await fleet.enrol("one")
    await run_agent(one, once=True)
    with Replica.open(one) as opened:
        opened.set_budget(Budget(day_bytes=1))
    running = asyncio.create_task(run_agent(one))
    try:
        # when
        write(one, {"stop": True}, SWITCHES)
        # then
        await fleet.comes_together(one)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
