"""How an edge is, in one word and one sentence: for `status`, for systemd and for scripts.

Whatever it is, reading goes on from what is on disk; the word names what a person should see to first.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

from anabranch_sync.errors import AnabranchError

from anabranch.errors import (
    DiskFull,
    ReplicaCorrupt,
    ReplicaMissing,
    ReplicaUnwritable,
    StorageFailed,
)
from anabranch.replica import Link
from anabranch.replica.marks import Loss

if TYPE_CHECKING:
    from anabranch.identity import Identity

# The first commit of anabranch: a clock before it has lost the time.
CLOCK_FLOOR_S = 1_795_392_000  # 2026-11-23
# No certificate of a hub lives so long: a clock this far beyond its end is wrong, not late.
CLOCK_CEILING_S = 5 * 365 * 86_400


class Word(StrEnum):
    """The worst that holds, worst first."""

    DAMAGED = "damaged"  # bytes on disk are not those that were written, or acknowledged changes are missing
    DISK_FAILING = "disk failing"  # the disk reports errors
    READ_ONLY = "read-only"  # nothing can be written here
    DISK_FULL = "disk full"  # only deletes can
    CLOCK = "clock"  # this machine's clock breaks every TLS handshake
    EXPIRED = "expired"  # the certificate has ended
    DENIED = "denied"  # the hub says no to this edge
    DISTRUSTED = "distrusted"  # this edge refuses the hub's log
    OFFLINE = "offline"  # the hub is out of reach
    SERVING = "serving"  # all is well


@dataclass(frozen=True, slots=True)
class Condition:
    """The word and what it means here."""

    word: Word
    sentence: str

    @property
    def exit_code(self) -> int:
        """What `anabranch status --check` returns."""
        match self.word:
            case Word.SERVING | Word.OFFLINE:
                return 0
            case Word.DAMAGED | Word.DISTRUSTED | Word.EXPIRED:
                return 8
            case Word.DENIED:
                return 4
            case Word.DISK_FAILING | Word.READ_ONLY | Word.DISK_FULL | Word.CLOCK:
                return 1

    def __str__(self) -> str:
        return f"{self.word}: {self.sentence}"


def condition(
    *,
    loss: Loss | None,
    is_read_only: bool,
    has_reserve: bool,
    clock: Condition | None,
    link: Link | None,
    damaged_changes: int = 0,
    is_full: bool = False,
) -> Condition:
    """The condition of an edge whose replica can be read."""
    if loss is not None:
        return Condition(Word.DAMAGED, f"{loss} (anabranch doctor --forget-loss once you know)")
    if damaged_changes:
        return Condition(Word.DAMAGED, f"{damaged_changes} changes rotted here unsent (anabranch doctor)")
    if is_read_only:
        return Condition(Word.READ_ONLY, "the replica's disk is read-only: what is here is served, no writes")
    if not has_reserve:
        return Condition(Word.DISK_FULL, "the reserve is used up: what is here is served, deletes work")
    if is_full:
        return Condition(Word.DISK_FULL, "the disk is full: what is here is served, deletes work")
    if clock is not None:
        return clock
    match link:
        case Link.DENIED:
            return Condition(Word.DENIED, "the hub says no to this edge: anabranch sync tells why")
        case Link.DISTRUSTED:
            return Condition(Word.DISTRUSTED, "this edge refuses the hub's log (anabranch audit show)")
        case Link.DOWN | None:
            return Condition(Word.OFFLINE, "what is here is served, what is written waits for the hub")
        case Link.UP:
            return Condition(Word.SERVING, "the hub is there")


def condition_told(text: str) -> Condition | None:
    """The condition that an agent told, as `str` gives it."""
    word, _, sentence = text.partition(": ")
    return Condition(Word(word), sentence) if word in set(Word) else None


def worse(one: Condition, other: Condition | None) -> Condition:
    """The one a person should hear of first."""
    order = list(Word)
    return one if other is None or order.index(one.word) <= order.index(other.word) else other


def condition_after(error: AnabranchError) -> Condition | None:
    """What an error of the replica says of the disk; None: nothing."""
    match error:
        case DiskFull():
            return Condition(Word.DISK_FULL, error.reason)
        case StorageFailed():
            return Condition(Word.DISK_FAILING, error.reason)
        case ReplicaUnwritable():
            return Condition(Word.READ_ONLY, error.reason)
        case ReplicaCorrupt() | ReplicaMissing():
            return Condition(Word.DAMAGED, error.reason)
        case _:
            return None


def clock_condition(identity: "Identity | None", now_s: float) -> Condition | None:
    """What is wrong with this machine's clock, or with the certificate by it; None: nothing.

    A certificate is judged by the clock here: at 1970 none is valid yet, and nothing else is wrong then.
    """
    here = datetime.fromtimestamp(max(0.0, now_s), UTC).strftime("%Y-%m-%d %H:%M UTC")
    floor_s = float(CLOCK_FLOOR_S)
    if identity is not None:
        floor_s = max(floor_s, identity.not_before_ms / 1000)
    if now_s < floor_s:
        why = "before this edge's certificate began" if floor_s > CLOCK_FLOOR_S else "before anabranch began"
        return Condition(
            Word.CLOCK, f"it is {here} here, {why}: set the clock, the hub cannot be reached until then"
        )
    if identity is None or now_s <= identity.not_after_ms / 1000:
        return None
    if now_s > identity.not_after_ms / 1000 + CLOCK_CEILING_S:
        return Condition(
            Word.CLOCK, f"it is {here} here, years after this edge's certificate ended: set the clock"
        )
    return Condition(
        Word.EXPIRED,
        f"the certificate ended before {here}: if the clock is right, get an invitation and run "
        "anabranch init --keep-replica",
    )
