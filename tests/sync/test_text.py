"""Texts and lists edited by several at once, story by story."""

import random

import pytest
from anabranch_sync.change import Change, Op, decode, encode, entry
from anabranch_sync.columns import decode_document, encode_document
from anabranch_sync.conflict import Conflict, Kind
from anabranch_sync.document import Document, rebuild, written
from anabranch_sync.errors import CorruptFrame
from anabranch_sync.ids import Cursor, Dot
from anabranch_sync.leaf_decoder import Id, Insertion, Update, decode_update, encode_update
from anabranch_sync.leaf_edits import client_of, hunks
from anabranch_sync.merge import overlay
from anabranch_sync.policy import NO_POLICIES
from anabranch_sync.register import DELETED, MEMBER, Edit, Increment, Operand, Register, Slot, Value
from anabranch_sync.value import INT_MAX, INT_MIN, Json, canonical

from tests.sync.test_merge import ADA, BOB, DOCUMENT, EVE, HUB, Story, ruled, told

TYPED = ruled({"t": "text", "l": "list"})


class Desk:
    """Authors who each read a document once, write over what they read, and are decided in any order."""

    def __init__(self, text: Json = "the quick fox", *, at: str = "t") -> None:
        self.story = Story(TYPED)
        self.at = at
        self.story.write(HUB, 1, ((at,), text))
        self.read = self.story.documents[DOCUMENT], self.story.hub_seq

    def look(self) -> None:
        """Everyone reads what stands now."""
        self.read = self.story.documents[DOCUMENT], self.story.hub_seq

    def write(self, actor: int, value: Json, *, at_ms: int = 5) -> list[Conflict]:
        """`actor` writes over what everyone read."""
        state, saw = self.read
        return self.story.write(actor, at_ms, *self.said(state, value), saw=saw)

    def said(self, state: Document, value: Json) -> list[tuple[Slot, Operand]]:
        """What must be said so that `state` has `value`."""
        policies = self.story.policies
        return written(state.registers, {self.at: value}, lambda path: policies.of(DOCUMENT, path))

    @property
    def value(self) -> Value:
        """What stands."""
        return (self.story.content or {}).get(self.at, DELETED)


def test_edits_in_different_places_merge_without_a_row() -> None:
    desk = Desk("the quick fox")

    assert desk.write(ADA, "the very quick fox") == []
    assert desk.write(BOB, "the quick red fox") == []
    assert desk.write(EVE, "the quick fox jumps") == []

    assert desk.value == "the very quick red fox jumps"


def test_characters_of_two_utf_16_units_keep_their_places() -> None:
    desk = Desk("😀é𝄞z")

    desk.write(ADA, "😀é!𝄞z")
    desk.write(BOB, "😀é𝄞?z")

    assert desk.value == "😀é!𝄞?z"


def test_edits_that_touch_merge_and_are_told_with_what_each_side_read() -> None:
    desk = Desk("limit 10 per day")

    desk.write(ADA, "limit 20 per day")
    [row] = desk.write(BOB, "limit 30 per day")

    assert row.kind is Kind.OVERLAP
    assert [each.value for each in row.candidates] == [
        desk.value,
        "limit 20 per day",
        "limit 30 per day",
    ]
    assert {stamp.actor for stamp in row.winner.stamps} == {ADA, BOB}


def test_who_makes_the_same_of_the_same_agrees() -> None:
    desk = Desk("teh fox")

    assert desk.write(ADA, "the fox") == []
    assert desk.write(BOB, "the fox") == []

    assert desk.value == "the fox"


def test_items_of_a_list_survive_exactly() -> None:
    items: list[Json] = [1, 1.0, True, None, "1", {"b": [2.0], "a": {}}, INT_MIN, INT_MAX, -0.0, []]
    desk = Desk([0, *items], at="l")

    desk.write(ADA, [0, *items, 2.0])
    desk.write(BOB, ["first", 0, *items])

    assert canonical(desk.value) == canonical(["first", 0, *items, 2.0])  # type: ignore[arg-type]


