"""Which values can stand beside each other in one document, and what is told of those that cannot."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from anabranch_sync.conflict import Candidate, Kind
from anabranch_sync.path import Path
from anabranch_sync.policy import Policy, join
from anabranch_sync.register import DELETED, Register, Slot, Stamp, Value, equal

# What competes, with its place.
Rival: TypeAlias = tuple[Slot, Register]


class LiveIndex:
    """Which slots of a document live, by where they lie.

    What is in the way of a write is found without a look at all others: writes come by ten thousands.
    """

    def __init__(self) -> None:
        self._values: set[Path] = set()
        self._elements: dict[Path, set[Slot]] = {}
        # By a path, those one key longer at or below which something lives.
        self._inner: dict[Path, set[Path]] = {}

    def add(self, slot: Slot) -> None:
        """A register came to life at `slot`."""
        path = slot.path
        if slot.element is None:
            self._values.add(path)
        else:
            self._elements.setdefault(path, set()).add(slot)
        while path:
            inner = self._inner.setdefault(path[:-1], set())
            if path in inner:
                break
            inner.add(path)
            path = path[:-1]

    def remove(self, slot: Slot) -> None:
        """A register ceased to live at `slot`."""
        path = slot.path
        if slot.element is None:
            self._values.discard(path)
        else:
            self._elements[path].discard(slot)
        while path and not (path in self._values or self._elements.get(path) or self._inner.get(path)):
            self._inner[path[:-1]].discard(path)
            path = path[:-1]

    def elements(self, path: Path) -> Collection[Slot]:
        """The live elements of the set at `path`."""
        return self._elements.get(path, ())

    def below(self, path: Path) -> Iterator[Slot]:
        """The live slots at longer paths."""
        for inner in self._inner.get(path, ()):
            if inner in self._values:
                yield Slot(inner)
            yield from self.elements(inner)
            yield from self.below(inner)


@dataclass(slots=True)
class InTheWay:
    """The live slots that cannot stand beside a write, and the concurrent writes there, by their slots.

    Writes that lose change nothing: thousands into one object or set share one of these. Of their rivals
    they ask which is `upper`, and which the `best`.
    """

    slots: Sequence[Slot]
    rivals: Sequence[Rival]
    upper: Sequence[Rival] = field(init=False)
    stamps: frozenset[Stamp] = field(init=False)
    _best: dict[Policy, Rival] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.upper = [min(self.rivals, key=lambda rival: len(rival[0].path))] if self.rivals else []
        self.stamps = frozenset(stamp for _, register in self.rivals for stamp in register.stamps)

    def best(self, policy: Policy) -> Sequence[Rival]:
        """The one that `policy` prefers to all others, if there is any."""
        if policy not in self._best and self.rivals:
            self._best[policy] = best_of(policy, self.rivals)
        return [self._best[policy]] if self.rivals else []


NOTHING = InTheWay((), ())


def best_of(policy: Policy, rivals: Sequence[Rival]) -> Rival:
    """The one that the policy prefers to all others; of equal ones the first."""
    best = rivals[0]
    for rival in rivals[1:]:
        if join(policy, best[1], rival[1]) is rival[1]:
            best = rival
    return best


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


def clashing_below(index: LiveIndex, slot: Slot, value: Value) -> list[Slot]:
    """The live slots at or below `slot` that cannot stand beside a live `value` there.

    Children stand below the marker of an empty object, elements beside the marker of a set and
    beside each other. (What lies above `slot` is `_blocks`' business.)
    """
    is_set = slot.element is not None or (isinstance(value, list) and not value)
    elements = () if is_set else index.elements(slot.path)
    below = () if slot.element is None and isinstance(value, dict) else index.below(slot.path)
    return [*elements, *below]


def upper_path(rows: Sequence[Rival]) -> Path:
    """Where two shapes meet, the rule is that of the upper place."""
    return min((slot.path for slot, _ in rows), key=len)


def kind_of(rows: Sequence[Rival]) -> Kind:
    if any(slot != rows[0][0] for slot, _ in rows):
        return Kind.PREFIX
    return Kind.VALUE if all(register.live for _, register in rows) else Kind.DELETE_UPDATE


def candidates_of(rows: Sequence[Rival]) -> tuple[Candidate, ...]:
    return tuple(Candidate(slot, register.said, register.stamps) for slot, register in rows)
