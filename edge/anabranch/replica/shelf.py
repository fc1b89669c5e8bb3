"""The documents in memory: what has been read once is answered without touching the file again.

`PRAGMA data_version` says whether anybody else has committed since the last look; the reading
connection never writes, so everything counts as somebody else, our own writer included. Then the
documents whose revision is newer are dropped, and only they. An entry is thus never older than the
last commit that was acknowledged before the read began, in whichever process.
"""

from dataclasses import dataclass

from anabranch_sync.document import EMPTY, Document, Object, digest, rebuild
from anabranch_sync.ids import DocumentId
from anabranch_sync.policy import NO_POLICIES, SCHEMA_NAMESPACE, Policies, policies_from

from anabranch.errors import ReplicaCorrupt
from anabranch.replica.facts import Heard, Link, Visible
from anabranch.replica.file import Connection, ReplicaFile
from anabranch.replica.queries import SQL
from anabranch.replica.rows import NOT_SHOWN, Rot, Shown, number, shown, visible_body

# Content in memory takes some ten times its bytes in the file; this bounds the shelf to about 200 MB
# for scopes far larger than any met, and holds 5,000 documents of 2 KB several times over.
SHELF_BYTES_MAX = 20 * 1024 * 1024
# What an entry costs beside its content; also bounds how many absent documents are remembered.
_ENTRY_BYTES = 200


@dataclass(frozen=True, slots=True)
class Held:
    """A document in memory: its row, its registers and what its readers get (None: deleted)."""

    shown: Shown
    state: Document
    visible: Visible | None
    size_bytes: int


ABSENT = Held(NOT_SHOWN, EMPTY, None, _ENTRY_BYTES)


class Shelf:
    """Safe for several threads: entries are replaced whole, and made under the reading lock."""

    def __init__(self, file: ReplicaFile, rot: Rot) -> None:
        self._file = file
        self._rot = rot
        self._held: dict[DocumentId, Held] = {}
        self._size_bytes = 0
        self._connection: Connection | None = None
        self._data_version = 0
        self._revision = -1
        self._heard = Heard(None, None, None, None)
        self._policies: tuple[int, Policies] = (-1, NO_POLICIES)
        self.view = 0

    def look(self) -> int:
        """A number that differs whenever readers may see something else than before."""
        connection = self._file.reader
        if connection is None or connection is not self._connection:
            return self._refresh()
        try:
            (data_version,) = next(connection.execute("PRAGMA data_version"))
        except Exception:  # noqa: BLE001  (whatever it was, the slow way meets it again and names it)
            return self._refresh()
        return self.view if data_version == self._data_version else self._refresh()

    def held(self, document: DocumentId) -> Held:
        """The document as it is now. Raises ReplicaCorrupt."""
        self.look()
        return self._held.get(document) or self._load(document)

    def heard(self) -> Heard:
        """What is known of the link."""
        self.look()
        return self._heard

    def policies(self) -> Policies:
        """The policies in force."""
        self.look()
        with self._file.reading() as connection:
            return self.policies_in(connection)

    # For a writer inside its transaction, on its own connection.

    def held_in(self, connection: Connection, document: DocumentId) -> Held:
        """The document as a transaction sees it; from memory if that is still the same."""
        row = shown(connection, document)
        known = self._held.get(document)
        if known is not None and known.shown == row:
            return known
        return read_held(connection, document, row, self._rot)

    def policies_in(self, connection: Connection) -> Policies:
        """The policies in force as a transaction sees them."""
        (newest,) = connection.execute(SQL["schemas_revision"], (SCHEMA_NAMESPACE,)).fetchone()
        revision = -1 if newest is None else int(newest)
        known_revision, policies = self._policies
        if revision != known_revision:
            policies = _policies(connection, self._rot)
            self._policies = (revision, policies)
        return policies

    def forget_policies(self) -> None:
        """A transaction that read them was rolled back, or changes them."""
        self._policies = (-2, NO_POLICIES)

    def put(self, document: DocumentId, held: Held) -> None:
        """Keep what a transaction that is now committed has written."""
        before = self._held.get(document)
        self._size_bytes += held.size_bytes - (before.size_bytes if before else 0)
        self._held[document] = held
        if self._size_bytes > SHELF_BYTES_MAX:
            self._held = {document: held}
            self._size_bytes = held.size_bytes

    def _load(self, document: DocumentId) -> Held:
        with self._file.snapshot() as connection:
            held = read_held(connection, document, shown(connection, document), self._rot)
            self.put(document, held)
            return held

    def _refresh(self) -> int:
        with self._file.reading() as connection:
            (data_version,) = next(connection.execute("PRAGMA data_version"))
            if connection is not self._connection:
                self._held = {}
                self._size_bytes = 0
                self._revision = -1
                self.forget_policies()
            for namespace, key, revision, _ in connection.execute(SQL["changed"], (self._revision,)):
                known = self._held.get(DocumentId(namespace, key))
                if known is not None and known.shown.revision < revision:
                    self._size_bytes -= known.size_bytes
                    del self._held[DocumentId(namespace, key)]
                self._revision = max(self._revision, revision)
            link, heard_ms, applied_ms, offset, _ = connection.execute(SQL["link"]).fetchone()
            self._heard = Heard(None if link is None else Link(link), heard_ms, applied_ms, offset)
            self.view += 1
            # Last, so that another thread's quick look cannot pass before the entries are dropped.
            self._connection, self._data_version = connection, data_version
            return self.view


def read_held(connection: Connection, document: DocumentId, row: Shown, rot: Rot) -> Held:
    """The document from the file, its checksum and digest compared. Raises ReplicaCorrupt."""
    if not row.row:
        return ABSENT
    state, size_bytes = visible_body(connection, document, row.row, rot)
    content = rebuild(state.registers)
    if digest(document, content) != number(row.digest):
        raise rot.at(str(document))
    return hold(row, state, content, size_bytes)


def hold(row: Shown, state: Document, content: Object | None, size_bytes: int) -> Held:
    """The entry for registers whose live ones are `content`."""
    visible = None if content is None else Visible(content, row.version, row.pending)
    return Held(row, state, visible, _ENTRY_BYTES + size_bytes)


def _policies(connection: Connection, rot: Rot) -> Policies:
    """Built from the schemas readers see; one that is damaged is reported when it is read itself."""
    found = []
    for namespace, key in connection.execute(SQL["schema_documents"], (SCHEMA_NAMESPACE,)).fetchall():
        document = DocumentId(namespace, key)
        try:
            held = read_held(connection, document, shown(connection, document), rot)
        except ReplicaCorrupt:
            continue
        if held.visible is not None:
            found.append((document, held.visible.version, held.visible.content))
    return policies_from(found)
