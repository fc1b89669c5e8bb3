"""Tables on the wire and on disk: exact, one form each, and believed only when checked."""

import random
from dataclasses import replace
from typing import Any

import msgpack
import pytest
from anabranch_sync.change import Change, Entry, Op, entry
from anabranch_sync.columns import decode_document, encode_document, pack_documents, unpack_documents
from anabranch_sync.document import Document
from anabranch_sync.errors import CorruptFrame, FrameTooLarge
from anabranch_sync.ids import START, DocumentId, Dot, document_id
from anabranch_sync.outbox import PUSH_CHANGES_MAX
from anabranch_sync.packing import unpack
from anabranch_sync.push_body import ENTRIES_BYTES_MAX, decode_entries, encode_entries
from anabranch_sync.register import (
    DELETED,
    Ancestry,
    Edit,
    Operand,
    Part,
    Register,
    RegisterValue,
    Slot,
    Stamp,
    Tombstone,
)
from anabranch_sync.tables import MALFORMED
from anabranch_sync.value import DEPTH_MAX, Json
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.mutations import mutated
from tests.sync.exact import exact_change, exact_document
from tests.sync.strategies import document_ids, documents, pushes

DOCUMENT = document_id("acme/prod")
SOME = Document(
    {
        Slot(("a", "b")): Register(1, (Stamp(7, 1, 3),)),
        Slot(("a", "c")): Register(DELETED, (Stamp(7, 1, 3),)),
        Slot(("l",)): Register([], (Stamp(9, 2, 4),)),
        Slot(("l",), b"\x01"): Register(1, (Stamp(9, 2, 4), Stamp(8, 1, 3))),
    },
    4,
)


def pushed(*ops: tuple[Slot, Operand], restores: int = 0) -> list[Entry]:
    told = tuple(Op(DOCUMENT, slot, value) for slot, value in ops)
    change = Change(5, START, "ada", "", told, restores=restores)
    return [entry(Dot(3, 8), change), entry(Dot(3, 9), replace(change, timestamp=6))]


def damaged(body: bytes, *place: int, to: object) -> bytes:
    """`body` with the value at a place of its nested lists replaced."""
    root = msgpack.unpackb(body)
    parent: Any = root
    for index in place[:-1]:
        parent = parent[index]
    parent[place[-1]] = to
    packed: bytes = msgpack.packb(root)
    return packed


@given(documents())
def test_a_document_survives_its_bytes_which_are_canonical(document: Document) -> None:
    body = encode_document(document)

    again = decode_document(body)

    assert exact_document(again) == exact_document(document)
    assert encode_document(again) == body


@given(documents(), st.randoms(use_true_random=False))
def test_equal_documents_have_equal_bytes(document: Document, rng: random.Random) -> None:
    slots = list(document.registers)
    rng.shuffle(slots)
    other = Document(
        {
            slot: Register(_turned(document.registers[slot].value), document.registers[slot].stamps)
            for slot in slots
        },
        document.version,
    )

    assert encode_document(other) == encode_document(document)


def _turned(value: RegisterValue) -> RegisterValue:
    """`value` with the keys of its objects in the opposite order."""
    if isinstance(value, dict):
        return {key: _turned_json(value[key]) for key in reversed(value)}
    return [_turned_json(item) for item in value] if isinstance(value, list) else value


def _turned_json(value: Json) -> Json:
    turned = _turned(value)
    assert not isinstance(turned, Tombstone | Part | Edit | Ancestry)
    return turned


@given(st.dictionaries(document_ids, documents(), max_size=4))
def test_documents_of_a_pull_survive_their_table(held: dict[DocumentId, Document]) -> None:
    packed = pack_documents(held)

    again = unpack_documents(msgpack.unpackb(msgpack.packb(packed)))

    assert {each: exact_document(state) for each, state in again.items()} == {
        each: exact_document(state) for each, state in held.items()
    }
    assert msgpack.packb(pack_documents(again)) == msgpack.packb(packed)


@given(pushes())
def test_a_push_survives_its_bytes_and_restores_what_was_recorded(
    entries: list[Entry],
) -> None:
    body = encode_entries(entries)

    again = decode_entries(body)

    assert [each.dot for each in again] == [each.dot for each in entries]
    assert [each.body for each in again] == [each.body for each in entries]
    assert [exact_change(each.change) for each in again] == [exact_change(each.change) for each in entries]
    assert encode_entries(again) == body


