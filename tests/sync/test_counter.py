"""Counters one by one: what increments add up to, and what meets them."""

import pytest
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.change import CHAIN_START, Change, Entry, Op, decode, encode, entry
from anabranch_sync.columns import decode_document, encode_document, pack_documents, unpack_documents
from anabranch_sync.conflict import Kind
from anabranch_sync.document import EMPTY, Document, rebuild, written
from anabranch_sync.errors import CorruptFrame
from anabranch_sync.ids import Cursor, Dot, document_id
from anabranch_sync.leaf import PARTS_MAX
from anabranch_sync.merge import overlay
from anabranch_sync.policy import NO_POLICIES
from anabranch_sync.push_body import decode_entries, encode_entries
from anabranch_sync.register import DELETED, Increment, Part, Register, Slot, Stamp, Value
from anabranch_sync.scope import scope
from anabranch_sync.value import INT_MAX, INT_MIN, Json, canonical

from tests.sync.test_merge import ADA, BOB, DOCUMENT, EVE, HUB, Story, ruled, told

COUNTED = ruled({"n": "counter"})
PLACE = Slot(("n",))


def counting(*, to: Json = 100) -> Story:
    """A counter that the hub began, which everyone has seen."""
    story = Story(COUNTED)
    assign(story, HUB, to, saw=0)
    return story


def assign(
    story: Story, actor: int, value: Json, *, saw: int, at_ms: int = 5, seen: Value = None
) -> list[str]:
    """`actor` sets the counter to `value`, having seen `seen` (what stands, unless given)."""
    standing = story.documents.get(DOCUMENT, EMPTY).registers
    if seen is not None:
        standing = {PLACE: Register(seen, (Stamp(1, HUB, 1),))}
    ops = written(standing, {"n": value}, lambda path: story.policies.of(DOCUMENT, path))
    rows = story.write(actor, at_ms, *((slot.path, said) for slot, said in ops), saw=saw)
    return [row.kind for row in rows]


def test_concurrent_increments_add_up_and_are_no_conflict() -> None:
    # given a counter that three have seen at 100
    story = counting()

    # when each sets it to what is right by its own account, twice
    for actor, value in ((ADA, 103), (BOB, 101), (EVE, 90), (ADA, 104), (BOB, 111)):
        seen = {ADA: 103, BOB: 101}[actor] if value in (104, 111) else 100
        assert assign(story, actor, value, saw=1, seen=seen) == []

    # then all that was added is there: 4, 11 and -10
    assert story.content == {"n": 105}


def test_two_who_begin_a_counter_add_up_as_well() -> None:
    story = Story(COUNTED)

    assert assign(story, ADA, 3, saw=0) == []
    assert assign(story, BOB, 4, saw=0, seen=DELETED) == []

    assert story.content == {"n": 7}


def test_whoever_has_seen_everything_reads_what_it_wrote_to_the_last_bit() -> None:
    story = counting(to=0.1)
    assign(story, ADA, 0.30000000000000004, saw=1)
    assign(story, BOB, 0.3, saw=2)

    assert story.content == {"n": 0.3}


def test_the_order_of_floats_does_not_matter() -> None:
    contents = set()
    for order in ((ADA, BOB, EVE), (EVE, ADA, BOB), (BOB, EVE, ADA)):
        story = counting(to=0)
        for actor in order:
            assign(story, actor, {ADA: 0.1, BOB: 1e16, EVE: -1e16}[actor], saw=1, seen=0)
        contents.add(canonical(story.content))

    assert len(contents) == 1


def test_integers_stay_integers() -> None:
    story = counting(to=2**62)
    assign(story, ADA, 2**62 + 1, saw=1)
    assign(story, BOB, 2**62 + 2, saw=1, seen=2**62)

    assert story.content == {"n": 2**62 + 3}
    assert type((story.content or {})["n"]) is int


def test_a_sum_beyond_64_bits_is_a_conflict_and_never_wraps_or_saturates() -> None:
    # given two increments that no 64 bits can hold together
    story = counting(to=INT_MAX - 10)
    assign(story, ADA, INT_MAX - 1, saw=1)

    # when the second is decided
    kinds = assign(story, BOB, INT_MAX, saw=1, at_ms=9, seen=INT_MAX - 10)

    # then the later number stands as it was written, and the other is in the ledger
    assert kinds == [Kind.VALUE]
    assert story.content == {"n": INT_MAX}
    assert told(story.rows[0])[1] == [("/n", INT_MAX), ("/n", INT_MAX - 1)]


