"""What is read of an edit's bytes, and what is refused before pycrdt sees a byte of it."""

import pytest
from anabranch_sync.errors import CorruptFrame, EditRefused
from anabranch_sync.leaf_decoder import (
    DELETIONS_MAX,
    STRUCTS_MAX,
    UPDATE_BYTES_MAX,
    Id,
    Insertion,
    Span,
    Update,
    decode_update,
    encode_update,
    joined,
)
from anabranch_sync.leaf_edits import touch
from anabranch_sync.leaf_text import composed, merged
from anabranch_sync.packing import varint
from hypothesis import given
from hypothesis import strategies as st

CLIENT = 7
ids = st.builds(Id, st.integers(0, 2**32 - 1), st.integers(0, 1000))
neighbours = st.tuples(st.none() | ids, st.none() | ids).filter(any)
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=5)
items: st.SearchStrategy[tuple[bytes, ...]] = st.lists(st.binary(max_size=4), min_size=1, max_size=3).map(
    tuple
)
spans = st.lists(st.builds(Span, st.integers(0, 3), st.integers(0, 50), st.integers(1, 9)), max_size=5).map(
    joined
)


@st.composite
def updates(draw: st.DrawFn) -> Update:
    """Any update within the limits, be there something it refers to or not."""
    is_text = draw(st.booleans())
    insertions = [
        Insertion(*each, draw(texts) if is_text else draw(items))
        for each in draw(st.lists(neighbours, max_size=4))
    ]
    deletions = draw(spans.filter(bool)) if not insertions else draw(spans)
    return Update(CLIENT, tuple(insertions), deletions)


@given(updates())
def test_an_update_survives_its_bytes(update: Update) -> None:
    assert decode_update(CLIENT, encode_update(update)) == update


def test_what_pycrdt_writes_is_read() -> None:
    body = composed(1, "a text 😀", (), CLIENT, [(0, 1, "the"), (7, 8, "😎"), (8, 8, "!")])

    assert [each.content for each in decode_update(CLIENT, body).insertions] == ["!", "😎", "the"]
    assert merged(1, "a text 😀", (body,)) == "the text 😎!"


def test_the_seven_bytes_that_end_the_process_are_refused() -> None:
    with pytest.raises(CorruptFrame):
        decode_update(CLIENT, bytes.fromhex("01011100000000"))


def test_fifty_five_kilobytes_of_nested_types_are_refused() -> None:
    # given a type in a type in a type, as Yjs writes them
    depth = 5_000
    structs = b"\x27\x01\x01m\x01a\x01" + b"".join(
        b"\x27\x00" + varint(CLIENT) + varint(clock) + b"\x01a\x01" for clock in range(depth)
    )
    body = b"\x01" + varint(depth + 1) + varint(CLIENT) + b"\x00" + structs + b"\x00"
    assert len(body) > 30_000

    with pytest.raises(CorruptFrame):
        decode_update(CLIENT, body)


# Each an honest update but for one thing.
_INSERTION = b"\x84\x01\x00\x01x"
_REFUSED = {
    "nothing": b"\x00\x00",
    "empty": b"",
    "truncated": b"\x01\x01\x07\x00\x84\x01\x00\x02x",
    "bytes after it": b"\x01\x01\x07\x00" + _INSERTION + b"\x00\x00",
    "another client": b"\x01\x01\x08\x00" + _INSERTION + b"\x00",
    "two clients": b"\x02\x01\x07\x00" + _INSERTION + b"\x01\x08\x00" + _INSERTION + b"\x00",
    "a gap before it": b"\x01\x01\x07\x01" + _INSERTION + b"\x00",
    "no neighbour": b"\x01\x01\x07\x00\x04\x01\x04text\x01x\x00",
    "an empty string": b"\x01\x01\x07\x00\x84\x01\x00\x00\x00",
    "no items": b"\x01\x01\x07\x00\x88\x01\x00\x00\x00",
    "a number among items": b"\x01\x01\x07\x00\x88\x01\x00\x01\x7d\x01\x00",
    "a format": b"\x01\x01\x07\x00\x86\x01\x00\x01b\x04true\x00",
    "a nested type": b"\x01\x01\x07\x00\x87\x01\x00\x00\x00",
    "an embedded object": b"\x01\x01\x07\x00\x85\x01\x00\x02{}\x00",
    "garbage": b"\x01\x01\x07\x00\x00\x01\x00",
    "a skip": b"\x01\x01\x07\x00\x0a\x01\x00",
    "a key of a map": b"\x01\x01\x07\x00\xa4\x01\x00\x01k\x01x\x00",
    "no UTF-8": b"\x01\x01\x07\x00\x84\x01\x00\x01\xff\x00",
    "a text and a list": b"\x01\x02\x07\x00" + _INSERTION + b"\x88\x07\x00\x01\x74\x01a\x00",
    "a deletion of nothing": b"\x00\x01\x01\x01\x00\x00",
    "deletions out of order": b"\x00\x01\x01\x02\x05\x01\x00\x01",
    "deletions that touch": b"\x00\x01\x01\x02\x00\x01\x01\x01",
    "a client beyond 32 bits": b"\x00\x01" + varint(2**32) + b"\x01\x00\x01",
    "a clock beyond the limit": b"\x00\x01\x01\x01" + varint(2**40) + b"\x01",
    "a long way to write 0": b"\x00\x01\x81\x00\x01\x00\x01",
    "an endless number": b"\x00" + b"\xff" * 12,
    "more structs than the limit": b"\x01" + varint(STRUCTS_MAX + 1) + b"\x07\x00",
    "more deletions than the limit": b"\x00\x01\x01" + varint(DELETIONS_MAX + 1),
    "more bytes than the limit": b"\x00" * (UPDATE_BYTES_MAX + 1),
}


@pytest.mark.parametrize("body", _REFUSED.values(), ids=_REFUSED)
def test_what_this_system_does_not_write_is_refused(body: bytes) -> None:
    with pytest.raises(CorruptFrame):
        decode_update(CLIENT, body)


def test_whatever_comes_out_of_pycrdt_is_an_error_of_ours() -> None:
    with pytest.raises(EditRefused):
        merged(1, "seed", (b"\x01\x02\x03",))


@given(updates(), updates())
def test_two_edits_touch_where_their_units_or_gaps_meet(one: Update, other: Update) -> None:
    gone, other_gone = (
        {Id(span.client, span.clock + at) for span in each.deletions for at in range(span.length)}
        for each in (one, other)
    )
    lefts, other_lefts = ({each.left for each in edit.insertions} for edit in (one, other))
    rights, other_rights = ({each.right for each in edit.insertions} for edit in (one, other))

    assert touch(one, other) == bool(
        lefts & other_lefts
        or rights & other_rights
        or gone & other_gone
        or gone & (other_lefts | other_rights)
        or other_gone & (lefts | rights)
    )