def test_a_list_rewritten_on_both_sides_is_merged_item_by_item_and_told() -> None:
    desk = Desk(["a", "b"], at="l")

    desk.write(ADA, ["x", "y"])
    [row] = desk.write(BOB, ["p", "q"])

    assert row.kind is Kind.OVERLAP
    assert sorted(map(str, desk.value)) == ["p", "q", "x", "y"]  # type: ignore[arg-type]
    assert [each.value for each in row.losers] == [["x", "y"], ["p", "q"]]


def test_two_creators_of_one_text_are_a_conflict_like_any_other() -> None:
    story = Story(TYPED)
    story.write(ADA, 5, (("t",), "ada's"))
    [row] = story.write(BOB, 9, (("t",), "bob's"))

    assert told(row) == (Kind.VALUE, [("/t", "bob's"), ("/t", "ada's")])


def test_an_edit_of_a_text_that_was_replaced_is_kept_in_the_ledger() -> None:
    desk = Desk("old words")
    desk.story.write(HUB, 9, (("t",), 5), saw=1)
    [row] = desk.write(ADA, "old and true words")

    assert told(row) == (Kind.FRAGMENT, [("/t", 5), ("/t", "and true ")])
    assert desk.value == 5


def test_an_edit_of_a_text_that_was_deleted_is_kept_in_the_ledger() -> None:
    desk = Desk("old words")
    desk.story.write(HUB, 9, (("t",), DELETED), saw=1)
    [row] = desk.write(ADA, "old words!")

    assert told(row) == (Kind.FRAGMENT, [("/t", DELETED), ("/t", "!")])


@pytest.mark.parametrize(("written", "fragment"), [("old words!", "!"), ("old", "")])
def test_an_edit_that_inserts_what_has_replaced_its_text_is_no_agreement(written: str, fragment: str) -> None:
    # given a text in whose place stands what an edit of it inserts, by itself
    desk = Desk("old words")
    desk.story.write(HUB, 9, (("t",), fragment), saw=1)

    # when the edit is decided, whose author read more than that
    [row] = desk.write(ADA, written)

    # then the ledger says that it has no place, and what stands is nobody else's
    assert told(row) == (Kind.FRAGMENT, [("/t", fragment), ("/t", fragment)])
    assert [each.actor for each in desk.story.documents[DOCUMENT].registers[Slot(("t",))].stamps] == [HUB]


@pytest.mark.parametrize("first", [ADA, BOB])
def test_a_replaced_parent_against_an_edit_inside_is_one_row_either_way(first: int) -> None:
    # given a text below an object
    story = Story(ruled({"p": "text"}))
    story.write(HUB, 1, (("p", "t"), "old words"))
    registers = story.documents[DOCUMENT].registers
    ops = written(registers, {"p": {"t": "old true words"}}, lambda path: story.policies.of(DOCUMENT, path))

    # when ada edits it while bob puts a scalar in the place of the parent
    for actor in (first, ADA + BOB - first):
        if actor == ADA:
            story.write(ADA, 5, *ops, saw=1)
        else:
            story.write(BOB, 9, (("p",), 5), saw=1)

    # then the scalar stands, and the ledger has what ada wrote
    [row] = story.rows
    assert story.content == {"p": 5}
    assert row.winner.value == 5
    whole = row.kind is Kind.PREFIX, "old true words"
    piece = row.kind is Kind.FRAGMENT, "true "
    assert (True, row.losers[0].value) == (whole if first == ADA else piece)


def test_a_whole_value_written_against_an_edit_is_a_conflict_of_the_whole_text() -> None:
    desk = Desk("old words")
    desk.write(ADA, "old true words")
    [row] = desk.story.write(BOB, 9, (("t",), 5), saw=1)

    assert told(row) == (Kind.VALUE, [("/t", 5), ("/t", "old true words")])
    assert list(desk.story.documents[DOCUMENT].registers) == [Slot(("t",))]


