"""JSON Patch (RFC 6902) within limits.

jsonpatch applies the operations; what it leaves open is closed here. A `copy` doubles what it
copies, so a thousand of them would fill any memory: together they may copy COPIED_BYTES_MAX.
`test` compares as the RFC says: numbers by value (1 equals 1.0), everything else with its type;
jsonpatch alone takes true for 1. Strings are not walked into as if they were lists.
"""

from collections.abc import Sequence
from typing import Any

from anabranch_sync.change import CHANGE_BYTES_MAX
from anabranch_sync.document import DOCUMENT_BYTES_MAX, Object, check_content
from anabranch_sync.errors import InvalidInput
from anabranch_sync.ids import DocumentId
from anabranch_sync.path import Path, parse_pointer
from anabranch_sync.value import Json, canonical, check

from anabranch.errors import PatchFailed

# More than any person writes; a program replaces the document instead.
PATCH_OPERATIONS_MAX = 1_000
# Four times the largest document: no honest patch copies it over and over.
COPIED_BYTES_MAX = 4 * DOCUMENT_BYTES_MAX

_MEMBERS = {
    "add": ("path", "value"),
    "remove": ("path",),
    "replace": ("path", "value"),
    "move": ("path", "from"),
    "copy": ("path", "from"),
    "test": ("path", "value"),
}


def check_patch(document: DocumentId, operations: object) -> list[dict[str, Json]]:
    """The operations, checked for form and size. Raises PatchFailed, InvalidInput."""
    if not isinstance(operations, Sequence) or isinstance(operations, str | bytes):
        raise PatchFailed(document, "a patch is a list of operations")
    if len(operations) > PATCH_OPERATIONS_MAX:
        raise PatchFailed(document, f"{len(operations)} operations, limit {PATCH_OPERATIONS_MAX}")
    checked: list[dict[str, Json]] = []
    for index, operation in enumerate(operations):
        one = check(operation, f"/{index}")
        if not isinstance(one, dict) or str(one.get("op")) not in _MEMBERS:
            raise PatchFailed(document, f"not an operation with one of {', '.join(_MEMBERS)}", index)
        for member in _MEMBERS[str(one["op"])]:
            if member not in one or (member != "value" and not isinstance(one[member], str)):
                raise PatchFailed(document, f"{one['op']} without a proper '{member}'", index)
        checked.append(one)
    size_bytes = len(canonical(list(checked)))
    if size_bytes > CHANGE_BYTES_MAX:
        raise PatchFailed(document, f"{size_bytes} bytes, limit {CHANGE_BYTES_MAX}")
    return checked


def patched(document: DocumentId, content: Object | None, operations: list[dict[str, Json]]) -> Object:
    """The content after `operations` (of `check_patch`). `content` is not modified.

    Raises PatchFailed, and InvalidInput for a result outside the limits of documents.
    """
    state: Json = check({} if content is None else content)
    copied_bytes = 0
    for index, operation in enumerate(operations):
        try:
            if operation["op"] == "copy":
                copied_bytes += _size_bytes(state, operation)
                if copied_bytes > COPIED_BYTES_MAX:
                    raise PatchFailed(document, f"copies more than {COPIED_BYTES_MAX} bytes", index)
            state = _applied(state, operation)
        except (_Unmet, InvalidInput) as error:
            raise PatchFailed(document, str(error), index) from error
    return check_content(document, state)


class _Unmet(Exception):
    """Why one operation does not apply."""


def _applied(state: Json, operation: dict[str, Json]) -> Json:
    import jsonpatch  # 20 ms that a reader need not pay

    for member in ("path", "from"):
        if member in operation and member in _MEMBERS[str(operation["op"])]:
            parse_pointer(str(operation[member]))
    if operation["op"] == "test":
        if not _matches(_at(state, str(operation["path"])), operation["value"]):
            raise _Unmet(f"test of {operation['path'] or '/'} failed")
        return state
    if operation["op"] in ("move", "copy"):
        _at(state, str(operation["from"]))
    if isinstance(operation.get("value"), dict | list):
        # jsonpatch puts the value itself there, and the next operation may write into it.
        operation = {**operation, "value": check(operation["value"])}
    try:
        result: Json = jsonpatch.JsonPatch([operation]).apply(state, in_place=True)
    except (
        jsonpatch.JsonPatchException,
        jsonpatch.JsonPointerException,
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
    ) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        # What follows is the whole of what jsonpatch looked in, which may be a document.
        reason, not_found, _ = said.partition(" not found in ")
        if not_found:
            reason += " not found"
        raise _Unmet(f"{operation['op']} {operation['path'] or '/'}: {reason}") from error
    return result


def _size_bytes(state: Json, operation: dict[str, Json]) -> int:
    target = parse_pointer(str(operation["path"]))
    value = _at(state, str(operation["from"]))
    # Its depth at the new place is checked too, before jsonpatch copies it recursively.
    return len(canonical(check(value, str(operation["from"]), len(target) + 1)))


def _at(state: Json, pointer: str) -> Json:
    path: Path = parse_pointer(pointer)
    value: Any = state
    for key in path:
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isascii() and key.isdigit() and str(int(key[:9])) == key:
            if int(key) >= len(value):
                raise _Unmet(f"nothing at {pointer}")
            value = value[int(key)]
        else:
            raise _Unmet(f"nothing at {pointer}")
    found: Json = value
    return found


def _matches(one: Json, other: Json) -> bool:
    """Equality of RFC 6902, section 4.6."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_matches, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_matches(one[key], other[key]) for key in one)
    return type(one) is type(other) and one == other
