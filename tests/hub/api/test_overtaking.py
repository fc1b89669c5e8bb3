"""Over a slow link, an urgent change at the hub is read at an edge before the pull that it overtakes."""

import random

import pytest
from anabranch.agent import Progress
from anabranch.exchange import Applied, Pulled
from anabranch.replica import Replica
from anabranch_hub.demo.link import FlakyLink
from anabranch_hub.store import Edit
from anabranch_sync.document import Object
from anabranch_sync.ids import document_id

from tests.hub.api.fleet import Fleet, comes, point_to, read

pytestmark = pytest.mark.anyio

SWITCH = document_id("acme/prod/switches")
SCHEMA: Object = {"namespaces": ["acme/prod/switches"], "schema": {"x-anabranch-priority": 0}}
BULK = [document_id("acme/prod/bulk", f"k{number}") for number in range(60)]


async def test_an_urgent_change_overtakes_the_pull_under_way(fleet: Fleet) -> None:
    # given an edge with the schema, and a pull to it that takes many seconds
    async def written(*edits: Edit) -> None:
        await fleet.hub.store.write(fleet.tenant, edits, author="op", message="")

    await written(Edit(document_id("system/schemas", "switches"), SCHEMA), Edit(SWITCH, {"on": True}))
    edge = await fleet.enrol("e1")
    fleet.start(edge)
    await fleet.comes_together(edge)
    await fleet.stop()
    chance = random.Random(1)
    await written(*(Edit(each, {"text": chance.randbytes(4_000).hex()}) for each in BULK))
    told: list[Progress] = []
    async with FlakyLink("127.0.0.1", fleet.hub.server.port, bytes_per_s=60_000) as link:
        point_to(edge, f"127.0.0.1:{link.port}")
        fleet.start(edge, progress=told.append)
        await comes(lambda: any(isinstance(each, Pulled) for each in told))
        # when
        await written(Edit(SWITCH, {"on": False}))
        await comes(lambda: read(edge, SWITCH) == {"on": False})
        # then, once the agent has told what is on disk already
        await comes(lambda: any(isinstance(each, Applied) for each in told))
        applied = [each for each in told if isinstance(each, Applied)]
        assert [each.documents for each in applied] == [1]
        assert read(edge, BULK[0]) is None
        await fleet.comes_together(edge)
    with Replica.open(edge) as opened:
        assert opened.verify() == []
    assert read(edge, SWITCH) == {"on": False}
    assert read(edge, BULK[0]) is not None
