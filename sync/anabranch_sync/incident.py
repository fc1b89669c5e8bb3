"""An incident: where a replica was not what the hub has, what differed, and how it was put right.

Equality is proved, not hoped for; so where a proof fails, both sides write down that it did.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

from anabranch_sync.ids import DocumentId, HubSeq

# Enough to see what they have in common; `count` tells how many there were.
DOCUMENTS_NAMED_MAX = 20


class IncidentKind(StrEnum):
    """What went wrong."""

    DIVERGED = "diverged"  # whole documents, but not those that the hub has
    DAMAGED = "damaged"  # bytes that are not those that were written


class Remedy(StrEnum):
    """How it was put right."""

    REPLACED = "replaced"  # these documents were asked for whole
    RESET = "reset"  # everything was


@dataclass(frozen=True, slots=True)
class Incident:
    """One of them, which showed at position `hub_seq`: `count` documents, of which some are named."""

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
