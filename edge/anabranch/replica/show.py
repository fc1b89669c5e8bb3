"""What readers see of a document: the confirmed registers with the outbox merged into them.

The same merge as on the hub, so that a reader sees today what the hub would answer today.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from anabranch_sync.change import Change, Entry, Op
from anabranch_sync.document import Document
from anabranch_sync.ids import DocumentId, Incarnation, LocalSeq
from anabranch_sync.later import later
from anabranch_sync.live import Served
from anabranch_sync.policy import Policies

from anabranch.replica.file import Connection
from anabranch.replica.queries import SQL
from anabranch.replica.rows import Rot, Shown, entry, position, put_visible, standing_body, visible_body

if TYPE_CHECKING:
    from anabranch_sync import merge

    from anabranch.replica.serving import Aside
else:
    later(globals(), "anabranch_sync", "merge")

# A write stores what readers see only each so many changes of a document: it would take longer than
# the write itself, and a reader in another process merges a few changes in less time than it starts.
KEPT_EACH = 16
# Bodies of decoded changes kept: eight changes of the largest size, or thousands of common ones.
_DECODED_BYTES_MAX = 8 * 1024 * 1024


class Decoded:
    """Waiting changes, whole and cut by document, kept from one document to the next.

    An import of 1,500 documents is a few changes of hundreds of documents each: decoding the whole
    change for every document that is read took minutes. Safe for several threads: a race decodes twice.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[Incarnation, LocalSeq, bytes], tuple[Entry, dict[DocumentId, Entry]]] = {}
        self._bytes = 0

    def entry(self, incarnation: Incarnation, columns: tuple[LocalSeq, bytes, bytes, int], rot: Rot) -> Entry:
        """The change of a row of the outbox. Raises ReplicaCorrupt."""
        return self._decoded(incarnation, columns, rot)[0]

    def parts(
        self, incarnation: Incarnation, columns: tuple[LocalSeq, bytes, bytes, int], rot: Rot
    ) -> dict[DocumentId, Entry]:
        """The same by document. Raises ReplicaCorrupt."""
        return self._decoded(incarnation, columns, rot)[1]

    def _decoded(
        self, incarnation: Incarnation, columns: tuple[LocalSeq, bytes, bytes, int], rot: Rot
    ) -> tuple[Entry, dict[DocumentId, Entry]]:
        local_seq, checksum, body, _ = columns
        known = self._known.get((incarnation, local_seq, checksum))
        if known is not None:
            return known
        if self._bytes > _DECODED_BYTES_MAX:
            self._known, self._bytes = {}, 0
        self._bytes += len(body)
        whole = entry(incarnation, columns, rot)
        known = self._known[incarnation, local_seq, checksum] = whole, by_document(whole)
        return known


class Outbox:
    """The changes that wait, by document, as one transaction sees them."""

    def __init__(self, connection: Connection, incarnation: Incarnation, rot: Rot, decoded: Decoded) -> None:
        self._connection = connection
        self._incarnation = incarnation
        self._rot = rot
        self._decoded = decoded

    def of(self, document: DocumentId, row: int, after: LocalSeq = 0) -> list[Entry]:
        """The parts of waiting changes that touch the document, oldest first."""
        waiting = self._connection.execute(SQL["outbox_of"], (row, after)).fetchall()
        return [self._decoded.parts(self._incarnation, columns, self._rot)[document] for columns in waiting]


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


def visible_state(
    connection: Connection,
    document: DocumentId,
    shown: Shown,
    policies: Policies,
    rot: Rot,
    decoded: Decoded,
) -> Document:
    """The registers readers see. Raises ReplicaCorrupt."""
    if not shown.pending:
        return standing_body(connection, document, shown.row, rot)
    kept = visible_body(connection, document, shown.row, rot)
    upto, state = kept or (0, standing_body(connection, document, shown.row, rot))
    outbox = Outbox(connection, position(connection).incarnation, rot, decoded)
    waiting = outbox.of(document, shown.row, upto)
    return merge.overlay(document, state, waiting, policies)


def show(
    connection: Connection,
    document: DocumentId,
    row: int,
    standing: Document,
    waiting: list[Entry],
    policies: Policies,
) -> Document:
    """Merge `waiting` into `standing` and keep the outcome; returns it."""
    if not waiting:
        connection.execute(SQL["drop_visible"], (row,))
        return standing
    state = merge.overlay(document, standing, waiting, policies)
    put_visible(connection, document, row, waiting[-1].dot.local_seq, state)
    return state


def note_shown(
    connection: Connection,
    row: int,
    state: Document,
    pending: int,
    revision: int,
    *,
    content: bool,
    aside: Aside | None = None,
    served: Served = Served.HEAD,
) -> Shown:
    """Say in the document's row what readers now see; `content`: and that it is another content.

    `state` is the head, `aside` what is `served` instead of it.
    """
    if aside is None:
        live = any(register.live for register in state.registers.values())
    else:
        live = aside.content is not None
    columns = {
        "document": row,
        "revision": revision,
        "version": state.version,
        "pending": pending,
        "live": live,
        "served": str(served),
        "content": content,
    }
    connection.execute(SQL["show"], columns)
    return Shown(row, revision, state.version, pending, live, served)
