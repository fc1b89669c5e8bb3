"""Decisions one by one: each story of two or three writes, and the ledger row it makes."""

from collections.abc import Mapping

import pytest
from anabranch_sync.change import Change, Op
from anabranch_sync.conflict import Conflict, Kind
from anabranch_sync.document import Document, Object, rebuild
from anabranch_sync.ids import HUB_INCARNATION, Cursor, DocumentId, document_id
from anabranch_sync.merge import decide
from anabranch_sync.path import Path
from anabranch_sync.policy import KEYWORD, NO_POLICIES, Policies, Policy, Rule, policies_from
from anabranch_sync.register import DELETED, Operand, Slot, Value
from anabranch_sync.value import Json, canonical

from tests.sync.oracle import hidden

DOCUMENT, OTHER = document_id("acme/prod"), document_id("acme/test")
HUB, ADA, BOB, EVE = HUB_INCARNATION, 1, 2, 3


def ruled(rules: Mapping[str, str]) -> Policies:
    schema: Json = {"properties": {key: {KEYWORD: rule} for key, rule in rules.items()}}
    content: Json = {"namespaces": ["acme/*"], "schema": schema}
    return policies_from([(document_id("system/schemas", "s"), 3, content)])


class Story:
    """Writes in the order in which the hub decides them, at positions 1, 2, 3 and so on."""

    def __init__(self, policies: Policies = NO_POLICIES) -> None:
        self.policies = policies
        self.documents: dict[DocumentId, Document] = {}
        self.rows: list[Conflict] = []
        self.hub_seq = 0

    def write(
        self, actor: int, at_ms: int, /, *ops: tuple[Path | Slot, Operand], saw: int = 0
    ) -> list[Conflict]:
        """`actor` writes, having seen the hub's order up to `saw`. Return the new ledger rows."""
        self.hub_seq += 1
        change = Change(
            at_ms, Cursor(1, saw), "", "", tuple(Op(DOCUMENT, _slot(path), value) for path, value in ops)
        )
        decision = decide(self.documents, change, actor, self.hub_seq, at_ms, self.policies)
        self.documents.update(decision.documents)
        self.rows += decision.conflicts
        assert not any(map(hidden, self.documents.values()))
        return list(decision.conflicts)

    @property
    def content(self) -> Object | None:
        return rebuild(self.documents[DOCUMENT].registers)


def _slot(path: Path | Slot) -> Slot:
    """A path; a last key of ``[x]`` stands for the element x of the set above it."""
    if isinstance(path, Slot):
        return path
    if path and path[-1].startswith("["):
        return Slot(path[:-1], canonical(path[-1][1:-1]))
    return Slot(path)


def told(row: Conflict) -> tuple[str, list[tuple[str, Value]]]:
    """A row's kind, and its candidates with the winner first."""
    return row.kind, [(str(each.slot), each.value) for each in row.candidates]


def test_a_write_that_saw_what_stands_replaces_it_silently_whatever_the_clocks_and_policies() -> None:
    for rule in Rule:
        story = Story(ruled({"a": rule}))
        story.write(ADA, 900, (("a",), 5))
        story.write(BOB, 1, (("a",), 3), saw=1)
        story.write(HUB, 1, (("a",), 4), saw=2)

        assert story.content == {"a": 4}
        assert story.rows == []


def test_one_s_own_writes_are_seen_before_the_hub_has_told_so() -> None:
    story = Story()
    story.write(ADA, 9, (("a",), 1))
    story.write(ADA, 5, (("a",), 2))

    assert story.content == {"a": 2}
    assert story.rows == []


