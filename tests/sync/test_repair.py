"""Documents that differ are found exactly, in few bytes, and no unsent write is lost over it."""

import random
from collections.abc import Mapping

import pytest
from anabranch_hub.simulation.memory import MemoryHub, MemoryReplica, scope_digest
from anabranch_sync.document import EMPTY, Document
from anabranch_sync.edge_session import Phase
from anabranch_sync.errors import CorruptFrame, ProtocolViolation
from anabranch_sync.ids import DocumentId, document_id
from anabranch_sync.incident import IncidentKind, Remedy
from anabranch_sync.messages import Equal, encode_message
from anabranch_sync.register import Register, Value
from anabranch_sync.repairing import (
    DOCUMENTS_NAMED_MAX,
    HASH_BYTES,
    LISTED_MAX,
    RANGES_ASKED_MAX,
    ROOT,
    Differing,
    Ranges,
    Repair,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sync.pair import NOW_MS, SCOPE, Pair, new_hub, new_replica

ROUTER = document_id("acme/prod/router")
LIMITS = document_id("acme/prod/limits")

_documents = st.builds(lambda number: document_id("acme/prod", f"k{number}"), st.integers(0, 400))
_digests = st.dictionaries(_documents, st.integers(1, 2**128 - 1), max_size=120)
_edits = st.dictionaries(_documents, st.none() | st.integers(1, 2**128 - 1), max_size=12)


def repaired(here: Mapping[DocumentId, int], there: Mapping[DocumentId, int]) -> Differing | None:
    """What the edge comes to ask for, the hub's answers straight from its own ranges."""
    repair, hub = Repair(here), Ranges(there)
    asked: tuple[str, ...] = (ROOT,)
    for _ in range(2 * HASH_BYTES):
        found = repair.answered(asked, b"".join(hub.answer(prefix) for prefix in asked))
        if found is None or isinstance(found, Differing):
            return found
        asked = tuple(found)
    raise AssertionError("each round goes a digit deeper")


@given(here=_digests, edits=_edits)
def test_of_any_two_sets_the_documents_that_differ_are_found_exactly(
    here: dict[DocumentId, int], edits: dict[DocumentId, int | None]
) -> None:
    there = {document: digest for document, digest in {**here, **edits}.items() if digest is not None}
    differing = {each for each in {*here, *there} if here.get(each) != there.get(each)}

    found = repaired(here, there)

    assert found is not None
    assert {*found.documents, *Ranges(there).named(found.hashes)} == differing


@given(_digests)
def test_of_equal_sets_nothing_is_found_whatever_is_asked(here: dict[DocumentId, int]) -> None:
    assert repaired(here, here) == Differing()


def test_what_is_too_much_to_name_is_given_up() -> None:
    many = {document_id("acme/prod", f"k{number}"): number + 1 for number in range(4 * DOCUMENTS_NAMED_MAX)}

    assert repaired({}, many) is None
    assert repaired(many, {document: digest + 1 for document, digest in many.items()}) is None


@pytest.mark.parametrize(
    ("asked", "answers"),
    [((ROOT,), b""), ((ROOT,), b"\xff" + bytes(79)), ((ROOT,), b"\x01" + bytes(9)), ((ROOT,), b"\x00\x00")],
)
def test_an_answer_that_is_cut_short_or_too_long_is_not_believed(
    asked: tuple[str, ...], answers: bytes
) -> None:
    with pytest.raises(CorruptFrame):
        Repair({}).answered(asked, answers)


@pytest.mark.parametrize("asked", [(), ("g",), ("0000000",), ("0",) * (RANGES_ASKED_MAX + 1), ("é",)])
def test_ranges_that_nobody_would_ask_for_are_refused(asked: tuple[str, ...]) -> None:
    with pytest.raises(ProtocolViolation):
        Repair({}).answered(asked, b"")


# In a stream.


def altered(replica: MemoryReplica, document: DocumentId, value: Value) -> None:
    """The document is another one, and nothing tells."""
    state = replica.confirmed[document]
    registers = {slot: Register(value, each.stamps) for slot, each in state.registers.items()}
    replica.alter(document, Document(registers, state.version))


def exchanged(count: int = 2) -> tuple[MemoryHub, MemoryReplica]:
    """A hub with so many documents, and a replica that has them."""
    hub = new_hub()
    for number in range(count):
        hub.write(document_id("acme/prod", f"k{number}"), {"a": number, "text": f"document {number}"})
    hub.write(ROUTER, {"a": 1})
    hub.write(LIMITS, {"b": 1})
    replica = new_replica(hub)
    Pair(replica, hub).run()
    return hub, replica


def is_equal(pair: Pair) -> bool:
    proved = pair.edge.proved
    return (
        scope_digest(pair.replica.confirmed, SCOPE) == scope_digest(pair.hub.documents, SCOPE)
        and pair.edge.settled
        and proved is not None
        and proved.cursor == pair.edge.cursor
    )


def test_a_pull_proves_equal_at_the_hubs_time() -> None:
    hub = new_hub()
    hub.write(ROUTER, {"a": 1})
    pair = Pair(new_replica(hub), hub)

    pair.run()

    assert is_equal(pair)
    assert pair.edge.proved is not None
    assert pair.edge.proved.at_ms == NOW_MS


def test_what_differs_where_nothing_is_new_is_found_by_the_greeting_and_replaced() -> None:
    hub, replica = exchanged()
    altered(replica, ROUTER, "rotten")

    pair = Pair(replica, hub).run()

    assert is_equal(pair)
    assert pair.closed is None
    assert replica.read(ROUTER) == {"a": 1}
    (here,), (there,) = pair.incidents, pair.hub_incidents
    assert (here.kind, here.remedy, here.documents) == (IncidentKind.DIVERGED, Remedy.REPLACED, (ROUTER,))
    assert there == here


def test_what_differs_after_a_pull_is_replaced_in_the_same_stream() -> None:
    hub, replica = exchanged(40)
    altered(replica, ROUTER, "rotten")
    replica.alter(document_id("acme/prod", "k7"), EMPTY)
    replica.alter(document_id("acme/prod", "stray"), replica.confirmed[LIMITS])
    hub.write(LIMITS, {"b": 2})

    pair = Pair(replica, hub).run()

    assert is_equal(pair)
    assert pair.closed is None
    assert [each.count for each in (*pair.incidents, *pair.hub_incidents)] == [3, 3]


def test_unsent_and_undecided_writes_outlive_a_repair() -> None:
    hub, replica = exchanged()
    replica.commit(ROUTER, {"a": 1, "mine": 1}, now_ms=NOW_MS)
    altered(replica, ROUTER, "rotten")
    replica.commit(LIMITS, {"b": 5}, now_ms=NOW_MS)

    pair = Pair(replica, hub).run()

    assert is_equal(pair)
    assert hub.read(ROUTER) == {"a": 1, "mine": 1}
    assert hub.read(LIMITS) == {"b": 5}
    assert replica.outbox == ()


def test_news_that_come_while_ranges_are_compared_come_with_the_repair() -> None:
    hub, replica = exchanged(40)
    altered(replica, ROUTER, "rotten")
    pair = Pair(replica, hub)

    while pair.step():
        if pair.frames["down"] == 2:
            hub.write(LIMITS, {"b": hub.hub_seq})
            pair.notice()

    assert is_equal(pair)
    assert pair.closed is None
    assert replica.read(LIMITS) == hub.read(LIMITS)


def test_a_replica_with_little_in_common_pulls_everything_anew() -> None:
    hub, replica = exchanged(LISTED_MAX * RANGES_ASKED_MAX + 500)
    for document in list(replica.confirmed):
        altered(replica, document, "rotten")

    given_up = Pair(replica, hub).run()
    again = Pair(replica, hub).run()

    assert given_up.closed is not None
    assert [each.remedy for each in given_up.incidents] == [Remedy.RESET]
    assert is_equal(again)


def test_a_document_that_a_read_found_damaged_is_asked_for_by_name() -> None:
    hub, replica = exchanged(40)
    pair = Pair(replica, hub).run()
    replica.rot(ROUTER)

    pair.damaged()

    assert is_equal(pair)
    assert not replica.survey().damaged
    assert [each.kind for each in (*pair.incidents, *pair.hub_incidents)] == [IncidentKind.DAMAGED] * 2
    assert pair.edge.settled


@pytest.mark.parametrize(("count", "long"), [(DOCUMENTS_NAMED_MAX + 1, ""), (400, "/" + "x" * 120)])
def test_a_replica_in_which_more_is_damaged_than_one_message_names_pulls_everything_anew(
    count: int, long: str
) -> None:
    # given a dictionary that rotted, for example: all that is packed behind it cannot be read any more
    hub = new_hub()
    documents = [document_id(f"acme{long}{long}/k{number}{long}") for number in range(count)]
    for document in documents:
        hub.write(document, {"n": 1})
    replica = new_replica(hub)
    Pair(replica, hub).run()
    for document in documents:
        replica.rot(document)

    # when reads meet it, in this stream and in the next
    given_up = Pair(replica, hub).run().damaged()
    again = Pair(replica, hub)
    while again.edge.phase is not Phase.OPEN:
        again.step()
    again.damaged()

    # then the hub is not asked for what it would refuse to hear
    assert given_up.closed is not None
    assert given_up.hub_closed == ""
    assert [(each.kind, each.remedy, each.count) for each in given_up.incidents] == [
        (IncidentKind.DAMAGED, Remedy.RESET, count)
    ]
    assert is_equal(again)
    assert not replica.survey().damaged


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_whatever_rots_is_equal_again_within_one_stream(seed: int) -> None:
    chance = random.Random(seed)
    hub, replica = exchanged(60)
    for document in chance.sample(sorted(replica.confirmed), chance.randint(1, 8)):
        if chance.random() < 0.3:
            replica.alter(document, EMPTY)
        else:
            altered(replica, document, "rotten")
    if chance.random() < 0.5:
        hub.write(LIMITS, {"b": seed})

    assert is_equal(Pair(replica, hub).run())


def test_to_prove_5000_documents_equal_takes_20_bytes_and_to_repair_one_of_them_1000() -> None:
    # given
    hub, replica = exchanged(4_998)
    hello = replica.standing().digest

    # when, then: equal
    equal = Pair(replica, hub).run()
    _, body = encode_message(Equal())
    assert is_equal(equal)
    assert len(hello.sum.to_bytes(16, "big")) + hello.count.bit_length() // 8 + 1 + len(body) <= 20

    # when, then: one differs; all that goes beyond an equal greeting, in frames
    altered(replica, document_id("acme/prod", "k1234"), "rotten")
    differing = Pair(replica, hub).run()
    assert is_equal(differing)
    extra = sum(differing.sent_bytes.values()) - sum(equal.sent_bytes.values())
    assert extra <= 1_000, extra
