"""Comparing two contents says what comparing all registers says."""

from copy import deepcopy

from anabranch.change_builder import Draft, Set, take
from anabranch.errors import NotAnObject
from anabranch.replica import Visible
from anabranch.replica.contents import between
from anabranch.replica.rows import Shown
from anabranch.replica.shelf import Held
from anabranch_sync.document import Document, Object, flatten, rebuild, written
from anabranch_sync.ids import DocumentId
from anabranch_sync.policy import atomic_lists
from anabranch_sync.register import Register, Slot, Stamp
from anabranch_sync.value import Json
from hypothesis import given
from hypothesis import strategies as st

from tests.sync.exact import exact_value
from tests.sync.strategies import contents, documents, json_values, keys

ROUTER = DocumentId("acme/prod/router", "config")
_documents = st.none() | contents


def _registers(content: Object | None) -> dict[Slot, Register]:
    leaves = {} if content is None else flatten(content, atomic_lists)
    return {slot: Register(value, (Stamp(1, 1, 1),)) for slot, value in leaves.items()}


def _in_order(value: Json) -> list[object]:
    """The keys of objects, lists apart, in the order in which they are met."""
    if not isinstance(value, dict):
        return []
    return [(key, _in_order(inner)) for key, inner in value.items()]


def _check(before: Object | None, after: Object | None) -> None:
    leaves, content = between(before, after)

    said = written(_registers(before), after, atomic_lists)
    assert [(slot, exact_value(value)) for slot, value in leaves] == [
        (slot, exact_value(value)) for slot, value in said
    ]
    rebuilt = rebuild(_registers(after))
    assert exact_value(content) == exact_value(rebuilt)
    assert _in_order(content) == _in_order(rebuilt)


@given(_documents, _documents)
def test_two_contents_differ_as_their_registers_do(before: Object | None, after: Object | None) -> None:
    _check(before, after)


@given(contents, st.lists(keys, min_size=1, max_size=3), json_values)
def test_a_field_that_is_set_differs_as_its_registers_do(
    content: Object, path: list[str], value: Json
) -> None:
    before = rebuild(_registers(content))
    assert before is not None
    kept = deepcopy(before)
    drafts: Draft = {}
    try:
        take(Set(ROUTER, tuple(path), value), drafts, lambda _: Visible(before, 1, 0))
    except NotAnObject:
        return

    _check(before, drafts[ROUTER])
    assert exact_value(before) == exact_value(kept)


@given(documents() | _documents.map(lambda content: Document(_registers(content), 1)))
def test_a_document_is_tight_where_its_live_registers_are_the_leaves_of_its_content(state: Document) -> None:
    content = rebuild(state.registers)
    leaves = set() if content is None else flatten(content, atomic_lists).keys()
    live = {slot for slot, register in state.registers.items() if register.live}

    assert Held(Shown(row=1), state).is_tight == (live == leaves)
