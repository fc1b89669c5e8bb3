"""Counters, texts and lists on a real hub: what edges write at once, what the ledger and the versions say."""

import pytest
from anabranch_hub.errors import FragmentOnly
from anabranch_hub.operations.ledger import OwnLedger
from anabranch_hub.store import Edit, Store
from anabranch_sync.document import Object
from anabranch_sync.ids import document_id
from anabranch_sync.leaf_ancestry import EDITS_MAX

from tests.hub.store.replica import NOON_MS, ROUTER, Replica, enrolled

pytestmark = pytest.mark.anyio

SCHEMA: Object = {
    "namespaces": ["acme/*"],
    "schema": {
        "properties": {
            "used": {"x-anabranch-merge": "counter"},
            "prompt": {"x-anabranch-merge": "text"},
            "routes": {"x-anabranch-merge": "list"},
        }
    },
}
START: Object = {"prompt": "You are a shop assistant. Be brief.", "routes": ["a", "b"], "used": 100}


async def _two(store: Store, tenant: str) -> tuple[Replica, Replica]:
    """Two edges that have read the same document."""
    schema = Edit(document_id("system/schemas", "router"), SCHEMA)
    await store.write(tenant, [schema], author="op", message="")
    await store.write(tenant, [Edit(ROUTER, START)], author="op", message="")
    edges = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    for edge in edges:
        await edge.pull()
    return edges


async def test_what_two_edges_add_to_a_text_a_list_and_a_counter_is_all_there(
    store: Store, tenant: str
) -> None:
    # given two edges that go on offline
    one, other = await _two(store, tenant)
    one.put(
        ROUTER, {"prompt": "You are a kind shop assistant. Be brief.", "routes": ["x", "a", "b"], "used": 103}
    )
    other.put(
        ROUTER, {"prompt": "You are a shop assistant. Be very brief.", "routes": ["a", "b", 1.0], "used": 110}
    )

    # when both push, and pull
    for edge in (one, other):
        await edge.push()
    for edge in (one, other):
        await edge.pull()

    # then everything is everywhere, and nothing was in conflict
    merged: Object = {
        "prompt": "You are a kind shop assistant. Be very brief.",
        "routes": ["x", "a", "b", 1.0],
        "used": 113,
    }
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert stored.content == one.read(ROUTER) == other.read(ROUTER) == merged
    assert await store.merges(tenant) == []


async def test_edits_that_touch_are_in_the_ledger_and_what_one_side_read_can_be_brought_back(
    store: Store, tenant: str
) -> None:
    one, other = await _two(store, tenant)
    one.put(ROUTER, {**START, "prompt": "You are a shop assistant. Be polite."})
    other.put(ROUTER, {**START, "prompt": "You are a shop assistant. Be chatty."}, now_ms=NOON_MS + 1)
    for edge in (one, other):
        await edge.push()

    # when an operator looks, and brings one side back
    [row] = await store.merges(tenant)
    values = [each.value for each in row.candidates]
    await store.write(
        tenant, [Edit(ROUTER, {**START, "prompt": str(values[2])})], author="op", message="", restores=row.id
    )

    # then the row has the merged text, what stood, and what the second read
    assert row.kind == "overlap"
    assert values[1:] == ["You are a shop assistant. Be polite.", "You are a shop assistant. Be chatty."]
    assert {write.edge for write in row.candidates[0].writes} == {"e1", "e2"}
    for edge in (one, other):
        await edge.pull()
        assert (edge.read(ROUTER) or {})["prompt"] == values[2]


async def test_a_long_life_of_edits_is_folded_and_late_edges_still_arrive(store: Store, tenant: str) -> None:
    # given an edge that writes a lot while the other is away
    one, other = await _two(store, tenant)
    other.put(ROUTER, {**START, "prompt": "You are a shop assistant. Be brief and kind."})
    for number in range(EDITS_MAX + 8):
        content = one.read(ROUTER) or {}
        one.put(ROUTER, {**content, "prompt": f"{number} {content['prompt']}"})
        if number % 7 == 0:
            await one.push()
            await one.pull()
    await one.push()
    await one.pull()

    # when the other comes back
    await other.pull()
    shown = other.read(ROUTER)
    await other.push()
    await other.pull()
    await one.pull()

    # then its words are in the text, as it foresaw, and each version can still be read
    assert str((shown or {})["prompt"]).endswith("Be brief and kind.")
    assert one.read(ROUTER) == other.read(ROUTER) == shown
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert stored.content == shown
    first = await store.read_version(tenant, ROUTER, 1)
    assert first is not None
    assert first.content == START
    assert len(one.confirmed[ROUTER].registers) < EDITS_MAX


async def test_a_piece_that_has_no_place_any_more_is_never_restored_as_the_whole(
    store: Store, tenant: str
) -> None:
    # given an edit of a text that was taken away meanwhile
    one, _ = await _two(store, tenant)
    one.put(ROUTER, {**START, "prompt": "You are a shop assistant. Be very brief."})
    without = {name: value for name, value in START.items() if name != "prompt"}
    await store.write(tenant, [Edit(ROUTER, without)], author="op", message="")
    await one.push()
    [row] = await store.merges(tenant)
    assert (row.kind, row.candidates[1].value) == ("fragment", "very ")

    # when an operator wants it back
    ledger = OwnLedger(store, "olga")
    with pytest.raises(FragmentOnly, match="put it where it belongs"):
        await ledger.restore(tenant, row.id, 1, "", recreate=False, is_trial=False)

    # then nothing has changed
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert stored.content == without
