"""The ledger holds every concurrent write that was decided, with who, when, and by which rule."""

import json

import psycopg
import pytest
from anabranch_hub.errors import LedgerRowUnknown, LogUnwritable
from anabranch_hub.store import Edit, Matching, Store
from anabranch_sync.change import Change, Op, entry
from anabranch_sync.document import Object
from anabranch_sync.ids import Cursor, Dot, document_id
from anabranch_sync.register import DELETED

from tests.hub.store.conftest import Query
from tests.hub.store.replica import NOON_MS, ROUTER, enrolled, place

pytestmark = pytest.mark.anyio

WAITING = Matching(waiting=True)

SCHEMA: Object = {
    "namespaces": ["acme/*"],
    "schema": {
        "properties": {
            "limit": {"x-anabranch-merge": "max"},
            "prompt": {"x-anabranch-merge": "manual"},
            "members": {"x-anabranch-merge": "union:id"},
        }
    },
}


async def test_a_row_says_who_wrote_what_on_which_base_and_which_rule_chose(
    store: Store, tenant: str
) -> None:
    await store.write(
        tenant, [Edit(document_id("system/schemas", "router"), SCHEMA)], author="op", message=""
    )
    edge = await enrolled(store, tenant, "e1")
    await edge.pull()
    await store.write(tenant, [Edit(ROUTER, {"limit": 7})], author="olga", message="")
    edge.record([(ROUTER, place("limit"), 9.5)], author="ada")

    await edge.push()

    [row] = await store.merges(tenant)
    assert (row.id, row.hub_seq, row.document, row.path) == (1, 3, ROUTER, ("limit",))
    assert (row.kind, row.policy, row.policy_version, row.waiting) == ("value", "max", "router@1", False)
    winner, loser = row.candidates
    assert (winner.value, loser.value) == (9.5, 7)
    [write] = winner.writes
    assert (write.author, write.edge, write.dot) == ("ada", "e1", Dot(edge.incarnation, 1))
    assert (write.base, write.hub_seq, write.skew_ms) == (edge.cursor, 3, 0)
    assert write.timestamp == edge.timestamp
    [write] = loser.writes
    assert (write.author, write.edge, write.dot) == ("olga", "", Dot(0, 2))
    assert write.base == Cursor(edge.cursor.epoch, 1)
    assert await store.merge(tenant, 1) == row
    assert await store.merge(tenant, 2) is None


async def test_deletions_elements_and_prefixes_keep_their_shapes(store: Store, tenant: str) -> None:
    await store.write(
        tenant, [Edit(document_id("system/schemas", "router"), SCHEMA)], author="op", message=""
    )
    content: Object = {"a": 1, "members": [{"id": 1, "w": 1}]}
    await store.write(tenant, [Edit(ROUTER, content)], author="op", message="")
    edge = await enrolled(store, tenant, "e1")
    await edge.pull()
    changed: Object = {"members": [{"id": 1, "w": 2}], "b": {"x": 1}}
    await store.write(tenant, [Edit(ROUTER, changed)], author="op", message="")
    edge.put(ROUTER, {"a": 2, "members": [{"id": 1, "w": 3}], "b": 5})

    await edge.push()
    await edge.pull()

    rows = {row.path: row for row in await store.merges(tenant)}
    assert {path: row.kind for path, row in rows.items()} == {
        ("a",): "delete/update",
        ("members",): "value",
        ("b",): "prefix",
    }
    assert DELETED in [candidate.value for candidate in rows["a",].candidates]
    assert rows["members",].element is not None
    assert {candidate.path for candidate in rows["b",].candidates} == {("b",), ("b", "x")}


async def test_what_waits_for_an_operator_is_reviewed_by_restoring_a_value(store: Store, tenant: str) -> None:
    await store.write(
        tenant, [Edit(document_id("system/schemas", "router"), SCHEMA)], author="op", message=""
    )
    edge = await enrolled(store, tenant, "e1")
    await store.write(tenant, [Edit(ROUTER, {"prompt": "hub's"})], author="op", message="")
    edge.record([(ROUTER, place("prompt"), "edge's")], now_ms=2 * NOON_MS)
    await edge.push()
    [waiting] = await store.merges(tenant, WAITING)

    edit = Edit(ROUTER, {"prompt": "edge's"})
    elsewhere = Edit(document_id("acme/other"), {"a": 1})
    await store.write(tenant, [elsewhere], author="mallory", message="", restores=waiting.id)
    still = await store.merges(tenant, WAITING)
    written = await store.write(tenant, [edit], author="olga", message="she was right", restores=waiting.id)

    assert [candidate.value for candidate in waiting.candidates] == ["hub's", "edge's"]
    assert still == [waiting]
    assert await store.merges(tenant, WAITING) == []
    row = await store.merge(tenant, waiting.id)
    assert row is not None
    assert (row.reviewed_by, row.reviewed_seq) == ("olga", written.hub_seq)
    assert row.reviewed_ms > 0
    [version, *_] = await store.versions(tenant, ROUTER)
    assert (version.restores, version.message) == (waiting.id, "she was right")