def test_a_step_beyond_64_bits_is_written_whole() -> None:
    story = counting(to=INT_MIN)
    assign(story, ADA, INT_MAX, saw=1)

    assert story.content == {"n": INT_MAX}


def test_deletion_against_increment_is_one_row_and_the_later_wins() -> None:
    # given a counter with a part, that one deletes
    story = counting()
    assign(story, ADA, 105, saw=1)
    story.write(HUB, 20, (("n",), DELETED), saw=2)

    # when two go on counting who had not seen it
    rows = [
        assign(story, BOB, 101, saw=1, at_ms=10, seen=100),
        assign(story, ADA, 106, saw=2, at_ms=30, seen=105),
    ]

    # then each is told, and what is later stands whole
    assert rows == [[Kind.DELETE_UPDATE], [Kind.DELETE_UPDATE]]
    assert told(story.rows[0])[1] == [("/n", DELETED), ("/n", 101)]
    assert told(story.rows[1])[1] == [("/n", 106), ("/n", DELETED)]
    assert story.content == {"n": 106}


def test_an_increment_that_the_deletion_has_not_seen_competes_as_the_whole_counter() -> None:
    story = counting()
    assign(story, ADA, 105, saw=1)
    [row] = story.write(BOB, 1, (("n",), DELETED), saw=1)

    assert told(row) == (Kind.DELETE_UPDATE, [("/n", 105), ("/n", DELETED)])
    assert story.content == {"n": 105}


def test_a_counter_that_many_replicas_have_added_to_is_folded_and_nothing_is_lost() -> None:
    # given more replicas than a counter keeps parts of
    story = counting()
    for actor in range(1, PARTS_MAX + 3):
        assert assign(story, actor, 101, saw=1, seen=100) == []

    # then what they added is in the number, and who has seen it all replaces it without a row
    parts = [each for each in story.documents[DOCUMENT].registers.values() if isinstance(each.value, Part)]
    assert story.content == {"n": 102 + PARTS_MAX}
    assert len(parts) == 1
    assert story.write(BOB, 1, (PLACE.path, "none"), saw=story.hub_seq) == []

    # and who has missed the last of those that were folded is told
    other = counting()
    for actor in range(1, PARTS_MAX + 2):
        assign(other, actor, 101, saw=1, seen=100)
    [row] = other.write(HUB, 9, (PLACE.path, "none"), saw=other.hub_seq - 1)
    assert told(row)[1] == [("/n", "none"), ("/n", 101 + PARTS_MAX)]


def test_a_counter_that_is_replaced_leaves_no_parts_behind() -> None:
    story = counting()
    assign(story, ADA, 105, saw=1)
    story.write(BOB, 1, (("n",), "none"), saw=2)

    assert story.documents[DOCUMENT].registers == {PLACE: Register("none", (Stamp(1, BOB, 3),))}


def test_a_scalar_above_clears_a_counter_whole() -> None:
    story = Story(ruled({"m": "counter"}))
    story.write(HUB, 1, (("m", "n"), Increment(5, 5)))
    story.write(ADA, 2, (("m", "n"), Increment(2, 7)), saw=1)
    [row] = story.write(BOB, 9, (("m",), 1), saw=1)

    assert told(row) == (Kind.PREFIX, [("/m", 1), ("/m/n", 7)])
    assert story.content == {"m": 1}


def test_the_policy_may_change_while_parts_stand() -> None:
    # given a counter with a part
    story = counting()
    assign(story, ADA, 105, saw=1)

    # when the path is ruled by `latest`, and an increment of before arrives
    story.policies = NO_POLICIES
    kinds = assign_increment(story, BOB, Increment(1, 101), saw=1, at_ms=9)

    # then what its author saw competes like any other value
    assert kinds == [Kind.VALUE]
    assert story.content == {"n": 101}

    # and back: what stands then is counted on
    story.policies = COUNTED
    assign(story, EVE, 102, saw=3)
    assert story.content == {"n": 102}
    assert Part(1) in [register.value for register in story.documents[DOCUMENT].registers.values()]


def assign_increment(story: Story, actor: int, increment: Increment, *, saw: int, at_ms: int) -> list[str]:
    """`actor` says an increment that it wrote earlier."""
    return [row.kind for row in story.write(actor, at_ms, (PLACE.path, increment), saw=saw)]


