"""The bytes of a push: consecutive changes as one table, before they are sealed and cut into chunks.

What repeats is written once and named by its number, as in `columns`. From LIVE_PROTOCOL on the operations
are relative to what documents were (`writes`), and a change may stand for others before it (`absorbing`).
"""

from collections.abc import Sequence
from dataclasses import replace
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
    unpacked_address,
    unpacked_operand,
    unpacked_schemas,
)
from anabranch_sync.errors import CorruptFrame, FrameTooLarge
from anabranch_sync.ids import Cursor, DocumentId, Dot, HubSeq
from anabranch_sync.outbox import PUSH_BYTES_MAX, PUSH_CHANGES_MAX
from anabranch_sync.packing import unpack
from anabranch_sync.register import Operand
from anabranch_sync.revision import NOTHING_KNOWN, Contents, Wanted, Write
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
    packed_timestamps,
    summed,
    trimmed,
    unpacked_leaves,
    unpacked_timestamps,
)
from anabranch_sync.writes import pack_writes, unpack_writes, wanted_by_writes

# A push holds CHANGE_BYTES_MAX of changes at most, and tables are never twice as long as what they hold.
# 156 bytes expand to four million empty lists, which took 320 MB; this much takes 170 MB at worst.
ENTRIES_BYTES_MAX = 2 * CHANGE_BYTES_MAX

# The last columns where nothing out of the ordinary happened: they are left out.
_PLAIN: tuple[object, ...] = (0, [""], 0, [[]], 0, 0, [])
_COLUMNS = 20


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
    body: bytes = msgpack.packb(trimmed(row, _PLAIN))
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
        facts = completed(row, _COLUMNS, _PLAIN)
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
    facts = completed(raw, _COLUMNS, _PLAIN)
    incarnation, first, raw_timestamps, epochs, bases = facts[:5]
    author_places, authors, counts, message_places, messages, schema_places, schemas, restores = facts[10:18]
    if not all(type(each) is list for each in (authors, messages, schemas)):
        raise ValueError("a column is not a list")
    ops = _unpacked_ops(facts[5:10], before)
    # What is said once, here a path and below what a change tells of itself, may stand in each of many: a
    # hundred bytes on the link in gigabytes of changes.
    keys_chars = sum(len(key) for op in ops for key in op.slot.path)
    if keys_chars > PUSH_BYTES_MAX:
        raise FrameTooLarge("paths of a push", keys_chars, PUSH_BYTES_MAX)
    timestamps = unpacked_timestamps(raw_timestamps)
    count = len(timestamps)
    if not count:
        raise ValueError("a push without changes")
    if count > PUSH_CHANGES_MAX:
        raise FrameTooLarge("number of changes", count, PUSH_CHANGES_MAX)
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
    taken, number, size_bytes = 0, natural(first), 0
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
        size_bytes += len(recorded.body)
        if size_bytes > PUSH_BYTES_MAX:
            raise FrameTooLarge("all changes of a push", size_bytes, PUSH_BYTES_MAX)
        entries.append(replace(recorded, absorbed=absorbed, chain=chain) if absorbed else recorded)
        number += 1
    if taken != len(ops):
        raise ValueError(f"{len(ops)} operations for changes that count {taken}")
    return entries
