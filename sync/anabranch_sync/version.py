"""Versions: what changed from one content to the next, as an RFC 6902 patch, exact in types.

A patch leads from one content to the next and nowhere else: it is a record, not a request, so it
needs no `test` operations. None stands for a document that is not there; it comes and goes as the
whole (the pointer ``""``). Equal contents have the empty patch, and ``1``, ``1.0`` and ``true``
differ, which is why no general library compares here.
"""

import copy
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import jsonpatch

from anabranch_sync.document import Object
from anabranch_sync.path import ROOT, Path, render_pointer
from anabranch_sync.value import Json, same

Patch: TypeAlias = list[dict[str, Json]]


def diff(before: Object | None, after: Object | None) -> Patch:
    """The patch that turns `before` into `after`; its reverse is ``diff(after, before)``."""
    if before is None or after is None:
        if before is after:
            return []
        return [_remove(ROOT)] if after is None else [_add(ROOT, after)]
    return list(_of_objects(before, after, ROOT))


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


def _of_objects(before: Object, after: Object, path: Path) -> Iterator[dict[str, Json]]:
    for key in sorted(before.keys() - after.keys()):
        yield _remove((*path, key))
    for key in sorted(after):
        inner = (*path, key)
        if key in before:
            yield from _of_values(before[key], after[key], inner)
        else:
            yield _add(inner, after[key])


def _of_values(before: Json, after: Json, path: Path) -> Iterator[dict[str, Json]]:
    if before is after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        yield from _of_objects(before, after, path)
    elif not same(before, after):
        if isinstance(before, list) and isinstance(after, list):
            yield from _of_lists(before, after, path)
        else:
            yield _replace(path, after)


def _of_lists(before: list[Json], after: list[Json], path: Path) -> Iterator[dict[str, Json]]:
    """The middle that differs between a common head and a common tail; the whole where nothing is common."""
    shorter = min(len(before), len(after))
    head = 0
    while head < shorter and same(before[head], after[head]):
        head += 1
    tail = 0
    while tail < shorter - head and same(before[-1 - tail], after[-1 - tail]):
        tail += 1
    if not head and not tail:
        yield _replace(path, after)
        return
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    paired = min(len(old), len(new))
    for offset in range(paired):
        yield from _of_values(old[offset], new[offset], (*path, str(head + offset)))
    for _ in old[paired:]:
        yield _remove((*path, str(head + paired)))
    for offset, value in enumerate(new[paired:], paired):
        yield _add((*path, str(head + offset)), value)


def _add(path: Path, value: Json) -> dict[str, Json]:
    return {"op": "add", "path": render_pointer(path), "value": value}


def _remove(path: Path) -> dict[str, Json]:
    return {"op": "remove", "path": render_pointer(path)}


def _replace(path: Path, value: Json) -> dict[str, Json]:
    return {"op": "replace", "path": render_pointer(path), "value": value}
