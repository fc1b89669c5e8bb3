"""Any state of the past can be read, from whichever end it is nearer to, and none that was tampered with."""

import time

import pytest
from anabranch_hub.errors import PositionAhead
from anabranch_hub.store import Edit, Origin, Store
from anabranch_sync.document import Object, digest
from anabranch_sync.errors import HistoryDamaged
from anabranch_sync.ids import document_id
from anabranch_sync.reference import AtPosition, AtTime, AtVersion

from tests.hub.store.conftest import Query
from tests.hub.store.replica import ROUTER, enrolled

pytestmark = pytest.mark.anyio

LIMITS = document_id("acme/prod/limits")
ELSEWHERE = document_id("acme/dev/router")


async def written(store: Store, tenant: str, *contents: Object | None) -> None:
    for content in contents:
        await store.write(tenant, [Edit(ROUTER, content)], author="op", message="")


async def test_a_document_is_read_as_it_stood_at_a_position(store: Store, tenant: str) -> None:
    await store.write(tenant, [Edit(LIMITS, {"x": 0})], author="op", message="")
    await written(store, tenant, {"a": 1}, {"a": 2}, None, {"a": 4})

    stood = [await store.read_at(tenant, ROUTER, AtPosition(position)) for position in range(6)]

    assert stood[:2] == [None, None]
    assert [(each.content, each.version, each.hub_seq) for each in stood[2:] if each] == [
        ({"a": 1}, 1, 2),
        ({"a": 2}, 2, 3),
        (None, 3, 4),
        ({"a": 4}, 4, 5),
    ]
    with pytest.raises(PositionAhead, match="position 6 is still to come: the tenant stands at 5"):
        await store.read_at(tenant, ROUTER, AtPosition(6))


async def test_a_time_names_the_last_position_decided_by_then(
    store: Store, tenant: str, query: Query
) -> None:
    await written(store, tenant, {"a": 1}, {"a": 2}, {"a": 3})
    query("UPDATE changes SET received_at = now() - interval '1 hour' * (4 - hub_seq) RETURNING hub_seq")
    now_ms = time.time_ns() // 1_000_000

    positions = [
        await store.position(tenant, AtTime(now_ms - minutes * 60_000)) for minutes in (200, 150, 90, 0)
    ]
    stood = await store.read_at(tenant, ROUTER, AtTime(now_ms - 90 * 60_000))

    assert positions == [0, 1, 2, 3]
    assert stood is not None
    assert stood.content == {"a": 2}


async def test_a_namespace_is_read_as_it_stood_without_what_was_not_there(store: Store, tenant: str) -> None:
    await store.write(tenant, [Edit(ROUTER, {"a": 1}), Edit(ELSEWHERE, {"a": 1})], author="op", message="")
    await store.write(tenant, [Edit(LIMITS, {"x": 0}), Edit(ROUTER, {"a": 2})], author="op", message="")
    await store.write(tenant, [Edit(ROUTER, None)], author="op", message="")

    stood = [
        {
            str(each.document): each.content
            for each in await store.documents_at(tenant, at, prefix="acme/prod")
        }
        for at in range(4)
    ]

    router, limits = str(ROUTER), str(LIMITS)
    assert stood == [
        {},
        {router: {"a": 1}},
        {limits: {"x": 0}, router: {"a": 2}},
        {limits: {"x": 0}},
    ]


async def test_a_large_namespace_comes_in_pages_that_belong_together(store: Store, tenant: str) -> None:
    documents = [document_id(f"acme/prod/n{number:03}") for number in range(450)]
    await store.write(tenant, [Edit(each, {"n": 1}) for each in documents], author="op", message="")
    await store.write(tenant, [Edit(each, {"n": 2}) for each in documents], author="op", message="")

    found, after = [], ""
    while page := await store.documents_at(tenant, 1, after=after):
        found += page
        after = str(page[-1].document)
        await store.write(tenant, [Edit(documents[-1], {"n": len(found)})], author="op", message="")

    assert [each.document for each in found] == documents
    assert {repr(each.content) for each in found} == {"{'n': 1}"}


async def test_what_differs_between_two_moments_is_paired_both_ways(store: Store, tenant: str) -> None:
    await store.write(tenant, [Edit(ROUTER, {"a": 1}), Edit(LIMITS, {"x": 0})], author="op", message="")
    await store.write(tenant, [Edit(ROUTER, {"a": 2}), Edit(LIMITS, None)], author="op", message="")
    await store.write(tenant, [Edit(ROUTER, {"a": 1}), Edit(ELSEWHERE, {})], author="op", message="")

    since_first = await store.between(tenant, 1)
    middle = await store.between(tenant, 2, 1, prefix="acme/prod")

    # the router was changed and changed back
    assert [str(pair.document) for pair in since_first] == [str(ELSEWHERE), str(LIMITS)]
    assert (since_first[0].before, since_first[1].after) == (None, None)
    contents = [(pair.before and pair.before.content, pair.after and pair.after.content) for pair in middle]
    assert contents == [(None, {"x": 0}), ({"a": 2}, {"a": 1})]


