"""Documents and changes as tables: what repeats is written once and named by its number.

Three bodies share these tables: a stored document (`encode_document`), the changes of a push
(`encode_entries`) and the documents of a pull (`pack_documents`). Each is plain msgpack; what
compresses them is `frame`. Decoding believes nothing: every index, type and name is checked, and
whatever is wrong raises CorruptFrame.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from itertools import accumulate
from typing import Any, TypeAlias, TypeVar

import msgpack

from anabranch_sync.change import (
    CHANGE_BYTES_MAX,
    Change,
    Entry,
    Op,
    check_facts,
    entry,
    unpacked_address,
    unpacked_leaf,
    unpacked_schemas,
    unpacked_slot,
)
from anabranch_sync.clock import TIMESTAMP_MAX
from anabranch_sync.document import Document, build, flatten
from anabranch_sync.errors import CorruptFrame, FrameTooLarge, InvalidInput
from anabranch_sync.ids import Cursor, DocumentId, Dot
from anabranch_sync.packing import unpack
from anabranch_sync.path import ROOT, Path
from anabranch_sync.policy import LATEST, Policy
from anabranch_sync.register import DELETED, Register, Slot, Stamp
from anabranch_sync.value import INT_MAX, check, ordered

# What malformed columns raise while they are taken apart; one place names them all.
MALFORMED = (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError, InvalidInput)

# Sharing makes a path of 64 keys out of three bytes. The largest scope met in practice, 5,000
# documents of 50 fields each four deep with nothing in common, has a million.
_PATH_KEYS_MAX = 4_000_000

# A push holds CHANGE_BYTES_MAX of changes at most, and tables are never twice as long as what they hold.
# 156 bytes expand to four million empty lists, which took 320 MB; this much takes 170 MB at worst.
ENTRIES_BYTES_MAX = 2 * CHANGE_BYTES_MAX

T = TypeVar("T", bound=Hashable)

_Row: TypeAlias = list[Any]


def encode_document(document: Document) -> bytes:
    """A document with all its registers as bytes for a store. Equal documents have equal bytes."""
    stamps = _Table[Stamp]()
    paths = _Table[Path]()
    packed = _packed_registers(document.registers, stamps, paths)
    body: bytes = msgpack.packb([document.version, _packed_stamps(stamps), _packed_paths(paths), packed])
    return body


def decode_document(body: bytes) -> Document:
    """The document of `encode_document`'s bytes. Raises CorruptFrame."""
    try:
        version, stamps, paths, packed = unpack(body)
        return Document(
            _unpacked_registers(packed, _unpacked_stamps(stamps), _unpacked_paths(paths)),
            _natural(version),
        )
    except MALFORMED as error:
        raise CorruptFrame(f"malformed document: {error}") from error


def pack_documents(documents: Mapping[DocumentId, Document]) -> _Row:
    """Documents, whole or in part, as one msgpack-able table."""
    stamps = _Table[Stamp]()
    paths = _Table[Path]()
    namespaces = _Table[str]()
    rows = [
        [
            namespaces.index(document.namespace),
            document.key,
            state.version,
            *_packed_registers(state.registers, stamps, paths),
        ]
        for document, state in sorted(documents.items())
    ]
    return [_packed_stamps(stamps), _packed_paths(paths), list(namespaces), rows]


def unpack_documents(packed: Any) -> dict[DocumentId, Document]:
    """The documents of `pack_documents`' table. Raises one of MALFORMED."""
    raw_stamps, raw_paths, namespaces, rows = packed
    stamps = _unpacked_stamps(raw_stamps)
    paths = _unpacked_paths(raw_paths)
    return {
        unpacked_address(namespaces[_natural(namespace)], key): Document(
            _unpacked_registers(registers, stamps, paths), _natural(version)
        )
        for namespace, key, version, *registers in rows
    }


def encode_entries(entries: Sequence[Entry]) -> bytes:
    """Consecutive changes of one incarnation as the body of a push."""
    paths = _Table[Path]()
    documents = _Table[DocumentId]()
    authors = _Table[str]()
    messages = _Table[str]()
    schemas = _Table[tuple[str, ...]]()
    changes = [each.change for each in entries]
    ops = [op for change in changes for op in change.ops]
    body: bytes = msgpack.packb(
        [
            entries[0].dot.incarnation,
            entries[0].dot.local_seq,
            _deltas(change.timestamp for change in changes),
            _deltas(change.base.epoch for change in changes),
            _deltas(change.base.hub_seq for change in changes),
            _runs(authors.index(change.author) for change in changes),
            _runs(messages.index(change.message) for change in changes),
            _runs(schemas.index(change.schemas) for change in changes),
            _runs(change.restores for change in changes),
            _runs(len(change.ops) for change in changes),
            _runs(documents.index(op.document) for op in ops),
            _runs(paths.index(op.slot.path) for op in ops),
            _sparse([op.slot.element for op in ops]),
            [index for index, op in enumerate(ops) if op.value is DELETED],
            [ordered(op.value) for op in ops if op.value is not DELETED],
            list(authors),
            list(messages),
            [list(names) for names in schemas],
            [[document.namespace, document.key] for document in documents],
            _packed_paths(paths),
        ]
    )
    return body


