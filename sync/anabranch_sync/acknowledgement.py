"""How far an own change has come: three acknowledgements, never merged into one.

::

    written --Stored--> stored --Merged--> merged --a pull that names it--> visible

*Stored*: its bytes are on the disk of a hub or of a relay; should this device burn now, the change is not
lost. *Merged*: the hub has decided it and committed that. *Visible*: this replica has applied a pull that
includes it, so whoever reads here, or at the hub, reads it. A change is stored when its whole batch is: a
piece of it is worth nothing by itself. Each level includes those before it.
"""

from dataclasses import dataclass
from enum import StrEnum

from anabranch_sync.ids import LocalSeq


class Level(StrEnum):
    """An acknowledgement."""

    STORED = "stored"
    MERGED = "merged"
    VISIBLE = "visible"

    @property
    def includes(self) -> tuple["Level", ...]:
        """This level and those before it."""
        levels = tuple(Level)
        return levels[: levels.index(self) + 1]


@dataclass(frozen=True, slots=True)
class Marks:
    """The last own change, under the present incarnation, of which each holds."""

    written: LocalSeq = 0
    stored: LocalSeq = 0
    merged: LocalSeq = 0
    visible: LocalSeq = 0

    def level(self, local_seq: LocalSeq) -> Level | None:
        """How far this change has come; None: it is durable here alone."""
        if local_seq <= self.visible:
            return Level.VISIBLE
        if local_seq <= self.merged:
            return Level.MERGED
        return Level.STORED if local_seq <= self.stored else None
