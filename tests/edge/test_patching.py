"""JSON Patch as RFC 6902 has it, within limits."""

import pytest
from anabranch.errors import PatchFailed
from anabranch.patching import COPIED_BYTES_MAX, PATCH_OPERATIONS_MAX, check_patch, patched
from anabranch_sync.document import Object
from anabranch_sync.errors import DocumentTooLarge, InvalidInput, InvalidValue
from anabranch_sync.ids import DocumentId
from anabranch_sync.value import Json, same

ROUTER = DocumentId("acme/prod/router", "config")


def _patched(content: Object | None, *operations: Json) -> Object:
    return patched(ROUTER, content, check_patch(ROUTER, list(operations)))


@pytest.mark.parametrize(
    ("content", "operation", "expected"),
    [
        ({"a": 1}, {"op": "add", "path": "/b", "value": 2}, {"a": 1, "b": 2}),
        ({"a": [1, 3]}, {"op": "add", "path": "/a/1", "value": 2}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"op": "add", "path": "/a/-", "value": 2}, {"a": [1, 2]}),
        ({"a": 1, "b": 2}, {"op": "remove", "path": "/b"}, {"a": 1}),
        ({"a": {"b~/c": 1}}, {"op": "replace", "path": "/a/b~0~1c", "value": None}, {"a": {"b~/c": None}}),
        ({"a": 1}, {"op": "move", "from": "/a", "path": "/b"}, {"b": 1}),
        ({"a": {"x": [1]}}, {"op": "copy", "from": "/a", "path": "/b"}, {"a": {"x": [1]}, "b": {"x": [1]}}),
        ({"a": 1}, {"op": "add", "path": "", "value": {"new": True}}, {"new": True}),
        ({"a": 1}, {"op": "test", "path": "/a", "value": 1}, {"a": 1}),
        (None, {"op": "add", "path": "/a", "value": 1}, {"a": 1}),
    ],
)
def test_each_operation_does_what_the_standard_says(
    content: Object | None, operation: Json, expected: Object
) -> None:
    assert same(_patched(content, operation), expected)


def test_the_content_given_is_not_modified() -> None:
    content: Object = {"a": [1, {"b": 2}]}

    _patched(content, {"op": "add", "path": "/a/1/b", "value": 3}, {"op": "add", "path": "/a/-", "value": 4})

    assert content == {"a": [1, {"b": 2}]}


def test_a_patch_can_be_applied_again_with_the_same_outcome() -> None:
    operations: list[Json] = [
        {"op": "add", "path": "/l", "value": []},
        {"op": "add", "path": "/l/-", "value": {"x": []}},
        {"op": "add", "path": "/l/0/x/-", "value": 1},
    ]

    assert _patched({}, *operations) == {"l": [{"x": [1]}]}
    assert _patched({}, *operations) == {"l": [{"x": [1]}]}