def decode_entries(body: bytes) -> list[Entry]:
    """The changes of a push's body, each with the very bytes its author recorded.

    Raises CorruptFrame, FrameTooLarge.
    """
    if len(body) > ENTRIES_BYTES_MAX:
        raise FrameTooLarge("push", len(body), ENTRIES_BYTES_MAX)
    try:
        return _unpacked_entries(unpack(body))
    except MALFORMED as error:
        raise CorruptFrame(f"malformed changes: {error}") from error


class _Table(dict[T, int]):
    """Distinct things in order of first use, each with its number."""

    def index(self, thing: T) -> int:
        return self.setdefault(thing, len(self))


def _packed_registers(registers: Mapping[Slot, Register], stamps: _Table[Stamp], paths: _Table[Path]) -> _Row:
    """``[stamp, content, others]``: the leaves of the commonest stamp as one object, the rest as rows.

    A document nobody edited since it was imported carries one stamp instead of one per field, and
    its field names in the shape that compresses best.
    """
    counts: dict[tuple[Stamp, ...], int] = {}
    for register in registers.values():
        counts[register.stamps] = counts.get(register.stamps, 0) + 1
    common = max(counts, key=lambda key: (counts[key], key)) if counts else ()
    plain = _plain(registers, common) if len(common) == 1 else {}
    others = []
    for slot, register in sorted(registers.items(), key=lambda each: (each[0].path, each[0].element or b"")):
        if slot not in plain:
            row: _Row = [paths.index(slot.path), [stamps.index(stamp) for stamp in register.stamps]]
            if register.value is not DELETED:
                row.append(ordered(register.value))
            if slot.element is not None:
                row = [*row[:2], slot.element, *row[2:]]
            others.append(row)
    if not plain:
        return [None, None, others]
    content = build((slot, register.value) for slot, register in plain.items() if register.live)  # type: ignore[misc]
    return [stamps.index(common[0]), content, others]


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
        if type(content) is not dict:
            raise ValueError("content is not an object")
        check(content)
        stamp = (stamps[_natural(common)],)
        for slot, value in flatten(content, _atomic_lists).items():
            registers[slot] = Register(value, stamp)
    for path, stamp_indexes, *rest in others:
        # bytes are no JSON value, so a leading one can only be the element's identity.
        element = rest.pop(0) if rest and type(rest[0]) is bytes else None
        slot = unpacked_slot(paths[_natural(path)], element)
        if slot in registers or len(rest) > 1 or not stamp_indexes:
            raise ValueError(f"register {slot} twice, or without value or stamp")
        value = unpacked_leaf(slot, rest[0]) if rest else DELETED
        registers[slot] = Register(value, tuple(stamps[_natural(index)] for index in stamp_indexes))
    return registers


def _atomic_lists(_path: Path) -> Policy:
    return LATEST


def _packed_stamps(stamps: Iterable[Stamp]) -> _Row:
    table = list(stamps)
    return [
        _deltas(stamp.timestamp for stamp in table),
        _runs(stamp.actor for stamp in table),
        _deltas(stamp.hub_seq for stamp in table),
    ]


def _unpacked_stamps(packed: Any) -> list[Stamp]:
    timestamps, actors, positions = packed
    count = len(timestamps)
    columns = _summed(timestamps), _expanded(actors, count), _summed(positions)
    table = [Stamp(*row) for row in zip(*columns, strict=True)]
    for stamp in table:
        if not (0 <= stamp.timestamp <= TIMESTAMP_MAX and stamp.actor >= 0 and stamp.hub_seq >= 0):
            raise ValueError(f"stamp {tuple(stamp)} out of range")
    return table


def _packed_paths(paths: Iterable[Path]) -> _Row:
    """Each path as the keys it has in common with the one before, counted, and the rest."""
    packed: _Row = []
    before: Path = ROOT
    for path in paths:
        shared = 0
        while shared < min(len(path), len(before)) and path[shared] == before[shared]:
            shared += 1
        packed.append([shared, *path[shared:]])
        before = path
    return packed


