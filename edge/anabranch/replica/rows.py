"""Rows and what they mean: checked when read, because SQLite serves flipped bits silently."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

import msgpack
from anabranch_sync.change import Entry, decode
from anabranch_sync.columns import decode_document, encode_document
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import DIGEST_BYTES, EMPTY, Document
from anabranch_sync.errors import WireError
from anabranch_sync.ids import Cursor, DocumentId, Dot, Incarnation, LocalSeq
from anabranch_sync.later import later
from anabranch_sync.live import Served
from anabranch_sync.packing import LEVEL_STORED, Dictionary, is_prefixed, seal, unpack, unseal

from anabranch.errors import ReplicaCorrupt
from anabranch.replica import dictionary
from anabranch.replica.file import Connection, NoSuchWord
from anabranch.replica.queries import SQL

if TYPE_CHECKING:
    from anabranch_sync import notice_body
    from anabranch_sync.pull import Notice
else:
    later(globals(), "anabranch_sync", "notice_body")

# Compared with bytes on our own disk: 64 bits make an accident impossible.
CHECKSUM_BYTES = 8
NO_DIGEST = bytes(DIGEST_BYTES)


@dataclass(frozen=True, slots=True)
class Position:
    """The row of the replica, and when a schema last changed (-1: there is none).

    `prefixes` are those of its scope, as `rescoping.scope_of` reads them.
    """

    incarnation: int
    cursor: Cursor
    base: Cursor
    push_mark: int
    push_chain: bytes
    last_local: int
    last_chain: bytes
    last_timestamp: int
    digest: ScopeDigest
    revision: int
    prefixes: str
    schemas_revision: int


@dataclass(frozen=True, slots=True)
class Shown:
    """The row of a document in short. `row` 0: there is none yet.

    `live`: readers see something. `version` is the head's, which they see only if it is `served`.
    """

    row: int = 0
    revision: int = 0
    version: int = 0
    pending: int = 0
    live: bool = False
    served: Served = Served.HEAD


NOT_SHOWN = Shown()
_SERVED = frozenset(Served)


@dataclass(frozen=True, slots=True)
class Rot:
    """Names damage: which file, which place, what to do."""

    path: Path

    def at(self, place: str) -> ReplicaCorrupt:
        """The error for damaged bytes at `place`."""
        return ReplicaCorrupt(
            str(self.path),
            f"the bytes of {place} are not those that were written",
            "check the disk; all else is still readable: `anabranch export` what the hub lacks, move the "
            "file aside and enrol again with `anabranch init`",
        )


def position(connection: Connection) -> Position:
    """Where the replica stands."""
    row = connection.execute(SQL["standing"]).fetchone()
    incarnation, epoch, hub_seq, base_epoch, base_seq, mark, chain, last, last_chain, timestamp = row[:10]
    count, total, revision, prefixes, schemas = row[10:]
    return Position(
        incarnation,
        Cursor(epoch, hub_seq),
        Cursor(base_epoch, base_seq),
        mark,
        chain,
        last,
        last_chain,
        timestamp,
        ScopeDigest(count, int.from_bytes(total, "big")),
        revision,
        prefixes,
        -1 if schemas is None else schemas,
    )


def shown(connection: Connection, document: DocumentId) -> Shown:
    """The row of a document, or NOT_SHOWN."""
    row = connection.execute(SQL["document"], (document.namespace, document.key)).fetchone()
    if row is None:
        return NOT_SHOWN
    number, revision, version, pending, live, served = row
    if served not in _SERVED:
        raise NoSuchWord(served)
    return Shown(number, revision, version, pending, live != 0, Served(served))


def row_of(connection: Connection, document: DocumentId) -> int:
    """The number of a document's row, which is made if need be."""
    known = shown(connection, document).row
    if known:
        return known
    cursor = connection.execute(SQL["add_document"], (document.namespace, document.key))
    return int(cursor.lastrowid or 0)


def visible_body(
    connection: Connection, document: DocumentId, row: int, rot: Rot
) -> tuple[LocalSeq, Document] | None:
    """What readers see, if it was kept, and the last change in it. Raises ReplicaCorrupt."""
    kept = connection.execute(SQL["visible"], (row,)).fetchone()
    if kept is None:
        return None
    upto, checksum, body = kept
    if checksum_of(document, body) != checksum:
        raise rot.at(str(document))
    return upto, _decoded(document, body, rot)


def confirmed_body(connection: Connection, document: DocumentId, row: int, rot: Rot) -> tuple[Document, int]:
    """The registers the hub confirmed and the digest of their content. Raises ReplicaCorrupt."""
    stored = connection.execute(SQL["confirmed"], (row,)).fetchone()
    if stored is None:
        return EMPTY, 0
    encoded, digest = unpacked(document, stored[:3], dictionary.opened(stored[3]), rot)
    return _decoded(document, encoded, rot), digest


