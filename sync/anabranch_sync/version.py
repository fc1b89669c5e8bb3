"""Versions: what changed from one content to the next, as an RFC 6902 patch, exact in types.

A content of the past is rebuilt from one that is known by the patches that lie between, forward or
backward, and believed only if it has the digest that was recorded when it stood (`rebuilt`).

A patch leads from one content to the next and nowhere else: it is a record, not a request, so it
needs no `test` operations. None stands for a document that is not there; it comes and goes as the
whole (the pointer ``""``). Equal contents have the empty patch, and ``1``, ``1.0`` and ``true``
differ, which is why no general library compares here.
"""

import copy
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from anabranch_sync.document import digest_rebuilt
from anabranch_sync.errors import HistoryDamaged
from anabranch_sync.ids import DocumentId
from anabranch_sync.path import ROOT, Path, render_pointer
from anabranch_sync.value import Json, Object, ordered, same

Patch: TypeAlias = list[dict[str, Json]]
# An operation and the one that undoes it.
_Step: TypeAlias = tuple[dict[str, Json], dict[str, Json]]
_ABSENT = object()
# Where more would lead from one list to another, it is replaced: a step has some 20 bytes beside its value,
# takes 0.1 ms, and the largest document has a quarter of a million items.
LIST_STEPS_MAX = 1_000


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


def applied(content: Object | None, *patches: Sequence[dict[str, Json]]) -> Object | None:
    """The content after these patches, one after the other; nothing that is given is modified.

    Only for patches that `diff` made, each from the content that the one before it leads to.
    """
    import jsonpatch  # 20 ms that a reader of the present need not pay

    result = copy.deepcopy(content)
    for op in (op for patch in patches for op in patch):
        if op["path"] != "":
            # A later operation may write into the value that this one puts there.
            result = jsonpatch.apply_patch(result, [copy.deepcopy(op)], in_place=True)
        else:
            whole = copy.deepcopy(op.get("value"))
            assert whole is None or isinstance(whole, dict), "a patch replaces a document by an object"
            result = whole
    return result


def rebuilt(
    document: DocumentId, version: int, known: Object | None, patches: Iterable[Patch], recorded: int
) -> Object | None:
    """The content of `version`: `known` after `patches`, proved by the digest recorded for it.

    With its keys in order, as contents come. Raises HistoryDamaged.
    """
    try:
        content = applied(known, *patches)
        in_order = None if content is None else {key: ordered(content[key]) for key in sorted(content)}
    except Exception as error:  # damaged patches fail in every way there is
        raise HistoryDamaged(str(document), version) from error
    if digest_rebuilt(document, in_order) != recorded:
        raise HistoryDamaged(str(document), version)
    return in_order


def _compare_objects(before: Object, after: Object, path: Path, steps: list[_Step]) -> None:
    for key in sorted(before.keys() - after.keys()):
        inner = (*path, key)
        steps.append((_remove(inner), _add(inner, before[key])))
    # Most of a document is as it was: the same object, or an equal string, is passed by without a call.
    differing = [
        key
        for key, value in after.items()
        if (old := before.get(key, _ABSENT)) is not value
        and (type(value) is not str or type(old) is not str or old != value)
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
        found: list[_Step] = []
        if isinstance(before, list) and isinstance(after, list):
            _compare_lists(before, after, path, found)
        if not found or len(found) > LIST_STEPS_MAX:
            found = [(_replace(path, after), _replace(path, before))]
        steps += found


def _compare_lists(before: list[Json], after: list[Json], path: Path, steps: list[_Step]) -> None:
    """The middle that differs between a common head and a common tail; no steps where nothing is common."""
    shorter = min(len(before), len(after))
    head = 0
    while head < shorter and same(before[head], after[head]):
        head += 1
    tail = 0
    while tail < shorter - head and same(before[-1 - tail], after[-1 - tail]):
        tail += 1
    if not head and not tail:
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
