"""Changes: recorded byte for byte, in one form."""

import random

import msgpack
import pytest
from anabranch_sync.change import (
    CHAIN_BYTES,
    CHAIN_START,
    CHANGE_BYTES_MAX,
    CONTENT_ID_BYTES,
    OPS_MAX,
    Change,
    Op,
    chained,
    content_id,
    decode,
    encode,
    entry,
)
from anabranch_sync.errors import ChangeTooLarge, CorruptFrame
from anabranch_sync.ids import START, Cursor, Dot, document_id
from anabranch_sync.register import DELETED, Slot
from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz.mutations import mutated
from tests.sync.exact import exact_change
from tests.sync.strategies import changes

ROUTER, LIMITS = document_id("acme/prod/router"), document_id("acme/prod/limits")
ONE = Change(
    7, Cursor(1, 3), "ada", "raise", (Op(ROUTER, Slot(("a",)), 1), Op(LIMITS, Slot(("b",)), DELETED))
)


@given(changes())
def test_a_change_survives_its_bytes(change: Change) -> None:
    body = encode(change)

    assert exact_change(decode(body)) == exact_change(change)
    assert encode(decode(body)) == body


@given(changes(), changes())
def test_equal_changes_and_only_they_have_equal_bytes(one: Change, other: Change) -> None:
    assert (encode(one) == encode(other)) == (exact_change(one) == exact_change(other))


def test_the_order_of_keys_inside_a_list_does_not_count() -> None:
    def change(value: dict[str, int]) -> Change:
        return Change(1, START, "", "", (Op(ROUTER, Slot(("a",)), [dict(value)]),))

    assert encode(change({"x": 1, "y": 2})) == encode(change({"y": 2, "x": 1}))


@given(changes(), st.randoms(use_true_random=False))
def test_mutated_bytes_are_refused_or_are_canonical_themselves(change: Change, rng: random.Random) -> None:
    body = mutated(encode(change), rng)
    try:
        again = decode(body)
    except CorruptFrame:
        return
    assert encode(again) == body


FORM: list[object] = [1, 7, 1, 3, "ada", "raise", [], 0, [["acme/prod", "config"]], [[0, ["a"], None, 0, 5]]]

DAMAGED: list[tuple[int, object]] = [
    (0, 2), (0, True), (0, 1.0), (1, -1), (1, 2**63), (1, "7"), (2, -1), (3, None), (3, 2**63), (4, 5),
    (4, ["a"]),
    (4, "a\nb"), (4, "a" * 400), (5, b"raise"), (6, "ab"), (6, [5]), (6, {"a": 1}), (7, -1),
    (8, [[5, "config"]]),
    (8, [["acme/..", "config"]]), (8, [["acme/prod"]]), (8, [["acme/prod", "config"]] * 2), (8, []),
    (9, [[-1, ["a"], None, 0, 5]]), (9, [[1, ["a"], None, 0, 5]]), (9, [[0, "a", None, 0, 5]]),
    (9, [[0, {"a": 1}, None, 0, 5]]), (9, [[0, [1], None, 0, 5]]), (9, [[0, ["a"] * 65, None, 0, 5]]),
    (9, [[0, ["a"], "e", 0, 5]]), (9, [[0, [], b"e", 0, 5]]), (9, [[0, ["a"], None, 2, 5]]),
    (9, [[0, ["a"], None, 0]]), (9, [[0, ["a"], None, 1, 5]]), (9, [[0, ["a"], None, 0, {"b": 1}]]),
    (9, [[0, ["a"], None, 0, 2**63]]), (9, [[0, ["a"], None, 0, b"x"]]), (9, [[0, [], None, 0, 5]]),
    (9, [[0, ["a"], None, 0, float("nan")]]), (9, [[0, ["a"], None, 0, [{"y": 1, "x": 2}]]]), (9, 5),
]  # fmt: skip


@pytest.mark.parametrize(("index", "to"), DAMAGED)
def test_a_change_with_one_damaged_field_is_refused(index: int, to: object) -> None:
    assert decode(msgpack.packb(FORM)).author == "ada"

    with pytest.raises(CorruptFrame):
        decode(msgpack.packb([*FORM[:index], to, *FORM[index + 1 :]]))


@pytest.mark.parametrize("form", [[], FORM[:9], [*FORM, 0], {}, None, "x", 1])
def test_bytes_of_another_shape_are_refused(form: object) -> None:
    with pytest.raises(CorruptFrame):
        decode(msgpack.packb(form))


def test_bytes_that_are_not_in_canonical_form_are_refused() -> None:
    body = encode(ONE)
    longer_seven = body.replace(b"\x07", b"\xcc\x07", 1)

    with pytest.raises(CorruptFrame):
        decode(longer_seven)
    with pytest.raises(CorruptFrame):
        decode(body + b"\x00")
    with pytest.raises(CorruptFrame, match="limit 1048576"):
        decode(bytes(CHANGE_BYTES_MAX + 1))


def test_a_change_is_bounded_in_operations_and_bytes() -> None:
    op = Op(ROUTER, Slot(("a",)), 1)
    with pytest.raises(ChangeTooLarge, match="100001 operations, limit 100000"):
        encode(Change(0, START, "", "", (op,) * (OPS_MAX + 1)))

    large = Op(ROUTER, Slot(("a",)), "x" * CHANGE_BYTES_MAX)
    with pytest.raises(ChangeTooLarge, match="bytes, limit 1048576: commit it in several changes"):
        entry(Dot(1, 1), Change(0, START, "", "", (large,)))


def test_documents_are_named_once_in_order_of_first_mention() -> None:
    change = Change(0, START, "", "", (*ONE.ops, Op(ROUTER, Slot(("c",)), 2)))

    assert change.documents == (ROUTER, LIMITS)
    assert len(encode(change)) < len(encode(ONE)) + 10


def test_a_content_id_is_that_of_the_bytes_and_not_of_the_dot() -> None:
    first, again = entry(Dot(1, 1), ONE), entry(Dot(2, 1), ONE)

    assert first.content_id == again.content_id == content_id(encode(ONE))
    assert len(first.content_id) == CONTENT_ID_BYTES
    assert content_id(b"other") != first.content_id


@given(st.lists(st.binary(max_size=3), max_size=4), st.lists(st.binary(max_size=3), max_size=4))
def test_equal_chains_mean_equal_histories(one: list[bytes], other: list[bytes]) -> None:
    def chain(bodies: list[bytes]) -> bytes:
        result = CHAIN_START
        for body in bodies:
            result = chained(result, body)
        return result

    assert len(chain(one)) == CHAIN_BYTES
    assert (chain(one) == chain(other)) == (one == other)
