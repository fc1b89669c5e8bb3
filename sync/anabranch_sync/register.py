"""Registers: the value at one place of a document, and who put it there.

A document is a map from `Slot` to `Register`. A slot is a path, or one element of a set at a path
(policy `union`). The stamps of a register name every write that agrees on its value: the first is
the principal one, which breaks ties; the others wrote an equal value concurrently. Without the
others, a later write that saw only one of the agreeing ones would pass for having seen them all.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, TypeAlias

from anabranch_sync.clock import Timestamp
from anabranch_sync.ids import HubSeq, Incarnation
from anabranch_sync.path import Path, render_pointer
from anabranch_sync.value import Json, same

# A change still in the outbox has no position yet; it comes after everything the hub has decided.
PENDING: HubSeq = 2**63 - 1


class Tombstone(Enum):
    """The value of what was deleted. It takes part in merging like any value."""

    DELETED = "deleted"


DELETED = Tombstone.DELETED

# A leaf: scalar, list (one atomic value), `{}` (the marker of an empty object), or the tombstone.
Value: TypeAlias = "Json | Tombstone"


class Slot(NamedTuple):
    """One place: a path, or the element of the set at that path with these canonical bytes."""

    path: Path
    element: bytes | None = None

    def __str__(self) -> str:
        return render_pointer(self.path) + ("" if self.element is None else "[]")


class Stamp(NamedTuple):
    """A write: tie-breaking time, writing incarnation, position in the hub's order."""

    timestamp: Timestamp
    actor: Incarnation
    hub_seq: HubSeq


@dataclass(frozen=True, slots=True)
class Register:
    """A value and the stamps of the writes that agree on it, the principal one first."""

    value: Value
    stamps: tuple[Stamp, ...]

    @property
    def stamp(self) -> Stamp:
        """The principal stamp: greatest (timestamp, actor)."""
        return self.stamps[0]

    @property
    def hub_seq(self) -> HubSeq:
        """The position at which the register last changed, agreements included."""
        if len(self.stamps) == 1:
            return self.stamps[0].hub_seq
        return max(stamp.hub_seq for stamp in self.stamps)

    @property
    def live(self) -> bool:
        """Whether there is a value here."""
        return self.value is not DELETED

    def unseen(self, base: HubSeq, actor: Incarnation) -> tuple[Stamp, ...]:
        """The stamps concurrent with a write of `actor` that had seen the hub up to `base`."""
        return tuple(stamp for stamp in self.stamps if stamp.hub_seq > base and stamp.actor != actor)


def equal(one: Value, other: Value) -> bool:
    """Whether two register values are the same in type and content."""
    if isinstance(one, Tombstone) or isinstance(other, Tombstone):
        return one is other
    return same(one, other)


def json_of(value: Value) -> Json:
    """The value as whoever renders it shows it. Those who tell deletions from null ask for DELETED first."""
    return None if isinstance(value, Tombstone) else value


def agreed(standing: Register, incoming: Register) -> Register:
    """The register of two writes with an equal value: all stamps, the greatest first."""
    stamps = sorted({*standing.stamps, *incoming.stamps}, reverse=True)
    return Register(standing.value, tuple(stamps))