def test_a_set_s_elements_are_no_parts_when_a_union_becomes_a_counter() -> None:
    story = Story(ruled({"n": "union"}))
    story.write(ADA, 1, (("n",), []), (("n", "[x]"), "x"))
    story.policies = COUNTED
    kinds = assign_increment(story, BOB, Increment(4, 4), saw=0, at_ms=9)

    assert kinds == [Kind.PREFIX]
    assert story.content == {"n": 4}


def test_an_edge_foresees_what_increments_of_its_own_give() -> None:
    # given a confirmed counter and three increments in the outbox
    confirmed = Document({PLACE: Register(5, (Stamp(1, HUB, 1),))}, 1)
    changes = [_change(Increment(step, 5 + step * number)) for number, step in enumerate((1, 1, 1), 1)]
    pending = [entry(Dot(ADA, number), change) for number, change in enumerate(changes, 1)]

    # when its readers look
    state = overlay(DOCUMENT, confirmed, pending, COUNTED)

    # then all are there
    assert rebuild(state.registers) == {"n": 8}


def test_two_operations_of_one_change_on_one_counter_end_alike_everywhere() -> None:
    # No author writes so; bytes may say it, and then a member must not outlive what replaced it.
    story = counting()
    story.write(ADA, 5, (PLACE.path, 7), (PLACE.path, Increment(2, 9)), saw=1)

    assert story.content == {"n": 9}
    assert list(story.documents[DOCUMENT].registers) == [PLACE]


def _change(*said: Increment) -> Change:
    return Change(5, Cursor(1, 1), "ada", "", tuple(Op(DOCUMENT, PLACE, each) for each in said))


def test_increments_and_parts_survive_their_bytes() -> None:
    change = _change(Increment(1, 2), Increment(-0.5, 1.5))
    pushed = Entry(Dot(3, 1), change, encode(change))
    document = Document(
        {
            PLACE: Register(5, (Stamp(1, 0, 1),)),
            Slot(("n",), b"\xc1\x07"): Register(Part(1.0), (Stamp(2, 7, 2),)),
        }
    )

    assert decode(encode(change)) == change
    assert decode_entries(encode_entries([pushed]))[0].change == change
    assert decode_document(encode_document(document)) == document


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x00",
        b"\x01\x05",  # a part: only the hub makes one
        b"\x02" + canonical([1]),
        b"\x02" + canonical([1, "2"]),
        b"\x02" + canonical([True, 2]),
        b"\x02" + canonical([1, 2]) + b"\x00",
    ],
)
def test_other_bytes_in_the_place_of_a_value_are_refused(packed: bytes) -> None:
    body = encode(_change(Increment(1, 2)))
    honest = b"\x02" + canonical([1, 2])
    assert body.endswith(b"\xc4" + bytes([len(honest)]) + honest)

    forged = body[: -len(honest) - 1] + bytes([len(packed)]) + packed

    with pytest.raises(CorruptFrame):
        decode(forged)


def test_a_register_holds_no_increment() -> None:
    document = Document({PLACE: Register(Increment(1, 2), (Stamp(1, 0, 1), Stamp(1, 1, 1)))})  # type: ignore[arg-type]

    with pytest.raises(ValueError, match="holds no increment"):
        unpack_documents(pack_documents({DOCUMENT: document}))


def test_a_fenced_replica_s_increments_count_once_when_it_sends_them_again() -> None:
    # given an edge whose increments the hub has, under an incarnation that is then fenced
    hub = MemoryHub(scope(("acme",)), lambda: 1_800_000_000_000)
    schema: Json = {"n": {"x-anabranch-merge": "counter"}}
    hub.write(
        document_id("system/schemas", "s"), {"namespaces": ["acme/*"], "schema": {"properties": schema}}
    )
    hub.write(DOCUMENT, {"n": 100})
    changes = [
        Change(number, Cursor(1, 2), "ada", "", (Op(DOCUMENT, PLACE, Increment(1, 100 + number)),))
        for number in (1, 2)
    ]
    first = hub.open_replica(0).incarnation
    hub.decide([entry(Dot(first, number), change) for number, change in enumerate(changes, 1)], CHAIN_START)

    # when it sends the same changes under its new one, and one more
    second = hub.open_replica(0).incarnation
    more = [*changes, Change(3, Cursor(1, 2), "ada", "", (Op(DOCUMENT, PLACE, Increment(1, 103)),))]
    hub.decide([entry(Dot(second, number), change) for number, change in enumerate(more, 1)], CHAIN_START)

    # then each counts once
    assert rebuild(hub.documents[DOCUMENT].registers) == {"n": 103}
