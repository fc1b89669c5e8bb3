"""An incident: where a replica was not what the hub has, what differed, and how it was put right.

Equality is proved, not hoped for; so where a proof fails, both sides write down that it did.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum

from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import DocumentId, HubSeq, parse_address

# Enough to see what they have in common; `count` tells how many there were.
DOCUMENTS_NAMED_MAX = 20


class IncidentKind(StrEnum):
    """What went wrong."""

    DIVERGED = "diverged"  # whole documents, but not those that the hub has
    DAMAGED = "damaged"  # bytes that are not those that were written
    OUTBOX = "outbox"  # such bytes in changes that had not reached the hub


class Remedy(StrEnum):
    """How it was put right."""

    REPLACED = "replaced"  # these documents were asked for whole
    RESET = "reset"  # everything was
    SET_ASIDE = "set aside"  # nobody else has them: what there is of them is kept at the edge


@dataclass(frozen=True, slots=True)
class Incident:
    """One of them, which showed at position `hub_seq`: `count` documents, of which some are named.

    In an OUTBOX it counts changes, and names documents that they touch.
    """

    kind: IncidentKind
    remedy: Remedy
    hub_seq: HubSeq
    count: int
    documents: tuple[DocumentId, ...] = ()

    def as_json(self) -> dict[str, object]:
        """What both sides' commands print of it."""
        return {
            "kind": str(self.kind),
            "remedy": str(self.remedy),
            "hub_seq": self.hub_seq,
            "count": self.count,
            "documents": [str(document) for document in self.documents],
        }


def incident(
    kind: IncidentKind,
    remedy: Remedy,
    hub_seq: HubSeq,
    documents: Collection[DocumentId] = (),
    count: int = 0,
) -> Incident:
    """An incident with as many of `documents` as are named; `count` where there are more than are known."""
    named = tuple(sorted(documents)[:DOCUMENTS_NAMED_MAX])
    return Incident(kind, remedy, hub_seq, max(count, len(documents)), named)


def documents_named(addresses: Iterable[str]) -> Iterator[DocumentId]:
    """The documents at these addresses, without those that are none: they may come from damaged bytes."""
    for address in addresses:
        with suppress(InvalidName):
            yield parse_address(address)