def unpacked(
    document: DocumentId, columns: tuple[bytes, bytes, bytes], behind: Dictionary | None, rot: Rot
) -> tuple[bytes, int]:
    """What the hub confirmed as it is encoded, and the digest of its content. Raises ReplicaCorrupt.

    `columns` are digest, checksum and body of the row, `behind` is what it was packed behind.
    """
    digest, checksum, body = columns
    if checksum_of_confirmed(document, digest, body, behind) != checksum:
        raise rot.at(str(document))
    try:
        return unseal(body, prefix=behind or b""), number(digest)
    except WireError as error:
        raise rot.at(str(document)) from error


def standing_body(connection: Connection, document: DocumentId, row: int, rot: Rot) -> Document:
    """The registers that readers see where no change of their own waits. Raises ReplicaCorrupt.

    Those that the hub confirmed, unless newer ones overtook the pull that would confirm them.
    """
    ahead = connection.execute(SQL["ahead"], (row,)).fetchone()
    if ahead is None:
        return confirmed_body(connection, document, row, rot)[0]
    checksum, body = ahead
    if checksum_of(document, body) != checksum:
        raise rot.at(str(document))
    return _decoded(document, body, rot)


def put_confirmed(
    connection: Connection,
    document: DocumentId,
    row: int,
    state: Document,
    digest: int,
    behind: Dictionary | None = None,
) -> None:
    """Store what the hub confirmed; `digest` is that of its content, `behind` the replica's dictionary."""
    pack(connection, document, row, encode_document(state), digest, behind)


def pack(
    connection: Connection,
    document: DocumentId,
    row: int,
    encoded: bytes,
    digest: int,
    behind: Dictionary | None,
) -> None:
    """Store what the hub confirmed, as it is encoded."""
    body = seal(encoded, LEVEL_STORED, behind)
    packed = digest_bytes(digest)
    checksum = checksum_of_confirmed(document, packed, body, behind)
    connection.execute(SQL["put_confirmed"], (row, packed, checksum, body))


def put_visible(
    connection: Connection, document: DocumentId, row: int, upto: LocalSeq, state: Document
) -> None:
    """Keep what readers see with the outbox merged up to `upto`."""
    body = encode_document(state)
    connection.execute(SQL["put_visible"], (row, upto, checksum_of(document, body), body))


def put_entry(connection: Connection, new: Entry, chain: bytes, now_ms: int) -> None:
    """Store a change in the outbox."""
    columns = (new.dot.local_seq, now_ms, chain, _checked(new.body), new.body, new.priority)
    connection.execute(SQL["write"], columns)


def entry(incarnation: Incarnation, columns: tuple[LocalSeq, bytes, bytes, int], rot: Rot) -> Entry:
    """The change of a row (local_seq, checksum, body, priority) of the outbox. Raises ReplicaCorrupt."""
    local_seq, known, body, priority = columns
    place = f"change {incarnation}:{local_seq} in the outbox"
    if not isinstance(body, bytes) or _checked(body) != known:
        raise rot.at(place)
    try:
        return Entry(Dot(incarnation, local_seq), decode(body), body, priority)
    except WireError as error:
        raise rot.at(place) from error


def pack_notice(notice: Notice) -> bytes:
    """A notice as stored."""
    body: bytes = msgpack.packb(notice_body.packed_notice(notice))
    return body


def unpack_notice(body: bytes) -> Notice:
    """The notice of stored bytes."""
    return notice_body.unpacked_notice(unpack(body))


def digest_bytes(digest: int) -> bytes:
    """A digest as stored."""
    return digest.to_bytes(DIGEST_BYTES, "big")


def number(digest: bytes) -> int:
    """A stored digest."""
    return int.from_bytes(digest, "big")


def _decoded(document: DocumentId, body: bytes, rot: Rot) -> Document:
    try:
        return decode_document(body)
    except WireError as error:
        raise rot.at(str(document)) from error


def _checked(body: bytes) -> bytes:
    return blake2b(body, digest_size=CHECKSUM_BYTES).digest()


def checksum_of(document: DocumentId, body: bytes) -> bytes:
    """What shows that bytes stored for a document are still those, and still that document's."""
    address = f"{document.namespace}\n{document.key}\n".encode()
    return blake2b(address + body, digest_size=CHECKSUM_BYTES).digest()


def checksum_of_confirmed(
    document: DocumentId, digest: bytes, body: bytes, behind: Dictionary | None
) -> bytes:
    """The same of what is confirmed; it covers what the body is packed behind, if it is."""
    mark = behind.mark if behind is not None and is_prefixed(body) else b""
    return checksum_of(document, digest + body + mark)
