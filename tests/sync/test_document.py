"""Documents: flattened and rebuilt exactly, whatever the policies."""

import random
from dataclasses import replace
from functools import partial

import pytest
from anabranch_sync.change import Change, Op
from anabranch_sync.digest import MODULUS, ScopeDigest
from anabranch_sync.document import (
    DOCUMENT_BYTES_MAX,
    EMPTY,
    Document,
    Object,
    at,
    build,
    check_content,
    digest,
    digest_rebuilt,
    flatten,
    rebuild,
    rebuild_after,
    written,
)
from anabranch_sync.errors import DocumentTooLarge, InvalidValue
from anabranch_sync.ids import Cursor, HubSeq, document_id
from anabranch_sync.merge import decide
from anabranch_sync.path import Path
from anabranch_sync.policy import NO_POLICIES, Policies, Policy, Rule, atomic_lists
from anabranch_sync.register import DELETED, Register, RegisterValue, Slot, Stamp
from anabranch_sync.value import Json, canonical, ordered
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.exact import exact_registers
from tests.sync.fleet import alike, as_stored
from tests.sync.oracle import hidden
from tests.sync.strategies import changes, contents, documents, json_values, judges, kept_slots

DOCUMENT = document_id("acme/prod")


def union(_path: Path) -> Policy:
    return Policy(Rule.UNION)


def standing(
    content: Object | None, policies: Policies, base: Document = EMPTY, hub_seq: HubSeq = 1
) -> Document:
    """`base` after somebody who had seen all of it wrote `content`."""
    leaves = written(base.registers, content, partial(policies.of, DOCUMENT))
    ops = tuple(Op(DOCUMENT, slot, value) for slot, value in leaves)
    change = Change(hub_seq, Cursor(1, hub_seq - 1), "", "", ops)
    decision = decide({DOCUMENT: base}, change, 1, hub_seq, change.timestamp, policies)
    assert not decision.conflicts
    return decision.documents.get(DOCUMENT, base)


def shuffled(value: Json, rng: random.Random) -> Json:
    """`value` with the keys of its objects in another order."""
    if isinstance(value, dict):
        keys = rng.sample(sorted(value), len(value))
        return {key: shuffled(value[key], rng) for key in keys}
    if isinstance(value, list):
        return [shuffled(item, rng) for item in value]
    return value


def as_sets(value: Json) -> Json:
    """`value` with every list of an object as the set that `union` everywhere makes of it."""
    if isinstance(value, dict):
        return {key: as_sets(item) for key, item in value.items()}
    if isinstance(value, list):
        return [element for _, element in sorted({canonical(item): item for item in value}.items())]
    return value


@given(contents)
def test_content_is_rebuilt_exactly(content: Object) -> None:
    assert alike(build(_live(content)), content)


def _live(content: Object) -> list[tuple[Slot, Json]]:
    return [(slot, value) for slot, value in flatten(content, atomic_lists).items() if value is not DELETED]


@given(contents)
def test_sets_are_rebuilt_without_repeats_in_an_order_of_their_own(content: Object) -> None:
    assert alike(as_stored(content, union), as_sets(content))


@given(contents, judges())
def test_what_is_stored_is_stored_again_without_a_change_under_any_policies(
    content: Object, policies: Policies
) -> None:
    document = standing(content, policies)

    stored = rebuild(document.registers)
    assert alike(stored, as_stored(content, partial(policies.of, DOCUMENT)))
    assert written(document.registers, stored, partial(policies.of, DOCUMENT)) == []
    assert not hidden(document)


@given(contents, st.none() | contents, judges(), judges())
def test_a_write_by_one_who_saw_everything_gives_exactly_what_was_wanted(
    before: Object, after: Object | None, earlier: Policies, later: Policies
) -> None:
    # given a document, written under one schema
    document = standing(before, earlier)

    # when it is rewritten, under another
    rewritten = standing(after, later, document, hub_seq=2)

    # then it is what was written, and nothing hidden is left
    shown = rebuild(rewritten.registers)
    assert alike(shown, as_stored(after, partial(later.of, DOCUMENT)))
    assert not hidden(rewritten)
    assert written(rewritten.registers, after, partial(later.of, DOCUMENT)) == []


