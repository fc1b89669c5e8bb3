"""Edges that look in now and then instead of holding an exchange."""

import asyncio
import time
from pathlib import Path

import pytest
from anabranch.agent import run_agent
from anabranch.exchange import Clock
from anabranch.link import HubLink
from anabranch.polling import Wish
from anabranch.replica import Replica
from anabranch_hub.demo.link import FlakyLink
from anabranch_hub.store import Edit
from anabranch_sync.check_in import asked, read_answer
from anabranch_sync.document import Object
from anabranch_sync.ids import document_id
from anabranch_sync.messages import CheckedIn

from tests.hub.api.fleet import ROUTER, Fleet, comes, identity_of, now_ms, point_to, read, write

pytestmark = pytest.mark.anyio

HOURS_A_DAY = 24
# A test waits for no interval; those that are not waited for are long.
SOON_MS, NEVER_MS = 200, 3_600_000
MINUTE_MS = 60_000


async def checked_in(replica: Path, over: HubLink | None = None) -> CheckedIn:
    with Replica.open(replica) as opened:
        question = asked(opened.standing(), opened.scope)
    if over is not None:
        return read_answer(await over.check_in(question))
    async with HubLink(identity_of(replica)) as link:
        return await checked_in(replica, link)


async def test_a_check_in_proves_that_there_is_nothing_new(fleet: Fleet) -> None:
    one = await fleet.enrol("one")
    write(one, {"a": 1})
    await run_agent(one, once=True)

    answer = await checked_in(one)

    assert answer.equal == 1


@pytest.mark.parametrize("prefix", ["acme/prod", "*/prod"])
async def test_a_check_in_tells_of_news_in_the_scope_and_of_none_outside_it(
    fleet: Fleet, prefix: str
) -> None:
    # given
    one = await fleet.enrol("one", prefixes=(prefix,))
    await run_agent(one, once=True)
    # when, then
    await fleet.hub.store.write(
        fleet.tenant, [Edit(document_id("acme/test/other"), {"a": 1})], author="ops", message=""
    )
    assert (await checked_in(one)).equal == 1
    await fleet.hub.store.write(fleet.tenant, [Edit(ROUTER, {"a": 1})], author="ops", message="")
    assert (await checked_in(one)).equal == 0
    await run_agent(one, once=True)
    assert (await checked_in(one)).equal == 1


async def test_a_look_that_finds_nothing_proves_the_edge_equal_to_its_operators(fleet: Fleet) -> None:
    # given
    one = await fleet.enrol("one")
    await run_agent(one, once=True)

    async def proved_ms() -> int:
        proved = (await fleet.hub.store.edge(fleet.tenant, "one")).proved
        return 0 if proved is None else proved.at_ms

    before = await proved_ms()
    # when
    answer = await checked_in(one)
    # then
    assert answer.equal == 1
    assert await proved_ms() > before


async def test_an_edge_that_polls_fetches_what_is_new_and_sends_what_it_wrote(fleet: Fleet) -> None:
    # given
    one = await fleet.enrol("one")
    polling = asyncio.create_task(run_agent(one, mode=Wish(poll_ms=SOON_MS)))
    try:
        # when, then
        await fleet.hub.store.write(fleet.tenant, [Edit(ROUTER, {"a": 1})], author="ops", message="")
        await comes(lambda: read(one) == {"a": 1})
        write(one, {"a": 2})
        await fleet.comes_together(one)
    finally:
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)


@pytest.mark.parametrize("polls", [False, True])
async def test_what_an_agent_notes_is_by_the_clock_that_was_set_while_it_ran(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch, polls: bool
) -> None:
    # given: an agent that began in 1970, on a machine whose clock was set before it reached the hub
    began = Clock.__init__
    made: list[Clock] = []

    def beginning(clock: Clock) -> None:
        began(clock)
        if not made:
            clock._began_ns = -time.monotonic_ns()
        made.append(clock)

    monkeypatch.setattr(Clock, "__init__", beginning)
    one = await fleet.enrol("one")

    def heard_ms() -> int:
        with Replica.open(one) as replica:
            return replica.link().heard_ms or 0

    # when
    agent = asyncio.create_task(run_agent(one, mode=Wish(poll_ms=SOON_MS if polls else 0)))
    try:
        await comes(lambda: heard_ms() > 0)
        first_ms = heard_ms()
        if polls:
            await comes(lambda: heard_ms() != first_ms)
    finally:
        agent.cancel()
        await asyncio.gather(agent, return_exceptions=True)
    # then
    with Replica.open(one) as replica:
        link, days = replica.link(), replica.traffic_days(10)
    assert abs((link.heard_ms or 0) - now_ms()) < MINUTE_MS
    assert abs(link.clock_offset_ms or 0) < MINUTE_MS
    assert all(each.day.year > 1970 for each in days)
    told = await fleet.hub.store.edge(fleet.tenant, "one")
    assert told.told is not None
    assert abs(told.told.clock_offset_ms) < MINUTE_MS


async def test_what_is_written_to_an_urgent_document_does_not_wait_for_the_next_look(fleet: Fleet) -> None:
    # given
    schema: Object = {"namespaces": ["acme/prod/switches"], "schema": {"x-anabranch-priority": 0}}
    await fleet.hub.store.write(
        fleet.tenant, [Edit(document_id("system/schemas", "switches"), schema)], author="ops", message=""
    )
    one = await fleet.enrol("one")
    await run_agent(one, once=True)
    polling = asyncio.create_task(run_agent(one, mode=Wish(poll_ms=NEVER_MS)))
    try:
        # when
        write(one, {"a": 1})
        write(one, {"stop": True}, document_id("acme/prod/switches"))
        # then both go: a replica's changes never overtake one another
        await fleet.comes_together(one)
    finally:
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)


async def test_a_day_of_hourly_polling_costs_less_than_20_kb_with_tls_over_one_connection(
    fleet: Fleet,
) -> None:
    # given
    one = await fleet.enrol("one")
    write(one, {"a": 1})
    await run_agent(one, once=True)
    async with FlakyLink("127.0.0.1", fleet.hub.server.port) as proxy:
        point_to(one, f"127.0.0.1:{proxy.port}")
        # when
        async with HubLink(identity_of(one)) as link:
            for _ in range(HOURS_A_DAY):
                assert (await checked_in(one, link)).equal == 1
            carried = proxy.carried
    # then
    assert carried.connections == 1
    assert carried.bytes_up + carried.bytes_down < 20_000
