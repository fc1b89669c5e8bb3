"""The edge's side of range repair within one stream: surveys, asks, names, and gives up in time."""

from anabranch_sync.ids import Cursor
from anabranch_sync.incident import IncidentKind, Remedy, incident
from anabranch_sync.messages import Range
from anabranch_sync.pull import Pull
from anabranch_sync.repairing import (
    REPAIRS_MAX,
    ROOT,
    Differing,
    Repair,
    Report,
    Survey,
    Surveyed,
)


class Asking:
    """The repairs of one stream. None instead of steps: it does not help, and everything is to come anew."""

    def __init__(self) -> None:
        self.is_under_way = False
        self._times = 0
        self._repair: Repair | None = None
        self._only_damage = False
        self._has_named = False
        self._answer: Range | None = None

    def begun(self, answer: Range | None = None) -> list[Survey] | None:
        """The digests differ: after a pull was applied, or as the hub found, whose first `answer` came."""
        if self.is_under_way and not self._has_named:
            self._only_damage = False
            return []  # one more pull was on its way; what is asked covers it
        self._times += 1
        if self._times > REPAIRS_MAX:
            return None
        self.is_under_way = True
        self._repair, self._answer = None, answer
        self._only_damage = self._has_named = False
        return [Survey()]

    def damaged(self) -> list[Survey]:
        """Some read has met damage here."""
        if self.is_under_way or self._times >= REPAIRS_MAX:
            return []
        surveys = self.begun() or []
        self._only_damage = True
        return surveys

    def surveyed(self, surveyed: Surveyed, cursor: Cursor) -> list[Range | Report] | None:
        """What the store has."""
        if surveyed.damaged:
            if not Differing(surveyed.damaged).is_nameable:
                return None
            self._has_named = True
            report = Report(incident(IncidentKind.DAMAGED, Remedy.REPLACED, cursor.hub_seq, surveyed.damaged))
            documents = tuple(str(document) for document in surveyed.damaged)
            return [report, Range(cursor, documents=documents)]
        if self._only_damage:
            self.is_under_way = False
            return []
        self._repair = Repair(surveyed.digests)
        if self._answer is not None:
            return self.answered(self._answer, cursor)
        return [Range(cursor, asked=(ROOT,))]

    def answered(self, answer: Range, cursor: Cursor) -> list[Range | Report] | None:
        """The hub's answer. Raises CorruptFrame, ProtocolViolation."""
        if self._repair is None:
            return []  # to what was asked before the damage was found
        found = self._repair.answered(answer.asked, answer.answers)
        if found is None:
            return None
        if not isinstance(found, Differing):
            return [Range(cursor, asked=tuple(found))]
        if not found.documents and not found.hashes:
            return None  # equal by every range, and not as a whole
        self._has_named = True
        named = self._repair.names(found)
        count = len(found.documents) + len(found.hashes)
        report = Report(incident(IncidentKind.DIVERGED, Remedy.REPLACED, cursor.hub_seq, named, count))
        documents = tuple(str(document) for document in found.documents)
        return [report, Range(cursor, documents=documents, hashes=b"".join(found.hashes))]

    def proved(self, pull: Pull) -> None:
        """The digests are equal after this pull."""
        if pull.replaced or pull.whole or not self._has_named:
            self.is_under_way = False
