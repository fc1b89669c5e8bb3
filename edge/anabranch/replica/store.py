"""The replica: one durable copy of a scope, in one SQLite file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from anabranch_sync.change import CHAIN_START
from anabranch_sync.errors import InvalidInput
from anabranch_sync.ids import (
    DocumentId,
    Dot,
    HubSeq,
    Incarnation,
    LocalSeq,
    check_author,
    check_edge,
    check_tenant,
    check_told,
)
from anabranch_sync.later import later
from anabranch_sync.scope import told_scope

from anabranch.errors import DiskFull, ReplicaCorrupt, ReplicaError, StagedPartDamaged
from anabranch.replica.agent_lock import agent_lock, agent_running, agent_says
from anabranch.replica.file import Connection, ReplicaFile, T
from anabranch.replica.marks import Loss
from anabranch.replica.parcels import Parcels
from anabranch.replica.queries import SQL
from anabranch.replica.read_only import is_read_only
from anabranch.replica.rescoping import stored_scope
from anabranch.replica.rows import NO_DIGEST, Rot
from anabranch.replica.schema import prepare
from anabranch.replica.seen import Link
from anabranch.replica.shelf import Held, Shelf

if TYPE_CHECKING:
    from anabranch_sync.acknowledgement import Marks
    from anabranch_sync.budget import Budget
    from anabranch_sync.change import Entry
    from anabranch_sync.digest import ScopeDigest
    from anabranch_sync.edge_session import Proved
    from anabranch_sync.policy import Policies
    from anabranch_sync.pull import Notice, Pull
    from anabranch_sync.reference import Reference
    from anabranch_sync.reoffer import Reoffer
    from anabranch_sync.revision import Contents
    from anabranch_sync.scope import Scope
    from anabranch_sync.standing import Standing
    from anabranch_sync.violation import Violation
    from anabranch_sync.witness import Witnessed

    from anabranch.replica import (
        acknowledgements,
        apply,
        commit,
        creation,
        equality,
        exchange,
        facts,
        log,
        looking,
        overtaking,
        past,
        reoffer,
        salvage,
        staging,
        subscribing,
    )
    from anabranch.replica import traffic as carried
    from anabranch.replica.acknowledgements import Acknowledged
    from anabranch.replica.commit import Compose, Written
    from anabranch.replica.equality import Equality
    from anabranch.replica.facts import Edit, Facts, Known, LinkMode, Listed, LogLine, Past, Refused, SetAside
    from anabranch.replica.log import LogState
    from anabranch.replica.reoffer import HubRestored
    from anabranch.replica.salvage import Salvage
    from anabranch.replica.seen import Heard, Visible
    from anabranch.replica.subscribing import Subscribing
else:
    later(
        globals(),
        "anabranch.replica",
        *("acknowledgements", "apply", "commit", "creation", "equality", "exchange", "facts"),
        *("log", "looking"),
        *("overtaking", "past", "reoffer", "salvage", "staging", "subscribing"),
        carried="traffic",
    )


class Replica:
    """One SQLite file, safe for several processes and, in each, for several threads.

    Everything that writes is durable when it returns, or has changed nothing when it raises; only
    after StorageFailed the outcome is unknown. Reads never wait for a write. Not safe across
    `os.fork`: open the replica in the child.
    """

    tenant: str
    edge: str
    author: str

    def __init__(self, file: ReplicaFile) -> None:
        self._file = file
        self._rot = Rot(file.path)
        self._shelf = Shelf(file, self._rot)
        self._is_unswept = False

    @classmethod
    def create(
        cls,
        path: str | Path,
        *,
        tenant: str,
        edge: str,
        prefixes: tuple[str, ...],
        incarnation: Incarnation,
        hub_epoch: int = 0,
        author: str,
    ) -> Replica:
        """Make a new replica, its file readable by its owner only. Raises ReplicaExists, InvalidName."""
        target = Path(path)
        row = {
            "tenant": check_tenant(tenant),
            "edge": check_edge(edge),
            "author": check_author(author),
            "prefixes": json.dumps(told_scope(prefixes).prefixes),
            "incarnation": incarnation,
            "epoch": hub_epoch,
            "chain": CHAIN_START,
            "zero": NO_DIGEST,
        }
        with creation.creating(target) as (aside, connection):
            prepare(connection, aside)
            connection.execute(SQL["create_replica"], row)
        replica = cls.open(target)
        with suppress(DiskFull):  # the first write tries again, and is refused where it cannot
            replica._file.lay_ballast()
        return replica

    @classmethod
    def open(cls, path: str | Path) -> Replica:
        """Open an existing replica, and check the whole file if the last stop was unclean.

        Raises ReplicaMissing, ReplicaCorrupt, ReplicaTooNew, ReplicaUnwritable.
        """
        replica = cls(ReplicaFile(Path(path)))
        try:
            replica._file.open()
            with replica._file.reading() as connection:
                prepare(connection, replica.path)
                replica._file.look_for_losses()
                identity = connection.execute(SQL["identity"]).fetchone()
            if identity is None:
                raise ReplicaCorrupt(str(path), "the row that says whose replica this is is missing")
            try:
                replica.tenant = check_tenant(identity[0])
                replica.edge = check_edge(identity[1])
                check_told(identity[2])
                replica.author = identity[2]
                _ = replica.scope
            except (ValueError, TypeError, InvalidInput) as error:
                raise ReplicaCorrupt(
                    str(path), "the row that says whose replica this is is damaged"
                ) from error
        except BaseException:
            replica.close()
            raise
        return replica

    def close(self) -> None:
        """Let go of the file. Safe to repeat."""
        self._file.close()

    def __enter__(self) -> Replica:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def vacuum(self) -> None:
        """Write the file anew, once, if it is of before what is deleted was overwritten. Safe to repeat."""
        self._file.vacuum()

    @property
    def path(self) -> Path:
        """The file."""
        return self._file.path

    @property
    def scope(self) -> Scope:
        """What is replicated and may be written here. It may change at any time."""
        with self._file.reading() as connection:
            return stored_scope(connection)

    @property
    def loss(self) -> Loss | None:
        """What was acknowledged and is missing: found when the file was opened, kept until `forget_loss`."""
        return self._file.loss

    def forget_loss(self) -> None:
        """Somebody has read of it."""
        self._file.forget_loss()

    # Reading.

    def read(self, document: DocumentId) -> Visible | None:
        """The document as it stands, the outbox merged into it. Raises ReplicaCorrupt."""
        try:
            return self._held(document).visible
        except ReplicaCorrupt:
            self.equality.note_damage(document)
            raise

    def head(self, document: DocumentId) -> Visible | None:
        """All that has merged and waits here, also where that is invalid and readers do not see it."""
        return self._held(document).head

    def violations(self, document: DocumentId) -> tuple[Violation, ...]:
        """What is wrong with the head, where readers do not see it for that reason."""
        aside = self._held(document).aside
        return () if aside is None else aside.violations

    def _held(self, document: DocumentId) -> Held:
        return self.salvaging(lambda: self._shelf.held(document))

    def salvaging(self, work: Callable[[], T]) -> T:
        """Do `work`; where it meets damage in the outbox, once more without what is damaged there."""
        try:
            return work()
        except ReplicaCorrupt:
            is_salvaged = False
            with suppress(ReplicaError):  # on a disk that takes no writes, `work` tells what it met
                is_salvaged = self.salvage.run()
            if not is_salvaged:
                raise
            return work()

    def look(self) -> int:
        """A number that changes whenever readers may see something else; costs some microseconds."""
        return self._shelf.look()

    def documents(self, prefix: str = "") -> list[Listed]:
        """The live documents whose namespace is `prefix` or lies below it, by name."""
        with self._file.reading() as connection:
            return looking.documents(connection, prefix, self._rot)

    def changed(self, revision: int) -> tuple[int, list[DocumentId]]:
        """The newest revision, and the documents whose content is another than at `revision`."""
        with self._file.reading() as connection:
            rows = connection.execute(SQL["changed"], (revision,)).fetchall()
        newest = max((row[2] for row in rows), default=revision)
        return newest, [DocumentId(row[0], row[1]) for row in rows if row[3] > revision]

    def policies(self) -> Policies:
        """The merge policies in force here."""
        return self._shelf.policies()

    # Writing.

    def commit(
        self,
        edits: Sequence[Edit],
        *,
        author: str,
        message: str,
        now_ms: int,
        restores: int = 0,
        priority: int | None = None,
    ) -> Entry | None:
        """Write these contents as one change; None when nothing changes.

        `priority`: how pressing it is, 0 (urgent) to 3; without it that of its most pressing document.
        Raises InvalidInput (Invalid where a schema forbids it), Denied, VersionMismatch, ReplicaError.
        """
        made = [commit.checked(edit) for edit in edits]
        written = self.compose(
            lambda _: made,
            author=author,
            message=message,
            now_ms=now_ms,
            restores=restores,
            priority=priority,
        )
        return None if written is None else written.entry

    def compose(
        self,
        edits: Compose,
        *,
        author: str,
        message: str,
        now_ms: int,
        restores: int = 0,
        priority: int | None = None,
    ) -> Written | None:
        """`commit` of edits that are made from what stands, inside the transaction.

        Two processes that each set a field of one document so never overwrite each other. `edits`
        gives contents that are checked JSON (`document.check_content` bar the size) under checked
        names, and is quick: every other writer waits for it.
        """

        def work(connection: Connection) -> Written | None:
            about = commit.About(author, message, now_ms, restores, priority)
            return commit.commit(connection, edits, self._shelf, about, self._file.require_room)

        written = self.salvaging(lambda: self._file.write(work))
        if written is not None:
            self._shelf.put_written(written.documents, written.revision)
        return written

    # The exchange.

    def standing(self) -> Standing:
        """Where the replica stands, in one snapshot."""
        with self._file.snapshot() as connection:
            return exchange.standing(connection, self._rot)

    def most_pressing_unsent(self) -> int | None:
        """The priority of the most pressing change that has not reached the hub; None: all have."""
        with self._file.snapshot() as connection:
            return exchange.most_pressing_unsent(connection)

    def noticed(self) -> exchange.Noticed:
        """What an exchange looks for whenever something was written here."""
        with self._file.snapshot() as connection:
            return exchange.noticed(connection)

    def pending(self, after: LocalSeq) -> list[Entry]:
        """The changes of the outbox after `after`, as many as one push may carry, oldest first.

        Raises ReplicaCorrupt, OutboxSalvaged.
        """
        with self._file.snapshot() as connection:
            return exchange.pending(connection, after, self._rot)

    def to_push(self, after: LocalSeq) -> tuple[list[Entry], Contents]:
        """`pending`, and the confirmed documents by which these changes are said."""
        with self._file.snapshot() as connection:
            return exchange.to_push(connection, after, self._rot)

    def contents(self, documents: Iterable[DocumentId]) -> Contents:
        """What these documents are, of those that are confirmed and not damaged."""
        with self._file.snapshot() as connection:
            return exchange.contents(connection, documents, self._rot)

    def acknowledge(self, push_mark: LocalSeq, chain: bytes) -> None:
        """The hub has merged own changes up to `push_mark`. Safe to repeat; a mark never goes back.

        The changes stay, as part of what readers see, until a pull names their positions.
        """
        mark = {"mark": push_mark, "chain": chain}
        self._file.write(lambda connection: connection.execute(SQL["acknowledge"], mark))

    def overtake(self, pull: Pull) -> bool:
        """Show readers the urgent documents of `pull`, until an applied one comes as far. Safe to repeat.

        Returns whether one of them has to wait for a pull.
        """

        def work(connection: Connection) -> bool:
            self._file.require_room()
            return overtaking.overtake(connection, pull)

        return self._file.write(work)

    def note_stored(self, stored_mark: LocalSeq) -> None:
        """The other side has own changes up to `stored_mark` on disk. Safe to repeat; never goes back."""
        self._file.write(lambda connection: connection.execute(SQL["note_stored"], {"mark": stored_mark}))

    def store_part(self, batch: bytes, total: int, offset: int, piece: bytes) -> None:
        """Make one more piece of an inbound batch durable. Safe to repeat.

        One batch is kept: the first piece of another replaces it. Raises ProtocolViolation for a gap.
        """

        def work(connection: Connection) -> None:
            self._file.require_room()
            exchange.store_part(connection, batch, total, offset, piece)

        self._file.write(work)

    def discard(self) -> None:
        """Drop the pieces of the batch under way: they are not of what they were said to be."""
        self._file.write(exchange.discard)

    def stage(self, names: Collection[bytes]) -> None:
        """Keep of the parts that are here only those of this snapshot."""
        self._file.write(lambda connection: staging.stage(connection, names))

    def keep(self, name: bytes, sealed: bytes) -> None:
        """Make a part of a snapshot durable, in place of its pieces. Safe to repeat."""

        def work(connection: Connection) -> None:
            self._file.require_room()
            staging.keep(connection, name, sealed)

        self._file.write(work)

    def apply(
        self,
        pull: Pull,
        now_ms: int,
        reoffer: Reoffer | None = None,
        rescoped: Scope | None = None,
    ) -> ScopeDigest:
        """Apply `pull`: documents, outbox and cursor move in one transaction.

        With `reoffer`, what the restored hub lacks goes into the outbox in that transaction. With `rescoped`,
        that is the scope from then on, and what is outside of it leaves the disk.
        Returns the digest of the confirmed documents. Raises ProtocolViolation when the pull starts
        elsewhere than at the cursor, so that one that comes twice changes nothing; StagedPartDamaged when
        a part of its snapshot is not what had come: then that part is dropped, and comes again.
        """

        def work(connection: Connection) -> ScopeDigest:
            self._file.require_room()
            return apply.apply(connection, pull, self._shelf, now_ms, self._rot, reoffer, rescoped)

        self._shelf.forget_policies()
        try:
            total = self._file.write(work)
            if rescoped is not None or self._is_unswept:
                self._is_unswept = not self._file.sweep()
            return total
        except StagedPartDamaged as damaged:
            name = damaged.name
            self._file.write(lambda connection: connection.execute(SQL["drop_staged"], (name,)))
            raise
        finally:
            self._shelf.forget_policies()

    def end(self, put_aside: Callable[[], None]) -> bool:
        """Put the file aside for good, while nobody writes; False, and it stays, if something is unsent."""

        def work(connection: Connection) -> bool:
            standing = exchange.standing(connection, self._rot)
            if standing.last_local > standing.push_mark:
                return False
            put_aside()
            return True

        return self._file.write(work)

    def adopt(self, incarnation: Incarnation) -> None:
        """Go on under `incarnation`: the outbox is numbered anew from 1, what was written stays.

        Safe to repeat.
        """
        self.salvaging(
            lambda: self._file.write(
                lambda connection: exchange.adopt(connection, incarnation, self._shelf, self._rot)
            )
        )

    def reset(self) -> None:
        """Forget the cursor, so that the next pull is whole. Safe to repeat; nothing readers see changes."""
        self._file.write(exchange.reset)

    def witness(
        self, witnessed: Witnessed, hub_seq: HubSeq, now_ms: int, *, epoch: int = 0, broken: str = ""
    ) -> None:
        """Keep a checkpoint of the hub's log that was verified, shown when the hub stood at `hub_seq`.

        `broken`: how it does not go on from the one before, which is kept too.
        """
        self._file.write(
            lambda connection: log.witness(connection, witnessed, hub_seq, now_ms, epoch, broken)
        )

    def distrust(self, reason: str, checkpoint: bytes, now_ms: int) -> None:
        """Keep what the hub showed of its log and was refused for."""
        self._file.write(lambda connection: log.distrust(connection, reason, checkpoint, now_ms))

    def forget_log(self) -> None:
        """Know nothing of the hub's log any more: whatever it shows next is believed, and pinned."""
        self._file.write(log.forget)

    @property
    def equality(self) -> Equality:
        """What range repair asks."""
        return equality.Equality(self._file)

    @property
    def salvage(self) -> Salvage:
        """What looks after a damaged outbox."""
        return salvage.Salvage(self._file, self._shelf)

    @property
    def parcels(self) -> Parcels:
        """What is remembered of courier files."""
        return Parcels(self._file)

    @property
    def subscribing(self) -> Subscribing:
        """What this edge asks for of what it was granted."""
        return subscribing.Subscribing(self._file)

    def hub_restores(self) -> tuple[HubRestored, ...]:
        """The restores of the hub from a backup that this replica has met."""
        with self._file.reading() as connection:
            return reoffer.hub_restores(connection)

    def heard(
        self,
        *,
        link: Link,
        now_ms: int,
        clock_offset_ms: int | None = None,
        proved: Proved | None = None,
        spent: tuple[int, int, int] | None = None,
    ) -> None:
        """Note the state of the link. `Link.UP`: at `now_ms` the hub had nothing newer than this replica.

        `proved`: and the documents were proved equal. `spent`: what `spend` takes, in the same transaction.
        """
        heard_ms = now_ms if Link(link) is Link.UP else None
        proof = (None, None) if proved is None else (proved.at_ms, proved.cursor.hub_seq)
        row = (str(Link(link)), heard_ms, clock_offset_ms, *proof)

        def note(connection: Connection) -> None:
            connection.execute(SQL["heard"], row)
            if spent is not None:
                carried.spend(connection, *spent)

        self._file.write(note)

    def spend(self, bytes_up: int, bytes_down: int, now_ms: int) -> None:
        """Count bytes that the link has carried."""
        self._file.write(lambda connection: carried.spend(connection, bytes_up, bytes_down, now_ms))

    def traffic(self, now_ms: int) -> carried.Traffic:
        """What the link has carried on this day and in this month, and what it may."""
        with self._file.snapshot() as connection:
            return carried.traffic(connection, now_ms)

    def traffic_days(self, days_max: int) -> tuple[carried.Day, ...]:
        """What the link carried on the newest days on which it carried something, newest first."""
        with self._file.snapshot() as connection:
            return carried.days(connection, days_max)

    def set_budget(self, budget: Budget) -> None:
        """Limit what the link may carry."""
        limits = (budget.day_bytes, budget.month_bytes)
        self._file.write(lambda connection: connection.execute(SQL["set_budget"], limits))

    def order_budget(self, budget: Budget) -> None:
        """Note what the hub's operator lets the link carry."""
        limits = (budget.day_bytes, budget.month_bytes)
        self._file.write(lambda connection: connection.execute(SQL["set_ordered_budget"], limits))

    def link_mode(self) -> LinkMode:
        """How this edge keeps in touch."""
        with self._file.reading() as connection:
            poll_ms, metered = connection.execute(SQL["link_mode"]).fetchone()
        return facts.LinkMode(poll_ms, bool(metered))

    def set_link_mode(self, mode: LinkMode) -> None:
        """Keep in touch so from the next start of the agent on."""
        row = (mode.poll_ms, int(mode.metered))
        self._file.write(lambda connection: connection.execute(SQL["set_link_mode"], row))

    def lock_agent(self) -> AbstractContextManager[Callable[[str], None]]:
        """Be this replica's agent for the block; gives what tells how it is. Raises ReplicaInUse."""
        return agent_lock(self.path)

    def agent_running(self) -> bool:
        """Whether some process is this replica's agent now."""
        return agent_running(self.path)

    def agent_says(self) -> str:
        """How the agent that runs said last that it is."""
        return agent_says(self.path)

    # Looking.

    def link(self) -> Heard:
        """What is known of the link, from memory."""
        return self._shelf.heard()

    def check_there(self) -> None:
        """Raises ReplicaMissing when the file was removed or replaced while it was open."""
        self._file.check_files()

    def is_read_only(self) -> bool:
        """Whether its disk takes no writes now."""
        return is_read_only(self.path)

    def has_reserve(self) -> bool:
        """Whether the room kept for deletes on a full disk is there."""
        return self._file.ballast.exists()

    def facts(self) -> Facts:
        """What `status` tells."""
        with self._file.snapshot() as connection:
            return looking.facts(connection, self._file, self._shelf.heard())

    def marks(self) -> Marks:
        """How far own changes have come."""
        with self._file.reading() as connection:
            return acknowledgements.marks(connection)[1]

    def acknowledged(self, dot: Dot, content_id: bytes, epoch: int) -> Acknowledged | None:
        """How far an own change, written in `epoch`, has come under whatever dot; None: it is not here."""
        with self._file.snapshot() as connection:
            return acknowledgements.acknowledged(connection, dot, content_id, epoch)

    def newest(self) -> Entry | None:
        """The last change of the outbox; None where nothing waits."""
        with self._file.snapshot() as connection:
            return exchange.newest(connection, self._rot)

    def log_state(self) -> LogState:
        """What is known of the hub's transparency log. Raises ReplicaCorrupt."""
        with self._file.snapshot() as connection:
            return log.log_state(connection, self._rot)

    def history(self, document: DocumentId) -> list[LogLine]:
        """What this replica knows of the document's past, oldest first; what waits comes last."""

        def work() -> list[LogLine]:
            with self._file.snapshot() as connection:
                return looking.history(connection, document, self._rot)

        return self.salvaging(work)

    def known(self, document: DocumentId) -> list[Known]:
        """The states of the document that can be read here, oldest first. Raises ReplicaCorrupt."""
        with self._file.snapshot() as connection:
            return past.known(connection, document, self._shelf.policies_in(connection), self._rot)

    def read_at(self, document: DocumentId, reference: Reference) -> Past | None:
        """The document as it stood here; None where it is known that it was not there yet.

        A time means what the hub had confirmed here by then, and own changes that wait from when they
        were written. Raises StateUnknown, ReplicaCorrupt.
        """
        with self._file.snapshot() as connection:
            policies = self._shelf.policies_in(connection)
            return past.read_at(connection, document, reference, policies, self._rot)

    def every_document(self) -> list[DocumentId]:
        """All documents that were ever here, deleted ones included, by name."""
        with self._file.reading() as connection:
            rows = connection.execute(SQL["all_documents"]).fetchall()
        return sorted(DocumentId(namespace, key) for _, namespace, key in rows)

    def notices(self) -> list[Notice]:
        """Conflicts that concern this replica, in the order of the hub's ledger."""
        with self._file.reading() as connection:
            return looking.notices(connection)

    def quarantined(self) -> list[SetAside]:
        """The documents whose merged whole is invalid, by name."""
        with self._file.reading() as connection:
            documents = looking.set_aside(connection)
        found = []
        for document in documents:
            held = self._shelf.held(document)
            if held.aside is not None:
                live_version = 0 if held.aside.content is None else held.aside.version
                told = (live_version, held.shown.version, held.shown.pending, held.aside.violations)
                found.append(facts.SetAside(document, *told))
        return found

    def refused(self) -> list[Refused]:
        """Own changes the hub refused, oldest first."""
        with self._file.reading() as connection:
            return looking.refused(connection)

    def verify(self) -> list[ReplicaCorrupt]:
        """Read every byte that can be checked; returns what is damaged."""
        with self._file.snapshot() as connection:
            found = looking.verify(connection, self._shelf.policies_in(connection), self._rot)
        for document in self.equality.survey().damaged:
            self.equality.note_damage(document)
        return found
