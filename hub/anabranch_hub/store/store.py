"""The hub's store: everything that must survive, on Postgres, one schema a tenant.

Each method is one transaction. What it returns is committed, to disk, with everything that belongs
to it: effects, versions, ledger, log, mark and position are never apart.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from anabranch_sync.audit_event import Event, EventKind
from anabranch_sync.budget import Budget
from anabranch_sync.change import Entry
from anabranch_sync.check_in import read_answer
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import Object
from anabranch_sync.ids import Cursor, DocumentId, HubSeq, Incarnation
from anabranch_sync.incident import Incident
from anabranch_sync.merkle import TreeHead
from anabranch_sync.messages import CheckIn
from anabranch_sync.opening import Answer, Opening
from anabranch_sync.plan import Plan
from anabranch_sync.priority import PRIORITY_DEFAULT
from anabranch_sync.pull import Pull, Urgent
from anabranch_sync.reference import AtVersion, Moment, Reference
from anabranch_sync.repairing import Surveyed
from anabranch_sync.revision import Contents, Wanted
from anabranch_sync.scope import Scope
from anabranch_sync.snapshot import Offer
from anabranch_sync.standing import Partial
from anabranch_sync.witness import Presented

from anabranch_hub.errors import EdgeRevoked
from anabranch_hub.store import (
    auditing,
    collecting,
    edges,
    erasing,
    history,
    judging,
    ledger,
    listening,
    log_reading,
    migrations,
    operators,
    parcels,
    pulls,
    quarantining,
    reading,
    rescoping,
    restoring,
    retention,
    reviews,
    transfers,
    trimming,
)
from anabranch_hub.store.attribution import Share
from anabranch_hub.store.catching_up import CatchingUp, Question
from anabranch_hub.store.collecting import Collected
from anabranch_hub.store.deciding import GROUP_CHANGES_MAX, Decider, Request, Response, changes_in
from anabranch_hub.store.drawing import Drawing
from anabranch_hub.store.former_contents import former_contents
from anabranch_hub.store.lanes import Lanes
from anabranch_hub.store.log_reading import Log, StoredCheckpoint
from anabranch_hub.store.log_snapshot import LogSnapshot, log_copy, log_snapshot
from anabranch_hub.store.news import News
from anabranch_hub.store.parcels import Parcel
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.records import (
    ALL_ROWS,
    Edge,
    EdgeIncident,
    EdgeStatus,
    Edit,
    Enrolment,
    Folded,
    HubWrite,
    Invitation,
    LedgerRow,
    LedgerStats,
    Matching,
    NewEpoch,
    Operator,
    OperatorInvitation,
    Pair,
    Placed,
    Push,
    Retention,
    Stored,
    Tenant,
    Told,
    Version,
    Written,
)
from anabranch_hub.store.scope_digests import ScopeDigests
from anabranch_hub.store.snapshots import Snapshots
from anabranch_hub.store.trimming import Trimmed
from anabranch_hub.store.upkeep import UpkeepTurns


class Store:
    """One for each hub process; any number of processes share one Postgres.

    Every method may raise StoreUnavailable; those that take a tenant also InvalidName and
    TenantUnknown.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.upkeep = UpkeepTurns(pool)
        self._deciding: Lanes[str, Request, Response] = Lanes(
            Decider(pool).decide_now, size=changes_in, size_max=GROUP_CHANGES_MAX
        )
        self._digests = ScopeDigests()
        self._snapshots = Snapshots(pool, self._digests)
        self._catching_up = CatchingUp(pool, self._digests, self._snapshots)
        self._drawing = Drawing(self._catching_up)

    @classmethod
    async def connect(cls, dsn: str) -> "Store":
        """Connect and migrate. Raises StoreUnavailable, StoreUnsafe, SchemaNewer."""
        pool = Pool(dsn)
        try:
            await pool.open()
            await migrations.migrate(dsn, migrations.released())
        except BaseException:
            await pool.close()
            raise
        return cls(pool)

    async def close(self) -> None:
        """Decide and draw what waits, then let go of Postgres."""
        await self._deciding.close()
        await self._drawing.close()
        await self._pool.close()

    # Tenants and edges.

    async def create_tenant(self, name: str, *, author: str = "") -> None:
        """Make a tenant, whose log begins with who made it. Raises TenantExists."""

        async def found(session: Session) -> None:
            event = Event(EventKind.TENANT_CREATED, name, {"position": 0, "author": author})
            await auditing.append(session, name, [auditing.Act(event)], auditing.hub_ms())

        await migrations.create_tenant(self._pool.dsn, name, migrations.released(), found)

    async def tenants(self) -> list[Tenant]:
        """All tenants, by name."""
        async with self._pool.connection() as session:
            return [Tenant(**row) for row in await session.rows("tenants")]

    async def invite(
        self,
        tenant: str,
        edge: str,
        prefixes: tuple[str, ...],
        token_hash: bytes,
        expires_ms: int,
        invited_by: str,
        *,
        relay: bool = False,
    ) -> None:
        """Keep an invitation to write below `prefixes`, and to pass others on or not. Raises EdgeRevoked."""
        pool = self._pool
        await edges.invite(pool, tenant, edge, prefixes, token_hash, expires_ms, invited_by, relay=relay)

    async def invitation(
        self, token_hash: bytes, now_ms: int, *, key_hash: bytes | None = None
    ) -> Invitation:
        """What `redeem` would answer now; the token stays unused. Raises TokenRefused."""
        return await edges.invitation(self._pool, token_hash, now_ms, key_hash)

    async def redeem(self, token_hash: bytes, now_ms: int, *, key_hash: bytes | None = None) -> Invitation:
        """Use a one-time token up. Raises TokenRefused, EdgeRevoked.

        Safe to repeat with the `key_hash` of the first time: the answer may have been lost.
        """
        return await edges.redeem(self._pool, token_hash, now_ms, key_hash)

    async def enrolled(self, tenant: str, edge: str, certificate_serial: str, not_after_ms: int) -> Enrolment:
        """Record an edge's first certificate and lease an incarnation. Raises EdgeUnknown, EdgeRevoked."""
        return await edges.enrolled(self._pool, tenant, edge, certificate_serial, not_after_ms)

    async def renewed(self, tenant: str, edge: str, certificate_serial: str, not_after_ms: int) -> None:
        """Record an edge's next certificate; the present one counts until the next is shown.

        Raises EdgeUnknown, EdgeRevoked.
        """
        await edges.renewed(self._pool, tenant, edge, certificate_serial, not_after_ms)

    async def certificate_shown(self, tenant: str, edge: str, certificate_serial: str) -> None:
        """An edge has shown its next certificate: the one before counts no more. Safe to repeat."""
        await edges.certificate_shown(self._pool, tenant, edge, certificate_serial)

    async def edges(self, tenant: str) -> list[Edge]:
        """All edges of a tenant, by name."""
        return await edges.edges(self._pool, tenant)

    async def edge(self, tenant: str, edge: str) -> Edge:
        """One edge. Raises EdgeUnknown."""
        return await edges.edge(self._pool, tenant, edge)

    async def retire(self, tenant: str, edge: str, *, author: str) -> None:
        """Let an edge hold no tombstones back until it comes again. Raises EdgeUnknown, EdgeRevoked."""
        await edges.retire(self._pool, tenant, edge, author)

    async def revoke(self, tenant: str, edge: str, *, author: str = "") -> None:
        """Shut an edge out for good, its open streams included; safe to repeat. Raises EdgeUnknown."""
        await edges.revoke(self._pool, tenant, edge, author)

    async def set_budget(self, tenant: str, edge: str, budget: Budget, *, author: str = "") -> None:
        """Limit what an edge's link may carry; it is told at its next exchange.

        Raises EdgeUnknown, EdgeRevoked.
        """
        await edges.set_budget(self._pool, tenant, edge, budget, author)

    async def rescope(self, tenant: str, edge: str, prefixes: tuple[str, ...], *, author: str) -> Scope:
        """Give an edge another scope; returns the one that it had. Safe to repeat.

        Raises InvalidName, EdgeUnknown, EdgeRevoked.
        """
        return await rescoping.rescope(self._pool, tenant, edge, prefixes, author)

    async def order_wipe(self, tenant: str, edge: str, *, at_once: bool, author: str) -> None:
        """Let everything leave an edge's disk at its next contact. Safe to repeat. Raises EdgeUnknown.

        Unless `at_once`, it sends first what is unsent.
        """
        await edges.order_wipe(self._pool, tenant, edge, author, at_once=at_once)

    async def cancel_wipe(self, tenant: str, edge: str, *, author: str) -> bool:
        """Take the order back; False: there was none, or it was done. Raises EdgeUnknown."""
        return await edges.cancel_wipe(self._pool, tenant, edge, author)

    async def wiped(self, tenant: str, edge: str) -> None:
        """An edge says that nothing is left there, as was ordered; safe to repeat."""
        await edges.wiped(self._pool, tenant, edge)

    # A restore from a backup.

    async def restored(self, tenant: str, *, author: str, known: HubSeq | None, now_ms: int) -> NewEpoch:
        """Begin another epoch, for the tables were restored from a backup that ended at `known`.

        None: they stand now where it ended. Raises PositionAhead.
        """
        return await restoring.restored(self._pool, tenant, author, known, now_ms)

    async def position_of_leaf(self, tenant: str, leaf: int) -> HubSeq:
        """Where the tenant stood when a leaf of the log was written; 0 where there is no such leaf."""
        return await restoring.position_of_leaf(self._pool, tenant, leaf)

    # Operators.

    async def invite_operator(
        self,
        tenant: str,
        operator: str,
        lasts_s: int,
        token_hash: bytes,
        expires_ms: int,
        invited_by: str,
    ) -> None:
        """Keep an invitation to a certificate that lasts so long. Raises OperatorRevoked."""
        await operators.invite(self._pool, tenant, operator, lasts_s, token_hash, expires_ms, invited_by)

    async def operator_invitation(
        self, token_hash: bytes, now_ms: int, key_hash: bytes
    ) -> OperatorInvitation:
        """Whom the token lets in; it stays unused. Raises TokenRefused."""
        return await operators.invitation(self._pool, token_hash, now_ms, key_hash)

    async def operator_enrolled(
        self, token_hash: bytes, now_ms: int, key_hash: bytes, serial: str, not_after_ms: int
    ) -> None:
        """Use a token up for the certificate that was signed. Raises TokenRefused, OperatorRevoked.

        Safe to repeat with the same key: the answer may have been lost.
        """
        await operators.enrolled(self._pool, token_hash, now_ms, key_hash, serial, not_after_ms)

    async def operators(self, tenant: str) -> list[Operator]:
        """All operators of a tenant, by name."""
        return await operators.operators(self._pool, tenant)

    async def operator(self, tenant: str, name: str) -> Operator:
        """One operator. Raises OperatorUnknown."""
        return await operators.operator(self._pool, tenant, name)

    async def revoke_operator(self, tenant: str, name: str, *, author: str) -> None:
        """Shut an operator out for good; safe to repeat. Raises OperatorUnknown."""
        await operators.revoke(self._pool, tenant, name, author)

    # The exchange.

    async def open_replica(
        self,
        tenant: str,
        edge: str,
        incarnation: Incarnation,
        mark: bytes = b"",
        told: Told | None = None,
        wanted: Scope | None = None,
    ) -> Opening:
        """Where a replica's exchange begins; incarnation 0 leases a new one.

        `mark` tells what the edge has seen of the log; what it `told` of itself is kept, and what it has
        `wanted` of its scope. Raises EdgeUnknown, EdgeRevoked, SubscriptionRefused; Fenced for an incarnation
        that is not this edge's.
        """
        return await edges.open_replica(self._pool, tenant, edge, incarnation, mark, told, wanted)

    async def decide(self, tenant: str, edge: str, entries: Sequence[Entry], chain_before: bytes) -> Answer:
        """Merge consecutive changes of one incarnation; safe to repeat.

        Refused changes are recorded with their reason and never block. Raises EdgeRevoked, and
        Fenced when the incarnation's history is another one here: then nothing was taken.
        """
        assert entries, "a push holds at least one change"
        answer = await self._deciding.submit(tenant, Push(edge, entries, chain_before))
        assert isinstance(answer, Answer), "a push is answered by an Answer"
        return answer

    async def pull(
        self,
        tenant: str,
        edge: str,
        incarnation: Incarnation,
        after: Cursor,
        *,
        always: bool = False,
        replaced: frozenset[DocumentId] = frozenset(),
        held: bytes = b"",
    ) -> Pull | None:
        """What a replica lacks after `after`; None when nothing that concerns it has happened.

        `always`: also when only the tenant's position has moved. `replaced` travel whole, changed or not.
        `held` is the fingerprint of the scope that it holds, where that is another than it should.
        Raises EdgeRevoked, Fenced.
        """
        at = (tenant, edge, incarnation, after)
        return await pulls.pull(self._pool, self._digests, *at, always=always, replaced=replaced, held=held)

    async def check_in(self, tenant: str, edge: str, asked: CheckIn) -> bytes:
        """The answer to a check-in, as a frame; one that finds the replica equal is noted. Raises Fenced."""
        answer = await pulls.check_in(self._pool, self._digests, tenant, edge, asked)
        if read_answer(answer).equal:
            await transfers.seen(self._pool, tenant, asked.incarnation, asked.cursor)
        if asked.budget_until_ms:
            await edges.budget_used_up(self._pool, tenant, edge, asked.budget_until_ms)
        return answer

    async def plan(
        self,
        tenant: str,
        edge: str,
        incarnation: Incarnation,
        after: Cursor,
        *,
        held: bytes = b"",
        relayed: bool = False,
    ) -> Plan:
        """How a replica at `after` will catch up, and about how many bytes that takes on the link.

        `relayed`: there is a relay on the way, which keeps parts of snapshots for others.
        """
        return await self._catching_up.plan(tenant, edge, incarnation, after, held, relayed=relayed)

    async def draw(
        self,
        tenant: str,
        edge: str,
        incarnation: Incarnation,
        after: Cursor,
        *,
        always: bool = False,
        replaced: frozenset[DocumentId] = frozenset(),
        protocol: int,
        held: bytes = b"",
        told: Scope | None = None,
        relayed: bool = False,
    ) -> Pull | Offer | None:
        """What a replica lacks, as a pull or as a snapshot, whichever is cheaper; None as of `pull`.

        `told` is the scope that it was told of, `relayed` as of `plan`. Raises EdgeRevoked, Fenced,
        ScopeChanged.
        """
        question = Question(tenant, after, always, replaced, protocol, held, told, relayed)
        return await self._drawing.draw(edge, incarnation, question)

    async def contents(self, tenant: str, scope: Scope, wanted: Wanted) -> Contents:
        """What these documents were at a position, of those in `scope`, as far as it is known."""
        documents = [document for document in wanted.documents if scope.reads(document)]
        async with self._pool.undoing(tenant) as session:
            await session.begin(snapshot=True)
            return await former_contents(session, wanted.after, documents)

    async def weighed(self, tenant: str, scope: Scope, incarnation: Incarnation, after: Cursor) -> int | None:
        """How pressing what is new to the replica after a position is; None: nothing is."""
        return await pulls.weighed(self._pool, tenant, scope, incarnation, after)

    async def drawn_urgent(
        self, tenant: str, scope: Scope, incarnation: Incarnation, after: Cursor
    ) -> Urgent:
        """The urgent documents in `scope` that others changed after a position, whole."""
        return await pulls.drawn_urgent(self._pool, tenant, scope, incarnation, after)

    async def part(self, tenant: str, name: bytes) -> bytes | None:
        """A part of a snapshot by its name, if it is still kept."""
        return await self._snapshots.part(tenant, name)

    async def part_for(self, tenant: str, edge: str, name: bytes) -> bytes | None:
        """A part by its name, if it is still kept and of a snapshot of what this edge replicates.

        Raises EdgeUnknown, EdgeRevoked.
        """
        known = await self.edge(tenant, edge)
        if known.status is EdgeStatus.REVOKED:  # one that is to be wiped is let in, to be told that alone
            raise EdgeRevoked(tenant, edge)
        return await self._snapshots.part_of(tenant, known.replicates, name)

    async def seen(
        self, tenant: str, incarnation: Incarnation, cursor: Cursor, shares: Sequence[Share] = ()
    ) -> None:
        """A replica has applied everything up to `cursor`, and is proved equal there.

        `shares` are what its link carried meanwhile.
        """
        await transfers.seen(self._pool, tenant, incarnation, cursor, shares)

    async def traffic(self, tenant: str, edge: str, days: int) -> list[Share]:
        """What an edge's link carried in so many days, today included, by document. Raises EdgeUnknown."""
        await edges.edge(self._pool, tenant, edge)
        return await transfers.traffic(self._pool, tenant, edge, days)

    async def parcel(self, tenant: str, edge: str) -> Parcel | None:
        """The last courier file of an edge, or None."""
        return await parcels.parcel(self._pool, tenant, edge)

    async def put_parcel(self, tenant: str, edge: str, taken: Parcel) -> None:
        """Remember an edge's courier file in place of the one before; safe to repeat."""
        await parcels.put_parcel(self._pool, tenant, edge, taken)

    async def store_upload(
        self, tenant: str, incarnation: Incarnation, batch: bytes, total: int, offset: int, piece: bytes
    ) -> None:
        """Make a piece of a push durable; a repeated one changes nothing. `decide` drops them all."""
        await transfers.store_upload(self._pool, tenant, incarnation, batch, total, offset, piece)

    async def upload(self, tenant: str, incarnation: Incarnation) -> Partial | None:
        """What has arrived of a push."""
        return await transfers.upload(self._pool, tenant, incarnation)

    async def spool(self, tenant: str, incarnation: Incarnation, batch: bytes, body: bytes) -> None:
        """Keep the bytes of a pull on its way. `seen` drops them; a crash of Postgres may."""
        await transfers.spool(self._pool, tenant, incarnation, batch, body)

    async def spooled(self, tenant: str, incarnation: Incarnation, batch: bytes) -> bytes | None:
        """The bytes of a pull on its way, if they are still there."""
        return await transfers.spooled(self._pool, tenant, incarnation, batch)

    def listen(self) -> AsyncIterator[News]:
        """Yield news after whatever any hub process decides, revokes or logs, for ever."""
        return listening.listen(self._pool.dsn)

    # The transparency log.

    async def log(self, tenant: str) -> Log:
        """Where the log ends, and its newest checkpoint, of which nothing is verified."""
        async with self._pool.session(tenant) as session:
            return await log_reading.read_log(session)

    async def presented(self, tenant: str, mark: bytes) -> Presented | None:
        """What an edge that shows this mark is to be shown of the log; None where it has seen it all."""
        async with self._pool.transaction(tenant, snapshot=True) as session:
            return await log_reading.presented(session, tenant, mark)

    async def proven_head(self, tenant: str, earlier: Iterable[TreeHead]) -> TreeHead:
        """The head of the log, which goes on from each of the `earlier` ones. Raises LogTampered."""
        return await log_reading.proven_head(self._pool, tenant, earlier)

    def log_snapshot(self, tenant: str) -> AbstractAsyncContextManager[LogSnapshot]:
        """The whole log as it is at one moment, to be read while this is open."""
        return log_snapshot(self._pool, tenant)

    def log_copy(self, tenant: str) -> AbstractAsyncContextManager[LogSnapshot]:
        """A copy of the log to be tampered with, gone when this is left."""
        return log_copy(self._pool, tenant)

    async def erase(self, tenant: str, leaf: int, *, author: str) -> int:
        """Erase the values behind a leaf, for good; returns how many there were.

        That they were erased, and by whom, is logged. The leaf stays, and so does every proof.
        """
        return await erasing.erase(self._pool, tenant, leaf, author)

    async def save_checkpoint(self, tenant: str, checkpoint: StoredCheckpoint) -> None:
        """Keep a signed checkpoint; safe to repeat."""
        await log_reading.save_checkpoint(self._pool, tenant, checkpoint)

    # The hub's own reads and writes.

    async def write(
        self,
        tenant: str,
        edits: Sequence[Edit],
        *,
        author: str,
        message: str,
        restores: int = 0,
        rolled_back_to: HubSeq | None = None,
        priority: int = PRIORITY_DEFAULT,
    ) -> Written:
        """Write documents whole, in one change of the hub's own.

        `restores` names the ledger row whose losing value it brings back, `rolled_back_to` the position
        whose values it writes again. With `priority` 0 it is urgent whatever the documents' schemas say.

        Raises InvalidInput, in particular Invalid where a schema forbids what it would make;
        VersionMismatch when a document is not at its edit's `if_version`.
        CommitUncertain when Postgres broke off while it committed.
        """
        assert len({edit.document for edit in edits}) == len(edits), "one edit for each document"
        write = HubWrite(edits, author, message, restores, rolled_back_to, priority)
        answer = await self._deciding.submit(tenant, write)
        assert isinstance(answer, Written), "a write is answered by Written"
        return answer

    async def read(self, tenant: str, document: DocumentId) -> Stored | None:
        """A document as it stands, deleted ones included; None where nobody ever wrote it."""
        return await reading.read(self._pool, tenant, document)

    async def read_version(self, tenant: str, document: DocumentId, version: int) -> Stored | None:
        """A document as it stood in one of its versions; None where there is no such version.

        Raises VersionFolded, HistoryDamaged.
        """
        return await self.read_at(tenant, document, AtVersion(version))

    async def read_at(self, tenant: str, document: DocumentId, reference: Reference) -> Stored | None:
        """A document as it stood, deleted ones included; None where nobody had written it yet.

        Raises PositionAhead, VersionFolded, HistoryDamaged.
        """
        return await history.read_at(self._pool, tenant, document, reference)

    async def position(self, tenant: str, moment: Moment | None = None) -> HubSeq:
        """The last position decided by then, or at all. Raises PositionAhead."""
        return await history.position(self._pool, tenant, moment)

    async def documents_at(
        self, tenant: str, position: HubSeq, *, prefix: str = "", after: str = ""
    ) -> list[Stored]:
        """The documents below a namespace that were there at a position, as they stood; a page of them.

        Pages of one position belong together, whenever they are read. Raises VersionFolded, HistoryDamaged.
        """
        return await history.documents_at(self._pool, tenant, position, prefix=prefix, after=after)

    async def between(
        self, tenant: str, first: HubSeq, second: HubSeq | None = None, *, prefix: str = ""
    ) -> list[Pair]:
        """The documents below a namespace that differ at two positions, by address; the second may be now.

        Raises VersionFolded, HistoryDamaged.
        """
        return await history.between(self._pool, tenant, first, second, prefix=prefix)

    async def documents(
        self, tenant: str, *, prefix: str = "", after: str = "", limit: int = reading.DOCUMENTS_MAX
    ) -> list[Stored]:
        """Live documents below a namespace, by address; `after` is the last address of the page before."""
        return await reading.documents(self._pool, tenant, prefix=prefix, after=after, limit=limit)

    async def versions(
        self,
        tenant: str,
        document: DocumentId,
        *,
        before: int | None = None,
        limit: int = history.VERSIONS_MAX,
    ) -> list[Version]:
        """The last versions of a document before version `before`, the latest first."""
        return await history.versions(self._pool, tenant, document, before=before, limit=limit)

    async def places(self, tenant: str, document: DocumentId) -> list[Placed]:
        """Who put there what stands in a document's head, by path."""
        return await history.places(self._pool, tenant, document)

    async def versions_below(
        self,
        tenant: str,
        *,
        prefix: str = "",
        before: HubSeq | None = None,
        limit: int = history.VERSIONS_MAX,
    ) -> list[Version]:
        """What the last `limit` changes before position `before` made of documents below a namespace.

        The latest change first, all it did together.
        """
        return await history.versions_below(self._pool, tenant, prefix=prefix, before=before, limit=limit)

    async def quarantined(
        self, tenant: str, *, prefix: str = "", after: str = "", limit: int = quarantining.QUARANTINED_MAX
    ) -> list[Stored]:
        """Documents whose head is invalid, below a namespace, by address; pages as `documents`."""
        return await quarantining.quarantined(self._pool, tenant, prefix=prefix, after=after, limit=limit)

    async def check(self, tenant: str, contents: Mapping[DocumentId, Object]) -> None:
        """Refuse, before several writes begin, what one of them would be refused for. Raises Invalid."""
        await judging.check(self._pool, tenant, contents)

    async def broken(
        self, tenant: str, *, prefix: str = "", schema: str = ""
    ) -> tuple[int, list[judging.Broken]]:
        """How many standing documents a schema judges, and those that break it now.

        `schema` is the key of one schema document; empty: all. Nothing moves before its next change.
        """
        return await judging.broken(self._pool, tenant, prefix=prefix, schema=schema)

    async def retention(self, tenant: str) -> Retention:
        """How long histories of the tenant stay readable, and up to where they were folded."""
        return await retention.retention(self._pool, tenant)

    async def set_retention(self, tenant: str, days: int, *, author: str) -> None:
        """Keep histories readable for so many days. Raises RetentionRefused."""
        await retention.set_retention(self._pool, tenant, days, author)

    async def fold(self, tenant: str, now_ms: int, *, author: str = "", dry_run: bool = False) -> Folded:
        """Fold the histories that are older than the tenant keeps them. Safe to repeat.

        Without an `author` the hub does it by itself.
        """
        return await retention.fold(self._pool, tenant, now_ms, author=author, dry_run=dry_run)

    async def trim(
        self,
        tenant: str,
        now_ms: int,
        *,
        keep_days: int = trimming.KEEP_DAYS,
        before: HubSeq | None = None,
        author: str = "",
        dry_run: bool = False,
    ) -> Trimmed:
        """Trim the change log of what is older than so many days, or was decided before a position.

        Safe to repeat. Raises PositionAhead.
        """
        return await trimming.trim(
            self._pool,
            tenant,
            now_ms,
            keep_days=keep_days,
            before=before,
            author=author,
            dry_run=dry_run,
        )

    async def collect(self, tenant: str, *, author: str = "", dry_run: bool = False) -> Collected:
        """Collect the tombstones that every edge that counts has seen. Safe to repeat."""
        return await collecting.collect(self._pool, tenant, author=author, dry_run=dry_run)

    async def digest(self, tenant: str, scope: Scope) -> tuple[Cursor, ScopeDigest]:
        """Where the tenant stands, and the digest of a scope there."""
        return await pulls.digest(self._pool, self._digests, tenant, scope)

    async def survey(self, tenant: str, scope: Scope) -> Surveyed:
        """The digest of each live document of a scope."""
        return await pulls.survey(self._pool, tenant, scope)

    async def report(self, tenant: str, edge: str, incident: Incident) -> None:
        """Keep an incident of an edge."""
        await edges.report(self._pool, tenant, edge, incident)

    async def behind(self, tenant: str, edge: Edge) -> int:
        """How many documents of an edge's scope changed after what it is known to have."""
        return await edges.behind(self._pool, tenant, edge)

    async def incidents(
        self, tenant: str, edge: str | None = None, *, limit: int = 200
    ) -> list[EdgeIncident]:
        """The newest incidents of one edge, or of all, newest first. Raises EdgeUnknown."""
        return await edges.incidents(self._pool, tenant, edge, limit)

    # The merge ledger.

    async def merges(
        self,
        tenant: str,
        matching: Matching = ALL_ROWS,
        *,
        before: int | None = None,
        limit: int = ledger.MERGES_MAX,
    ) -> list[LedgerRow]:
        """Ledger rows, the latest first; `before` is the last id of the page before."""
        return await ledger.merges(self._pool, tenant, matching, before=before, limit=limit)

    async def merge(self, tenant: str, number: int) -> LedgerRow | None:
        """One ledger row with everything that was done about it."""
        return await ledger.merge(self._pool, tenant, number)

    async def merge_stats(self, tenant: str, matching: Matching = ALL_ROWS, *, limit: int) -> LedgerStats:
        """The rows counted, with the `limit` most frequent of each kind."""
        return await ledger.stats(self._pool, tenant, matching, limit=limit)

    async def accept(
        self, tenant: str, numbers: Sequence[int], *, reviewer: str, note: str = ""
    ) -> list[int]:
        """Note that `reviewer` finds these rows right; all of them or none. Safe to repeat.

        Returns those that this changes. Raises LedgerRowUnknown, InvalidName.
        """
        return await reviews.accept(self._pool, tenant, numbers, reviewer, note)
