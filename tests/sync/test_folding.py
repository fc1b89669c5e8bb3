"""Texts and lists with many edits: folded into a new seed, with late edits carried over."""

import random
from collections.abc import Sequence
from unittest.mock import patch

import pytest
from anabranch_sync import leaf_ancestry
from anabranch_sync.change import Change, Op, entry
from anabranch_sync.columns import decode_document, encode_document
from anabranch_sync.conflict import Kind
from anabranch_sync.document import Document, rebuild
from anabranch_sync.errors import CorruptFrame
from anabranch_sync.ids import Cursor, Dot
from anabranch_sync.leaf import ACTORS_MAX, stamps_of_all, without_ended
from anabranch_sync.leaf_ancestry import EDITS_MAX, RUNS_MAX, Run, decode_ancestry, encode_ancestry
from anabranch_sync.leaf_decoder import DELETIONS_MAX, Span, Update, encode_update
from anabranch_sync.leaf_edits import edited
from anabranch_sync.merge import overlay
from anabranch_sync.packing import varint
from anabranch_sync.register import MEMBER, Ancestry, Edit, Operand, Register, Slot, Stamp
from anabranch_sync.value import Json, canonical

from tests.sync.test_merge import ADA, BOB, DOCUMENT, EVE, HUB
from tests.sync.test_text import TYPED, Desk

AT = Slot(("t",))


def offline(desk: Desk, values: Sequence[Json]) -> list[list[tuple[Slot, Operand]]]:
    """What somebody offline says who writes these values one after the other."""
    state, said = desk.read[0], []
    for number, value in enumerate(values, 1):
        ops = desk.said(state, value)
        change = Change(number, Cursor(1, 1), "", "", tuple(Op(DOCUMENT, *op) for op in ops))
        state = overlay(DOCUMENT, state, [entry(Dot(ADA, number), change)], TYPED)
        said.append(ops)
    return said


def edited_often(desk: Desk, times: int = EDITS_MAX + 1) -> None:
    """The hub edits the end of a text so often that it is folded."""
    for number in range(times):
        desk.look()
        desk.write(HUB, f"{desk.value} {number}")


def test_a_leaf_never_has_more_than_so_many_edits_and_reads_as_before() -> None:
    desk = Desk("words")
    text = "words"
    for number in range(100):
        desk.look()
        text = f"{number} {text} {number}"
        assert desk.write(ADA if number % 2 else BOB, text) == []
        edits = [each for each in registers(desk).values() if isinstance(each.value, Edit)]
        assert len(edits) <= EDITS_MAX

    assert desk.value == text


def test_a_hundred_edits_made_offline_all_arrive_over_several_folds() -> None:
    # given an edge that edits a text a hundred times, here and there
    desk = Desk("the quick fox jumps")
    rng, texts = random.Random(3), ["the quick fox jumps"]
    for number in range(100):
        text = texts[-1]
        start = rng.randrange(len(text))
        texts.append(text[:start] + f"<{number}😀>" + text[start + rng.choice([0, 0, 4]) :])

    # when the hub decides them, folding on its way
    for number, ops in enumerate(offline(desk, texts[1:])):
        assert desk.story.write(ADA, number, *ops, saw=1) == []

    # then the text is that of the last one
    assert desk.value == texts[-1]


def test_a_late_edit_is_carried_over_into_what_the_text_has_become() -> None:
    # given two edits in flight, made over the seed of long ago
    desk = Desk("the quick fox jumps 😀 high")
    read = desk.read
    edited_often(desk)
    edited_often(desk)

    # when they are decided
    desk.read = read
    assert desk.write(ADA, "the very quick fox jumps 😀 high") == []
    assert desk.write(BOB, "the quick fox jumps 😀😎 high") == []

    # then each did in the new text what it meant in the old one
    ends = " ".join(str(number) for number in range(EDITS_MAX + 1))
    assert desk.value == f"the very quick fox jumps 😀😎 high {ends} {ends}"


def test_a_late_edit_of_a_list_is_carried_over_too() -> None:
    desk = Desk([1, 1.0, {"a": 2}], at="l")
    read = desk.read
    for number in range(EDITS_MAX + 1):
        desk.look()
        desk.write(HUB, [*desk.value, number])  # type: ignore[misc]

    desk.read = read
    desk.write(ADA, [1, "new", 1.0])

    assert canonical(desk.value) == canonical([1, "new", 1.0, *range(EDITS_MAX + 1)])  # type: ignore[arg-type]