def test_whoever_has_seen_all_edits_replaces_them_silently() -> None:
    desk = Desk("old words")
    desk.write(ADA, "old true words")
    desk.story.write(BOB, 1, (("t",), 5), saw=2)

    assert desk.story.rows == []
    assert desk.value == 5


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_one_s_own_edits_delivered_out_of_order_are_never_half_applied(order: tuple[int, ...]) -> None:
    # given three edits, each over the one before (a=1, b=1, a=2 of old)
    desk = Desk("words")
    state, changes = desk.read[0], []
    for text in ("a words", "a words b", "aa words b"):
        ops = desk.said(state, text)
        changes.append(ops)
        state = overlay(
            DOCUMENT,
            state,
            [entry(Dot(ADA, 1), Change(5, Cursor(1, 1), "", "", tuple(Op(DOCUMENT, *op) for op in ops)))],
            TYPED,
        )

    # when the hub decides them in any order
    for index in order:
        desk.story.write(ADA, 5, *changes[index], saw=1)

    # then each is in the text or, where what it is an edit of is not there, in the ledger
    lost = "".join(str(loser.value) for row in desk.story.rows for loser in row.losers)
    assert sorted(f"{desk.value}{lost}") == sorted("aa words b")
    if order == (0, 1, 2):
        assert desk.value == "aa words b"


def test_a_restored_backup_cannot_give_one_name_to_two_edits() -> None:
    # given a replica that wrote, was restored, and writes something else as the same change
    desk = Desk("words")
    [(lost, first)] = desk.said(desk.read[0], "lost words")
    [(kept, other)] = desk.said(desk.read[0], "kept words")

    # then the two have different names, and both are there
    assert lost != kept
    desk.story.write(ADA, 5, (lost, first), saw=1)
    desk.story.write(BOB, 5, (kept, other), saw=1)
    assert sorted(str(desk.value)) == sorted("lost kept words")


def test_another_edit_under_a_name_that_is_taken_is_kept_in_the_ledger() -> None:
    desk = Desk("words")
    [(slot, edit)] = desk.said(desk.read[0], "true words")
    assert isinstance(edit, Edit)
    client = client_of(slot.element or b"")
    update = decode_update(client, edit.update)
    [insertion] = update.insertions
    forged = Edit(encode_update(Update(client, (Insertion(insertion.left, insertion.right, "false "),))))

    desk.story.write(ADA, 5, (slot, edit), saw=1)
    [row] = desk.story.write(BOB, 9, (slot, forged), saw=1)

    assert desk.value == "true words"
    assert [each.value for each in row.losers] == ["false "]


@pytest.mark.parametrize(
    "update",
    [
        Update(7, (Insertion(Id(99, 0), None, "x"),)),  # a client nobody is
        Update(7, (Insertion(Id(7, 0), None, "x"),)),  # itself
    ],
)
def test_an_edit_that_refers_to_what_is_not_there_is_kept_in_the_ledger(update: Update) -> None:
    desk = Desk("words")
    [row] = desk.story.write(ADA, 5, (Slot(("t",), b"\xc1\0\0\0\7"), Edit(encode_update(update))), saw=1)

    assert desk.value == "words"
    assert row.losers[0].value == "x"


def test_the_policy_may_change_from_text_to_latest_and_back_while_edits_stand() -> None:
    # given a text with edits
    desk = Desk("the fox")
    desk.write(ADA, "the red fox")

    # when the path is ruled by `latest`, and an edit of before meets the other
    desk.story.policies = NO_POLICIES
    [row] = desk.write(BOB, "the fox jumps", at_ms=9)

    # then what its author read competes, whole
    assert told(row) == (Kind.VALUE, [("/t", "the fox jumps"), ("/t", "the red fox")])

    # and back: what stands is edited on
    desk.story.policies = TYPED
    desk.look()
    desk.write(ADA, "the fox jumps high")
    desk.write(BOB, "see the fox jumps")
    assert desk.value == "see the fox jumps high"


def test_a_set_that_becomes_a_text_path_stays_readable_and_takes_no_edits() -> None:
    story = Story(ruled({"l": "union"}))
    story.write(ADA, 1, (("l",), []), (("l", "[x]"), "x"))
    story.policies = TYPED
    update = encode_update(Update(7, (Insertion(Id(1, 0), None, (canonical("y"),)),)))
    [row] = story.write(BOB, 9, (Slot(("l",), b"\xc1\0\0\0\7"), Edit(update)), saw=1)

    assert story.content == {"l": ["x"]}
    assert row.losers[0].value == ["y"]


