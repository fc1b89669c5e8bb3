"""The documents of a pull from LIVE_PROTOCOL on: registers as writes, in the order of decision.

::

    [2, writes, version of each document, stamps, stamp of each register, agreeing]

In this order most registers have the stamp that comes after the one before. Snapshots, where most documents
have one stamp each, stay as they were (`columns.pack_documents`).
"""

from collections.abc import Mapping
from typing import Any

from anabranch_sync.change import unpacked_value
from anabranch_sync.columns import in_order, stamped
from anabranch_sync.document import Document
from anabranch_sync.ids import DocumentId
from anabranch_sync.packing import RAW_BYTES_MAX
from anabranch_sync.register import Register, Slot
from anabranch_sync.revision import Contents
from anabranch_sync.tables import (
    Row,
    column,
    completed,
    deltas,
    expanded,
    natural,
    packed_stamps,
    summed,
    trimmed,
    unpacked_stamps,
)
from anabranch_sync.writes import pack_writes, unpack_writes, wanted_by_writes

_FORM = 2
_COLUMNS = 6
_NO_AGREEING: tuple[object, ...] = ([],)


def pack_changed(documents: Mapping[DocumentId, Document], before: Contents) -> Row:
    """Documents, whole or in part, relative to what they were `before`."""
    held = sorted(documents.items())
    registers = sorted(
        ((document, *each) for document, state in held for each in in_order(state.registers)),
        key=lambda each: (each[2].stamp.hub_seq, each[2].stamp),
    )
    stamps = sorted(
        {stamp for _, _, register in registers for stamp in register.stamps},
        key=lambda stamp: (stamp.hub_seq, stamp),
    )
    numbers = {stamp: number for number, stamp in enumerate(stamps)}
    writes = [(document, slot, register.value) for document, slot, register in registers]
    mentioned = dict.fromkeys([*(document for document, _, _ in writes), *(document for document, _ in held)])
    row = [
        _FORM,
        pack_writes(writes, before, mentioned),
        column(documents[document].version for document in mentioned),
        packed_stamps(stamps),
        column(deltas(numbers[register.stamp] for _, _, register in registers)),
        [
            [index, *(numbers[stamp] for stamp in register.stamps[1:])]
            for index, (_, _, register) in enumerate(registers)
            if len(register.stamps) > 1
        ],
    ]
    return trimmed(row, _NO_AGREEING)


def is_changed(packed: Any) -> bool:
    """Whether it is a table of `pack_changed`."""
    return type(packed) is list and packed[:1] == [_FORM]


def wanted_by_changed(packed: Any) -> tuple[DocumentId, ...]:
    """The documents that one has to know to read the table. Raises one of `tables.MALFORMED`."""
    return wanted_by_writes(completed(packed, _COLUMNS, _NO_AGREEING)[1])


def unpack_changed(packed: Any, before: Contents) -> dict[DocumentId, Document]:
    """The documents of `pack_changed`'s table.

    Raises one of `tables.MALFORMED`, CorruptFrame, ContentsDiffer, FrameTooLarge.
    """
    _, raw_writes, versions, stamps, places, agreeing = completed(packed, _COLUMNS, _NO_AGREEING)
    if type(agreeing) is not list:
        raise ValueError("a column is not a list")
    documents, writes = unpack_writes(raw_writes, unpacked_value, before, RAW_BYTES_MAX)
    leaves = [(slot, value) for _, slot, value in writes]
    registers = stamped(leaves, summed(expanded(places, len(leaves))), agreeing, unpacked_stamps(stamps))
    own: dict[DocumentId, dict[Slot, Register]] = {document: {} for document in documents}
    for (document, _, _), (slot, register) in zip(writes, registers, strict=True):
        own[document][slot] = register
    if len(own) != len(documents) or sum(map(len, own.values())) != len(writes):
        raise ValueError("a document or one of its registers twice")
    numbered = zip(documents, expanded(versions, len(documents)), strict=True)
    return {document: Document(own[document], natural(version)) for document, version in sorted(numbered)}
