"""The documents in memory: what has been read once is answered without touching the file again.

`PRAGMA data_version` says whether anybody else has committed since the last look; the reading
connection never writes, so everything counts as somebody else, our own writer included. Then the
documents whose revision is newer are dropped, and only they. An entry is thus never older than the
last commit that was acknowledged before the read began, in whichever process.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING

from anabranch_sync.document import EMPTY, Document, Object, rebuild
from anabranch_sync.ids import DocumentId
from anabranch_sync.later import later
from anabranch_sync.live import Served
from anabranch_sync.policy import NO_POLICIES, SCHEMA_NAMESPACE, Policies, policies_from

from anabranch.errors import ReplicaCorrupt
from anabranch.replica.contents import leaf_count
from anabranch.replica.file import Connection, NoSuchWord, ReplicaFile
from anabranch.replica.queries import SQL
from anabranch.replica.rows import NOT_SHOWN, Rot, Shown, confirmed_body, position, shown
from anabranch.replica.seen import Heard, Link, Visible
from anabranch.replica.show import Decoded, visible_state

if TYPE_CHECKING:
    from anabranch.replica import serving
    from anabranch.replica.serving import Aside
else:
    later(globals(), "anabranch.replica", "serving")

# A register and its value take about 400 bytes: this bounds the shelf to some 200 MB for scopes far
# larger than any met, and holds 5,000 documents of 2 KB. Absent documents are bounded by number.
SHELF_REGISTERS_MAX = 500_000
SHELF_DOCUMENTS_MAX = 100_000
_LINKS = frozenset(Link)


class Held:
    """A document in memory: its row, its registers, and once somebody reads it, its content.

    `aside` is what readers get instead of the head.
    """

    __slots__ = ("_head", "_tight", "aside", "shown", "state")

    def __init__(self, shown: Shown, state: Document, aside: Aside | None = None) -> None:
        self.shown = shown
        self.state = state
        self.aside = aside
        self._head: Visible | None = None
        self._tight: bool | None = None

    @property
    def head(self) -> Visible | None:
        """All that has merged, what edits are made over; None: deleted, or never written."""
        if self._head is None and self.shown.row:
            content = rebuild(self.state.registers)
            if content is not None:
                self._head = Visible(content, self.shown.version, self.shown.pending)
        return self._head

    @property
    def visible(self) -> Visible | None:
        """What its readers get; None: nothing."""
        aside = self.aside
        if aside is None:
            return self.head
        if aside.content is None:
            return None
        return Visible(aside.content, aside.version, self.shown.pending, True, aside.violations)

    @property
    def content(self) -> Object | None:
        """The content of the head."""
        head = self.head
        return None if head is None else head.content

    @property
    def is_tight(self) -> bool:
        """Whether each leaf of the content is one live register, and there is no other."""
        if self._tight is None:
            # Each leaf was made of a live register at its path: as many of both, and none is left over.
            live = [slot for slot, register in self.state.registers.items() if register.live]
            is_plain = all(slot.element is None for slot in live)
            self._tight = is_plain and len(live) == leaf_count(self.content)
        return self._tight

    def written_as(self, content: Object | None) -> None:
        """Its registers were just written from `content` (ordered), by `contents.between`."""
        self._tight = True
        self._head = None if content is None else Visible(content, self.shown.version, self.shown.pending)

    @property
    def registers(self) -> int:
        """How many registers it holds: a measure of the memory it takes."""
        return len(self.state.registers)


ABSENT = Held(NOT_SHOWN, EMPTY)


class Shelf:
    """Safe for several threads: entries are replaced whole, and none that is older than `_revision` is kept.

    Every entry was right at `_revision` or later; `_keeping` guards both together.
    """

    def __init__(self, file: ReplicaFile, rot: Rot) -> None:
        self._file = file
        self.rot = rot
        self._held: dict[DocumentId, Held] = {}
        self._keeping = threading.Lock()
        self._registers = 0
        self._connection: Connection | None = None
        self._data_version = 0
        self._revision = -1
        self._heard = Heard(None, None, None, None)
        self._policies: tuple[int, Policies] = (-1, NO_POLICIES)
        self.decoded = Decoded()
        self.view = 0

    def look(self) -> int:
        """A number that differs whenever readers may see something else than before."""
        connection = self._file.reader
        if connection is None or connection is not self._connection:
            return self._refresh()
        try:
            with self._file.read_lock:  # amid another thread's snapshot SQLite would answer of that one
                (data_version,) = next(connection.execute("PRAGMA data_version"))
                if data_version == self._data_version:
                    return self.view
        except Exception:  # noqa: BLE001  (whatever it was, the slow way meets it again and names it)
            pass
        return self._refresh()

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

    def held_in(self, connection: Connection, document: DocumentId, revision: int) -> Held:
        """The document as a transaction sees it that began at `revision`; from memory if still the same."""
        is_current = revision == self._revision  # asked first: what is held then is no older
        known = self._held.get(document)
        if known is not None and is_current:
            return known
        row = shown(connection, document)
        if known is not None and known.shown == row:
            return known
        return self._read(connection, document, row)

    def policies_in(self, connection: Connection) -> Policies:
        """The policies in force as a transaction sees them."""
        return self.policies_at(connection, position(connection).schemas_revision)

    def policies_at(self, connection: Connection, revision: int) -> Policies:
        """The policies in force where the schemas last changed in `revision`."""
        known_revision, policies = self._policies
        if revision != known_revision:
            policies = _policies(connection, self.rot)
            self._policies = (revision, policies)
        return policies

    def forget_policies(self) -> None:
        """A transaction that read them was rolled back, or changes them."""
        self._policies = (-2, NO_POLICIES)

    def put_written(self, documents: Mapping[DocumentId, Held], revision: int) -> None:
        """Keep what a transaction that is now committed has written, as `revision`."""
        with self._keeping:
            # An empty shelf has missed nothing: so a program that only writes finds there what it wrote.
            is_all = self._revision == revision - 1 or not self._held
            for document, held in documents.items():
                self._keep(document, held, revision)
            if is_all:
                self._revision = max(revision, self._revision)

    def _keep(self, document: DocumentId, held: Held, revision: int) -> None:
        """Keep an entry that was right at `revision`, unless the shelf has gone beyond that by now."""
        before = self._held.get(document)
        if revision < self._revision or (before and before.shown.revision > held.shown.revision):
            return
        self._registers += held.registers - (before.registers if before else 0)
        self._held[document] = held
        if self._registers > SHELF_REGISTERS_MAX or len(self._held) > SHELF_DOCUMENTS_MAX:
            self._held = {document: held}
            self._registers = held.registers

    def _load(self, document: DocumentId) -> Held:
        with self._file.snapshot() as connection:
            revision = position(connection).revision
            row = shown(connection, document)
            if (
                not row.row
                and connection.execute(SQL["named"], (document.namespace, document.key)).fetchone()
            ):
                raise self.rot.at(f"the index of {document}")
            held = self._read(connection, document, row)
        with self._keeping:
            self._keep(document, held, revision)
        return held

    def _read(self, connection: Connection, document: DocumentId, row: Shown) -> Held:
        if not row.row:
            return ABSENT
        policies = self.policies_in(connection) if row.pending else NO_POLICIES
        state = visible_state(connection, document, row, policies, self.rot, self.decoded)
        if state.version != row.version:  # a row is missing, or one of the numbers is not what was written
            raise self.rot.at(str(document))
        if row.served is Served.HEAD:
            return Held(row, state)
        seen = serving.aside(connection, document, row.row, state, row.served, policies, self.rot)
        return Held(row, state, seen)

    def _refresh(self) -> int:
        with self._file.reading() as connection:
            (data_version,) = next(connection.execute("PRAGMA data_version"))
            if connection is not self._connection:
                self._forget()
            # Read first: what changes from here on is looked at again, next time.
            link, heard_ms, applied_ms, offset, revision = connection.execute(SQL["link"]).fetchone()
            if link is not None and link not in _LINKS:
                raise NoSuchWord(link)
            with self._keeping:
                if self._held:
                    changed = connection.execute(SQL["changed"], (self._revision,)).fetchall()
                    for namespace, key, latest, _ in changed:
                        self._drop(DocumentId(namespace, key), latest)
                self._revision = max(revision, self._revision)
            self._heard = Heard(None if link is None else Link(link), heard_ms, applied_ms, offset)
            self.view += 1
            # Last, so that another thread's quick look cannot pass before the entries are dropped.
            self._connection, self._data_version = connection, data_version
            return self.view

    def _drop(self, document: DocumentId, revision: int) -> None:
        known = self._held.get(document)
        if known is not None and known.shown.revision < revision:
            self._registers -= known.registers
            del self._held[document]

    def _forget(self) -> None:
        with self._keeping:
            self._held = {}
            self._registers = 0
            self._revision = -1
            self.forget_policies()


def _policies(connection: Connection, rot: Rot) -> Policies:
    """Built from the schemas readers see; one that is damaged is reported when it is read itself."""
    found = []
    for namespace, key in connection.execute(SQL["schema_documents"], (SCHEMA_NAMESPACE,)).fetchall():
        document = DocumentId(namespace, key)
        try:
            row = shown(connection, document)
            held = Held(row, confirmed_body(connection, document, row.row, rot)[0])
        except ReplicaCorrupt:
            continue
        if held.visible is not None:
            found.append((document, held.visible.version, held.visible.content))
    return policies_from(found)