def test_a_late_edit_where_others_were_at_work_is_told() -> None:
    desk = Desk("limit 10 a day")
    read = desk.read
    desk.write(HUB, "limit 200 a day")
    edited_often(desk)

    desk.read = read
    before = desk.value
    [row] = desk.write(ADA, "limit 30 a day", at_ms=9)

    assert row.kind is Kind.OVERLAP
    assert [each.value for each in row.candidates] == [desk.value, before]


def test_what_was_done_undone_and_folded_can_be_done_again() -> None:
    # given a text that goes to and fro, is folded, and comes to be what it was
    desk = Desk("the fox")
    for number in range(3 * (EDITS_MAX + 1)):
        desk.look()
        text = "the fox" if number % 2 else "the red fox"
        desk.write(HUB, text)

        # then each step is taken, however often it was taken before
        assert desk.value == text
    assert desk.story.rows == []


def test_what_everybody_had_deleted_is_deleted_once() -> None:
    desk = Desk("one two three")
    read = desk.read
    desk.write(HUB, "one three")
    edited_often(desk)

    desk.read = read
    before = desk.value
    assert desk.write(ADA, "one three") == []

    assert desk.value == before


def test_an_edge_shows_its_late_edits_as_the_hub_will_decide_them() -> None:
    # given an edge with two edits in its outbox, the second over the first
    desk = Desk("the fox")
    said = offline(desk, ["the red fox", "the red, red fox"])
    edited_often(desk)

    # when it has pulled the new seed
    pending = [
        entry(Dot(ADA, number), Change(number, Cursor(1, 1), "", "", tuple(Op(DOCUMENT, *op) for op in ops)))
        for number, ops in enumerate(said, 1)
    ]
    shown = overlay(DOCUMENT, desk.story.documents[DOCUMENT], pending, TYPED)

    # then its readers see what the hub makes of them
    for ops in said:
        desk.story.write(ADA, 5, *ops, saw=1)
    assert rebuild(shown.registers) == desk.story.content
    assert str(desk.value).startswith("the red, red fox 0 1 2")


def test_an_edit_of_a_forgotten_seed_is_kept_in_the_ledger() -> None:
    # given a text that was written whole, and folded, since somebody read it
    desk = Desk("the fox")
    read = desk.read
    desk.story.write(HUB, 5, (AT.path, "another text"), saw=1)
    desk.look()
    edited_often(desk)

    # when he edits what he read
    desk.read = read
    [row] = desk.write(ADA, "the red fox")

    # then what he adds is in the ledger
    assert row.losers[0].value == "red "
    assert str(desk.value).startswith("another text")


def test_a_new_seed_is_no_new_write_to_those_who_have_seen_all_edits() -> None:
    # given a text that was folded by an edit that bob has not seen
    desk = Desk("the fox")
    edited_often(desk, EDITS_MAX)
    desk.look()
    saw = desk.read[1]
    desk.write(EVE, f"so {desk.value}")

    # when bob, and eve, replace it by a number
    [row] = desk.story.write(BOB, 9, (AT.path, 5), saw=saw)
    assert {stamp.actor for stamp in row.losers[0].stamps} == {EVE}
    assert desk.value == 5

    # then eve, who had seen everything, would have had no row
    other = Desk("the fox")
    edited_often(other, EDITS_MAX)
    other.look()
    other.write(EVE, f"so {other.value}")
    assert other.story.write(EVE, 1, (AT.path, 5), saw=other.read[1]) == []


def test_a_replica_that_gets_a_newer_seed_drops_what_was_folded_into_it() -> None:
    # given a replica that holds all edits, and what changed when they were folded
    desk = Desk("the fox")
    edited_often(desk, EDITS_MAX)
    held = dict(registers(desk))
    desk.look()
    desk.write(EVE, f"so {desk.value}")
    changed = {slot: each for slot, each in registers(desk).items() if held.get(slot) != each}

    # when it is told only that
    after = without_ended({**held, **changed})

    # then it holds what the hub holds
    assert after == registers(desk)
    assert set(after) == {AT, Slot(AT.path, MEMBER)}


