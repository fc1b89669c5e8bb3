"""A damaged outbox goes on: what is whole of it is sent, what is not is set aside, and told.

Numbers and chain of an incarnation have no gaps, so the rest goes on under a new one, as after a fence: the
hub knows by their content those that it has. Until the hub has given that incarnation out, nothing is sent.
Readers see what is left from then on. What was set aside never goes by itself: its bytes may be all there is.
"""

import json
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from anabranch_sync.change import Entry, chained
from anabranch_sync.ids import DocumentId, Dot, LocalSeq
from anabranch_sync.incident import IncidentKind, Remedy, documents_named, incident
from anabranch_sync.priority import PRIORITY_DEFAULT

from anabranch.errors import ReplicaCorrupt
from anabranch.replica.equality import put_incident
from anabranch.replica.file import UNREADABLE, Connection, ReplicaFile, problems_of, readable
from anabranch.replica.queries import SQL
from anabranch.replica.rows import Position, Rot, entry, position, put_entry, row_of, standing_body
from anabranch.replica.serving import aside, serving
from anabranch.replica.shelf import Shelf
from anabranch.replica.show import Outbox, note_shown, show

# Where more should be there than any outbox ever held, the number that says so is what is damaged.
CHANGES_MAX = 100_000


@dataclass(frozen=True, slots=True)
class DamagedChange:
    """An own change as it was found: not what was written. `body` None: SQLite could not read it.

    `merged`: the hub has it, and nothing is lost. `documents` are those it touches, as far as that is known.
    """

    dot: Dot
    merged: bool
    written_ms: int | None
    noted_ms: int
    documents: tuple[str, ...]
    body: bytes | None


class Salvage:
    """The part of a replica that looks after a damaged outbox."""

    def __init__(self, file: ReplicaFile, shelf: Shelf) -> None:
        self._file = file
        self._shelf = shelf

    def run(self) -> bool:
        """Set aside what of the outbox is damaged; False: nothing is. Safe to repeat. Raises ReplicaError."""
        now_ms = time.time_ns() // 1_000_000
        self._shelf.forget_policies()
        try:
            # Before the transaction: one that met a page which SQLite cannot read writes nothing more.
            with self._file.reading() as connection:
                torn = _torn(connection)
            return self._file.write(lambda connection: _salvaged(connection, torn, self._shelf, now_ms))
        finally:
            self._shelf.forget_policies()

    def changes(self) -> list[DamagedChange]:
        """Those that are set aside, oldest first."""
        with self._file.reading() as connection:
            return damaged_changes(connection)

    def drop(self) -> int:
        """Forget those that are set aside: somebody has what there is of them. Returns how many."""
        return self._file.write(lambda connection: connection.execute(SQL["drop_damaged_changes"]).rowcount)


def damaged_changes(connection: Connection) -> list[DamagedChange]:
    """The changes that are set aside, oldest first."""
    rows = connection.execute(SQL["damaged_changes"]).fetchall()
    return [
        DamagedChange(Dot(actor, local_seq), bool(merged), written, noted, tuple(json.loads(documents)), body)
        for actor, local_seq, merged, written, noted, documents, body in rows
    ]


