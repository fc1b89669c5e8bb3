"""Patches between versions: exact in types, both ways."""

import copy
import json
from itertools import pairwise

import pytest
from anabranch_sync.document import Object, digest
from anabranch_sync.errors import HistoryDamaged
from anabranch_sync.ids import DocumentId
from anabranch_sync.value import Json, canonical
from anabranch_sync.version import Patch, applied, diff, patches, rebuilt
from hypothesis import example, given
from hypothesis import strategies as st

from tests.sync.strategies import contents

maybe_contents = st.none() | contents


@given(maybe_contents, maybe_contents)
@example({"a": 1}, {"a": True})
@example({"a": [0.0]}, {"a": [-0.0]})
@example({"a": [1, 2, 3, 4]}, {"a": [1, 4]})
@example({"": {"~": [[1], {"x": 1}]}}, {"": {"~": [[1], {"x": 1.0}, None]}})
def test_a_patch_leads_from_one_content_to_the_other_and_its_inverse_back(
    before: Object | None, after: Object | None
) -> None:
    given_before = copy.deepcopy(before)

    forward, inverse = patches(before, after)

    assert canonical(applied(before, forward)) == canonical(after)
    assert canonical(applied(after, inverse)) == canonical(before)
    assert canonical(before) == canonical(given_before)


@given(maybe_contents)
def test_equal_contents_have_the_empty_patch(content: Object | None) -> None:
    assert diff(content, copy.deepcopy(content)) == []


@given(maybe_contents, maybe_contents)
def test_a_patch_survives_json(before: Object | None, after: Object | None) -> None:
    patch = diff(before, after)

    assert canonical(applied(before, json.loads(json.dumps(patch)))) == canonical(after)


def test_one_element_of_a_long_list_is_one_operation() -> None:
    long = list(range(1_000))

    assert diff({"l": [*long]}, {"l": [*long[:500], "new", *long[500:]]}) == [
        {"op": "add", "path": "/l/500", "value": "new"}
    ]
    assert diff({"l": [*long]}, {"l": [*long[:500], *long[501:]]}) == [{"op": "remove", "path": "/l/500"}]


@pytest.mark.parametrize("after", [[0] * 5_000, [0] + [1] * 19_999, [0] * 20_001 + [1] * 5_000])
def test_a_list_of_which_much_differs_is_replaced(after: list[Json]) -> None:
    # given a list of which each item is one byte
    contents: list[Object] = [{"a": {"l": [0] * 20_000}}, {"a": {"l": after}}]

    # when it is cut, rewritten or added to
    forward, inverse = patches(*contents)

    # then the patches are not many times larger than the contents
    assert len(canonical(list(forward))) < 30_000
    assert len(canonical(list(inverse))) < 30_000
    assert applied(contents[0], forward) == contents[1]
    assert applied(contents[1], inverse) == contents[0]


def test_keys_are_written_as_json_pointers() -> None:
    assert diff({"a/b": {"m~n": 1}}, {"a/b": {"m~n": 2, "": 3}}) == [
        {"op": "add", "path": "/a~1b/", "value": 3},
        {"op": "replace", "path": "/a~1b/m~0n", "value": 2},
    ]


def test_a_document_comes_and_goes_as_a_whole() -> None:
    assert diff(None, {"a": 1}) == [{"op": "add", "path": "", "value": {"a": 1}}]
    assert diff({"a": 1}, None) == [{"op": "remove", "path": ""}]
    assert applied({"a": 1}, [{"op": "remove", "path": ""}]) is None


ROUTER = DocumentId("acme/prod/router", "config")
histories = st.lists(maybe_contents, min_size=1, max_size=6)


@given(histories, st.data())
def test_the_sum_of_the_patches_is_the_document_from_whichever_version_it_is_walked(
    history: list[Object | None], data: st.DataObject
) -> None:
    """From nothing, from the head, and from any version that was kept whole, which is what folding does."""
    history = [None, *history]
    steps = [patches(before, after) for before, after in pairwise(history)]
    base = data.draw(st.integers(0, len(history) - 1))

    for version, content in enumerate(history):
        forward = [patch for patch, _ in steps[base:version]]
        backward = [inverse for _, inverse in reversed(steps[version:])]
        recorded = digest(ROUTER, content)
        if version >= base:
            again = rebuilt(ROUTER, version, history[base], forward, recorded)
            assert canonical(again) == canonical(content)
        assert canonical(rebuilt(ROUTER, version, history[-1], backward, recorded)) == canonical(content)


@given(maybe_contents, maybe_contents, st.integers(0, 2**128 - 1))
def test_a_content_with_another_digest_than_recorded_is_not_believed(
    before: Object | None, after: Object | None, recorded: int
) -> None:
    if recorded != digest(ROUTER, after):
        with pytest.raises(HistoryDamaged, match="version 3 of acme/prod/router/config"):
            rebuilt(ROUTER, 3, before, [diff(before, after)], recorded)


@pytest.mark.parametrize(
    "patch",
    [
        [{"op": "remove", "path": "/absent"}],
        [{"op": "replace", "path": "/a/0/x", "value": 1}],
        [{"op": "add", "path": "", "value": 1}],
        [{"op": "add", "path": "a", "value": 1}],
        [{"op": "burn", "path": "/a"}],
        [{"path": "/a"}],
        [{}],
        [None],
        None,
    ],
)
def test_a_damaged_patch_is_named_as_a_damaged_history(patch: Patch) -> None:
    with pytest.raises(HistoryDamaged):
        rebuilt(ROUTER, 2, {"a": "text"}, [patch], 1)


def test_rebuilding_modifies_neither_what_is_known_nor_the_patches() -> None:
    known: Object = {"a": {}}
    put: Patch = [{"op": "add", "path": "/a/b", "value": {}}]
    inside: Patch = [{"op": "add", "path": "/a/b/c", "value": 1}]

    after: Object = {"a": {"b": {"c": 1}}}
    assert rebuilt(ROUTER, 2, known, [put, inside], digest(ROUTER, after)) == after
    assert (known, put) == ({"a": {}}, [{"op": "add", "path": "/a/b", "value": {}}])