def test_whoever_replaces_a_folded_text_leaves_nothing_behind() -> None:
    desk = Desk("the fox")
    edited_often(desk)
    desk.look()
    desk.story.write(EVE, 1, (AT.path, 5), saw=desk.read[1])

    assert list(registers(desk)) == [AT]
    assert desk.story.rows == []


def test_a_folded_document_survives_its_bytes() -> None:
    desk = Desk("the fox")
    edited_often(desk)
    document = desk.story.documents[DOCUMENT]

    assert decode_document(encode_document(document)) == document
    assert any(isinstance(each.value, Ancestry) for each in document.registers.values())


def test_an_ancestry_stays_below_its_limit_however_often_a_text_is_folded() -> None:
    # given a limit that a text edited all over soon meets
    desk, rng = Desk("x" * 200), random.Random(1)
    with patch.object(leaf_ancestry, "RUNS_MAX", 500):
        for _ in range(12 * (EDITS_MAX + 1)):
            desk.look()
            text = str(desk.value)
            start = rng.randrange(len(text))
            desk.write(HUB, text[:start] + "y" + text[start + rng.choice([0, 1, 2]) :])

    # then the past is cut off there, and what was folded last is known still
    [ancestry] = [each.value for each in registers(desk).values() if isinstance(each.value, Ancestry)]
    assert 300 < len(decode_ancestry(ancestry.runs)) <= 500


def thinned(desk: Desk, number: int, places: int) -> tuple[Slot, Edit]:
    """An edit that deletes single units of the seed, all over it."""
    leaf = edited(desk.read[0].registers[AT].value, {})
    assert leaf is not None
    spans = tuple(Span(leaf.client, 80 * place + number, 1) for place in range(places))
    name = (number + 1).to_bytes(4, "big")
    return Slot(AT.path, MEMBER + name), Edit(encode_update(Update(number + 1, (), spans)))


def test_edits_that_delete_in_thousands_of_places_are_folded_early() -> None:
    # given a text, and edges each of which deletes every eightieth letter of it, another one
    desk = Desk("x" * 80 * DELETIONS_MAX)
    edits = [thinned(desk, 2 * number, DELETIONS_MAX) for number in range(20)]

    # when the hub decides them (a liveness bound: kept up to 32, each took some seconds and a fold an hour)
    for number, edit in enumerate(edits):
        desk.story.write(ADA + number, 5, edit, saw=1)
        kept = [each.value for each in registers(desk).values() if isinstance(each.value, Edit)]

        # then no more of them are kept than delete in so many places
        assert len(kept) <= 1

    # and what deleted in too many to know where all went ended in the ledger
    assert desk.value == "x" * 78 * DELETIONS_MAX
    assert {row.kind for row in desk.story.rows} == {Kind.FRAGMENT}


def test_a_seed_names_its_last_authors_only() -> None:
    stamps = [Stamp(7, actor, 100 + actor) for actor in range(100)]

    kept = stamps_of_all([*stamps, Stamp(1, 3, 300)])

    assert len(kept) == ACTORS_MAX
    assert Stamp(1, 3, 300) in kept
    assert Stamp(7, 3, 103) not in kept
    assert kept[0] == max(kept)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x01",
        b"\x01\x07\x01\x00\x01",  # a run of nothing
        b"\x01\x07\x01\x81\x00\x01",  # a long way to write 1
        b"\x01\x07\x01\x01\x01\x00",  # bytes after it
        b"\x01" + varint(2**32) + b"\x01\x01\x01",
        b"\x01\x07\x01" + varint(2**30) + b"\x01",
        b"\x02\x07\x01\x01\x01\x07\x01\x01\x01",  # a client twice
        b"\x01\x07" + varint(RUNS_MAX + 1) + b"\x01\x01" * (RUNS_MAX + 1),
    ],
)
def test_an_ancestry_that_this_system_does_not_write_is_refused(body: bytes) -> None:
    with pytest.raises(CorruptFrame):
        decode_ancestry(body)


def test_runs_survive_their_bytes() -> None:
    runs = [Run(7, 0, 3, 5, alive=True), Run(7, 3, 2, 8, alive=False), Run(9, 0, 1, 0, alive=True)]

    assert decode_ancestry(encode_ancestry(runs)) == runs


def registers(desk: Desk) -> dict[Slot, Register]:
    """What the hub holds of the document."""
    document: Document = desk.story.documents[DOCUMENT]
    return dict(document.registers)
