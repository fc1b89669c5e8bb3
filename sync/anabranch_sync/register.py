"""Registers: the value at one place of a document, and who put it there.

A document is a map from `Slot` to `Register`. A slot is a path, or an element at a path: one of a set
(policy `union`), or a member of a leaf that many write at once (`leaf`). The stamps
of a register name every write that agrees on its value: the first is
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


@dataclass(frozen=True, slots=True)
class Part:
    """What one actor has added to the counter at a path, all its increments together."""

    amount: int | float


@dataclass(frozen=True, slots=True)
class Increment:
    """An operation on a counter: what to add, and the number its author saw afterwards."""

    delta: int | float
    wrote: int | float


@dataclass(frozen=True, slots=True)
class Edit:
    """What one edit does to the text or list at a path: bytes that `leaf_decoder` reads."""

    update: bytes


@dataclass(frozen=True, slots=True)
class Ancestry:
    """Where the units of earlier seeds and folded edits went: bytes that `leaf_ancestry` reads."""

    runs: bytes


# What a leaf says: a scalar, a list (one atomic value), `{}` (the marker of an empty object), or the
# tombstone.
Value: TypeAlias = "Json | Tombstone"
# What a register holds: the same, or what one contributed to a leaf that many write at once.
RegisterValue: TypeAlias = "Json | Tombstone | Part | Edit | Ancestry"
# What an operation says.
Operand: TypeAlias = "Json | Tombstone | Increment | Edit"
AnyValue: TypeAlias = "Json | Tombstone | Part | Increment | Edit | Ancestry"


# The one byte with which no msgpack, and so no element of a set, begins.
MEMBER = b"\xc1"

_STRUCTURED = (Part, Increment, Edit, Ancestry)


class Slot(NamedTuple):
    """One place: a path, or the element at that path which these bytes name.

    They are the canonical bytes of an element of a set, or MEMBER and the name of a member of a leaf.
    """

    path: Path
    element: bytes | None = None

    @property
    def order(self) -> tuple[Path, bytes]:
        """Sorts the places of a document: by path, and what stands there before its elements."""
        return (self.path, self.element or b"")

    @property
    def is_of_member(self) -> bool:
        """Whether it is the place of a member of a leaf."""
        return self.element is not None and self.element[:1] == MEMBER

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

    value: RegisterValue
    stamps: tuple[Stamp, ...]

    @property
    def said(self) -> Value:
        """The value, of a register that is no member of a leaf."""
        assert not isinstance(self.value, Part | Edit | Ancestry), "a member says nothing by itself"
        return self.value

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


def equal(one: AnyValue, other: AnyValue) -> bool:
    """Whether two values are the same in type and content."""
    if isinstance(one, Tombstone) or isinstance(other, Tombstone):
        return one is other
    if isinstance(one, _STRUCTURED) or isinstance(other, _STRUCTURED):
        return type(one) is type(other) and same(json_of(one), json_of(other))
    return same(one, other)


def json_of(value: AnyValue) -> Json:
    """The value as whoever renders it shows it. Those who tell deletions from null ask for DELETED first."""
    match value:
        case Tombstone():
            return None
        case Part(amount):
            return {"part": amount}
        case Increment(delta, wrote):
            return {"increment": delta, "wrote": wrote}
        case Edit(update):
            return {"edit": update.hex()}
        case Ancestry(runs):
            return {"ancestry": runs.hex()}
        case _:
            return value


def agreed(standing: Register, incoming: Register) -> Register:
    """The register of two writes with an equal value: all stamps, the greatest first."""
    stamps = sorted({*standing.stamps, *incoming.stamps}, reverse=True)
    return Register(standing.value, tuple(stamps))