@pytest.mark.parametrize(
    ("value", "tested", "holds"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (None, False, False),
        ("1", 1, False),
        ([1, {"a": 2}], [1.0, {"a": 2.0}], True),
        ([1], [True], False),
        ({"a": 1}, {"a": 1, "b": 1}, False),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, True),
    ],
)
def test_a_test_compares_numbers_by_value_and_everything_else_with_its_type(
    value: Json, tested: Json, *, holds: bool
) -> None:
    operation: Json = {"op": "test", "path": "/x", "value": tested}
    if holds:
        _patched({"x": value}, operation)
        return
    with pytest.raises(PatchFailed, match="test of /x failed"):
        _patched({"x": value}, operation)


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "remove", "path": "/missing"},
        {"op": "replace", "path": "/missing", "value": 1},
        {"op": "add", "path": "/missing/deeper", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "/list/01", "value": 1},
        {"op": "add", "path": "/list/x", "value": 1},
        {"op": "copy", "from": "/missing", "path": "/b"},
        {"op": "copy", "from": "/text/0", "path": "/b"},
        {"op": "move", "from": "/list/7", "path": "/b"},
        {"op": "move", "from": "/deep", "path": "/deep/er"},
        {"op": "test", "path": "/missing", "value": None},
        {"op": "test", "path": "/text/0", "value": "h"},
        {"op": "add", "path": "/text/x", "value": 1},
        {"op": "add", "path": "no-slash", "value": 1},
        {"op": "add", "path": "/bad~2escape", "value": 1},
        {"op": "add", "path": "/list/" + "9" * 30, "value": 1},
        {"op": "remove", "path": "/list/-"},
    ],
)
def test_an_operation_that_does_not_apply_is_named_by_its_number(operation: Json) -> None:
    content: Object = {"text": "hello", "list": [1], "deep": {"er": {}}}

    with pytest.raises(PatchFailed, match="operation 1") as failed:
        _patched(content, {"op": "add", "path": "/ok", "value": 1}, operation)

    assert failed.value.exit_code == 5
    assert "hello" not in str(failed.value), "a document is no part of a message"
    assert content == {"text": "hello", "list": [1], "deep": {"er": {}}}


@pytest.mark.parametrize(
    "operations",
    [
        {"op": "add"},
        "text",
        None,
        [1],
        [{}],
        [{"op": "merge", "path": "/a"}],
        [{"op": ["add"], "path": "/a", "value": 1}],
        [{"op": "add", "path": "/a"}],
        [{"op": "add", "path": 1, "value": 1}],
        [{"op": "move", "path": "/a"}],
        [{"op": "copy", "path": "/a", "from": None}],
    ],
)
def test_what_is_no_patch_is_refused_before_anything_is_tried(operations: object) -> None:
    with pytest.raises(PatchFailed):
        check_patch(ROUTER, operations)


def test_a_value_json_cannot_carry_is_refused() -> None:
    with pytest.raises(InvalidValue, match="/0/value"):
        check_patch(ROUTER, [{"op": "add", "path": "/a", "value": float("nan")}])


def test_more_operations_than_the_limit_are_refused() -> None:
    check_patch(ROUTER, [{"op": "remove", "path": "/a"}] * PATCH_OPERATIONS_MAX)

    with pytest.raises(PatchFailed, match="limit 1000"):
        check_patch(ROUTER, [{"op": "remove", "path": "/a"}] * (PATCH_OPERATIONS_MAX + 1))


def test_copies_that_double_each_time_are_stopped_before_they_fill_the_memory() -> None:
    bomb: list[Json] = [{"op": "copy", "from": "/a", "path": f"/a/{number}"} for number in range(60)]

    with pytest.raises(PatchFailed, match=f"copies more than {COPIED_BYTES_MAX}"):
        _patched({"a": {"x": "y" * 100}}, *bomb)


def test_copies_that_nest_are_stopped_at_the_depth_of_documents() -> None:
    nest: list[Json] = [{"op": "copy", "from": "/a", "path": "/a/a"} for _ in range(500)]

    with pytest.raises(PatchFailed, match="depth 65"):
        _patched({"a": {}}, *nest)


def test_moves_that_nest_are_stopped_at_the_depth_of_documents() -> None:
    made: list[Json] = [{"op": "add", "path": f"/k{number}", "value": {}} for number in range(400)]
    moved: list[Json] = [
        {"op": "move", "from": f"/k{number}", "path": f"/k{number + 1}/x"} for number in range(399)
    ]

    with pytest.raises(InvalidInput, match="depth"):
        _patched({}, *made, *moved)


def test_a_result_over_the_limit_of_documents_is_refused() -> None:
    with pytest.raises(DocumentTooLarge):
        _patched({"a": "x" * 200_000}, {"op": "copy", "from": "/a", "path": "/b"})


def test_a_result_that_is_no_object_is_refused() -> None:
    with pytest.raises(InvalidValue, match="JSON object"):
        _patched({"a": 1}, {"op": "replace", "path": "", "value": [1]})
