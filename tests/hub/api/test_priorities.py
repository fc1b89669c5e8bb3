"""What priorities do on links of each kind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from anabranch.agent import run_agent
from anabranch.client import Client
from anabranch.client import open as open_client
from anabranch.polling import Wish
from anabranch.replica import LinkMode, Replica
from anabranch_sync import priority
from anabranch_sync.budget import Budget
from anabranch_sync.errors import InvalidValue
from anabranch_sync.ids import document_id
from anabranch_sync.priority import URGENT

from tests.hub.api.fleet import ROUTER, Fleet, comes, facts_of, write

pytestmark = pytest.mark.anyio

OTHER = document_id("acme/prod/other")
# A test waits for no interval; those that are not waited for are long.
SOON_MS, NEVER_MS = 200, 3_600_000
METERED = Wish(metered=True)


@asynccontextmanager
async def running(replica: Path, mode: Wish) -> AsyncIterator[None]:
    agent = asyncio.create_task(run_agent(replica, mode=mode))
    try:
        yield
    finally:
        agent.cancel()
        await asyncio.gather(agent, return_exceptions=True)


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