def _unpacked_paths(packed: Any) -> list[Path]:
    paths: list[Path] = []
    before: Path = ROOT
    keys = 0
    for shared, *rest in packed:
        if _natural(shared) > len(before):
            raise ValueError("path refers to more keys than the one before has")
        before = unpacked_slot((*before[:shared], *rest), None).path
        paths.append(before)
        keys += len(before)
        if keys > _PATH_KEYS_MAX:
            raise ValueError(f"paths of more than {_PATH_KEYS_MAX} keys")
    return paths


def _unpacked_entries(raw: Any) -> list[Entry]:
    incarnation, first, timestamps, epochs, bases, author_runs, message_runs, schema_runs = raw[:8]
    restores, counts, document_runs, path_runs, elements, deleted, values = raw[8:15]
    authors, messages, schemas, addresses, raw_paths = raw[15:20]
    if not all(type(column) is list for column in raw[2:20]):
        raise ValueError("a column is not a list")
    documents = [unpacked_address(namespace, key) for namespace, key in addresses]
    paths = _unpacked_paths(raw_paths)
    op_count = len(values) + len(deleted)
    ops = _unpacked_ops(
        [documents[_natural(index)] for index in _expanded(document_runs, op_count)],
        [paths[_natural(index)] for index in _expanded(path_runs, op_count)],
        elements,
        deleted,
        values,
    )
    change_count = len(timestamps)
    if not change_count:
        raise ValueError("a push without changes")
    entries = []
    taken = 0
    columns = zip(
        _summed(timestamps),
        _summed(epochs),
        _summed(bases),
        _expanded(author_runs, change_count),
        _expanded(message_runs, change_count),
        _expanded(schema_runs, change_count),
        _expanded(restores, change_count),
        _expanded(counts, change_count),
        strict=True,
    )
    for offset, (timestamp, epoch, base_seq, author, message, names, restored, count) in enumerate(columns):
        base = Cursor(epoch, base_seq)
        check_facts(timestamp, base, authors[_natural(author)], messages[_natural(message)], restored)
        change = Change(
            timestamp,
            base,
            authors[author],
            messages[message],
            tuple(ops[taken : taken + _natural(count)]),
            unpacked_schemas(schemas[_natural(names)]),
            restored,
        )
        taken += count
        entries.append(entry(Dot(_natural(incarnation), _natural(first) + offset), change))
    if taken != len(ops):
        raise ValueError(f"{len(ops)} operations for changes that count {taken}")
    return entries


def _unpacked_ops(
    documents: list[DocumentId], paths: list[Path], elements: Any, deleted: Any, values: Any
) -> list[Op]:
    element_at = {_natural(index): element for index, element in elements}
    deleted_at = {_natural(index) for index in deleted}
    if len(deleted_at) != len(deleted) or not all(index < len(paths) for index in deleted_at):
        raise ValueError("deletions are not distinct operations")
    remaining = iter(values)
    ops = []
    for index, (document, path) in enumerate(zip(documents, paths, strict=True)):
        slot = unpacked_slot(path, element_at.get(index))
        if index in deleted_at:
            ops.append(Op(document, slot, DELETED))
            continue
        ops.append(Op(document, slot, unpacked_leaf(slot, next(remaining))))
    return ops


def _deltas(numbers: Iterable[int]) -> list[int]:
    """Differences to the number before: small where the numbers grow slowly."""
    before = 0
    result = []
    for number in numbers:
        result.append(number - before)
        before = number
    return result


def _summed(deltas: Any) -> list[int]:
    return list(accumulate(_integer(delta) for delta in deltas))


def _runs(numbers: Iterable[int]) -> list[int]:
    """``number, count`` pairs in one flat list: columns repeat themselves."""
    result: list[int] = []
    for number in numbers:
        if result and result[-2] == number:
            result[-1] += 1
        else:
            result += [number, 1]
    return result


def _expanded(runs: Any, length: int) -> list[int]:
    """The column of these runs. `length` is known from columns that cannot be written shorter than
    they are, so that a few bytes never stand for many rows.
    """
    if sum(_natural(count) for count in runs[1::2]) != length:
        raise ValueError(f"a column of other than {length} rows")
    result: list[int] = []
    for number, count in zip(runs[::2], runs[1::2], strict=True):
        result += [_integer(number)] * count
    return result


def _sparse(column: Sequence[bytes | None]) -> list[list[object]]:
    return [[index, cell] for index, cell in enumerate(column) if cell is not None]


def _integer(number: object) -> int:
    if type(number) is not int:
        raise ValueError(f"{number!r} is not an integer")
    return number


def _natural(number: object) -> int:
    if type(number) is not int or not 0 <= number <= INT_MAX:
        raise ValueError(f"{number!r} is not a natural number")
    return number
