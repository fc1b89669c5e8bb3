"""Exchanges over links that break on purpose."""

import random

import pytest
from anabranch.agent import Progress, Waiting, run_agent
from anabranch.errors import HubUnreachable
from anabranch.exchange import Pulled
from anabranch_hub.demo.link import CutEvery, FlakyLink
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId, document_id

from tests.hub.api.fleet import Fleet, Hub, point_to, read, write

pytestmark = pytest.mark.anyio

# More than the largest chunk, so that batches travel in pieces of every size.
LARGE_TEXT_CHARS = 24_000


def document(number: int) -> DocumentId:
    return document_id(f"acme/prod/large-{number}")


def large(number: int) -> Object:
    """Content that no codec makes smaller."""
    draws = random.Random(number)
    return {"text": "".join(draws.choices("abcdefghijklmnopqrstuvwxyz0123456789ABCDEF", k=LARGE_TEXT_CHARS))}


def link_to(hub: Hub) -> FlakyLink:
    return FlakyLink("127.0.0.1", hub.server.port)


@pytest.mark.parametrize("every_bytes", [20_000, 70_000])
async def test_a_push_and_a_pull_come_through_a_link_that_breaks_inside_them(
    fleet: Fleet, every_bytes: int
) -> None:
    # given
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    for number in range(5):
        write(one, large(number), document(number))
    for path in (one, two):
        async with link_to(fleet.hub) as link:
            link.set_cuts(CutEvery(every_bytes))
            point_to(path, f"127.0.0.1:{link.port}")
            # when
            outcome = await run_agent(path, once=True)
            cuts = link.carried.cuts
        # then
        assert outcome.settled
        assert cuts > 0
    await fleet.comes_together(one, two)


@pytest.mark.parametrize("direction", ["up", "down"])
async def test_wherever_the_link_is_cut_the_exchange_goes_on_from_there(fleet: Fleet, direction: str) -> None:
    # given
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    for number in range(5):
        write(one if direction == "up" else two, large(number), document(number))
    await run_agent(two, once=True)
    received: list[int] = []
    async with link_to(fleet.hub) as link:
        point_to(one, f"127.0.0.1:{link.port}")
        cut_bytes = 4_000

        def cut_later(step: Progress) -> None:
            """The first cuts fall into the handshake, the last into a large chunk."""
            nonlocal cut_bytes
            match step:
                case Waiting():
                    cut_bytes += 3_000
                    link.set_cuts(CutEvery(cut_bytes))
                case Pulled():
                    received.append(step.received)

        link.set_cuts(CutEvery(cut_bytes))
        # when
        outcome = await run_agent(one, once=True, progress=cut_later)
        # then
        assert link.carried.cuts > 3
    assert outcome.settled
    assert received == sorted(received)  # never the same bytes again
    await fleet.comes_together(one)


async def test_a_link_that_is_away_is_told_in_one_line_and_costs_nothing_here(fleet: Fleet) -> None:
    # given
    one = await fleet.enrol("one")
    write(one, {"n": 1})
    async with link_to(fleet.hub) as link:
        point_to(one, f"127.0.0.1:{link.port}")
        link.refuse()
        # when, then
        with pytest.raises(HubUnreachable, match="not reachable") as told:
            await run_agent(one, once=True)
        assert "\n" not in str(told.value)
        assert told.value.exit_code == 7
        assert read(one) == {"n": 1}
        # when
        await link.open()
        # then
        assert (await run_agent(one, once=True)).changes_pushed == 1
