"""Documents and changes as tables: what repeats is written once and named by its number.

Three bodies share these tables: a stored document (`encode_document`), the changes of a push
(`encode_entries`) and the documents of a pull (`pack_documents`). Each is plain msgpack; what
compresses them is `frame`. Decoding believes nothing: every index, type and name is checked, and
whatever is wrong raises CorruptFrame.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import msgpack

from anabranch_sync.change import (
    CHAIN_BYTES,
    CHANGE_BYTES_MAX,
    Change,
    Entry,
    Op,
    check_facts,
    entry,
    packed_value,
    unpacked_address,
    unpacked_leaf,
    unpacked_operand,
    unpacked_schemas,
    unpacked_slot,
    unpacked_value,
)
from anabranch_sync.document import Document, Object, build, flatten
from anabranch_sync.errors import CorruptFrame, FrameTooLarge
from anabranch_sync.ids import Cursor, DocumentId, Dot, HubSeq
from anabranch_sync.outbox import PUSH_CHANGES_MAX
from anabranch_sync.packing import unpack
from anabranch_sync.path import Path
from anabranch_sync.policy import atomic_lists
from anabranch_sync.register import DELETED, Operand, Register, RegisterValue, Slot, Stamp
from anabranch_sync.revision import Contents, Wanted, Write
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
    packed_timestamps,
    summed,
    trimmed,
    unpacked_leaves,
    unpacked_paths,
    unpacked_stamps,
    unpacked_timestamps,
)
from anabranch_sync.value import DEPTH_MAX, is_exact
from anabranch_sync.writes import pack_writes, unpack_writes, wanted_by_writes

__all__ = [
    "ENTRIES_BYTES_MAX",
    "MALFORMED",
    "decode_document",
    "decode_entries",
    "encode_document",
    "encode_entries",
    "pack_documents",
    "pack_stamps",
    "stamped",
    "unpack_documents",
    "unpack_stamps",
    "wanted_by_push",
]

# A push holds CHANGE_BYTES_MAX of changes at most, and tables are never twice as long as what they hold.
# 156 bytes expand to four million empty lists, which took 320 MB; this much takes 170 MB at worst.
ENTRIES_BYTES_MAX = 2 * CHANGE_BYTES_MAX

# The last columns of both tables where nothing out of the ordinary happened: they are left out.
_NO_AGREEING: tuple[object, ...] = ([],)
_PLAIN_CHANGES: tuple[object, ...] = (0, [""], 0, [[]], 0, 0, [])
# Where nothing is said by what documents were before.
NOTHING_KNOWN: Contents = {}


def encode_document(document: Document) -> bytes:
    """A document with all its registers as bytes for a store. Equal documents have equal bytes."""
    stamps = Table[Stamp]()
    paths = Table[Path]()
    packed = _packed_registers(document.registers, stamps, paths)
    body: bytes = msgpack.packb([document.version, packed_stamps(stamps), packed_paths(paths), packed])
    return body


def decode_document(body: bytes) -> Document:
    """The document of `encode_document`'s bytes. Raises CorruptFrame."""
    try:
        version, stamps, paths, packed = unpack(body)
        return Document(
            _unpacked_registers(packed, unpacked_stamps(stamps), unpacked_paths(paths)),
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
        pack_stamps(stamps),
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
    registers = stamped(unpacked, places, agreeing, unpack_stamps(stamps))
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


def encode_entries(entries: Sequence[Entry], after: HubSeq = 0, before: Contents | None = None) -> bytes:
    """Consecutive changes of one incarnation as the body of a push; some stand for others (`absorbing`).

    From LIVE_PROTOCOL on they are relative to the documents `before`, as these were at position `after`.
    """
    authors = Table[str]()
    messages = Table[str]()
    schemas = Table[tuple[str, ...]]()
    changes = [each.change for each in entries]
    ops = [op for change in changes for op in change.ops]
    writes = [(op.document, op.slot, op.value) for op in ops]
    row = [
        entries[0].dot.incarnation,
        entries[0].first,
        packed_timestamps([change.timestamp for change in changes]),
        column(change.base.epoch for change in changes),
        column(deltas(change.base.hub_seq for change in changes)),
        *(_packed_ops(writes) if before is None else _relative_ops(writes, before)),
        column(authors.index(change.author) for change in changes),
        list(authors),
        column(len(change.ops) for change in changes),
        column(messages.index(change.message) for change in changes),
        list(messages),
        column(schemas.index(change.schemas) for change in changes),
        [list(names) for names in schemas],
        column(change.restores for change in changes),
        after if before else 0,
        [[index, each.absorbed, each.chain] for index, each in enumerate(entries) if each.absorbed],
    ]
    body: bytes = msgpack.packb(trimmed(row, _PLAIN_CHANGES))
    return body


def decode_entries(body: bytes, before: Contents = NOTHING_KNOWN) -> list[Entry]:
    """The changes of a push's body, each with the very bytes its author recorded.

    `before` are the documents that it wants (`wanted_by_push`). Raises CorruptFrame, FrameTooLarge,
    ContentsDiffer.
    """
    row = _unpacked_push(body)
    try:
        return _unpacked_entries(row, before)
    except MALFORMED as error:
        raise CorruptFrame(f"malformed changes: {error}") from error


def wanted_by_push(body: bytes) -> Wanted:
    """The documents that one has to know to read the push. Raises CorruptFrame, FrameTooLarge."""
    row = _unpacked_push(body)
    try:
        facts = completed(row, 20, _PLAIN_CHANGES)
        table = facts[5]
        return Wanted(natural(facts[18]), wanted_by_writes(table) if _are_writes(table) else ())
    except MALFORMED as error:
        raise CorruptFrame(f"malformed changes: {error}") from error


def _unpacked_push(body: bytes) -> Any:
    if len(body) > ENTRIES_BYTES_MAX:
        raise FrameTooLarge("push", len(body), ENTRIES_BYTES_MAX)
    return unpack(body)


def _packed_ops(writes: Sequence[Write[Operand]]) -> Row:
    """What the operations of a push write, in five columns."""
    documents = Table[DocumentId]()
    namespaces = Table[str]()
    return [
        column(deltas(documents.index(document) for document, _, _ in writes)),
        [document.key for document in documents],
        column(namespaces.index(document.namespace) for document in documents),
        list(namespaces),
        packed_leaves([(slot, value) for _, slot, value in writes]),
    ]


def _relative_ops(writes: Sequence[Write[Operand]], before: Contents) -> Row:
    """The same as a table of writes in place of the first column; the others are empty."""
    return [pack_writes(writes, before), None, None, None, None]


def _are_writes(first: Any) -> bool:
    """Whether the first of the five columns is such a table: it begins with its check."""
    return type(first) is list and bool(first) and type(first[0]) is bytes


def _unpacked_absorbed(raw: Any, count: int) -> dict[int, tuple[int, bytes]]:
    """Of how many before them some changes of a push are said to stand, with their chains."""
    found = {natural(index): (natural(absorbed), chain) for index, absorbed, chain in raw}
    if type(raw) is not list or len(found) != len(raw) or not all(index < count for index in found):
        raise ValueError("what is absorbed is a list, each change once")
    for absorbed, chain in found.values():
        if not 0 < absorbed < PUSH_CHANGES_MAX or type(chain) is not bytes or len(chain) != CHAIN_BYTES:
            raise ValueError(f"a change stands for {absorbed} before it, limit {PUSH_CHANGES_MAX - 1}")
    return found


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


def pack_stamps(table: Sequence[Stamp]) -> Row:
    return [
        packed_timestamps([stamp.timestamp for stamp in table]),
        column(stamp.actor for stamp in table),
        column(deltas(stamp.hub_seq for stamp in table)),
    ]


def unpack_stamps(packed: Any) -> list[Stamp]:
    raw_timestamps, actors, positions = packed
    timestamps = unpacked_timestamps(raw_timestamps)
    count = len(timestamps)
    columns = timestamps, expanded(actors, count), summed(expanded(positions, count))
    return [
        Stamp(timestamp, natural(actor), natural(seq)) for timestamp, actor, seq in zip(*columns, strict=True)
    ]


def _unpacked_ops(columns: Row, before: Contents) -> list[Op]:
    """The operations of a push. Raises one of MALFORMED, ContentsDiffer, FrameTooLarge."""
    places, keys, key_places, namespaces, leaves = columns
    if _are_writes(places):
        _, writes = unpack_writes(places, unpacked_operand, before, ENTRIES_BYTES_MAX)
        return [Op(*write) for write in writes]
    if not all(type(each) is list for each in (keys, namespaces)):
        raise ValueError("a column is not a list")
    documents = [
        unpacked_address(namespaces[natural(place)], key)
        for key, place in zip(keys, expanded(key_places, len(keys)), strict=True)
    ]
    parts = unpacked_leaves(leaves, unpacked_operand)
    named = summed(expanded(places, len(parts)))
    return [Op(documents[natural(place)], *leaf) for place, leaf in zip(named, parts, strict=True)]


def _unpacked_entries(raw: Any, before: Contents) -> list[Entry]:
    facts = completed(raw, 20, _PLAIN_CHANGES)
    incarnation, first, raw_timestamps, epochs, bases = facts[:5]
    author_places, authors, counts, message_places, messages, schema_places, schemas, restores = facts[10:18]
    if not all(type(each) is list for each in (authors, messages, schemas)):
        raise ValueError("a column is not a list")
    ops = _unpacked_ops(facts[5:10], before)
    timestamps = unpacked_timestamps(raw_timestamps)
    count = len(timestamps)
    if not count:
        raise ValueError("a push without changes")
    columns = zip(
        timestamps,
        expanded(epochs, count),
        summed(expanded(bases, count)),
        expanded(author_places, count),
        expanded(message_places, count),
        expanded(schema_places, count),
        expanded(restores, count),
        expanded(counts, count),
        strict=True,
    )
    standing_for = _unpacked_absorbed(facts[19], count)
    entries = []
    taken, number = 0, natural(first)
    for index, (timestamp, epoch, base_seq, author, message, names, restored, size) in enumerate(columns):
        base = Cursor(epoch, base_seq)
        check_facts(timestamp, base, authors[natural(author)], messages[natural(message)], restored)
        change = Change(
            timestamp,
            base,
            authors[author],
            messages[message],
            tuple(ops[taken : taken + natural(size)]),
            unpacked_schemas(schemas[natural(names)]),
            restored,
        )
        taken += size
        absorbed, chain = standing_for.get(index, (0, b""))
        number += absorbed
        recorded = entry(Dot(natural(incarnation), number), change)
        entries.append(replace(recorded, absorbed=absorbed, chain=chain) if absorbed else recorded)
        number += 1
    if taken != len(ops):
        raise ValueError(f"{len(ops)} operations for changes that count {taken}")
    return entries
