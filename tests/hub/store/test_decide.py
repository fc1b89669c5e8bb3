"""Pushes and hub writes: decided once, in one order, whole, with everything that belongs to them."""

import asyncio
from dataclasses import replace

import pytest
from anabranch_hub.errors import EdgeRevoked, Fenced, TenantUnknown, VersionMismatch
from anabranch_hub.store import Edit, Store
from anabranch_sync.change import Change, Entry, Op, entry
from anabranch_sync.clock import wall_ms
from anabranch_sync.document import DOCUMENT_BYTES_MAX, Object
from anabranch_sync.errors import DocumentTooLarge, InvalidInput, InvalidName, InvalidValue, UnknownPolicy
from anabranch_sync.ids import Cursor, Dot, document_id
from anabranch_sync.pull import Outcome
from anabranch_sync.register import DELETED
from anabranch_sync.scope import SCOPE_PREFIXES_MAX, Scope

from tests.hub.store.conftest import Query
from tests.hub.store.replica import ROUTER, Replica, enrolled, place

pytestmark = pytest.mark.anyio

YEAR_2200_MS = 7_258_118_400_000
MAX_SCHEMA = document_id("system/schemas", "limits")


async def test_a_push_is_merged_and_its_mark_moves_with_it(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    replica.put(ROUTER, {"limits": {"requests": 5}, "name": "é", "rate": 1.0})

    answer = await replica.push()

    assert answer is not None
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert stored.content == {"limits": {"requests": 5}, "name": "é", "rate": 1.0}
    assert isinstance(stored.content["rate"], float)
    opening = await store.open_replica(tenant, "e1", replica.incarnation)
    assert (opening.push_mark, opening.chain) == (answer.push_mark, answer.chain)


async def test_positions_have_no_gaps_when_two_stores_decide_at_once(
    store: Store, tenant: str, query: Query, postgres_dsn: str
) -> None:
    other = await Store.connect(postgres_dsn)
    edges = [await enrolled(store, tenant, f"e{number}") for number in range(6)]
    for index, replica in enumerate(edges):
        replica.store = (store, other)[index % 2]

    async def edit(replica: Replica) -> None:
        for number in range(8):
            replica.record([(ROUTER, place(replica.edge), number)])
            await replica.push()

    async def write(number: int) -> None:
        edits = [Edit(document_id(f"acme/hub/{number}"), {"n": number})]
        await (store, other)[number % 2].write(tenant, edits, author="operator", message="")

    await asyncio.gather(*(edit(replica) for replica in edges), *(write(number) for number in range(10)))
    await other.close()

    [(positions,)] = query("SELECT array_agg(hub_seq ORDER BY hub_seq) FROM changes")
    assert positions == list(range(1, 6 * 8 + 10 + 1))
    assert query("SELECT hub_seq FROM tenant_state") == [(58,)]
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert stored.content == {f"e{number}": 7 for number in range(6)}
    assert stored.version == 48


async def test_waiting_pushes_share_a_transaction(store: Store, tenant: str, query: Query) -> None:
    edges = [await enrolled(store, tenant, f"e{number}") for number in range(20)]
    for replica in edges:
        replica.record([(ROUTER, place(replica.edge), 1)])

    await asyncio.gather(*(replica.push() for replica in edges))

    # The first may be decided alone; the others have waited together meanwhile.
    assert query("SELECT count(DISTINCT xmin::text) <= 2, count(*) FROM changes") == [(True, 20)]


async def test_a_repeated_push_changes_nothing(store: Store, tenant: str, query: Query) -> None:
    replica = await enrolled(store, tenant, "e1")
    entries = [replica.record([(ROUTER, place("a"), number)]) for number in range(3)]
    start = replica.chain
    answer = await replica.push()

    again = await store.decide(tenant, "e1", entries, start)
    head_again = await store.decide(tenant, "e1", entries[:1], start)

    assert again == head_again == answer
    assert query("SELECT count(*) FROM changes") == [(3,)]


async def test_a_push_that_repeats_a_part_continues_with_the_rest(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    start = replica.chain
    entries = [replica.record([(ROUTER, place("a"), 1)])]
    await replica.push()
    entries += [replica.record([(ROUTER, place("a"), 2)])]

    answer = await store.decide(tenant, "e1", entries, start)

    assert (answer.push_mark, answer.hub_seq) == (2, 2)


async def test_a_clone_is_fenced_and_the_others_in_its_batch_are_not(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    neighbour = await enrolled(store, tenant, "e2")
    clone = replace(replica, outbox=[])
    replica.record([(ROUTER, place("a"), "original")])
    clone.record([(ROUTER, place("a"), "clone")])
    await replica.push()
    neighbour.record([(ROUTER, place("b"), 1)])
    clone_next = clone.record([(ROUTER, place("a"), "clone's next")])

    results = await asyncio.gather(
        store.decide(tenant, "e1", [clone.outbox[0]], clone.chain),
        store.decide(tenant, "e1", [clone_next], b"x" * 8),
        neighbour.push(),
        return_exceptions=True,
    )

    assert [type(result).__name__ for result in results] == ["Fenced", "Fenced", "Answer"]
    assert "another history" in str(results[0])
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert stored.content == {"a": "original", "b": 1}


async def test_a_gap_in_the_changes_is_fenced(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    replica.record([(ROUTER, place("a"), 1)])
    second = replica.record([(ROUTER, place("a"), 2)])

    with pytest.raises(Fenced, match="changes 1 to 1 are missing"):
        await store.decide(tenant, "e1", [second], replica.chain)


async def test_an_incarnation_is_good_for_the_edge_it_was_leased_to_only(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    await enrolled(store, tenant, "e2")
    change = replica.record([(ROUTER, place("a"), 1)])

    with pytest.raises(Fenced, match="another edge"):
        await store.decide(tenant, "e2", [change], replica.chain)
    with pytest.raises(Fenced, match="never leased"):
        await store.open_replica(tenant, "e2", replica.incarnation)
    with pytest.raises(Fenced, match="never leased"):
        await store.pull(tenant, "e2", replica.incarnation, replica.cursor)
    forged = Entry(Dot(0, 1), change.change, change.body)
    with pytest.raises(Fenced, match="never leased"):
        await store.decide(tenant, "e2", [forged], replica.chain)


async def test_a_fenced_replica_offers_its_changes_again_and_none_is_merged_twice(
    store: Store, tenant: str
) -> None:
    replica = await enrolled(store, tenant, "e1")
    sent = replica.record([(ROUTER, place("a"), 1)])
    await replica.push()
    unsent = replica.record([(ROUTER, place("b"), 2)])
    fresh = await store.open_replica(tenant, "e1", 0)

    again = [
        Entry(Dot(fresh.incarnation, n), each.change, each.body) for n, each in enumerate([sent, unsent], 1)
    ]
    answer = await store.decide(tenant, "e1", again, fresh.chain)

    assert answer.push_mark == 2
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert (stored.content, stored.version) == ({"a": 1, "b": 2}, 2)
    pull = await store.pull(tenant, "e1", fresh.incarnation, replica.cursor)
    assert pull is not None
    assert [(each.local_seq, each.outcome) for each in pull.results] == [(1, Outcome.DUPLICATE)]


@pytest.mark.parametrize("namespace", ["other/prod", "acmeplus", "global/limits", "system/schemas"])
async def test_a_change_outside_the_scope_is_refused_and_blocks_nothing(
    store: Store, tenant: str, namespace: str, query: Query
) -> None:
    replica = await enrolled(store, tenant, "e1")
    outside = document_id(namespace)
    replica.record([(ROUTER, place("a"), 1)])
    replica.record([(outside, place("a"), 1), (ROUTER, place("half"), 1)])
    replica.record([(ROUTER, place("b"), 1)])

    await replica.push()
    await replica.pull()

    assert await store.read(tenant, outside) is None
    assert replica.contents == {ROUTER: {"a": 1, "b": 1}}
    [result] = replica.results
    assert (result.local_seq, result.outcome) == (2, Outcome.REFUSED)
    assert result.reason == f"{outside} is outside what edge e1 may write: acme"
    assert query("SELECT outcome FROM changes ORDER BY hub_seq") == [("merged",), ("refused",), ("merged",)]


async def test_why_a_change_is_refused_is_said_in_few_words_however_large_the_scope_is(
    store: Store, tenant: str
) -> None:
    prefixes = tuple(f"acme/prod/{'x' * 100}{number:02}" for number in range(SCOPE_PREFIXES_MAX))
    replica = await enrolled(store, tenant, "e1", prefixes)
    replica.record([(document_id("other"), place("a"), 1)])

    await replica.push()
    await replica.pull()

    # 10,000 of them in one pull had 70 MB, of which it may have 32
    [result] = replica.results
    assert result.reason.endswith(f"may write: {', '.join(prefixes[:3])}, ...")


async def test_a_merge_may_pass_the_limit_of_a_document_but_not_twice(store: Store, tenant: str) -> None:
    one, other, third = [await enrolled(store, tenant, name) for name in ("e1", "e2", "e3")]
    for index, replica in enumerate((one, other, third)):
        replica.record([(ROUTER, place(replica.edge), str(index) * (DOCUMENT_BYTES_MAX - 100))])
        await replica.push()

    stored = await store.read(tenant, ROUTER)
    pull = await third.pull()

    assert stored is not None
    assert stored.content is not None
    assert sorted(stored.content) == ["e1", "e2"]
    assert pull is not None
    assert "limit 524288" in pull.results[0].reason


async def test_a_clock_ahead_is_recorded_and_counts_as_the_hubs(
    store: Store, tenant: str, query: Query
) -> None:
    replica = await enrolled(store, tenant, "e1")
    replica.put(ROUTER, {"a": "from the year 2200"}, now_ms=YEAR_2200_MS)

    await replica.push()
    await replica.pull()

    assert query("SELECT skew_ms > 60000, timestamp >> 16 FROM changes") == [(True, YEAR_2200_MS)]
    [register] = replica.confirmed[ROUTER].registers.values()
    assert wall_ms(register.stamp.timestamp) < YEAR_2200_MS
    assert replica.contents == {ROUTER: {"a": "from the year 2200"}}


@pytest.mark.parametrize("base", [Cursor(1, 10_000), Cursor(2**40, 0), Cursor(2**40, 1)])
async def test_a_base_this_hub_never_issued_overwrites_nothing_unseen(
    store: Store, tenant: str, base: Cursor
) -> None:
    replica = await enrolled(store, tenant, "e1")
    epoch = (await store.open_replica(tenant, "e1", replica.incarnation)).epoch
    await store.write(tenant, [Edit(ROUTER, {"a": "hub"})], author="operator", message="")
    cursor = Cursor(epoch, base.hub_seq) if base.epoch == 1 else base
    change = Change(2**60, cursor, "ada", "", (Op(ROUTER, place("a"), "edge"),))

    await store.decide(tenant, "e1", [entry(Dot(replica.incarnation, 1), change)], replica.chain)

    [row] = await store.merges(tenant)
    assert {candidate.value for candidate in row.candidates if isinstance(candidate.value, str)} == {
        "hub",
        "edge",
    }


async def test_a_revoked_edge_can_neither_push_nor_pull_nor_open(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    replica.record([(ROUTER, place("a"), 1)])
    await store.revoke(tenant, "e1")

    with pytest.raises(EdgeRevoked):
        await replica.push()
    with pytest.raises(EdgeRevoked):
        await replica.pull()
    with pytest.raises(EdgeRevoked):
        await store.open_replica(tenant, "e1", replica.incarnation)


async def test_the_hub_writes_whole_documents_and_only_what_differs(store: Store, tenant: str) -> None:
    first = await store.write(
        tenant,
        [Edit(ROUTER, {"a": 1, "b": {"c": [1]}}), Edit(document_id("global/x"), {})],
        author="op",
        message="",
    )
    same = await store.write(tenant, [Edit(ROUTER, {"b": {"c": [1]}, "a": 1})], author="op", message="")
    typed = await store.write(tenant, [Edit(ROUTER, {"a": 1.0, "b": {"c": [1]}})], author="op", message="")
    gone = await store.write(tenant, [Edit(ROUTER, None)], author="op", message="")

    assert (first.hub_seq, first.versions) == (1, (1, 1))
    assert (same.hub_seq, same.versions) == (1, (1,))
    assert (typed.hub_seq, typed.versions) == (2, (2,))
    assert (gone.hub_seq, gone.versions) == (3, (3,))
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert (stored.content, stored.digest) == (None, 0)


async def test_a_write_over_another_version_is_refused(store: Store, tenant: str) -> None:
    await store.write(tenant, [Edit(ROUTER, {"a": 1}, if_version=0)], author="op", message="")

    with pytest.raises(VersionMismatch, match="is at version 1, expected 0"):
        await store.write(tenant, [Edit(ROUTER, {"a": 2}, if_version=0)], author="op", message="")
    two = [Edit(document_id("acme/other"), {"x": 1}), Edit(ROUTER, {"a": 2}, if_version=7)]
    with pytest.raises(VersionMismatch):
        await store.write(tenant, two, author="op", message="")
    await store.write(tenant, [Edit(ROUTER, None, if_version=1)], author="op", message="")
    await store.write(tenant, [Edit(ROUTER, {"a": 3}, if_version=0)], author="op", message="")

    assert await store.read(tenant, document_id("acme/other")) is None


async def test_the_hub_refuses_its_own_bad_writes_and_changes_nothing(store: Store, tenant: str) -> None:
    schema = document_id("system/schemas", "router")

    bad: list[tuple[Object, type[InvalidInput]]] = [
        ({"namespaces": ["acme/*"], "schema": {"x-anabranch-merge": "newest"}}, UnknownPolicy),
        ({"namespaces": []}, InvalidValue),
        ({"x": float("nan")}, InvalidValue),
        ({"x": "y" * DOCUMENT_BYTES_MAX}, DocumentTooLarge),
    ]
    for content, error in bad:
        with pytest.raises(error):
            await store.write(tenant, [Edit(schema, content)], author="op", message="")
    with pytest.raises(InvalidName):
        await store.write(tenant, [Edit(ROUTER, {})], author="two\nlines", message="")

    cursor, digest = await store.digest(tenant, Scope(("acme",)))
    assert (cursor.hub_seq, digest.count) == (0, 0)


async def test_a_new_policy_judges_the_next_change_of_the_same_batch(
    store: Store, tenant: str, query: Query
) -> None:
    replica = await enrolled(store, tenant, "e1")
    await store.write(tenant, [Edit(ROUTER, {"limit": 10})], author="op", message="")
    replica.record([(ROUTER, place("limit"), 5)])
    replica.record([(ROUTER, place("limit"), 20)])
    schema: Object = {
        "namespaces": ["acme/*"],
        "schema": {"properties": {"limit": {"x-anabranch-merge": "max"}}},
    }
    other = store.write(tenant, [Edit(document_id("acme/other"), {})], author="op", message="")
    change = store.write(tenant, [Edit(MAX_SCHEMA, schema)], author="op", message="")

    await asyncio.gather(other, change, replica.push())

    assert query("SELECT count(DISTINCT xmin::text) FROM changes WHERE hub_seq > 2") == [(1,)]
    rows = [(row.policy, row.policy_version) for row in await store.merges(tenant)]
    assert rows == [("max", "limits@1"), ("max", "limits@1")]
    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert stored.content == {"limit": 20}


async def test_a_tenant_that_does_not_exist_is_named(store: Store) -> None:
    with pytest.raises(TenantUnknown, match="tenant nobody does not exist"):
        await store.read("nobody", ROUTER)
    with pytest.raises(TenantUnknown):
        await store.write("nobody", [Edit(ROUTER, {})], author="op", message="")
    with pytest.raises(InvalidName):
        await store.read('x"; DROP SCHEMA anabranch; --', ROUTER)


async def test_tenants_do_not_see_each_other(store: Store, tenant: str) -> None:
    other = f"{tenant}x"
    await store.create_tenant(other)
    replica = await enrolled(store, tenant, "e1")
    stranger = await enrolled(store, other, "e1")
    replica.put(ROUTER, {"secret": 1})
    await replica.push()

    assert await store.read(other, ROUTER) is None
    assert (await stranger.pull(always=True)) is not None
    assert stranger.contents == {}
    with pytest.raises(Fenced):
        await store.pull(other, "e1", replica.incarnation + 1, stranger.cursor)


async def test_a_delete_is_a_change_like_any(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    replica.put(ROUTER, {"a": 1, "b": 2})
    replica.record([(ROUTER, place("a"), DELETED)])
    await replica.push()
    replica.put(ROUTER, None)
    await replica.push()
    await replica.pull()

    stored = await store.read(tenant, ROUTER)
    assert stored is not None
    assert (stored.content, stored.version) == (None, 3)
    assert replica.contents == {}
