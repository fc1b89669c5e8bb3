"""What a replica has acknowledged, noted outside its database: a loss that SQLite takes for normal shows.

SQLite ends a WAL silently at the first frame that is not whole: the last one of a power cut, but also one
with a flipped bit in the middle, and then acknowledged changes behind it are gone as if they had never been.
The same happens when a drive lies about its cache, or somebody puts back an older copy of the file or removes
it. After each commit its marks go into ``PATH.lock``, without a sync: a note that a cut takes away proves
nothing, and one that is there was acknowledged.
"""

import os
from contextlib import suppress
from dataclasses import dataclass

_NUMBER_BYTES = 20  # of any unsigned 64 bits, so that each note covers the one before it
_NOTE = b" ".join([b"%%0%dd" % _NUMBER_BYTES] * 4) + b"\n"
_MARKS_BYTES = 4 * (_NUMBER_BYTES + 1)


@dataclass(frozen=True, slots=True)
class Marks:
    """How far a replica has come. `revision` grows with everything that readers see."""

    incarnation: int
    last_local: int
    push_mark: int
    revision: int

    def lost_since(self, noted: "Marks") -> "Loss | None":
        """What is missing here of what was noted as acknowledged; None: nothing is."""
        if self.incarnation != noted.incarnation:
            # Numbers of two incarnations say nothing of each other; a revision never goes back.
            return Loss(0, 0) if self.revision < noted.revision else None
        changes = max(0, noted.last_local - self.last_local)
        if not changes and self.revision >= noted.revision:
            return None
        return Loss(changes, min(changes, max(0, noted.last_local - noted.push_mark)))


@dataclass(frozen=True, slots=True)
class Loss:
    """Acknowledged `changes` written here that are not here any more; `unsent` of them reached no hub."""

    changes: int
    unsent: int

    def __str__(self) -> str:
        if self.unsent:
            gone = f"{self.unsent} of them had not reached the hub and are gone"
        else:
            gone = "the hub has them and gives them back"
        return (
            f"the file went back to an earlier state: {self.changes} changes written here are missing, {gone}"
        )


def note(descriptor: int, marks: Marks) -> None:
    """Note that a replica has come so far. A broken disk stops nothing here: this is a second witness."""
    numbers = (marks.incarnation, marks.last_local, marks.push_mark, marks.revision)
    with suppress(OSError):
        os.pwrite(descriptor, _NOTE % numbers, 0)


def noted(descriptor: int) -> Marks | None:
    """What was noted last; None: nothing, or nothing that can be read."""
    try:
        text = os.pread(descriptor, _MARKS_BYTES, 0)
        incarnation, last_local, push_mark, revision = (int(number) for number in text.split())
    except (OSError, ValueError):
        return None
    return Marks(incarnation, last_local, push_mark, revision)


def remember(descriptor: int, loss: Loss) -> None:
    """Keep a loss until somebody says `forget_loss`, together with one that is there already."""
    before = remembered(descriptor) or Loss(0, 0)
    text = (
        f"{before.changes + loss.changes:0{_NUMBER_BYTES}d} {before.unsent + loss.unsent:0{_NUMBER_BYTES}d}\n"
    )
    with suppress(OSError):
        os.pwrite(descriptor, text.encode(), _MARKS_BYTES)


def remembered(descriptor: int) -> Loss | None:
    """The loss that was kept."""
    try:
        changes, unsent = (int(number) for number in os.pread(descriptor, 100, _MARKS_BYTES).split())
    except (OSError, ValueError):
        return None
    return Loss(changes, unsent)


def forget_loss(descriptor: int) -> None:
    """Somebody has read of it."""
    with suppress(OSError):
        os.ftruncate(descriptor, _MARKS_BYTES)


def forget(descriptor: int) -> None:
    """All: it is of another replica that was here."""
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
