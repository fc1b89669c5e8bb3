"""Which tombstones may be collected, and which changes must be decided with them back in their documents."""

from collections.abc import Collection, Iterable, Mapping

from anabranch_sync.change import Change
from anabranch_sync.document import EMPTY, Document
from anabranch_sync.ids import Cursor, DocumentId, HubSeq
from anabranch_sync.leaf import members
from anabranch_sync.register import Register, Slot


def recalled(
    documents: Mapping[DocumentId, Document],
    collected: Mapping[DocumentId, Document],
    changes: Iterable[Change],
    here: Cursor,
) -> dict[DocumentId, Document]:
    """`documents` as `changes` must be decided against: with the tombstones that one may not have seen."""
    result = dict(documents)
    for change in changes:
        for document in change.documents:
            tombstones = collected.get(document)
            if tombstones is not None and not _saw(change.base, tombstones.hub_seq, here):
                standing = documents.get(document, EMPTY)
                both = {**tombstones.registers, **standing.registers}
                result[document] = Document(both, standing.version)
    return result


def collectable(document: Document, upto: HubSeq) -> dict[Slot, Register]:
    """The tombstones of a document that nobody needs who has seen everything up to a position."""
    leaves = members(document.registers)
    return {
        slot: register
        for slot, register in document.registers.items()
        if not register.live
        and register.hub_seq <= upto
        and not slot.is_of_member
        and not (slot.element is None and slot.path in leaves)
    }


def without(document: Document, gone: Collection[Slot]) -> Document:
    """The document without these tombstones, and otherwise as it was."""
    left = {slot: each for slot, each in document.registers.items() if slot not in gone}
    return Document(left, document.version)


def _saw(base: Cursor, position: HubSeq, here: Cursor) -> bool:
    """Whether an author at `base` certainly knew what was decided at a position of today's order."""
    return base.epoch == here.epoch and position <= base.hub_seq <= here.hub_seq
