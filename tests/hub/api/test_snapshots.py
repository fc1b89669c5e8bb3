"""A large scope reaches a real edge in parts, while it writes and while its link breaks."""

import random
from unittest.mock import patch

import pytest
from anabranch.agent import Progress
from anabranch.exchange import Connected
from anabranch.replica import Replica
from anabranch_hub.store import Edit, catching_up
from anabranch_sync import snapshot
from anabranch_sync.ids import document_id
from anabranch_sync.plan import Means

from tests.hub.api.fleet import ROUTER, Fleet, comes, read, write

pytestmark = pytest.mark.anyio


async def fill(fleet: Fleet, *, count: int, chars: int) -> None:
    """Documents that compress badly, so that they take many chunks."""
    chance = random.Random(count)
    edits = [
        Edit(document_id("acme/prod", f"k{n}"), {"n": n, "text": chance.randbytes(chars // 2).hex()})
        for n in range(count)
    ]
    await fleet.hub.store.write(fleet.tenant, edits, author="op", message="")


async def test_a_new_edge_gets_its_scope_as_a_snapshot_and_goes_on_with_deltas(fleet: Fleet) -> None:
    await fill(fleet, count=60, chars=4_000)
    edge = await fleet.enrol("e1")
    write(edge, {"mine": 1})
    told: list[Progress] = []

    with (
        patch.object(snapshot, "SLICE_BYTES_MIN", 40_000),
        patch.object(snapshot, "SLICE_BYTES_MAX", 80_000),
    ):
        fleet.start(edge, progress=told.append)
        await fleet.comes_together(edge)
    await fleet.hub.store.write(fleet.tenant, [Edit(ROUTER, {"theirs": 2})], author="op", message="")
    await comes(lambda: read(edge) == {"theirs": 2})

    connected = next(each for each in told if isinstance(each, Connected))
    assert connected.plan is not None
    assert connected.plan.means is Means.SNAPSHOT
    with Replica.open(edge) as opened:
        assert opened.standing().staged == ()
        assert len(opened.every_document()) == 61


async def test_a_scope_beyond_the_largest_pull_reaches_an_edge(fleet: Fleet) -> None:
    edge = await fleet.enrol("e1")
    fleet.start(edge)
    await fleet.comes_together(edge)
    await fleet.stop()
    write(edge, {"offline": 1})
    await fill(fleet, count=40, chars=8_000)

    with (
        patch("anabranch_sync.transfer.BATCH_BYTES_MAX", 120_000),
        patch.object(snapshot, "SLICE_BYTES_MIN", 40_000),
        patch.object(snapshot, "SLICE_BYTES_MAX", 80_000),
        patch.object(catching_up, "DELTA_BYTES_MAX", 200_000),
    ):
        fleet.start(edge)
        await fleet.comes_together(edge)

    stored = await fleet.hub.store.read(fleet.tenant, ROUTER)
    assert stored is not None
    assert stored.content == {"offline": 1}