async def test_a_history_tells_where_each_change_came_from(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    replica.put(ROUTER, {"a": 1})
    await replica.push()
    await store.write(tenant, [Edit(ROUTER, {"a": 2}), Edit(LIMITS, {})], author="olga", message="two")

    below = await store.versions_below(tenant, prefix="acme/prod")
    page = await store.versions_below(tenant, prefix="acme/prod", limit=1)
    rest = await store.versions_below(tenant, prefix="acme/prod", before=page[-1].hub_seq)

    assert [(each.document, each.hub_seq, each.origin) for each in below] == [
        (LIMITS, 2, Origin.OPERATOR),
        (ROUTER, 2, Origin.OPERATOR),
        (ROUTER, 1, Origin.EDGE),
    ]
    assert page + rest == below
    assert [each.version for each in await store.versions(tenant, ROUTER, before=2)] == [1]
    assert all(each.decided_ms > 1_700_000_000_000 for each in below)


@pytest.mark.tampers
@pytest.mark.parametrize(
    "damage",
    [
        """UPDATE versions SET inverse = '[{"op":"replace","path":"/a","value":7}]' WHERE version = 3""",
        "UPDATE versions SET inverse = '[]' WHERE version = 3",
        """UPDATE versions SET inverse = '[{"op":"remove","path":"/b"}]' WHERE version = 3""",
        "UPDATE versions SET digest_after = '\\x00112233445566778899aabbccddeeff' WHERE version = 2",
        "DELETE FROM versions WHERE version = 3",
    ],
)
async def test_a_version_that_was_tampered_with_is_named_and_never_given_out(
    store: Store, tenant: str, query: Query, damage: str
) -> None:
    await written(store, tenant, {"a": 1}, {"a": 2}, {"a": 3})
    query(f"{damage} RETURNING 1")

    with pytest.raises(HistoryDamaged, match="version 2 of acme/prod/router/config"):
        await store.read_version(tenant, ROUTER, 2)
    with pytest.raises(HistoryDamaged, match="version 2 of acme/prod/router/config"):
        await store.documents_at(tenant, 2)

    head = await store.read(tenant, ROUTER)
    assert head is not None
    assert head.content == {"a": 3}


async def test_a_version_is_rebuilt_from_the_nearer_end_of_its_history(
    store: Store, tenant: str, query: Query
) -> None:
    for number in range(1, 10):
        await written(store, tenant, {"a": number})
    query("UPDATE versions SET patch = '[]', inverse = '[]' WHERE version = 5 RETURNING 1")

    for version in range(1, 10):
        stored = await store.read_version(tenant, ROUTER, version)
        assert stored is not None
        assert (stored.content, stored.digest) == ({"a": version}, digest(ROUTER, {"a": version}))


async def test_the_head_is_a_version_like_the_others(store: Store, tenant: str) -> None:
    await written(store, tenant, {"a": 1}, {"a": 2})

    head = await store.read(tenant, ROUTER)

    assert await store.read_at(tenant, ROUTER, AtVersion(2)) == head
    assert await store.read_at(tenant, ROUTER, AtPosition(2)) == head


async def test_what_merged_is_the_past_also_where_it_was_never_served_and_can_be_gone_back_from(
    store: Store, tenant: str
) -> None:
    # given two changes that are valid each and not together
    schema: Object = {"namespaces": ["acme/prod/*"], "schema": {"maxProperties": 2}}
    await store.write(tenant, [Edit(document_id("system/schemas"), schema)], author="op", message="")
    await written(store, tenant, {"x": 1})
    one, two = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    for each in (one, two):
        await each.pull()
    one.put(ROUTER, {"x": 1, "a": 1})
    two.put(ROUTER, {"x": 1, "b": 1})
    for each in (one, two):
        await each.push()

    # when
    served = await store.read(tenant, ROUTER)
    head = await store.read_version(tenant, ROUTER, 3)
    [pair] = await store.between(tenant, 3)
    await store.write(tenant, [Edit(ROUTER, {"x": 1, "a": 1}, 3)], author="op", message="", rolled_back_to=3)
    repaired = await store.read(tenant, ROUTER)

    # then
    assert served is not None
    assert served.quarantine is not None
    assert head is not None
    assert (served.content, head.content) == ({"x": 1, "a": 1}, {"x": 1, "a": 1, "b": 1})
    assert pair.before is not None
    assert (pair.before.content, pair.after) == ({"x": 1, "a": 1}, head)
    assert repaired is not None
    assert (repaired.content, repaired.quarantine, repaired.version) == ({"x": 1, "a": 1}, None, 4)