async def test_rows_are_numbered_without_gaps_and_can_be_filtered(
    store: Store, tenant: str, query: Query
) -> None:
    other = document_id("acme/dev/router")
    edges = [await enrolled(store, tenant, name) for name in ("e1", "e2", "e3")]
    for edge in edges:
        edge.record([(ROUTER, place("a"), edge.edge), (other, place("b"), edge.edge)])
        edge.record([(ROUTER, place("c"), DELETED if edge.edge == "e2" else edge.edge)])
        await edge.push()

    assert query("SELECT array_agg(id ORDER BY id) FROM merges") == [(list(range(1, 7)),)]
    newest = await store.merges(tenant, limit=2)
    assert [row.id for row in newest] == [6, 5]
    assert [row.id for row in await store.merges(tenant, before=newest[-1].id, limit=2)] == [4, 3]
    assert {row.document for row in await store.merges(tenant, Matching(prefix="acme/dev"))} == {other}
    assert {row.document for row in await store.merges(tenant, Matching(prefix=str(ROUTER)))} == {ROUTER}
    assert len(await store.merges(tenant, Matching(kind="delete/update"))) == 2
    assert await store.merges(tenant, Matching(rule="max")) == []
    assert len(await store.merges(tenant, Matching(rule="latest"))) == 6


async def test_no_name_of_a_field_keeps_a_conflict_out_of_the_ledger(store: Store, tenant: str) -> None:
    schema: Object = {
        "namespaces": ["acme/*"],
        "schema": {"properties": {"members": {"x-anabranch-merge": "union:\x00"}}},
    }
    await store.write(
        tenant, [Edit(document_id("system/schemas", "router"), schema)], author="op", message=""
    )
    edge = await enrolled(store, tenant, "e1")
    await edge.pull()
    await store.write(tenant, [Edit(ROUTER, {"members": [{"\x00": 1, "w": 1}]})], author="op", message="")
    edge.put(ROUTER, {"members": [{"\x00": 1, "w": 2}]})

    await edge.push()
    await edge.pull()

    [row] = await store.merges(tenant)
    assert row.policy == "union:\N{SYMBOL FOR NULL}"


async def test_every_review_has_its_leaf_in_the_log(store: Store, tenant: str, query: Query) -> None:
    # given
    one, two = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    for edge in (one, two):
        edge.record([(ROUTER, place("a"), edge.edge)])
        await edge.push()

    # when
    accepted = await store.accept(tenant, [1], reviewer="olga", note="fine")
    repeated = await store.accept(tenant, [1], reviewer="olga")
    await store.write(tenant, [Edit(ROUTER, {"a": "e1"})], author="pete", message="no", restores=1)
    await store.write(tenant, [Edit(ROUTER, {"a": "else"})], author="pete", message="", restores=1)

    # then
    assert (accepted, repeated) == ([1], [])
    row = await store.merge(tenant, 1)
    assert row is not None
    loser = next(number for number, each in enumerate(row.candidates) if each.value == "e1")
    assert [(each.what, each.candidate, each.reviewer, each.note, each.hub_seq) for each in row.reviews] == [
        ("accepted", None, "olga", "fine", 2),
        ("restored", loser, "pete", "no", 3),
        ("restored", None, "pete", "", 4),
    ]
    leaves = [
        json.loads(str(event))
        for (event,) in query("SELECT convert_from(event, 'UTF8') FROM audit_leaves ORDER BY leaf")
    ]
    reviews = [each["data"] for each in leaves if each["type"] == "io.anabranch.ledger.reviewed"]
    assert [(each["what"], each["author"], each["merge"]) for each in reviews] == [
        ("accepted", "olga", 1),
        ("restored", "pete", 1),
        ("restored", "pete", 1),
    ]
    assert [each.get("candidate") for each in reviews] == [None, loser, None]
    assert "fine" not in str(reviews)


@pytest.mark.tampers
async def test_a_review_that_cannot_be_logged_is_not_made(
    store: Store, tenant: str, postgres_dsn: str
) -> None:
    # given
    one, two = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    for edge in (one, two):
        edge.record([(ROUTER, place("a"), edge.edge)])
        await edge.push()
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(f"DROP TABLE tenant_{tenant}.audit_leaves".encode())

    # when
    with pytest.raises(LogUnwritable):
        await store.accept(tenant, [1], reviewer="olga", note="fine")

    # then
    row = await store.merge(tenant, 1)
    assert row is not None
    assert (row.reviewed_by, row.reviews) == ("", ())


async def test_rows_that_are_not_there_are_named_and_nothing_is_accepted(store: Store, tenant: str) -> None:
    one, two = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    for edge in (one, two):
        edge.record([(ROUTER, place("a"), edge.edge)])
        await edge.push()

    with pytest.raises(LedgerRowUnknown, match="has no row 7"):
        await store.accept(tenant, [7, 1, 9], reviewer="olga")

    assert await store.merges(tenant, Matching(reviewed=True)) == []


async def test_an_edge_that_claims_to_restore_reviews_nothing(store: Store, tenant: str) -> None:
    # given
    one, two = await enrolled(store, tenant, "e1"), await enrolled(store, tenant, "e2")
    for edge in (one, two):
        edge.record([(ROUTER, place("a"), edge.edge)])
        await edge.push()
    await one.pull()

    # when
    forged = Change(one.timestamp + 1, one.cursor, "olga", "", (Op(ROUTER, place("a"), "e1"),), restores=1)
    one.outbox.append(entry(Dot(one.incarnation, 2), forged))
    await one.push()

    # then
    row = await store.merge(tenant, 1)
    assert row is not None
    assert (row.reviewed_by, row.reviews) == ("", ())
