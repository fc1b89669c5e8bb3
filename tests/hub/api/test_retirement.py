"""A real edge that was given up comes back after what it had not seen was collected."""

import pytest
from anabranch_hub.store import Edit

from tests.hub.api.fleet import ROUTER, Fleet, read, write

pytestmark = pytest.mark.anyio


async def test_a_retired_edge_returns_with_its_outbox_and_resurrects_nothing_unseen(fleet: Fleet) -> None:
    store, tenant = fleet.hub.store, fleet.tenant
    await store.write(tenant, [Edit(ROUTER, {"a": 1, "b": 2})], author="op", message="")
    edge = await fleet.enrol("e1")
    fleet.start(edge)
    await fleet.comes_together(edge)
    await fleet.stop()
    await store.write(tenant, [Edit(ROUTER, {"a": 1})], author="op", message="")
    await store.retire(tenant, "e1", author="olga")
    collected = await store.collect(tenant, author="olga")
    write(edge, {"a": 1, "b": 3, "c": 4})

    fleet.start(edge)
    await fleet.comes_together(edge)

    assert collected.tombstones == 1
    assert (await store.edge(tenant, "e1")).retired_ms is None
    [row] = await store.merges(tenant)
    assert (row.kind, row.path) == ("delete/update", ("b",))
    there = await store.read(tenant, ROUTER)
    assert there is not None
    assert read(edge) == there.content
