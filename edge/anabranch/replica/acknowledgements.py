"""How far an own change has come, also after its replica went on under another incarnation."""

from collections.abc import Sequence
from dataclasses import dataclass

from anabranch_sync.acknowledgement import Level, Marks
from anabranch_sync.change import content_id
from anabranch_sync.ids import Dot, HubSeq, Incarnation, LocalSeq

from anabranch.replica.facts import Fate
from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """How far a change has come, and under which dot; `level` None: it is durable here alone.

    Whether the hub refused it is known once it is visible: before, `fate` is PENDING, or SENT where the
    hub has decided it. `hub_seq` is its place in the tenant's order, known then too.
    """

    dot: Dot
    level: Level | None
    fate: Fate
    hub_seq: HubSeq | None = None
    reason: str = ""

    def reaches(self, level: Level) -> bool:
        """Whether it has come as far as `level`."""
        return self.level is not None and level in self.level.includes


def marks(connection: Connection) -> tuple[Incarnation, Marks]:
    """The present incarnation, and how far its changes have come."""
    incarnation, *numbers = connection.execute(SQL["acknowledged"]).fetchone()
    return incarnation, Marks(*numbers)


def acknowledged(connection: Connection, dot: Dot, content: bytes, epoch: int) -> Acknowledged | None:
    """How far the change written as `dot` with this content id has come; None: it is not in this file.

    `epoch` is that of what its author had seen: numbers changed where a later one began.
    A file that was put back from an older copy does not hold it, or another one under its dot.
    """
    incarnation, known = marks(connection)
    dot = _present(connection, dot, epoch)
    decided = connection.execute(SQL["decided_as"], (dot.incarnation, dot.local_seq)).fetchone()
    damaged = connection.execute(SQL["damaged_change"], (dot.incarnation, dot.local_seq)).fetchone()
    if decided is None and damaged is not None:
        (is_merged,) = damaged
        return (
            Acknowledged(dot, Level.MERGED, Fate.SENT) if is_merged else Acknowledged(dot, None, Fate.DAMAGED)
        )
    if decided is None and dot.incarnation == incarnation:
        return _waiting(connection, dot, content, known)
    if decided is None:
        return None
    outcome, hub_seq = decided
    reason = connection.execute(SQL["refused_for"], (dot.incarnation, dot.local_seq)).fetchone()
    return Acknowledged(dot, Level.VISIBLE, Fate(outcome), hub_seq, "" if reason is None else reason[0])


def rename(
    connection: Connection,
    old: Incarnation,
    new: Incarnation,
    renumbered: Sequence[tuple[LocalSeq, LocalSeq]],
) -> None:
    """Keep which changes of the outbox went on under which dots: (old, new) numbers, in order."""
    first, count = 0, 0
    for place, (before, after) in enumerate(renumbered):
        count += 1
        last = place + 1 == len(renumbered)
        if last or renumbered[place + 1][0] != before + 1:
            row = (old, renumbered[first][0], count, new, after - count + 1)
            connection.execute(SQL["renamed"], row)
            first, count = place + 1, 0


def _present(connection: Connection, dot: Dot, epoch: int) -> Dot:
    """The dot a change goes by now. An incarnation is leased once, so this ends."""
    while True:
        # Under an incarnation numbers shift before its changes go on under another one.
        for first, count in connection.execute(SQL["shifts"], (dot.incarnation, epoch)).fetchall():
            if dot.local_seq >= first:
                dot = Dot(dot.incarnation, dot.local_seq + count)
        key = {"incarnation": dot.incarnation, "local_seq": dot.local_seq}
        renamed = connection.execute(SQL["renamed_to"], key).fetchone()
        if renamed is None:
            return dot
        dot = Dot(*renamed)


def _waiting(connection: Connection, dot: Dot, content: bytes, known: Marks) -> Acknowledged | None:
    row = connection.execute(SQL["outbox_between"], (dot.local_seq, dot.local_seq)).fetchone()
    if row is None:
        # It left the outbox so long ago that its line of history is gone: only the newest are kept.
        gone = dot.local_seq <= known.visible
        return Acknowledged(dot, Level.VISIBLE, Fate.MERGED) if gone else None
    if content_id(row[2]) != content:
        return None
    level = known.level(dot.local_seq)
    fate = Fate.SENT if level is Level.MERGED else Fate.PENDING
    return Acknowledged(dot, level, fate)
