"""Tombstones are collected once every edge that counts has seen them, and miss nobody who had not."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from anabranch_hub.errors import EdgeRevoked
from anabranch_hub.store import Edit, Store
from anabranch_hub.store.forgetting import forgettable
from anabranch_hub.store.records import Told
from anabranch_sync.change import Change, Op
from anabranch_sync.circumstances import UNKNOWN
from anabranch_sync.collection import collectable, recalled
from anabranch_sync.columns import decode_document, encode_document
from anabranch_sync.conflict import Conflict
from anabranch_sync.document import EMPTY, Document
from anabranch_sync.ids import Cursor, DocumentId, document_id
from anabranch_sync.merge import decide
from anabranch_sync.messages import PROTOCOL_MAX
from anabranch_sync.policy import NO_POLICIES
from anabranch_sync.pull import Outcome, Pull
from anabranch_sync.register import DELETED, Operand, Register, Slot

from tests.hub.store.conftest import Query
from tests.hub.store.replica import ROUTER, Replica, enrolled, live, place

pytestmark = pytest.mark.anyio
OTHER = document_id("acme/prod/other")


async def wrote(store: Store, tenant: str, document: DocumentId, content: dict[str, object] | None) -> None:
    await store.write(tenant, [Edit(document, content)], author="op", message="")  # type: ignore[arg-type]


async def opened(store: Store, replica: Replica) -> None:
    await store.open_replica(replica.tenant, replica.edge, replica.incarnation, b"", None)


async def fallen_behind(store: Store, tenant: str) -> Replica:
    """A replica that has a document which was deleted since, and one of whose places was."""
    await wrote(store, tenant, ROUTER, {"a": 1, "b": 2})
    await wrote(store, tenant, OTHER, {"x": 1})
    replica = await enrolled(store, tenant, "e1")
    await replica.pull()
    await wrote(store, tenant, ROUTER, {"a": 1})
    await wrote(store, tenant, OTHER, None)
    return replica


async def test_an_edge_that_has_not_seen_a_deletion_holds_it_back_until_it_has(
    store: Store, tenant: str, query: Query
) -> None:
    replica = await fallen_behind(store, tenant)

    held = await store.collect(tenant, author="olga")
    await replica.pull()
    told = await store.collect(tenant, author="olga", dry_run=True)
    done = await store.collect(tenant, author="olga")
    again = await store.collect(tenant, author="olga")

    assert (held.upto, held.tombstones, held.held_by) == (2, 0, ("e1",))
    assert told == done
    assert (done.upto, done.tombstones, done.documents, done.held_by) == (4, 2, 2, ())
    assert again.tombstones == 0
    assert query("SELECT collected_seq FROM tenant_state") == [(4,)]
    assert await live(store, tenant) == replica.contents == {ROUTER: {"a": 1}}


async def test_what_was_collected_does_not_travel_and_its_history_stays(store: Store, tenant: str) -> None:
    await (await fallen_behind(store, tenant)).pull()
    await store.collect(tenant, author="olga")
    late = await enrolled(store, tenant, "e2")

    pull = await late.pull()
    await wrote(store, tenant, OTHER, {"x": 2})
    await late.pull()

    assert isinstance(pull, Pull)
    assert {document: set(state.registers) for document, state in pull.documents.items()} == {
        ROUTER: {place("a")}
    }
    assert late.contents == await live(store, tenant)
    assert [each.version for each in await store.versions(tenant, OTHER)] == [3, 2, 1]


async def test_a_retired_edge_holds_nothing_back_and_gets_everything_when_it_returns(
    store: Store, tenant: str
) -> None:
    replica = await fallen_behind(store, tenant)
    await store.retire(tenant, "e1", author="olga")
    retired = await store.edge(tenant, "e1")
    collected = await store.collect(tenant, author="olga")

    await opened(store, replica)
    pull = await replica.pull()

    assert retired.retired_ms is not None
    assert (collected.upto, collected.tombstones) == (4, 2)
    assert (await store.edge(tenant, "e1")).retired_ms is None
    assert pull is not None
    assert pull.whole
    assert replica.contents == await live(store, tenant) == {ROUTER: {"a": 1}}


async def test_a_late_write_meets_the_deletion_that_was_collected(store: Store, tenant: str) -> None:
    replica = await fallen_behind(store, tenant)
    replica.put(ROUTER, {"a": 1, "b": 3}, now_ms=1_000)
    replica.put(OTHER, {"x": 7}, now_ms=1_000)
    await store.retire(tenant, "e1", author="olga")
    await store.collect(tenant, author="olga")

    await opened(store, replica)
    await replica.push()
    await replica.pull()

    rows = {row.document: row for row in await store.merges(tenant)}
    assert {document: row.kind for document, row in rows.items()} == {
        ROUTER: "delete/update",
        OTHER: "delete/update",
    }
    assert [each.value for each in rows[OTHER].candidates] == [DELETED, 7]
    assert rows[OTHER].candidates[0].writes[0].author == "op"
    assert len(replica.notices) == 2
    assert replica.contents == await live(store, tenant) == {ROUTER: {"a": 1}}


async def test_an_outbox_older_than_its_replicas_cursor_meets_it_too(store: Store, tenant: str) -> None:
    replica = await fallen_behind(store, tenant)
    replica.put(OTHER, {"x": 7})
    await replica.pull()
    collected = await store.collect(tenant, author="olga")

    await replica.push()
    await replica.pull()

    assert collected.tombstones == 2
    [row] = await store.merges(tenant)
    assert (row.document, row.kind) == (OTHER, "delete/update")
    assert replica.contents == await live(store, tenant)


async def aged(query: Query) -> None:
    """All that was decided is older than what is kept in any case."""
    query("UPDATE changes SET received_at = now() - interval '91 days' RETURNING 1")


async def test_what_every_edge_has_said_to_have_seen_is_forgotten_after_a_quarter(
    store: Store, tenant: str, query: Query
) -> None:
    # given
    replica = await fallen_behind(store, tenant)
    await replica.pull()
    await store.collect(tenant, author="olga")

    # when
    await drained(store, replica)
    fresh = await store.collect(tenant, author="olga")
    query("UPDATE replicas SET drained_seq = 0 RETURNING 1")
    await aged(query)
    unsure = await store.collect(tenant, author="olga")
    await drained(store, replica)
    told = await store.collect(tenant, author="olga", dry_run=True)
    done = await store.collect(tenant, author="olga")

    # then
    assert [each.forgotten for each in (fresh, unsure, told, done)] == [0, 0, 2, 2]
    assert query("SELECT count(*) FROM collected_tombstones") == [(0,)]
    assert query("SELECT forgotten_seq FROM tenant_state") == [(4,)]
    assert await live(store, tenant) == {ROUTER: {"a": 1}}


async def test_a_change_shows_what_its_author_had_seen(store: Store, tenant: str, query: Query) -> None:
    replica = await fallen_behind(store, tenant)
    await replica.pull()
    replica.put(ROUTER, {"a": 2})
    await replica.push()
    await aged(query)

    assert (await store.collect(tenant, author="olga")).forgotten == 2


async def test_a_write_older_than_what_is_remembered_is_refused_whole(
    store: Store, tenant: str, query: Query
) -> None:
    # given
    replica = await fallen_behind(store, tenant)
    replica.record([(OTHER, place("y"), 7), (ROUTER, place("a"), 7)])
    await store.retire(tenant, "e1", author="olga")
    await aged(query)
    await store.collect(tenant, author="olga")

    # when
    await opened(store, replica)
    await replica.push()
    await replica.pull()

    # then
    [result] = replica.results
    assert result.outcome is Outcome.REFUSED
    assert "is forgotten" in result.reason
    assert replica.contents == await live(store, tenant) == {ROUTER: {"a": 1}}
    replica.put(OTHER, {"y": 7})
    await replica.push()
    assert (await live(store, tenant))[OTHER] == {"y": 7}


async def test_who_had_seen_nothing_brings_nothing_back_and_is_merged(
    store: Store, tenant: str, query: Query
) -> None:
    await (await fallen_behind(store, tenant)).pull()
    await store.retire(tenant, "e1", author="olga")
    await aged(query)
    await store.collect(tenant, author="olga")
    late = await enrolled(store, tenant, "e2")
    late.put(OTHER, {"x": 9})

    await late.push()

    assert (await live(store, tenant))[OTHER] == {"x": 9}


async def drained(store: Store, replica: Replica) -> None:
    """It comes again, and says that all it wrote is here."""
    told = Told(0, UNKNOWN, 0, PROTOCOL_MAX, drained=replica.cursor)
    await store.open_replica(replica.tenant, replica.edge, replica.incarnation, b"", told)


async def test_a_deletion_that_is_offered_again_changes_nothing(store: Store, tenant: str) -> None:
    replica = await fallen_behind(store, tenant)
    replica.record([(OTHER, place("x"), DELETED)])
    await store.retire(tenant, "e1", author="olga")
    await store.collect(tenant, author="olga")

    await replica.push()
    await replica.pull()

    assert await store.merges(tenant) == []
    assert replica.contents == await live(store, tenant) == {ROUTER: {"a": 1}}


async def test_a_disk_put_back_behind_the_collection_gets_everything(store: Store, tenant: str) -> None:
    replica = await fallen_behind(store, tenant)
    image = (replica.cursor, dict(replica.confirmed))
    await replica.pull()
    await store.collect(tenant, author="olga")
    replica.cursor, replica.confirmed = image

    pull = await replica.pull()

    assert pull is not None
    assert pull.whole
    assert replica.contents == await live(store, tenant)


async def test_a_revoked_edge_holds_nothing_back_and_cannot_be_retired(store: Store, tenant: str) -> None:
    await fallen_behind(store, tenant)
    await store.revoke(tenant, "e1")

    collected = await store.collect(tenant, author="olga")

    assert collected.tombstones == 2
    with pytest.raises(EdgeRevoked):
        await store.retire(tenant, "e1", author="olga")


@pytest.mark.parametrize("seed", range(200))
def test_whatever_is_decided_after_a_collection_is_what_would_have_been_without(seed: int) -> None:
    chance = random.Random(seed)
    whole: dict[DocumentId, Document] = {}
    left: dict[DocumentId, Document] = {}
    kept: dict[DocumentId, Document] = {}
    dropped: dict[Slot, Register] = {}
    forgotten = 0
    slots = [Slot(("a",)), Slot(("a", "b")), Slot(("a", "c")), Slot(("d",)), Slot(("d",), b"\x01")]
    for position in range(1, 40):
        base = Cursor(1, chance.randrange(position))
        values: list[Operand] = [DELETED, DELETED, 1, 2, {}]
        ops = tuple(
            Op(
                ROUTER,
                slot,
                DELETED if chance.random() < 0.4 else (1 if slot.element else chance.choice(values)),
            )
            for slot in chance.sample(slots, chance.randint(1, 3))
        )
        if base.hub_seq < forgotten:  # it is refused, or its author had seen nothing
            continue
        change = Change(chance.randrange(100), base, "", "", ops)
        actor = chance.randint(1, 3)
        met = recalled(left, kept, [change], Cursor(1, position - 1))
        one = decide(whole, change, actor, position, change.timestamp, NO_POLICIES)
        other = decide(met, change, actor, position, change.timestamp, NO_POLICIES)
        assert told(one.conflicts) == told(other.conflicts)
        whole, left = {**whole, **stored(one.documents)}, {**left, **stored(other.documents)}
        if chance.random() < 0.3:
            standing = left.get(ROUTER, EMPTY)
            gone = collectable(standing, chance.randint(0, position))
            kept[ROUTER] = Document({**registers(kept.get(ROUTER)), **gone})
            rest = {slot: each for slot, each in standing.registers.items() if slot not in gone}
            left[ROUTER] = Document(rest, standing.version)
        if chance.random() < 0.1:
            old = forgettable(kept.get(ROUTER, EMPTY), chance.randint(0, position))
            forgotten = max(forgotten, old.hub_seq)
            dropped.update(old.registers)
            held = registers(kept.get(ROUTER)).items()
            kept[ROUTER] = Document({slot: each for slot, each in held if slot not in old.registers})
        stands = {**dropped, **registers(kept.get(ROUTER)), **registers(left.get(ROUTER))}
        assert stands == registers(whole.get(ROUTER))


def stored(documents: Mapping[DocumentId, Document]) -> dict[DocumentId, Document]:
    """As they come back from a store: their registers in order."""
    return {document: decode_document(encode_document(state)) for document, state in documents.items()}


def told(conflicts: tuple[Conflict, ...]) -> list[tuple[object, ...]]:
    """What conflicts say, but which of several that were written at once: the first in a document's order."""
    return [
        (each.slot, each.kind, each.policy, each.winner.stamps[0], len(each.candidates)) for each in conflicts
    ]


def registers(document: Document | None) -> dict[Slot, Register]:
    return dict((document or EMPTY).registers)
