"""Documents as tables: what repeats is written once and named by its number.

One table is that of a stored document (`encode_document`), another that of the documents of a pull and of a
part of a snapshot (`pack_documents`). Each is plain msgpack; what compresses them is `packing`. Decoding
believes nothing: every index, type and name is checked, and whatever is wrong raises CorruptFrame.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import msgpack

from anabranch_sync.change import (
    packed_value,
    unpacked_address,
    unpacked_leaf,
    unpacked_slot,
    unpacked_value,
)
from anabranch_sync.clock import TIMESTAMP_MAX
from anabranch_sync.document import Document, Object, build, flatten
from anabranch_sync.errors import CorruptFrame
from anabranch_sync.ids import DocumentId
from anabranch_sync.packing import unpack
from anabranch_sync.path import Path
from anabranch_sync.policy import atomic_lists
from anabranch_sync.register import DELETED, Register, RegisterValue, Slot, Stamp
from anabranch_sync.tables import (
    MALFORMED,
    Row,
    Table,
    column,
    completed,
    deltas,
    expanded,
    natural,
    packed_leaves,
    packed_paths,
    packed_stamps,
    run_out,
    runs,
    summed,
    trimmed,
    unpacked_leaves,
    unpacked_paths,
    unpacked_stamps,
)
from anabranch_sync.value import DEPTH_MAX, is_exact

# The last column where no two writes agree: it is left out.
_NO_AGREEING: tuple[object, ...] = ([],)


def encode_document(document: Document) -> bytes:
    """A document with all its registers as bytes for a store. Equal documents have equal bytes."""
    stamps = Table[Stamp]()
    paths = Table[Path]()
    packed = _packed_registers(document.registers, stamps, paths)
    body: bytes = msgpack.packb([document.version, _stored_stamps(stamps), packed_paths(paths), packed])
    return body


def decode_document(body: bytes) -> Document:
    """The document of `encode_document`'s bytes. Raises CorruptFrame."""
    try:
        version, stamps, paths, packed = unpack(body)
        return Document(
            _unpacked_registers(packed, _read_stamps(stamps), unpacked_paths(paths)),
            natural(version),
        )
    except MALFORMED as error:
        raise CorruptFrame(f"malformed document: {error}") from error


def pack_documents(documents: Mapping[DocumentId, Document]) -> Row:
    """Documents as one msgpack-able table.

    All registers of all documents are the rows of one table, values in the order of their paths: 1,000
    documents of a catalogue take 62 kB compressed, as objects with their fields' names they took 76.
    """
    held = sorted(documents.items())
    registers = [each for _, state in held for each in in_order(state.registers)]
    stamps = sorted(
        {stamp for _, register in registers for stamp in register.stamps},
        key=lambda stamp: (stamp.hub_seq, stamp),
    )
    numbers = {stamp: number for number, stamp in enumerate(stamps)}
    namespaces = Table[str]()
    row = [
        [document.key for document, _ in held],
        column(namespaces.index(document.namespace) for document, _ in held),
        list(namespaces),
        column(state.version for _, state in held),
        column(len(state.registers) for _, state in held),
        packed_stamps(stamps),
        packed_leaves([(slot, register.value) for slot, register in registers]),
        column(numbers[register.stamps[0]] for _, register in registers),
        [
            [index, *(numbers[stamp] for stamp in register.stamps[1:])]
            for index, (_, register) in enumerate(registers)
            if len(register.stamps) > 1
        ],
    ]
    return trimmed(row, _NO_AGREEING)


def unpack_documents(packed: Any) -> dict[DocumentId, Document]:
    """The documents of `pack_documents`' table. Raises one of MALFORMED."""
    keys, key_places, namespaces, versions, counts, stamps, leaves, stamp_places, agreeing = completed(
        packed, 9, _NO_AGREEING
    )
    if not all(type(each) is list for each in (keys, namespaces, agreeing)):
        raise ValueError("a column is not a list")
    unpacked = unpacked_leaves(leaves, unpacked_value)
    places = expanded(stamp_places, len(unpacked))
    registers = stamped(unpacked, places, agreeing, unpacked_stamps(stamps))
    columns = (
        expanded(key_places, len(keys)),
        expanded(versions, len(keys)),
        expanded(counts, len(keys)),
    )
    documents: dict[DocumentId, Document] = {}
    for key, place, version, count in zip(keys, *columns, strict=True):
        document = unpacked_address(namespaces[natural(place)], key)
        own = dict(islice(registers, natural(count)))
        if document in documents or len(own) != count:
            raise ValueError(f"{document} or one of its registers twice, or fewer of them than counted")
        documents[document] = Document(own, natural(version))
    if next(registers, None) is not None:
        raise ValueError("registers of no document")
    return documents


