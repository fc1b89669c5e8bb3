"""The hub's side of range repair: answers from one survey, and keeps what is to travel whole."""

from collections.abc import Sequence

from anabranch_sync.errors import InvalidName, ProtocolViolation
from anabranch_sync.ids import START, Cursor, DocumentId, parse_address
from anabranch_sync.incident import IncidentKind, Remedy, incident
from anabranch_sync.messages import Range
from anabranch_sync.repairing import (
    DOCUMENTS_NAMED_MAX,
    ROOT,
    Ranges,
    Report,
    Survey,
    Surveyed,
    check_asked,
    unpacked_hashes,
)


class Answering:
    """The repairs of one stream. While one is under way no pull is drawn."""

    def __init__(self) -> None:
        self.is_under_way = False
        self.wanted: frozenset[DocumentId] = frozenset()
        self._ranges: Ranges | None = None
        self._asked: Sequence[str] = ()
        self._cursor = START

    def begun(self) -> list[Range | Survey | Report]:
        """The digests were compared and differ: the edge hears of it by what it would ask first."""
        self.is_under_way = True
        self._asked = (ROOT,)
        return [Survey()]

    def surveyed(self, surveyed: Surveyed) -> list[Range | Survey | Report]:
        """What the store has."""
        self._ranges = Ranges(surveyed.digests)
        return self._answered(self._ranges)

    def asked(self, message: Range, cursor: Cursor) -> list[Range | Survey | Report]:
        """The edge asks, or names what is to travel whole. Raises ProtocolViolation, CorruptFrame."""
        self._cursor = cursor
        if message.documents or message.hashes:
            return [self._named(message)]
        check_asked(message.asked)
        self.is_under_way = True
        self._asked = message.asked
        return [Survey()] if self._ranges is None else self._answered(self._ranges)

    def taken(self) -> frozenset[DocumentId]:
        """What the next pull replaces; it is asked for once."""
        taken, self.wanted = self.wanted, frozenset()
        return taken

    def _answered(self, ranges: Ranges) -> list[Range | Survey | Report]:
        answers = b"".join(ranges.answer(prefix) for prefix in self._asked)
        return [Range(self._cursor, asked=tuple(self._asked), answers=answers)]

    def _named(self, message: Range) -> Report:
        if len(message.documents) > DOCUMENTS_NAMED_MAX:
            raise ProtocolViolation(
                f"{len(message.documents)} documents to replace, limit {DOCUMENTS_NAMED_MAX}: ask for all"
            )
        hashes = unpacked_hashes(message.hashes)
        if hashes and self._ranges is None:
            raise ProtocolViolation("documents are named by hashes that were not listed in this stream")
        # Nobody asked before: the edge knew by itself that these are not what it was sent.
        kind = IncidentKind.DAMAGED if self._ranges is None else IncidentKind.DIVERGED
        named = {_document(address) for address in message.documents}
        if self._ranges is not None:
            named.update(self._ranges.named(hashes))
        self.wanted |= named
        self.is_under_way = False
        self._ranges = None
        return Report(incident(kind, Remedy.REPLACED, self._cursor.hub_seq, named))


def _document(address: str) -> DocumentId:
    try:
        return parse_address(address)
    except InvalidName as error:
        raise ProtocolViolation(f"{address!r} is no address") from error