@dataclass(frozen=True, slots=True)
class _Torn:
    """Tables that SQLite must not change any more: it would free pages of others, or fail.

    `unreadable` are changes that it cannot even read; None: it reads all rows of the outbox.
    """

    outbox: bool
    documents: bool
    unreadable: frozenset[LocalSeq] | None


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the outbox that is whole."""

    entry: Entry
    chain: bytes
    written_ms: int


@dataclass(slots=True)
class _Found:
    """The outbox as it is found. `is_off`: what is whole of it does not stand there as it was written."""

    whole: dict[LocalSeq, _Row] = field(default_factory=dict)
    damaged: list[tuple[LocalSeq, int | None, bytes | None]] = field(default_factory=list)
    is_off: bool = False

    @property
    def documents(self) -> set[DocumentId]:
        """Those that whole changes touch."""
        return {document for row in self.whole.values() for document in row.entry.change.documents}


def _torn(connection: Connection) -> _Torn:
    at = position(connection)
    pairs = readable(connection, SQL["outbox_pairs"])
    outbox, documents = (bool(problems_of(connection, table)) for table in ("outbox", "outbox_documents"))
    if readable(connection, SQL["outbox_as_found"]) is not None:
        return _Torn(outbox, documents or pairs is None, None)
    numbers = _numbers(at, pairs or (), at.last_local)
    lost = (each for each in numbers if readable(connection, SQL["outbox_row_as_found"], each) is None)
    return _Torn(True, documents or pairs is None, frozenset(lost))


def _numbers(at: Position, pairs: Iterable[tuple[int, LocalSeq]], last: LocalSeq) -> list[LocalSeq]:
    """The changes that have to be in the outbox: all unsent ones, and of others those that documents name."""
    unsent = range(at.push_mark + 1, last + 1)
    merged = (local_seq for _, local_seq in pairs if 0 < local_seq <= at.push_mark)
    return sorted({*unsent[:CHANGES_MAX], *merged})


def _salvaged(connection: Connection, torn: _Torn, shelf: Shelf, now_ms: int) -> bool:
    at = position(connection)
    stored = [] if torn.documents else connection.execute(SQL["outbox_pairs"]).fetchall()
    pairs = [each for each in stored if all(isinstance(number, int) for number in each)]
    found = _found(connection, at, torn, pairs, shelf.rot)
    rows = {document: row_of(connection, document) for document in found.documents}
    right = {
        (rows[document], local_seq)
        for local_seq, row in found.whole.items()
        for document in row.entry.change.documents
    }
    if not (found.damaged or found.is_off or torn.documents) and set(stored) == right:
        return False
    named = {row: DocumentId(*name) for row, *name in connection.execute(SQL["all_documents"]).fetchall()}
    if found.damaged or found.is_off:
        _set_aside(connection, at, found, _touched(pairs, named), now_ms)
        _clear(connection, "outbox", is_torn=torn.outbox)
        for row in found.whole.values():
            put_entry(connection, row.entry, row.chain, row.written_ms)
        connection.execute(SQL["ask_renewal"])
    _clear(connection, "outbox_documents", is_torn=torn.documents)
    connection.executemany(SQL["write_document"], sorted(right))
    stale = {row for row, _ in (*pairs, *right)}
    stale |= {row for row, *_ in connection.execute(SQL["pending_documents"]).fetchall()}
    _show(connection, at, {row: named[row] for row in stale if row in named}, shelf)
    connection.execute(SQL["wrote"], (at.last_local, at.last_chain, at.last_timestamp, at.revision + 1))
    return True


def _found(
    connection: Connection, at: Position, torn: _Torn, pairs: Iterable[tuple[int, LocalSeq]], rot: Rot
) -> _Found:
    """What there is of the outbox.

    The numbers in the replica's row have no checksum either. The chain says which change is the last, and
    which is the first that is unsent: where it does, a number that says otherwise makes nothing missing.
    """
    if torn.unreadable is None:
        rows = connection.execute(SQL["outbox_as_found"]).fetchall()
    else:
        left = [each for each in _numbers(at, pairs, at.last_local) if each not in torn.unreadable]
        rows = [row for each in left for row in connection.execute(SQL["outbox_row_as_found"], (each,))]
    last = min([at.last_local, *(row[0] for row in rows if row[2] == at.last_chain)])
    found = _Found(is_off=torn.outbox)
    for local_seq, written_ms, chain, checksum, body, priority, is_typed in rows:
        found.is_off |= not is_typed
        try:
            if local_seq in found.whole or local_seq < 1:
                raise rot.at(f"the number of change {local_seq}")
            columns = local_seq, checksum, body, PRIORITY_DEFAULT if priority is None else priority
            found.whole[local_seq] = _Row(entry(at.incarnation, columns, rot), chain or b"", written_ms or 0)
        except ReplicaCorrupt:
            found.damaged.append((local_seq, written_ms, body))
    expected = _numbers(at, pairs, last)
    missing = {*expected} - found.whole.keys() - {number for number, _, _ in found.damaged}
    unsent = sorted(each for each in found.whole if each > at.push_mark)
    first = found.whole[unsent[0]] if unsent else None
    if first is not None and chained(at.push_chain, first.entry.body) == first.chain:
        missing -= set(range(at.push_mark + 1, unsent[0]))
    misnumbered = found.whole.keys() - set(expected)  # whole all the same, so as many are not missing
    found.damaged += [(each, None, None) for each in sorted(missing)[len(misnumbered) :]]
    count = at.last_local - at.push_mark
    found.is_off |= len(unsent) != count or unsent != list(range(at.push_mark + 1, at.last_local + 1))
    if found.is_off:
        found.whole = _in_order(found.whole)
    return found


def _in_order(whole: Mapping[LocalSeq, _Row]) -> dict[LocalSeq, _Row]:
    """The same numbers for the same changes in the order in which they were written."""
    written = sorted(whole.values(), key=lambda row: row.entry.change.timestamp)
    return {
        local_seq: replace(row, entry=replace(row.entry, dot=replace(row.entry.dot, local_seq=local_seq)))
        for local_seq, row in zip(sorted(whole), written, strict=True)
    }


def _touched(
    pairs: Iterable[tuple[int, LocalSeq]], named: Mapping[int, DocumentId]
) -> dict[LocalSeq, set[str]]:
    """The documents that each change touches, by their addresses."""
    touched: dict[LocalSeq, set[str]] = {}
    for row, local_seq in pairs:
        if row in named:
            touched.setdefault(local_seq, set()).add(str(named[row]))
    return touched


def _set_aside(
    connection: Connection,
    at: Position,
    found: _Found,
    touched: Mapping[LocalSeq, set[str]],
    now_ms: int,
) -> None:
    """Keep what is damaged, and report what nobody else has."""
    lost: set[str] = set()
    count = 0
    for local_seq, written_ms, body in found.damaged:
        addresses = sorted(touched.get(local_seq, ()))
        merged = local_seq <= at.push_mark
        row = (at.incarnation, local_seq, merged, written_ms, now_ms, json.dumps(addresses), body)
        connection.execute(SQL["set_damaged_aside"], row)
        if not merged:
            count += 1
            lost.update(addresses)
    if count:
        documents = tuple(documents_named(lost))
        told = incident(IncidentKind.OUTBOX, Remedy.SET_ASIDE, at.cursor.hub_seq, documents, count)
        put_incident(connection, told, now_ms)


def _clear(connection: Connection, table: str, *, is_torn: bool) -> None:
    """Empty a table; one that SQLite cannot read is put aside, for deleting from it would fail as well."""
    if not is_torn:
        connection.execute(f"DELETE FROM {table}")
        return
    (made,) = connection.execute(SQL["definition"], (table,)).fetchone()
    (count,) = connection.execute(SQL["unreadable_count"]).fetchone()
    connection.execute(f"ALTER TABLE {table} RENAME TO {UNREADABLE}{count + 1}")
    connection.execute(made)


def _show(connection: Connection, at: Position, stale: Mapping[int, DocumentId], shelf: Shelf) -> None:
    """Show what is left, as a pull does."""
    outbox = Outbox(connection, at.incarnation, shelf.rot, shelf.decoded)
    policies = shelf.policies_in(connection)
    for row, document in stale.items():
        try:
            standing = standing_body(connection, document, row, shelf.rot)
            waiting = outbox.of(document, row)
            state = show(connection, document, row, standing, waiting, policies)
            which = serving(connection, document, row, state, policies, pending=bool(waiting))
            seen = aside(connection, document, row, state, which, policies, shelf.rot)
        except ReplicaCorrupt:  # the hub sends it again, and then it is shown
            connection.execute(SQL["note_damage"], (row,))
            continue
        revision, count = at.revision + 1, len(waiting)
        note_shown(connection, row, state, count, revision, content=True, aside=seen, served=which)