def _packed_registers(registers: Mapping[Slot, Register], stamps: Table[Stamp], paths: Table[Path]) -> Row:
    """``[stamp, content, others]``: the leaves of the commonest stamp as one object, the rest as rows.

    A document nobody edited since it was imported carries one stamp instead of one per field, and
    its field names in the shape that compresses best.
    """
    common, plain = _in_common(registers)
    others = []
    for slot, register in in_order(registers):
        if slot not in plain:
            row: Row = [paths.index(slot.path), [stamps.index(stamp) for stamp in register.stamps]]
            if register.value is not DELETED:
                row.append(packed_value(register.value))
            if slot.element is not None:
                row = [*row[:2], slot.element, *row[2:]]
            others.append(row)
    if not plain:
        return [None, None, others]
    return [stamps.index(common[0]), _content(plain), others]


def in_order(registers: Mapping[Slot, Register]) -> list[tuple[Slot, Register]]:
    return sorted(registers.items(), key=lambda each: each[0].order)


def _in_common(registers: Mapping[Slot, Register]) -> tuple[tuple[Stamp, ...], dict[Slot, Register]]:
    """The commonest stamp, and those of its registers that an object can say."""
    counts: dict[tuple[Stamp, ...], int] = {}
    for register in registers.values():
        counts[register.stamps] = counts.get(register.stamps, 0) + 1
    common = max(counts, key=lambda key: (counts[key], key)) if counts else ()
    return common, _plain(registers, common) if len(common) == 1 else {}


def _content(plain: Mapping[Slot, Register]) -> Object | None:
    return build((slot, register.value) for slot, register in plain.items() if register.live)  # type: ignore[misc]


def _plain(registers: Mapping[Slot, Register], stamps: tuple[Stamp, ...]) -> dict[Slot, Register]:
    """The registers that an object can say: live, of these stamps, and no marker above one of them."""
    plain = {
        slot: register
        for slot, register in registers.items()
        if register.live and slot.element is None and register.stamps == stamps
    }
    above = {slot.path[:depth] for slot in plain for depth in range(len(slot.path))}
    return {slot: register for slot, register in plain.items() if slot.path not in above}


def _unpacked_registers(packed: Any, stamps: list[Stamp], paths: list[Path]) -> dict[Slot, Register]:
    common, content, others = packed
    registers: dict[Slot, Register] = {}
    if content is not None:
        registers = _shared(content, stamps[natural(common)])
    for path, stamp_indexes, *rest in others:
        # bytes are no JSON value, so a leading one can only be the element's identity.
        element = rest.pop(0) if rest and type(rest[0]) is bytes else None
        slot = unpacked_slot(paths[natural(path)], element)
        if slot in registers or len(rest) > 1 or not stamp_indexes:
            raise ValueError(f"register {slot} twice, or without value or stamp")
        value = unpacked_value(slot, rest[0]) if rest else DELETED
        registers[slot] = Register(value, tuple(stamps[natural(index)] for index in stamp_indexes))
    return registers


def _shared(content: Any, stamp: Stamp) -> dict[Slot, Register]:
    """The registers of an object whose leaves have one stamp."""
    if type(content) is not dict:
        raise ValueError("content is not an object")
    stamps = (stamp,)
    registers = {}
    leaves: Mapping[Slot, Any] = flatten(content, atomic_lists)
    for slot, value in leaves.items():
        if len(slot.path) > DEPTH_MAX:
            raise ValueError(f"path of {len(slot.path)} keys, limit {DEPTH_MAX}")
        registers[slot] = Register(value if is_exact(value) else unpacked_leaf(slot, value), stamps)
    return registers


def stamped(
    leaves: list[tuple[Slot, RegisterValue]], places: Sequence[int], agreeing: Any, stamps: list[Stamp]
) -> Iterator[tuple[Slot, Register]]:
    """The leaves as registers: each with its principal stamp, some with others that agree.

    `leaves` is empty afterwards: there may be a million, and no two lists of them are held.
    """
    if len(places) != len(leaves):
        raise ValueError("other than one stamp for each register")
    more_at = {natural(index): [stamps[natural(place)] for place in more] for index, *more in agreeing}
    if len(more_at) != len(agreeing) or not all(index < len(leaves) for index in more_at):
        raise ValueError("agreeing stamps are not of distinct registers")
    alone = [(stamp,) for stamp in stamps]  # one tuple for all registers of a change
    leaves.reverse()
    for index, place in enumerate(places):
        slot, value = leaves.pop()
        principal = alone[natural(place)]
        yield slot, Register(value, (*principal, *more_at[index]) if index in more_at else principal)


def _stored_stamps(stamps: Iterable[Stamp]) -> Row:
    """The stamps of a stored document, which is never one of so many that columns would pay."""
    table = list(stamps)
    return [
        deltas(stamp.timestamp for stamp in table),
        runs(stamp.actor for stamp in table),
        deltas(stamp.hub_seq for stamp in table),
    ]


def _read_stamps(packed: Any) -> list[Stamp]:
    timestamps, actors, positions = packed
    count = len(timestamps)
    columns = summed(timestamps), run_out(actors, count), summed(positions)
    table = [Stamp(*row) for row in zip(*columns, strict=True)]
    for stamp in table:
        if not (0 <= stamp.timestamp <= TIMESTAMP_MAX and stamp.actor >= 0 and stamp.hub_seq >= 0):
            raise ValueError(f"stamp {tuple(stamp)} out of range")
    return table