@given(pushes())
def test_a_push_is_never_twice_as_long_as_what_it_holds(entries: list[Entry]) -> None:
    assert len(encode_entries(entries)) <= 2 * sum(len(each.body) for each in entries) + 64


def test_a_push_over_its_limit_is_refused_before_it_is_taken_apart() -> None:
    with pytest.raises(FrameTooLarge, match="push is 2097153, limit 2097152"):
        decode_entries(b"\xdd\x00\x1f\xff\xfc" + b"\x90" * (ENTRIES_BYTES_MAX - 4))


def test_few_bytes_that_stand_for_more_changes_than_a_push_holds_are_refused_before_they_are_made() -> None:
    body = encode_entries(pushed((Slot(("a",)), 1)))

    def changes(count: int, said_once: str) -> bytes:
        repeated = damaged(body, 2, to=[[0] * count, 0])
        return damaged(damaged(repeated, 12, to=[[1, 2, 0, count - 2]]), 11, to=[said_once])

    assert len(decode_entries(changes(PUSH_CHANGES_MAX, "ada"))) == PUSH_CHANGES_MAX
    with pytest.raises(FrameTooLarge, match="5001"):
        decode_entries(changes(PUSH_CHANGES_MAX + 1, "ada"))
    with pytest.raises(FrameTooLarge, match="limit 1048576"):
        decode_entries(changes(PUSH_CHANGES_MAX, "said once" * 30))


def test_a_long_path_that_many_operations_share_is_refused_before_it_is_repeated() -> None:
    body = encode_entries(pushed((Slot(("a",)), 1))[:1])

    many = damaged(damaged(body, 9, to=[[[0, "a" * 20_000]], 0, [1] * 100]), 12, to=100)

    with pytest.raises(FrameTooLarge, match="paths"):
        decode_entries(many)


def test_an_imported_document_is_one_stamp_and_one_object() -> None:
    stamps = (Stamp(2**50, 7, 1_000),)
    fields = {Slot(("model", f"field{index}")): Register(index, stamps) for index in range(50)}

    body = encode_document(Document(fields, 1))

    names = sum(len(slot.path[1]) + 1 for slot in fields)
    assert len(body) < names + len(fields) + 60


@given(documents(), st.randoms(use_true_random=False))
def test_mutated_documents_are_refused_or_read_and_nothing_else(
    document: Document, rng: random.Random
) -> None:
    body = mutated(encode_document(document), rng)
    try:
        again = decode_document(body)
    except CorruptFrame:
        return
    assert exact_document(decode_document(encode_document(again))) == exact_document(again)


@given(pushes(), st.randoms(use_true_random=False))
def test_mutated_pushes_are_refused_or_read_and_nothing_else(
    entries: list[Entry], rng: random.Random
) -> None:
    body = mutated(encode_entries(entries), rng)
    try:
        again = decode_entries(body)
    except CorruptFrame:
        return
    assert [each.body for each in decode_entries(encode_entries(again))] == [each.body for each in again]


@given(st.dictionaries(document_ids, documents(), max_size=3), st.randoms(use_true_random=False))
def test_mutated_tables_are_refused_or_read_and_nothing_else(
    held: dict[DocumentId, Document], rng: random.Random
) -> None:
    body = mutated(msgpack.packb(pack_documents(held)), rng)
    try:
        unpack_documents(unpack(body))
    except (*MALFORMED, CorruptFrame):
        return


