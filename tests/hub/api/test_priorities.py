"""What priorities do on links of each kind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anabranch import agent
from anabranch.agent import run_agent
from anabranch.client import Client
from anabranch.client import open as open_client
from anabranch.polling import Wish
from anabranch.replica import LinkMode, Replica
from anabranch_hub.store import Edit
from anabranch_sync import priority
from anabranch_sync.budget import Budget
from anabranch_sync.errors import InvalidValue
from anabranch_sync.ids import document_id
from anabranch_sync.priority import URGENT

from tests.hub.api.fleet import ROUTER, Fleet, comes, facts_of, read, write

pytestmark = pytest.mark.anyio

OTHER = document_id("acme/prod/other")
# A test waits for no interval; those that are not waited for are long.
SOON_MS, NEVER_MS = 200, 3_600_000
METERED = Wish(metered=True)


@asynccontextmanager
async def running(replica: Path, mode: Wish) -> AsyncIterator[None]:
    task = asyncio.create_task(run_agent(replica, mode=mode))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def linked(replica: Path) -> None:
    """Its agent holds an exchange."""
    await comes(lambda: facts_of(replica).heard.link == "up")


@pytest.mark.parametrize("mode", [Wish(poll_ms=NEVER_MS), METERED, Wish(NEVER_MS, True)])
async def test_a_change_that_its_author_calls_urgent_goes_at_once_on_every_link(
    fleet: Fleet, mode: Wish
) -> None:
    # given
    one = await fleet.enrol("one")
    async with running(one, mode):
        await linked(one)
        # when
        with open_client(one) as client:
            client.set("acme/prod/other", "/a", 1)
            client.set("acme/prod/router", "/enabled", False, priority=URGENT)
        # then, and with it what was written before: a replica's changes never overtake one another
        await fleet.comes_together(one)


async def test_an_urgent_change_reaches_others_at_once_whatever_it_was_written_to(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given an edge on a metered link, which waits for what is not urgent
    monkeypatch.setattr(priority, "_METERED", (0, NEVER_MS, NEVER_MS, NEVER_MS))
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    async with running(one, Wish()), running(two, METERED):
        await linked(one)
        await linked(two)
        write(one, {"a": 1})
        await comes(lambda: facts_of(one).outbox == 0)
        await asyncio.sleep(SOON_MS / 1000)
        assert read(two) is None
        # when
        with open_client(one) as client:
            client.set("acme/prod/other", "/stop", True, priority=URGENT)
        # then all of it comes
        await comes(lambda: read(two, OTHER) == {"stop": True})
        assert read(two) == {"a": 1}
        # and when an operator does the same
        store, tenant = fleet.hub.store, fleet.tenant
        await store.write(tenant, [Edit(OTHER, {"stop": False})], author="ops", message="", priority=URGENT)
        await comes(lambda: read(two, OTHER) == {"stop": False})


async def test_an_edge_whose_budget_is_used_up_gets_what_others_call_urgent(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr(agent, "SAVING_LOOK_MS", SOON_MS)
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    await run_agent(two, once=True)
    with Replica.open(two) as opened:
        opened.set_budget(Budget(day_bytes=1))
    async with running(one, Wish()), running(two, Wish()):
        write(one, {"a": 1})
        # when
        with open_client(one) as client:
            client.set("acme/prod/other", "/stop", True, priority=URGENT)
        # then that comes, and nothing else
        await comes(lambda: read(two, OTHER) == {"stop": True})
        assert read(two) is None


async def test_it_goes_although_the_budget_is_used_up(fleet: Fleet) -> None:
    # given
    one = await fleet.enrol("one")
    await run_agent(one, once=True)
    with Replica.open(one) as opened:
        opened.set_budget(Budget(day_bytes=1))
    async with running(one, Wish()):
        # when
        with open_client(one) as client, client.change(priority=URGENT) as change:
            change.set("acme/prod/router", "/enabled", False)
        # then
        await comes(lambda: facts_of(one).unsent == 0)


async def test_a_metered_link_saves_up_what_is_written_and_carries_it_at_once(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr(priority, "_METERED", (0, NEVER_MS, NEVER_MS, NEVER_MS))
    one = await fleet.enrol("one")
    async with running(one, METERED):
        await linked(one)
        # when
        for number in range(10):
            write(one, {"a": number})
            await asyncio.sleep(0.05)
        await asyncio.sleep(SOON_MS / 1000)
        # then it waits
        assert facts_of(one).unsent == 10
        assert await fleet.hub.store.read(fleet.tenant, ROUTER) is None
        # until something presses
        monkeypatch.setattr(priority, "_METERED", (0, SOON_MS, NEVER_MS, NEVER_MS))
        write(one, {"a": 10})
        await fleet.comes_together(one)


async def test_on_a_free_link_bulk_waits_for_nothing(fleet: Fleet) -> None:
    one = await fleet.enrol("one")
    async with running(one, Wish()):
        await linked(one)
        with open_client(one) as client:
            client.set("acme/prod/router", "/a", 1, priority=3)
        await fleet.comes_together(one)


async def test_how_an_agent_keeps_in_touch_is_remembered_until_it_is_told_otherwise(fleet: Fleet) -> None:
    one = await fleet.enrol("one")
    for wish, kept in (
        (Wish(poll_ms=NEVER_MS, metered=True), LinkMode(NEVER_MS, metered=True)),
        (Wish(), LinkMode(NEVER_MS, metered=True)),
        (Wish(metered=False), LinkMode(NEVER_MS)),
        (Wish(poll_ms=0), LinkMode()),
    ):
        await run_agent(one, once=True, mode=wish)
        with Replica.open(one) as opened:
            assert opened.link_mode() == kept


async def test_a_priority_that_is_none_is_refused(fleet: Fleet) -> None:
    one = await fleet.enrol("one")
    with Client(Replica.open(one)) as client, pytest.raises(InvalidValue, match="a priority is 0"):
        client.set("acme/prod/router", "/a", 1, priority=4)