def test_concurrent_writes_of_different_values_are_a_conflict_with_everything_in_its_row() -> None:
    story = Story(ruled({"a": "max"}))
    story.write(ADA, 9, (("a",), 1))
    [row] = story.write(BOB, 5, (("a",), 2))

    assert story.content == {"a": 2}
    assert told(row) == (Kind.VALUE, [("/a", 2), ("/a", 1)])
    assert (row.document, row.slot) == (DOCUMENT, Slot(("a",)))
    assert (row.policy, row.policy_version) == (Policy(Rule.MAX), "s@3")
    assert [(stamp.timestamp, stamp.actor, stamp.hub_seq) for stamp in row.winner.stamps] == [(5, BOB, 2)]
    assert [(stamp.timestamp, stamp.actor, stamp.hub_seq) for stamp in row.losers[0].stamps] == [(9, ADA, 1)]
    assert not row.waiting


def test_a_write_that_loses_changes_no_register_and_no_version() -> None:
    story = Story()
    story.write(ADA, 9, (("a",), 1))
    before = story.documents[DOCUMENT]
    [row] = story.write(BOB, 5, (("a",), 2))

    assert story.documents[DOCUMENT] is before
    assert told(row) == (Kind.VALUE, [("/a", 1), ("/a", 2)])


def test_concurrent_equal_values_agree_and_both_writes_go_on_counting() -> None:
    # given two who wrote the same
    story = Story()
    story.write(ADA, 5, (("a",), 1))
    assert story.write(BOB, 9, (("a",), 1)) == []

    # when a third has seen only the first of them
    [row] = story.write(EVE, 7, (("a",), 2), saw=1)

    # then it is in conflict with the second alone
    assert story.content == {"a": 1}
    assert [stamp.actor for stamp in row.winner.stamps] == [BOB]


def test_types_do_not_agree() -> None:
    story = Story()
    story.write(ADA, 5, (("a",), 1))

    assert len(story.write(BOB, 6, (("a",), 1.0))) == 1
    assert len(story.write(EVE, 7, (("a",), True))) == 1


def test_deletion_and_update_conflict_and_two_deletions_agree() -> None:
    story = Story()
    story.write(ADA, 1, (("a",), 1))
    story.write(ADA, 5, (("a",), DELETED))
    assert story.write(BOB, 6, (("a",), DELETED), saw=1) == []
    [row] = story.write(EVE, 4, (("a",), 2), saw=1)

    assert told(row) == (Kind.DELETE_UPDATE, [("/a", DELETED), ("/a", 2)])
    assert story.content is None


def test_manual_keeps_what_stands_and_waits() -> None:
    story = Story(ruled({"a": "manual"}))
    story.write(ADA, 5, (("a",), 1))
    [row] = story.write(BOB, 9, (("a",), 2))

    assert story.content == {"a": 1}
    assert row.waiting


def test_writes_at_places_that_can_stand_together_are_no_conflict() -> None:
    story = Story(ruled({"u": "union"}))
    story.write(ADA, 1, (("a",), {}), (("u",), []), (("u", "[x]"), "x"))
    story.write(BOB, 2, (("a", "b"), 1), (("u", "[y]"), "y"))
    story.write(EVE, 3, (("a", "c"), {}), (("u",), []))

    assert story.rows == []
    assert story.content == {"a": {"b": 1, "c": {}}, "u": ["x", "y"]}


def test_adding_to_a_set_beats_a_concurrent_removal_of_the_whole() -> None:
    story = Story(ruled({"u": "union"}))
    story.write(ADA, 1, (("u",), []), (("u", "[x]"), "x"))
    story.write(ADA, 9, (("u",), DELETED), (("u", "[x]"), DELETED))
    story.write(BOB, 5, (("u", "[y]"), "y"), saw=1)

    assert story.content == {"u": ["y"]}
    assert story.rows == []


