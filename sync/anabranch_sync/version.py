"""Versions: what changed from one content to the next, as an RFC 6902 patch, exact in types.

A patch leads from one content to the next and nowhere else: it is a record, not a request, so it
needs no `test` operations. None stands for a document that is not there; it comes and goes as the
whole (the pointer ``""``). Equal contents have the empty patch, and ``1``, ``1.0`` and ``true``
differ, which is why no general library compares here.
"""

import copy
from collections.abc import Sequence
from typing import TypeAlias

import jsonpatch

from anabranch_sync.document import Object
from anabranch_sync.path import ROOT, Path, render_pointer
from anabranch_sync.value import Json, same

Patch: TypeAlias = list[dict[str, Json]]
# An operation and the one that undoes it.
_Step: TypeAlias = tuple[dict[str, Json], dict[str, Json]]


def diff(before: Object | None, after: Object | None) -> Patch:
    """The patch that turns `before` into `after`."""
    return patches(before, after)[0]


def patches(before: Object | None, after: Object | None) -> tuple[Patch, Patch]:
    """The patch that turns `before` into `after`, and the one that leads back."""
    steps: list[_Step] = []
    if before is not None and after is not None:
        _compare_objects(before, after, ROOT, steps)
    elif after is not None:
        steps.append((_add(ROOT, after), _remove(ROOT)))
    elif before is not None:
        steps.append((_remove(ROOT), _add(ROOT, before)))
    return [op for op, _ in steps], [undo for _, undo in reversed(steps)]


def applied(content: Object | None, patch: Sequence[dict[str, Json]]) -> Object | None:
    """The content after `patch`; `content` is not modified. Only for patches that `diff` made from it."""
    result = copy.deepcopy(content)
    for op in patch:
        if op["path"] != "":
            result = jsonpatch.apply_patch(result, [op], in_place=True)
        else:
            whole = copy.deepcopy(op.get("value"))
            assert whole is None or isinstance(whole, dict), "a patch replaces a document by an object"
            result = whole
    return result


def _compare_objects(before: Object, after: Object, path: Path, steps: list[_Step]) -> None:
    for key in sorted(before.keys() - after.keys()):
        inner = (*path, key)
        steps.append((_remove(inner), _add(inner, before[key])))
    # Most of a document is as it was: strings, its commonest values, are compared without a call.
    differing = [
        key
        for key, value in after.items()
        if key not in before or type(value) is not str or type(before[key]) is not str or before[key] != value
    ]
    for key in sorted(differing):
        inner = (*path, key)
        if key in before:
            _compare(before[key], after[key], inner, steps)
        else:
            steps.append((_add(inner, after[key]), _remove(inner)))


def _compare(before: Json, after: Json, path: Path, steps: list[_Step]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        _compare_objects(before, after, path, steps)
    elif not same(before, after):
        if isinstance(before, list) and isinstance(after, list):
            _compare_lists(before, after, path, steps)
        else:
            steps.append((_replace(path, after), _replace(path, before)))


def _compare_lists(before: list[Json], after: list[Json], path: Path, steps: list[_Step]) -> None:
    """The middle that differs between a common head and a common tail; the whole where nothing is common."""
    shorter = min(len(before), len(after))
    head = 0
    while head < shorter and same(before[head], after[head]):
        head += 1
    tail = 0
    while tail < shorter - head and same(before[-1 - tail], after[-1 - tail]):
        tail += 1
    if not head and not tail:
        steps.append((_replace(path, after), _replace(path, before)))
        return
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    paired = min(len(old), len(new))
    for offset in range(paired):
        _compare(old[offset], new[offset], (*path, str(head + offset)), steps)
    gone = (*path, str(head + paired))
    for value in old[paired:]:
        steps.append((_remove(gone), _add(gone, value)))
    for offset, value in enumerate(new[paired:], paired):
        place = (*path, str(head + offset))
        steps.append((_add(place, value), _remove(place)))


def _add(path: Path, value: Json) -> dict[str, Json]:
    return {"op": "add", "path": render_pointer(path), "value": value}


def _remove(path: Path) -> dict[str, Json]:
    return {"op": "remove", "path": render_pointer(path)}


def _replace(path: Path, value: Json) -> dict[str, Json]:
    return {"op": "replace", "path": render_pointer(path), "value": value}
