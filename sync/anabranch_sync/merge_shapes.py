"""Which values can stand beside each other in one document, and what is told of those that cannot."""

from collections import Counter
from collections.abc import Sequence
from typing import TypeAlias

from anabranch_sync.conflict import Candidate, Kind
from anabranch_sync.path import Path
from anabranch_sync.register import DELETED, Register, Slot, Value, equal

# What competes, with its place.
Rival: TypeAlias = tuple[Slot, Register]


class LiveIndex:
    """How many live registers lie below each path, set elements included, and how many of these it has."""

    def __init__(self) -> None:
        self.below: Counter[Path] = Counter()
        self.elements: Counter[Path] = Counter()

    def count(self, slot: Slot, step: int) -> None:
        """A register came to life at `slot` (1), or ceased to live (-1)."""
        for depth in range(len(slot.path) + (slot.element is not None)):
            self.below[slot.path[:depth]] += step
        if slot.element is not None:
            self.elements[slot.path] += step


def reshapes(standing: Register | None, value: Value) -> bool:
    """Whether `value` can come to stand above or below something else that lives.

    So does what becomes live, and what takes the place of the marker of an object or a set: they
    leave room below, where others may have written since.
    """
    if value is DELETED:
        return False
    if standing is None or not standing.live:
        return True
    is_marker = isinstance(standing.value, dict | list) and not standing.value
    return is_marker and not equal(standing.value, value)


def stands_with(slot: Slot, value: Value, other: Slot) -> bool:
    """Whether a live `other`, at or below `slot`, can stand beside a live `value` there.

    Children stand below the marker of an empty object, elements beside the marker of a set and
    beside each other. (What lies above `slot` is `_blocks`' business.)
    """
    if other == slot:
        return True
    is_element = other.element is not None and other.path == slot.path
    if slot.element is not None:
        return is_element or other == Slot(slot.path)
    if isinstance(value, dict):
        return not is_element
    return isinstance(value, list) and not value and is_element


def upper_path(rows: Sequence[Rival]) -> Path:
    """Where two shapes meet, the rule is that of the upper place."""
    return min((slot.path for slot, _ in rows), key=len)


def kind_of(rows: Sequence[Rival]) -> Kind:
    if any(slot != rows[0][0] for slot, _ in rows):
        return Kind.PREFIX
    return Kind.VALUE if all(register.live for _, register in rows) else Kind.DELETE_UPDATE


def candidates_of(rows: Sequence[Rival]) -> tuple[Candidate, ...]:
    return tuple(Candidate(slot, register.said, register.stamps) for slot, register in rows)