@given(contents, st.randoms(use_true_random=False))
def test_the_order_of_writing_changes_neither_digest_nor_registers_nor_content(
    content: Object, rng: random.Random
) -> None:
    other = shuffled(content, rng)
    assert isinstance(other, dict)

    one, two = standing(content, NO_POLICIES), standing(other, NO_POLICIES)

    assert exact_registers(one.registers) == exact_registers(two.registers)
    shown, shown_too = rebuild(one.registers), rebuild(two.registers)
    assert digest(DOCUMENT, shown) == digest(DOCUMENT, shown_too)
    assert str(shown) == str(shown_too)


@given(documents(), st.lists(kept_slots, max_size=6), changes(), judges(), st.data())
def test_what_is_rebuilt_from_the_content_before_is_what_is_rebuilt_from_all_registers(
    before: Document,
    others: list[tuple[Slot, RegisterValue]],
    change: Change,
    policies: Policies,
    data: st.DataObject,
) -> None:
    content = rebuild(before.registers)
    as_it_was = str(content)
    # Values move between the slots there are, and what a change makes of them.
    swapped = dict(before.registers)
    for slot, (_, value) in zip(data.draw(st.permutations(list(swapped))), others, strict=False):
        swapped[slot] = Register(value, (Stamp(1, 1, 1),))
    here = replace(change, ops=tuple(replace(op, document=DOCUMENT) for op in change.ops))
    decided = decide({DOCUMENT: before}, here, 1, 51, change.timestamp, policies).documents

    for registers in (swapped, decided.get(DOCUMENT, before).registers):
        after = rebuild_after(content, before.registers, registers)
        assert str(after) == str(rebuild(registers))
    assert str(content) == as_it_was


@given(documents())
def test_what_is_rebuilt_is_in_order_so_that_its_digest_needs_no_sorting(document: Document) -> None:
    content = rebuild(document.registers)

    assert digest_rebuilt(DOCUMENT, content) == digest(DOCUMENT, content)


def test_what_a_change_leaves_alone_is_shared_by_the_contents_before_and_after() -> None:
    before = standing({"a": {"b": 1}, "c": {"d": [1], "e": {"f": ""}}}, NO_POLICIES)
    changed: Object = {"a": {"b": 1}, "c": {"d": [2], "e": {"f": ""}}}
    after = standing(changed, NO_POLICIES, before, hub_seq=2)
    content = rebuild(before.registers)
    assert content is not None

    shown = rebuild_after(content, before.registers, after.registers)

    assert shown == changed
    assert shown["a"] is content["a"]
    assert at(shown, ("c", "e")) is at(content, ("c", "e"))


def test_what_is_read_is_a_copy() -> None:
    document = standing({"a": [[{"b": 1}], {"c": []}]}, NO_POLICIES)
    before = exact_registers(document.registers)

    shown = rebuild(document.registers)
    assert shown is not None
    lists = shown["a"]
    assert isinstance(lists, list)
    assert isinstance(lists[0], list)
    lists[0].append("mine")
    assert isinstance(lists[1], dict)
    lists[1]["d"] = "mine"

    assert exact_registers(document.registers) == before


@pytest.mark.parametrize(("one", "other"), [(1, 1.0), (1, True), (0, False), (0, None), ("", None), ([], {})])
def test_digests_tell_types_apart(one: Json, other: Json) -> None:
    assert digest(DOCUMENT, {"a": one}) != digest(DOCUMENT, {"a": other})
    assert digest(DOCUMENT, {"a": [one]}) != digest(DOCUMENT, {"a": [other]})


def test_digests_tell_documents_apart() -> None:
    contents_alike: list[Object] = [{}, {"a": {}}, {"a": None}]
    digests = {
        digest(document_id(namespace, key), content)
        for namespace, key in [("a/b", "c"), ("a", "b"), ("a", "c")]
        for content in contents_alike
    }
    assert len(digests) == 9


def test_a_deleted_document_has_no_content_and_digest_zero_and_an_empty_one_has_both() -> None:
    document = standing({"a": 1, "b": {"c": [1]}}, NO_POLICIES)
    deleted = standing(None, NO_POLICIES, document, hub_seq=2)
    emptied = standing({}, NO_POLICIES, deleted, hub_seq=3)

    assert rebuild(EMPTY.registers) is None
    assert rebuild(deleted.registers) is None
    assert digest(DOCUMENT, rebuild(deleted.registers)) == 0
    assert rebuild(emptied.registers) == {}
    assert digest(DOCUMENT, {}) != 0
    assert [each.version for each in (EMPTY, document, deleted, emptied)] == [0, 1, 2, 3]
    assert emptied.hub_seq == 3


