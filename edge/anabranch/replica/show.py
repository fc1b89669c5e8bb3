"""What readers see of a document: the confirmed registers with the outbox merged into them.

The same merge as on the hub, so that a reader sees today what the hub would answer today.
"""

from anabranch_sync.change import Change, Entry, Op
from anabranch_sync.document import Document, digest, rebuild
from anabranch_sync.ids import DocumentId, Incarnation, LocalSeq
from anabranch_sync.policy import Policies
from anabranch_sync.pull import overlay

from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL
from anabranch.replica.rows import NO_DIGEST, Rot, digest_bytes, entry, put_visible

# Bodies of decoded changes kept during one transaction: eight changes of the largest size, or
# thousands of common ones.
_DECODED_BYTES_MAX = 8 * 1024 * 1024


class Outbox:
    """The changes that wait, by document, as one transaction sees them."""

    def __init__(self, connection: Connection, incarnation: Incarnation, rot: Rot) -> None:
        self._connection = connection
        self._incarnation = incarnation
        self._rot = rot
        self._parts: dict[LocalSeq, dict[DocumentId, Entry]] = {}
        self._bytes = 0

    def of(self, document: DocumentId, row: int) -> list[Entry]:
        """The parts of waiting changes that touch the document, oldest first."""
        waiting = self._connection.execute(SQL["outbox_of"], (row,)).fetchall()
        return [self._part(document, columns) for columns in waiting]

    def _part(self, document: DocumentId, columns: tuple[LocalSeq, bytes, bytes]) -> Entry:
        local_seq, _, body = columns
        parts = self._parts.get(local_seq)
        if parts is None:
            if self._bytes > _DECODED_BYTES_MAX:
                self._parts, self._bytes = {}, 0
            self._bytes += len(body)
            parts = self._parts[local_seq] = by_document(entry(self._incarnation, columns, self._rot))
        return parts[document]


def by_document(each: Entry) -> dict[DocumentId, Entry]:
    """The entry cut into one for each document, so that showing 500 reads its ops once, not 500 times."""
    ops: dict[DocumentId, list[Op]] = {}
    for op in each.change.ops:
        ops.setdefault(op.document, []).append(op)
    change = each.change
    return {
        document: Entry(
            each.dot, Change(change.timestamp, change.base, change.author, "", tuple(own)), each.body
        )
        for document, own in ops.items()
    }


def show(
    connection: Connection,
    document: DocumentId,
    row: int,
    confirmed: tuple[Document, int],
    waiting: list[Entry],
    policies: Policies,
    revision: int,
) -> None:
    """Show `confirmed` (its registers, the digest of their content) with `waiting` over it."""
    state, seen = confirmed
    if waiting:
        state = overlay(document, state, waiting, policies)
        seen = digest(document, rebuild(state.registers))
        put_visible(connection, document, row, state)
    else:
        connection.execute(SQL["drop_visible"], (row,))
    packed = digest_bytes(seen) if seen else NO_DIGEST
    connection.execute(SQL["show"], (revision, state.version, len(waiting), packed, row))