# Stories of a scalar above children. What comes first is seen by none who come after.
CLASHES: list[
    tuple[str, list[tuple[int, int, tuple[tuple[Path, Value], ...]]], Object, list[list[tuple[str, Value]]]]
]
CLASHES = [
    (
        "a scalar is written over a child",
        [(ADA, 1, ((("a", "b"), 1),)), (BOB, 2, ((("a",), 5),))],
        {"a": 5},
        [[("/a", 5), ("/a/b", 1)]],
    ),
    (
        "a child is written below a scalar",
        [(ADA, 1, ((("a",), 5),)), (BOB, 2, ((("a", "b"), 1),))],
        {"a": {"b": 1}},
        [[("/a/b", 1), ("/a", 5)]],
    ),
    (
        "an older scalar loses to a child",
        [(ADA, 2, ((("a", "b"), 1),)), (BOB, 1, ((("a",), 5),))],
        {"a": {"b": 1}},
        [[("/a/b", 1), ("/a", 5)]],
    ),
    (
        "an older child loses to a scalar",
        [(ADA, 2, ((("a",), 5),)), (BOB, 1, ((("a", "b"), 1),))],
        {"a": 5},
        [[("/a", 5), ("/a/b", 1)]],
    ),
    (
        "a scalar that loses to one child of two names only this one",
        [(ADA, 1, ((("a", "b"), 1),)), (BOB, 9, ((("a", "c"), 2),)), (EVE, 5, ((("a",), 5),))],
        {"a": {"b": 1, "c": 2}},
        [[("/a/c", 2), ("/a", 5)]],
    ),
    (
        "a scalar that wins over two children names both",
        [(ADA, 1, ((("a", "b"), 1),)), (BOB, 2, ((("a", "c"), 2),)), (EVE, 5, ((("a",), 5),))],
        {"a": 5},
        [[("/a", 5), ("/a/b", 1), ("/a/c", 2)]],
    ),
    (
        "a list is atomic and has no children",
        [(ADA, 1, ((("a",), [1]),)), (BOB, 2, ((("a", "b", "c"), 1),))],
        {"a": {"b": {"c": 1}}},
        [[("/a/b/c", 1), ("/a", [1])]],
    ),
    (
        "children beside the elements of a set",
        [(ADA, 1, ((("u",), []), (("u", "[x]"), "x"))), (BOB, 2, ((("u", "b"), 1),))],
        {"u": {"b": 1}},
        [[("/u/b", 1), ("/u", []), ("/u[]", "x")]],
    ),
    (
        "elements of a set above children",
        [(ADA, 1, ((("u", "b"), 1),)), (BOB, 2, ((("u",), []), (("u", "[x]"), "x")))],
        {"u": ["x"]},
        [[("/u", []), ("/u/b", 1)]],
    ),
    (
        "the root of an empty document beside a field",
        [(ADA, 1, (((), {}),)), (BOB, 2, ((("a",), 1),))],
        {"a": 1},
        [],
    ),
]


@pytest.mark.parametrize(("name", "writes", "content", "rows"), CLASHES, ids=[clash[0] for clash in CLASHES])
def test_what_cannot_stand_together_is_one_named_conflict(
    name: str,
    writes: list[tuple[int, int, tuple[tuple[Path, Value], ...]]],
    content: Object,
    rows: list[list[tuple[str, Value]]],
) -> None:
    story = Story()
    for actor, at_ms, ops in writes:
        story.write(actor, at_ms, *ops)

    assert story.content == content, name
    assert [told(row) for row in story.rows] == [(Kind.PREFIX, row) for row in rows]


def test_a_scalar_over_the_marker_of_an_object_clears_what_others_wrote_in_it_since() -> None:
    # given an empty object, and a child written in it
    story = Story()
    story.write(ADA, 1, (("a",), {}))
    story.write(BOB, 2, (("a", "b"), 1), saw=1)

    # when somebody who saw only the empty object writes a scalar in its place
    [row] = story.write(EVE, 3, (("a",), 5), saw=1)

    # then the child is a loser in the ledger, and not hidden
    assert story.content == {"a": 5}
    assert told(row) == (Kind.PREFIX, [("/a", 5), ("/a/b", 1)])


