"""Writes to fields as a table: those of a push, or the registers of a pull.

::

    [check, document of each, keys, namespace of each key, namespaces, known, paths,
     place of each, values, deleted, elements]

Of a `known` document both ends have the content before, and `check` proves that it is the same (`revision`).
A place is the number of a leaf of that; from as many on as it has, that of one of the table's `paths`. So a
thousand edits of fields that were there name no path at all. Values are in the order of their paths: those of
one field look alike.
"""

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from anabranch_sync.change import unpacked_address
from anabranch_sync.errors import ContentsDiffer
from anabranch_sync.ids import DocumentId
from anabranch_sync.path import Path
from anabranch_sync.register import AnyValue, Slot, Tombstone
from anabranch_sync.revision import Contents, Write, absolute, check_of, leaf_paths, relative
from anabranch_sync.tables import (
    Row,
    Table,
    Unpack,
    column,
    completed,
    deltas,
    expanded,
    leaf_count,
    natural,
    packed_paths,
    packed_values,
    summed,
    trimmed,
    unpacked_paths,
    unpacked_values,
)

_COLUMNS = 11
# The last two where nothing was deleted and no element written.
_PLAIN: tuple[object, ...] = ([], [])

V = TypeVar("V")


def pack_writes(
    writes: Sequence[Write[AnyValue]], before: Contents, documents: Iterable[DocumentId] = ()
) -> Row:
    """The writes, relative to `before`; these `documents` are in the table whatever is written to them."""
    table = Table[DocumentId]()
    owners = [table.index(document) for document, _, _ in writes]
    for document in documents:
        table.index(document)
    namespaces = Table[str]()
    known = [document for document in table if document in before]
    leaves = {document: _numbered(leaf_paths(before[document])) for document in known}
    others = {slot.path for document, slot, _ in writes if slot.path not in leaves.get(document, ())}
    numbers = _numbered(sorted(others))
    nothing: dict[Path, int] = {}

    def place(document: DocumentId, path: Path) -> int:
        own = leaves.get(document, nothing)
        return own[path] if path in own else len(own) + numbers[path]

    said = zip((slot for _, slot, _ in writes), relative(writes, before), strict=True)
    row = [
        check_of(known, before),
        column(deltas(owners)),
        [document.key for document in table],
        column(namespaces.index(document.namespace) for document in table),
        list(namespaces),
        column(int(document in before) for document in table),
        packed_paths(numbers),
        column(place(document, slot.path) for document, slot, _ in writes),
        *packed_values(list(said), [slot.path for _, slot, _ in writes]),
    ]
    return trimmed(row, _PLAIN)


def unpack_writes(
    packed: Any, unpacked: Unpack[V], before: Contents, chars_max: int
) -> tuple[list[DocumentId], list[Write[V | Tombstone]]]:
    """The documents and writes of `pack_writes`' table, texts of `chars_max` at most if they are revised.

    `unpacked` makes a value of what the table has. Raises one of `tables.MALFORMED`, CorruptFrame,
    ContentsDiffer, FrameTooLarge.
    """
    row = completed(packed, _COLUMNS, _PLAIN)
    check, raw_owners, _, _, _, _, raw_paths, raw_places, values, deleted, elements = row
    addressed = _addressed(packed)
    documents = [document for document, _ in addressed]
    known = [document for document, is_known in addressed if is_known]
    if check_of(known, before) != check:
        raise ContentsDiffer
    leaves = {document: _slots(leaf_paths(before[document])) for document in known}
    others = _slots(unpacked_paths(raw_paths))
    nothing: list[Slot] = []

    def slot(document: DocumentId, place: int) -> Slot:
        own = leaves.get(document, nothing)
        return own[place] if place < len(own) else others[place - len(own)]

    count = leaf_count(values, deleted)
    owners = [documents[natural(owner)] for owner in summed(expanded(raw_owners, count))]
    places = [natural(place) for place in expanded(raw_places, count)]
    slots = [slot(document, place) for document, place in zip(owners, places, strict=True)]
    ranks = [slot.path for slot in slots]
    written = unpacked_values(slots, ranks, values, deleted, elements, unpacked)
    writes = ((document, *each) for document, each in zip(owners, written, strict=True))
    return documents, absolute(writes, before, chars_max)


def wanted_by_writes(packed: Any) -> tuple[DocumentId, ...]:
    """The documents whose contents before one has to know. Raises one of `tables.MALFORMED`."""
    return tuple(document for document, is_known in _addressed(packed) if is_known)


def _addressed(packed: Any) -> list[tuple[DocumentId, bool]]:
    keys, places, namespaces, known = completed(packed, _COLUMNS, _PLAIN)[2:6]
    if not all(type(each) is list for each in (keys, namespaces)):
        raise ValueError("a column is not a list")
    columns = zip(keys, expanded(places, len(keys)), expanded(known, len(keys)), strict=True)
    addressed = [
        (unpacked_address(namespaces[natural(place)], key), is_known == 1) for key, place, is_known in columns
    ]
    # Each known one is taken apart and digested: a few bytes could name a large one a hundred thousand times.
    if len({document for document, _ in addressed}) != len(addressed):
        raise ValueError("a document twice")
    return addressed


def _slots(paths: Iterable[Path]) -> list[Slot]:
    return [Slot(path) for path in paths]


def _numbered(paths: Iterable[Path]) -> dict[Path, int]:
    return {path: number for number, path in enumerate(paths)}