# What fuzzing found, or would take long to find: one damaged cell, everything else as it should be.
DAMAGED_PUSHES: list[tuple[tuple[int, ...], object]] = [
    ((0,), -1), ((0,), None), ((1,), "8"), ((3,), 1.0), ((3,), -1), ((4,), -1), ((4,), [0, -1]),
    # timestamps: milliseconds, counters
    ((2,), []), ((2, 0), [-1, 0]), ((2, 0), [2**63, 0]), ((2, 0), []), ((2, 0), 5), ((2, 1), [5]),
    ((2, 1), [5, 2**16]), ((2, 1), -1),
    # columns that stand for many rows, for none, or for a row that does not exist
    ((10,), [[0, 2**62]]), ((10,), [[0, 4_000_000]]), ((10,), [[0, 0]]), ((10,), [[0, -2]]),
    ((10,), [[7, 2]]), ((10,), [[True, 2]]), ((10,), [[0]]), ((10,), [0]), ((10,), [0, 0, 0]),
    ((10,), 7), ((10,), True),
    ((10,), None), ((10,), {}), ((5,), 1), ((5,), -1), ((7,), 1), ((7,), []),
    ((12,), 3), ((12,), []), ((12,), [4]), ((12,), {}), ((12,), -4), ((12,), [8, 1]),
    # elements and deletions
    ((9, 4, 0, 0), -1), ((9, 4, 0, 1), "text"), ((9, 4, 0), [1]), ((9, 4), [[0, b"\xc0"]] * 2 + [[0, 5]]),
    ((9, 4), [[99, b"\x01"]]), ((9, 4), 5),
    ((9, 3), [0]), ((9, 3), [1, 1]), ((9, 3), [99]), ((9, 3), [-1, 0]), ((9, 3), ["0"]), ((9, 3), {}),
    # values
    ((9, 2, 0), {"a": 1}), ((9, 2, 0), b"bytes"), ((9, 2), "12"), ((9, 2), []), ((9, 2, 0), 2**63),
    ((9, 2, 0), [[[[]]] * 3] * 70 + [float("nan")]), ((9,), []), ((9,), 5),
    # names
    ((11, 0), 5), ((11, 0), ["a", "d", "a"]), ((11, 0), "a\nb"), ((11, 0), "a" * 400), ((11,), "ada"),
    ((14, 0), b""), ((16, 0), "ab"), ((16, 0), [5]), ((16, 0), {"a": 1}), ((16,), "ab"),
    ((6, 0), 5), ((6, 0), ".."), ((6, 0), None), ((6, 0), ["config"]), ((6,), {"acme": "config"}),
    ((8, 0), 5), ((8, 0), ".."), ((8,), {}),
    # paths
    ((9, 0, 0, 0), 1), ((9, 0, 0, 0), -1), ((9, 0, 0, 1), 5), ((9, 0, 0, 1), b"a"), ((9, 0, 0), []),
    ((9, 0), [[0, *"a" * 65]]), ((9, 0), 5), ((9, 1), 4), ((9, 1), -1), ((9, 1), [0]),
    ((17,), -1), ((17,), "9"),
]  # fmt: skip


@pytest.mark.parametrize(("place", "to"), DAMAGED_PUSHES)
def test_a_push_with_one_damaged_cell_is_refused(place: tuple[int, ...], to: object) -> None:
    # the last column holds something, so that none before it is left out
    body = encode_entries(
        pushed(
            (Slot(("a", "b")), 1),
            (Slot(("l",), b"\x01"), 1),
            (Slot(("c",)), DELETED),
            (Slot(("d",)), [2]),
            restores=9,
        )
    )
    assert decode_entries(body)

    with pytest.raises(CorruptFrame):
        decode_entries(damaged(body, *place, to=to))


# The same for the documents of a pull.
DAMAGED_TABLES: list[tuple[tuple[int, ...], object]] = [
    ((0,), {}), ((0, 0), 5), ((0, 0), ".."), ((0,), ["b", "b"]), ((0,), []), ((1,), 1), ((1,), [0]),
    ((2,), "acme"), ((2, 0), ".."), ((3,), -1), ((3,), 2**63), ((3,), [4]),
    ((4,), 3), ((4,), [4, 5]), ((4,), -4), ((4,), [8]), ((4,), None),
    ((5, 0, 0), [-1, 0, 0]), ((5, 1), -1), ((5, 2), -1), ((5,), []),
    ((6, 1), 0), ((6, 2), []), ((7,), 99), ((7,), -1), ((7,), [0]),
    ((8, 0, 0), 99), ((8, 0, 0), -1), ((8, 0, 1), 99), ((8,), 5), ((8,), [[3, 0], [3, 1]]),
]  # fmt: skip