def test_a_value_over_the_marker_of_a_set_clears_elements_added_since() -> None:
    story = Story(ruled({"u": "union"}))
    story.write(ADA, 1, (("u",), []))
    story.write(BOB, 2, (("u", "[x]"), "x"), saw=1)
    rows = story.write(EVE, 3, (("u",), 5), saw=1)

    assert story.content == {"u": 5}
    assert [told(row) for row in rows] == [(Kind.PREFIX, [("/u", 5), ("/u[]", "x")])]


def test_elements_of_a_set_whose_marker_is_gone_still_clash_with_children() -> None:
    story = Story(ruled({"u": "union"}))
    story.write(ADA, 1, (("u",), []))
    story.write(BOB, 2, (("u", "[x]"), "x"), saw=1)
    story.write(ADA, 3, (("u",), DELETED))
    [row] = story.write(EVE, 4, (("u", "b"), 1), saw=1)

    assert story.content == {"u": {"b": 1}}
    assert ("/u[]", "x") in told(row)[1]


def test_the_policy_of_the_upper_place_decides_a_clash() -> None:
    story = Story(ruled({"a": "hub"}))
    story.write(HUB, 1, (("a",), 5))
    [row] = story.write(ADA, 9, (("a", "b"), 1))

    assert story.content == {"a": 5}
    assert row.policy == Policy(Rule.HUB)


def test_what_the_author_saw_makes_room_without_a_row() -> None:
    story = Story()
    story.write(ADA, 9, (("a", "b"), 1))
    story.write(BOB, 1, (("a",), 5), saw=1)

    assert story.content == {"a": 5}
    assert story.rows == []


def test_a_slot_cleared_by_a_scalar_is_not_a_second_loser() -> None:
    # given a child that a scalar has cleared
    story = Story()
    story.write(ADA, 1, (("a", "b"), 1))
    story.write(BOB, 2, (("a",), 5), saw=1)

    # when somebody who saw only the child changes it, later
    [row] = story.write(EVE, 3, (("a", "b"), 2), saw=1)

    # then the row names the scalar, which is all that was written there
    assert story.content == {"a": {"b": 2}}
    assert told(row) == (Kind.PREFIX, [("/a/b", 2), ("/a", 5)])


def test_one_change_touches_several_documents_each_by_one_version() -> None:
    change = Change(
        1,
        Cursor(1, 0),
        "",
        "",
        tuple(Op(document, Slot((key,)), 1) for key in "ab" for document in (DOCUMENT, OTHER)),
    )

    decision = decide({}, change, ADA, 1, 1, NO_POLICIES)

    assert {document: state.version for document, state in decision.documents.items()} == {
        DOCUMENT: 1,
        OTHER: 1,
    }
    assert rebuild(decision.documents[OTHER].registers) == {"a": 1, "b": 1}


def test_what_was_handed_in_is_not_modified() -> None:
    story = Story()
    story.write(ADA, 1, (("a",), 1))
    before = story.documents[DOCUMENT]
    kept = dict(before.registers)
    story.write(BOB, 2, (("a",), 2), (("b",), 1), saw=1)

    assert before.registers == kept
    assert before.version == 1


def test_an_import_of_many_leaves_is_not_quadratic() -> None:
    # A liveness bound: quadratic in 20,000 leaves, this took minutes.
    leaves = tuple(Op(DOCUMENT, Slot(("m", f"k{number}", "x")), number) for number in range(20_000))

    decision = decide({}, Change(1, Cursor(1, 0), "", "", leaves), ADA, 1, 1, NO_POLICIES)

    assert len(decision.documents[DOCUMENT].registers) == 20_000


def test_the_import_of_a_large_set_is_not_quadratic() -> None:
    # A liveness bound: quadratic in 20,000 elements, this took minutes.
    elements = [Op(DOCUMENT, Slot(("s",), canonical(number)), number) for number in range(20_000)]
    ops = (Op(DOCUMENT, Slot(("s",)), []), *elements)

    decision = decide({}, Change(1, Cursor(1, 0), "", "", ops), ADA, 1, 1, ruled({"s": "union"}))

    assert len(decision.documents[DOCUMENT].registers) == 20_001


