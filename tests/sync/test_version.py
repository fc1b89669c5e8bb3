"""Patches between versions: exact in types, both ways."""

import copy
import json

from anabranch_sync.document import Object
from anabranch_sync.value import canonical
from anabranch_sync.version import applied, diff, patches
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


def test_keys_are_written_as_json_pointers() -> None:
    assert diff({"a/b": {"m~n": 1}}, {"a/b": {"m~n": 2, "": 3}}) == [
        {"op": "add", "path": "/a~1b/", "value": 3},
        {"op": "replace", "path": "/a~1b/m~0n", "value": 2},
    ]


def test_a_document_comes_and_goes_as_a_whole() -> None:
    assert diff(None, {"a": 1}) == [{"op": "add", "path": "", "value": {"a": 1}}]
    assert diff({"a": 1}, None) == [{"op": "remove", "path": ""}]
    assert applied({"a": 1}, [{"op": "remove", "path": ""}]) is None
