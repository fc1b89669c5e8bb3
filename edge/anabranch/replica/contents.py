"""What a write says, found by comparing two contents instead of all registers of a document.

`document.written` flattens the whole content and compares each leaf. A program that sets one field
of a document of a hundred would wait longer for that than for the disk. Contents of one document
share what did not change (`change_builder` copies only along its path), so a walk over both can pass
by whatever is the same object. It says the same as `document.written` where each leaf is one live
register (`Held.is_tight`); elsewhere (sets, markers that children made superfluous) that is called.
"""

from anabranch_sync.document import Object
from anabranch_sync.path import ROOT, Path
from anabranch_sync.register import DELETED, Operand, Slot, equal
from anabranch_sync.value import Json


def between(before: Object | None, after: Object | None) -> tuple[list[tuple[Slot, Operand]], Object | None]:
    """What a write must say to make `after` of `before`, and `after` with its keys in order.

    Deletions come first, as in `document.written`. Objects that did not change are shared.
    """
    walk = _Walk()
    if before and after:
        content: Object | None = walk.objects(before, after, ROOT)
    else:
        content = None if after is None else _in_order(after)
        walk.replaced(_leaves(before, ROOT), _leaves(after, ROOT))
    return sorted(walk.deleted, key=_order) + sorted(walk.changed, key=_order), content


def leaf_count(content: Object | None) -> int:
    """How many leaves a document has; lists and empty objects are leaves, one that is not there has none."""
    if content is None:
        return 0
    items = content.values()
    return sum(leaf_count(item) if isinstance(item, dict) else 1 for item in items) if items else 1


class _Walk:
    def __init__(self) -> None:
        self.deleted: list[tuple[Slot, Operand]] = []
        self.changed: list[tuple[Slot, Operand]] = []

    def objects(self, before: Object, after: Object, path: Path) -> Object:
        """Compare two objects with members; returns `after` with its keys in order."""
        result: Object = {}
        for key in sorted(after):
            new = after[key]
            if key not in before:
                result[key] = _ordered(new)
                self.replaced({}, _leaves(new, (*path, key)))
                continue
            old = before[key]
            if old is new:
                result[key] = new
            elif old and new and isinstance(old, dict) and isinstance(new, dict):
                result[key] = self.objects(old, new, (*path, key))
            else:
                result[key] = _ordered(new)
                self.replaced(_leaves(old, (*path, key)), _leaves(new, (*path, key)))
        for key in before.keys() - after.keys():
            self.replaced(_leaves(before[key], (*path, key)), {})
        return result

    def replaced(self, before: dict[Slot, Json], after: dict[Slot, Json]) -> None:
        """Note the leaves that go, come and change."""
        self.deleted += [(slot, DELETED) for slot in before if slot not in after]
        self.changed += [
            (slot, value)
            for slot, value in after.items()
            if slot not in before or not equal(before[slot], value)
        ]


def _leaves(value: Json, path: Path) -> dict[Slot, Json]:
    """The leaves of a value at `path`; None at the root is a document that is not there."""
    if value is None and path == ROOT:
        return {}
    found: dict[Slot, Json] = {}
    _collect(value, path, found)
    return found


def _collect(value: Json, path: Path, found: dict[Slot, Json]) -> None:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            _collect(item, (*path, key), found)
    else:
        found[Slot(path)] = value


def _ordered(value: Json) -> Json:
    return _in_order(value) if isinstance(value, dict) else value


def _in_order(content: Object) -> Object:
    return {key: _ordered(content[key]) for key in sorted(content)}


def _order(leaf: tuple[Slot, Operand]) -> Path:
    return leaf[0].path