@pytest.mark.parametrize(("place", "to"), DAMAGED_TABLES)
def test_a_table_of_documents_with_one_damaged_cell_is_refused(place: tuple[int, ...], to: object) -> None:
    table = msgpack.packb(pack_documents({DOCUMENT: SOME, document_id("acme/prod", "b"): SOME}))
    assert len(unpack_documents(unpack(table))) == 2

    with pytest.raises((*MALFORMED, CorruptFrame)):
        unpack_documents(unpack(damaged(table, *place, to=to)))


def nested_objects(depth: int) -> Json:
    """A number so deep in objects."""
    return {"k": nested_objects(depth - 1)} if depth else 1


DAMAGED_DOCUMENTS: list[tuple[tuple[int, ...], object]] = [
    ((0,), -1), ((0,), True), ((0,), 2**63), ((1,), [[], [], []]), ((1, 0, 0), -1), ((1, 0, 0), 2**63),
    ((1, 1, 1), 2**40), ((1, 1, 0), -1), ((1, 2, 0), -9), ((1,), {}), ((2, 0, 0), 3),
    ((2,), [[0, "a"], [63]]),
    ((3, 0), 99), ((3, 0), None), ((3, 1), []), ((3, 1), {"a": float("inf")}), ((3, 1), {"a": b"x"}),
    ((3, 2, 0, 1), []),
    ((3, 2, 0, 1), [99]), ((3, 2, 0, 0), 99), ((3, 2, 0), [0, [0], 1, 2]), ((3, 2, 0), [0, [0], {"a": 1}]),
    ((3, 2, 0), []), ((3, 2), 5), ((3,), [0, {"a": 1}]),
    ((3, 1), {"a": {"b": 2**63}}), ((3, 1), {"a": [1, b"x"]}), ((3, 1), nested_objects(DEPTH_MAX + 1)),
]  # fmt: skip


@pytest.mark.parametrize(("place", "to"), DAMAGED_DOCUMENTS)
def test_a_document_with_one_damaged_cell_is_refused(place: tuple[int, ...], to: object) -> None:
    body = encode_document(SOME)
    assert exact_document(decode_document(body)) == exact_document(SOME)

    with pytest.raises(CorruptFrame):
        decode_document(damaged(body, *place, to=to))


def test_a_document_is_as_deep_as_it_may_be() -> None:
    deepest = damaged(encode_document(SOME), 3, 1, to=nested_objects(DEPTH_MAX))

    assert max(len(slot.path) for slot in decode_document(deepest).registers) == DEPTH_MAX


def test_a_register_given_twice_is_refused() -> None:
    body = encode_document(Document({Slot(("a",)): Register(1, (Stamp(1, 1, 1),))}, 1))
    twice = damaged(damaged(body, 2, to=[[0, "a"]]), 3, 2, to=[[0, [0], 2]])

    with pytest.raises(CorruptFrame, match="twice"):
        decode_document(twice)


def test_the_root_has_no_value_but_that_of_an_empty_object() -> None:
    assert decode_entries(encode_entries(pushed((Slot(()), {}))))
    root_values: list[object] = [1, None, [], "x"]
    for value in root_values:
        with pytest.raises(CorruptFrame, match="root"):
            decode_entries(damaged(encode_entries(pushed((Slot(()), {}))), 9, 2, to=[value, value]))


def test_a_leaf_is_no_deeper_than_its_document_may_be() -> None:
    def nested(depth: int) -> Json:
        return [nested(depth - 1)] if depth else []

    path = ("k",) * 60
    assert decode_entries(encode_entries(pushed((Slot(path), nested(3)))))
    with pytest.raises(CorruptFrame, match="depth 65"):
        decode_entries(encode_entries(pushed((Slot(path), nested(4)))))


def test_paths_that_share_their_keys_stay_within_a_bound() -> None:
    many = [[0, *"k" * 63], *[[62, "k"]] * 70_000]

    with pytest.raises(CorruptFrame, match="paths of more than"):
        decode_entries(damaged(encode_entries(pushed((Slot(("a",)), 1))), 9, 0, to=many))


@pytest.mark.parametrize("body", [b"", b"\x90", b"\xc0", b"\x01", b"\x80", b"\xc1", b"\xdd\xff\xff\xff\xff"])
def test_what_is_no_table_at_all_is_refused(body: bytes) -> None:
    for decode in (decode_document, decode_entries):
        with pytest.raises(CorruptFrame):
            decode(body)