def test_scalars_that_win_over_many_objects_are_not_quadratic() -> None:
    # given 20,000 objects, and somebody who wrote numbers in their places without having seen them
    keys = [f"k{number}" for number in range(20_000)]
    objects = tuple(Op(DOCUMENT, Slot((key, "x")), 1) for key in keys)
    numbers = tuple(Op(DOCUMENT, Slot((key,)), 2) for key in keys)
    before = decide({}, Change(1, Cursor(1, 0), "", "", objects), ADA, 1, 1, NO_POLICIES)

    # when they meet (a liveness bound: quadratic, this took minutes)
    change = Change(2, Cursor(1, 0), "", "", numbers)
    decision = decide(before.documents, change, BOB, 2, 2, NO_POLICIES)

    # then each number stands, each against its own object
    assert rebuild(decision.documents[DOCUMENT].registers) == dict.fromkeys(keys, 2)
    assert [len(row.candidates) for row in decision.conflicts] == [2] * 20_000


def test_an_object_that_loses_to_a_set_is_not_quadratic() -> None:
    # given a set of 5,000 elements, and somebody who wrote an object of as many fields in its place before
    elements = [Op(DOCUMENT, Slot(("s",), canonical(number)), number) for number in range(5_000)]
    fields = tuple(Op(DOCUMENT, Slot(("s", f"k{number}")), number) for number in range(5_000))
    ruling = ruled({"s": "union"})
    change = Change(2, Cursor(1, 0), "", "", (Op(DOCUMENT, Slot(("s",)), []), *elements))
    before = decide({}, change, ADA, 1, 2, ruling)

    # when they meet (a liveness bound: quadratic, this took ten minutes)
    decision = decide(before.documents, Change(1, Cursor(1, 0), "", "", fields), BOB, 2, 1, ruling)

    # then the set stands, and the ledger has each field beside the element that is told for all
    assert not decision.documents
    assert [len(row.candidates) for row in decision.conflicts] == [2] * 5_000
    assert {row.winner.slot.path for row in decision.conflicts} == {("s",)}


def test_two_creators_of_one_subtree_keep_each_other_s_fields_and_dispute_the_shared_one() -> None:
    # given two who create the same object without knowing of each other
    story = Story()
    story.write(ADA, 5, (("limits", "day"), 10), (("limits", "night"), {}), (("limits", "unit"), "req"))
    [row] = story.write(BOB, 9, (("limits", "day"), 20), (("limits", "night", "from"), 22))

    # then both of its sides are there, and one field is in the ledger
    assert story.content == {"limits": {"day": 20, "night": {"from": 22}, "unit": "req"}}
    assert told(row) == (Kind.VALUE, [("/limits/day", 20), ("/limits/day", 10)])


@pytest.mark.parametrize("order", ["123", "231", "312", "213"])
def test_a_1_b_1_a_2_delivered_in_any_order_leaves_no_field_out(order: str) -> None:
    # given three writes of three replicas that have not seen each other (a document library lost a=2 so)
    said: dict[str, tuple[int, int, tuple[Path, Value]]] = {
        "1": (ADA, 1, (("a",), 1)),
        "2": (BOB, 2, (("b",), 1)),
        "3": (EVE, 3, (("a",), 2)),
    }
    story = Story()
    for each in order:
        actor, at_ms, op = said[each]
        story.write(actor, at_ms, op)

    assert story.content == {"a": 2, "b": 1}
    assert len(story.rows) == 1


def test_equal_rivals_are_told_in_one_order_whatever_that_in_which_they_were_written() -> None:
    told = []
    for order in (1, -1):
        story = Story()
        story.write(BOB, 1, *[(("tree", "y"), 1), (("tree", "z"), 2)][::order])
        told.append(story.write(ADA, 2, (("tree",), 3)))

    assert told[0] == told[1]
    assert [each.slot.path for each in told[0][0].candidates] == [("tree",), ("tree", "y"), ("tree", "z")]