def test_a_list_that_becomes_a_set_gives_way_to_its_elements_once() -> None:
    desk = Desk(["a"], at="l")
    desk.write(ADA, ["a", "b"])
    desk.story.policies = ruled({"l": "union"})
    desk.look()
    desk.write(BOB, ["a", "b", "c"])

    assert desk.value == ["a", "b", "c"]
    assert desk.story.rows == []


def test_an_edge_reads_its_own_edits_before_the_hub_has_seen_them() -> None:
    # given forty edits in the outbox, each over the one before
    desk = Desk("words")
    state, text = desk.read[0], "words"
    for number in range(40):
        text = f"{number} {text}"
        ops = tuple(Op(DOCUMENT, *op) for op in desk.said(state, text))
        change = Change(5 + number, Cursor(1, 1), "", "", ops)
        state = overlay(DOCUMENT, state, [entry(Dot(ADA, number + 1), change)], TYPED)

    assert rebuild(state.registers) == {"t": text}


def test_edits_survive_their_bytes_and_nothing_else_passes_for_one() -> None:
    desk = Desk("words")
    [(slot, edit)] = desk.said(desk.read[0], "true words")
    change = Change(5, Cursor(1, 1), "", "", (Op(DOCUMENT, slot, edit),))
    desk.story.write(ADA, 5, (slot, edit), saw=1)
    document = desk.story.documents[DOCUMENT]

    assert decode(encode(change)) == change
    assert decode_document(encode_document(document)) == document
    for other in (Slot(("t",)), Slot(("t",), b"\x01")):
        with pytest.raises(ValueError, match="edits, and nothing else"):
            encode(Change(5, Cursor(1, 1), "", "", (Op(DOCUMENT, other, edit),)))
    with pytest.raises(CorruptFrame):
        decode(encode(Change(5, Cursor(1, 1), "", "", (Op(DOCUMENT, Slot(("t",), MEMBER + b"7"), edit),))))


def test_what_a_mutilated_document_holds_is_read_as_far_as_it_fits() -> None:
    seed = Register("words", EMPTY_STAMPS)
    stray = Register(Edit(encode_update(Update(7, (Insertion(Id(9, 0), None, "x"),)))), EMPTY_STAMPS)

    assert rebuild({Slot(("t",)): seed, Slot(("t",), b"\xc1\0\0\0\7"): stray}) == {"t": "words"}


EMPTY_STAMPS = Desk().story.documents[DOCUMENT].registers[Slot(("t",))].stamps


@pytest.mark.parametrize("seed", range(20))
def test_hunks_make_the_new_of_the_old(seed: int) -> None:
    rng = random.Random(seed)
    words = ["a", "bb", "c c", "\n", "é", "😀", "long line\n"]
    old, new = ("".join(rng.choices(words, k=rng.choice([0, 3, 40, 1200]))) for _ in range(2))

    result, taken = "", 0
    for start, stop, content in hunks(old, new):
        result += old[taken:start] + str(content)
        taken = stop

    assert result + old[taken:] == new


@pytest.mark.parametrize(
    ("slot", "value"), [(Slot(("t",), b"\xc1\0\0\0\7"), DELETED), (Slot(("t",), b"\xc1\5"), 5)]
)
def test_nothing_but_edits_is_written_where_the_members_of_a_leaf_stand(slot: Slot, value: Value) -> None:
    with pytest.raises(ValueError, match="edits, and nothing else"):
        encode(Change(5, Cursor(1, 1), "", "", (Op(DOCUMENT, slot, value),)))


def test_a_set_s_element_never_meets_a_member_of_a_leaf_under_one_name() -> None:
    # given a counter with a part of actor 5, and a set's element 5 written of old
    story = Story(ruled({"n": "counter"}))
    story.write(HUB, 1, (("n",), 10))
    story.write(5, 2, (("n",), Increment(1, 11)), saw=1)
    [row] = story.write(BOB, 9, (("n",), []), (Slot(("n",), canonical(5)), 5), saw=1)

    # then the two compete as a number and a set
    assert row.kind is Kind.VALUE
    assert [each.value for each in row.candidates] == [[], 11]
    assert story.content == {"n": [5]}
