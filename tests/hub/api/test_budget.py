"""Edges whose link may carry so many bytes."""

import asyncio
import random
from pathlib import Path

import pytest
from anabranch import agent
from anabranch.agent import run_agent
from anabranch.errors import HubUnreachable
from anabranch.identity import go_via, identity_folder, read_identity
from anabranch.replica import Replica
from anabranch.replica.traffic import Traffic
from anabranch_hub.store import Edit, transfers
from anabranch_hub.store.attribution import Place, Share, shared
from anabranch_sync.budget import Budget, left_bytes
from anabranch_sync.circumstances import LinkClass
from anabranch_sync.document import Object
from anabranch_sync.ids import Cursor, document_id

from tests.hub.api.fleet import ROUTER, Fleet, comes, facts_of, now_ms, read, write

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
        before = traffic_of(one).spent.day_bytes
        await store.write(tenant, [Edit(SWITCHES, {"stop": True})], author="ops", message="")
        await comes(lambda: read(one, SWITCHES) == {"stop": True})
        await asyncio.sleep(3 * LOOK_MS / 1000)
        # which comes alone, once, for less than a connection and some looks
        assert read(one) is None
        assert await store.read(tenant, document_id("acme/prod/other")) is None
        assert traffic_of(one).spent.day_bytes - before < 20_000
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
        write(one, {"a": 1})
        # then it goes, and what was written after it stays
        await comes(lambda: facts_of(one).unsent == 1)
        assert await fleet.hub.store.read(fleet.tenant, ROUTER) is None
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_an_operators_budget_reaches_the_edge_and_holds_where_it_is_the_smaller(fleet: Fleet) -> None:
    # given an edge with limits of its own
    store, tenant = fleet.hub.store, fleet.tenant
    one = await fleet.enrol("one")
    with Replica.open(one) as opened:
        opened.set_budget(Budget(day_bytes=1_000_000, month_bytes=5_000_000))
    # when
    await store.set_budget(tenant, "one", day_bytes=2_000_000, month_bytes=4_000_000, author="ops")
    await run_agent(one, once=True)
    # then
    assert traffic_of(one).budget == Budget(1_000_000, 4_000_000)
    # and when it is taken away again
    await store.set_budget(tenant, "one", day_bytes=0, month_bytes=0, author="ops")
    await run_agent(one, once=True)
    assert traffic_of(one).budget == Budget(1_000_000, 5_000_000)


async def test_the_hub_knows_what_an_edge_said_of_its_link_and_disk(fleet: Fleet) -> None:
    # given
    store, tenant = fleet.hub.store, fleet.tenant
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    with Replica.open(one) as opened:
        opened.set_budget(Budget(day_bytes=1_000_000))
    # when
    await run_agent(one, once=True)
    await run_agent(two, once=True)
    # then
    told, other = (await store.edge(tenant, "one")).told, (await store.edge(tenant, "two")).told
    assert told is not None
    assert other is not None
    assert told.circumstances.link_class is LinkClass.METERED
    assert 0 < told.circumstances.byte_budget <= 1_000_000
    assert told.circumstances.disk_free_bytes > 0
    assert (other.circumstances.link_class, other.circumstances.byte_budget) == (LinkClass.FREE, 0)


async def test_an_edge_whose_budget_was_used_up_says_so_when_it_looks_in_and_hears_that_it_may_go_on(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an operator's budget that the first exchange uses up
    monkeypatch.setattr(agent, "SAVING_LOOK_MS", LOOK_MS)
    store, tenant = fleet.hub.store, fleet.tenant
    one = await fleet.enrol("one")
    await store.set_budget(tenant, "one", day_bytes=1, month_bytes=0, author="ops")
    # when
    running = asyncio.create_task(run_agent(one))
    try:
        async with asyncio.timeout(20):
            while (
                not (told := (await store.edge(tenant, "one")).told) or not told.circumstances.budget_until_ms
            ):
                await asyncio.sleep(0.05)
        # and when it is given more, it goes on
        await store.set_budget(tenant, "one", day_bytes=0, month_bytes=0, author="ops")
        write(one, {"a": 1})
        await fleet.comes_together(one)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    # then
    assert told.circumstances.budget_until_ms % 86_400_000 == 0
    assert told.circumstances.budget_until_ms > now_ms()


async def test_a_budget_that_is_raised_is_noticed_at_once(fleet: Fleet) -> None:
    # given
    one = await fleet.enrol("one")
    await run_agent(one, once=True)
    with Replica.open(one) as opened:
        opened.set_budget(Budget(day_bytes=1))
    write(one, {"a": 1})
    running = asyncio.create_task(run_agent(one))
    try:
        await asyncio.sleep(LOOK_MS / 1000)
        assert await fleet.hub.store.read(fleet.tenant, ROUTER) is None
        # when
        with Replica.open(one) as opened:
            opened.set_budget(Budget())
        # then it goes, and not with the next look in an hour
        await fleet.comes_together(one)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_asking_in_vain_costs_no_budget(fleet: Fleet) -> None:
    # given
    one = await fleet.enrol("one")
    folder = identity_folder(one)
    go_via(folder, read_identity(folder), "127.0.0.1:1")  # nobody answers there

    # when
    with pytest.raises(HubUnreachable):
        await run_agent(one, once=True)

    # then
    assert traffic_of(one).spent.month_bytes == 0


async def test_bytes_are_attributed_to_the_documents_that_travelled(fleet: Fleet) -> None:
    # given a large document of the hub's and a small one of the edge's
    store, tenant = fleet.hub.store, fleet.tenant
    one = await fleet.enrol("one")
    await run_agent(one, once=True)
    large: Object = {"text": random.Random(1).randbytes(4_000).hex()}
    await store.write(tenant, [Edit(ROUTER, large)], author="ops", message="")
    write(one, {"a": 1}, SWITCHES)
    # when
    outcome = await run_agent(one, once=True)
    # then
    found = {each.place: each for each in await store.traffic(tenant, "one", 1)}
    router = found[Place(ROUTER.namespace, ROUTER.key)]
    switches = found[Place(SWITCHES.namespace, SWITCHES.key)]
    assert router.bytes_down > 4_000 > switches.bytes_down
    assert switches.bytes_up > 0 == router.bytes_up
    assert outcome.bytes_down >= router.bytes_down


def test_no_byte_is_lost_when_bytes_are_shared_out() -> None:
    weights = {Place("a", "1"): 1, Place("a", "2"): 1, Place("b", "1"): 1}

    assert sum(shared(100, weights).values()) == 100
    assert max(shared(100, weights).values()) == 34
    assert shared(5, {}) == {Place("(exchange)", ""): 5}


async def test_a_day_of_many_documents_is_bounded_and_what_is_beyond_is_summed_up(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr(transfers, "ROWS_OF_DAY_MAX", 3)
    store, tenant = fleet.hub.store, fleet.tenant
    await fleet.enrol("one")
    incarnation = (await store.edge(tenant, "one")).incarnation
    at = Cursor(1, 0)
    # when
    for number in range(9):
        await store.seen(tenant, incarnation, at, [Share(Place("acme/prod", f"{number:02}"), 1, 2)])
        await store.seen(tenant, incarnation, at, [Share(Place("acme/prod", "00"), 1, 2)])
    # then
    found = {each.place: each for each in await store.traffic(tenant, "one", 1)}
    assert len(found) == 4
    assert found[Place("acme/prod", "00")].bytes_up == 10
    assert found[Place("(others)", "")].bytes_up == 6
    assert sum(each.bytes_down for each in found.values()) == 36