def test_flattening_names_each_leaf_and_marks_what_is_empty() -> None:
    content: Object = {"a": {"b": 1, "c": {}}, "d": [], "e": [1, [2]], "": None}

    assert flatten(content, atomic_lists) == {
        Slot(("a", "b")): 1,
        Slot(("a", "c")): {},
        Slot(("d",)): [],
        Slot(("e",)): [1, [2]],
        Slot(("",)): None,
    }
    assert flatten({}, atomic_lists) == {Slot(()): {}}


def test_a_set_has_a_marker_and_a_slot_for_each_element() -> None:
    policy = Policy(Rule.UNION, "id")

    leaves = flatten({"a": [{"id": 2, "v": 1}, {"id": 1}, {"id": 2, "v": 2}]}, lambda _: policy)

    assert leaves == {
        Slot(("a",)): [],
        Slot(("a",), canonical({"id": 2})): {"id": 2, "v": 2},
        Slot(("a",), canonical({"id": 1})): {"id": 1},
    }
    assert build((slot, value) for slot, value in leaves.items() if value is not DELETED) == {
        "a": [{"id": 1}, {"id": 2, "v": 2}]
    }


def test_deletions_are_written_before_what_takes_their_place() -> None:
    document = standing({"a": 1, "b": {"c": 1, "d": 2}}, NO_POLICIES)

    leaves = written(document.registers, {"a": {"x": 1}, "b": 5}, atomic_lists)

    assert leaves == [
        (Slot(("a",)), DELETED),
        (Slot(("b", "c")), DELETED),
        (Slot(("b", "d")), DELETED),
        (Slot(("a", "x")), 1),
        (Slot(("b",)), 5),
    ]


@pytest.mark.parametrize("content", [None, [], "text", 5, [{}]])
def test_only_an_object_is_a_document(content: Json) -> None:
    with pytest.raises(InvalidValue, match="a document is a JSON object"):
        check_content(DOCUMENT, content)


def test_a_document_is_bounded_by_its_canonical_bytes() -> None:
    overhead = len(canonical({"a": "x" * 200_000})) - 200_000
    fits: Object = {"a": "x" * (DOCUMENT_BYTES_MAX - overhead)}
    assert check_content(DOCUMENT, fits) == fits

    with pytest.raises(DocumentTooLarge, match="acme/prod/config is 262145 bytes, limit 262144") as refused:
        check_content(DOCUMENT, {"a": "x" * (DOCUMENT_BYTES_MAX - overhead + 1)})
    assert refused.value.size_bytes == DOCUMENT_BYTES_MAX + 1


@given(contents)
def test_what_is_at_a_path_is_found_or_the_first_absent_key_named(content: Object) -> None:
    for slot, value in flatten(content, atomic_lists).items():
        found = at(content, slot.path)
        assert value is not DELETED
        assert alike(found, value)
        with pytest.raises(KeyError):
            at(content, (*slot.path, "absent", "more"))


def test_the_first_absent_key_is_named_as_a_pointer() -> None:
    with pytest.raises(KeyError, match="/a/x~1y"):
        at({"a": {"b": 1}}, ("a", "x/y", "z"))
    with pytest.raises(KeyError, match="/a/b/c"):
        at({"a": {"b": 1}}, ("a", "b", "c"))


@given(json_values)
def test_ordering_keeps_the_value(value: Json) -> None:
    assert canonical(ordered(value)) == canonical(value)
    assert ordered(value) == value


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, MODULUS - 1)), max_size=20))
def test_a_scope_s_digest_depends_on_what_it_holds_and_not_on_how_it_came_there(
    replacements: list[tuple[int, int]],
) -> None:
    held: dict[int, int] = {}
    rolling = ScopeDigest()
    for document, after in replacements:
        rolling = rolling.replaced(held.get(document, 0), after)
        held[document] = after

    afresh = ScopeDigest()
    for each in sorted(held.values()):
        afresh = afresh.replaced(0, each)
    assert rolling == afresh
    assert rolling.count == sum(1 for each in held.values() if each)


def test_a_register_of_two_agreeing_writes_is_as_new_as_the_later_decided() -> None:
    register = Register(1, (Stamp(9, 1, 2), Stamp(5, 2, 4)))

    assert register.stamp == Stamp(9, 1, 2)
    assert register.hub_seq == 4
    assert Document({Slot(("a",)): register}).hub_seq == 4
