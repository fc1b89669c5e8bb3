"""The hub's store: everything that must survive, on Postgres, one schema a tenant.

Each method is one transaction. What it returns is committed, to disk, with everything that belongs
to it: effects, versions, ledger, log, mark and position are never apart.
"""

from collections.abc import AsyncIterator, Sequence

from anabranch_sync.change import Entry
from anabranch_sync.check_in import read_answer
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.ids import Cursor, DocumentId, HubSeq, Incarnation
from anabranch_sync.incident import Incident
from anabranch_sync.messages import CheckIn
from anabranch_sync.opening import Answer, Opening
from anabranch_sync.plan import Plan
from anabranch_sync.priority import PRIORITY_DEFAULT
from anabranch_sync.pull import Pull, Urgent
from anabranch_sync.repairing import Surveyed
from anabranch_sync.revision import Contents, Wanted
from anabranch_sync.scope import Scope
from anabranch_sync.snapshot import Offer
from anabranch_sync.standing import Partial

from anabranch_hub.errors import EdgeRevoked
from anabranch_hub.store import (
    edges,
    listening,
    migrations,
    parcels,
    pulls,
    transfers,
)
from anabranch_hub.store.attribution import Share
from anabranch_hub.store.catching_up import CatchingUp
from anabranch_hub.store.deciding import GROUP_CHANGES_MAX, Decider, Request, Response, changes_in
from anabranch_hub.store.drawing import Drawing
from anabranch_hub.store.former_contents import former_contents
from anabranch_hub.store.keeping import Keeping
from anabranch_hub.store.lanes import Lanes
from anabranch_hub.store.membership import Membership
from anabranch_hub.store.news import News
from anabranch_hub.store.parcels import Parcel
from anabranch_hub.store.pool import Pool
from anabranch_hub.store.pulls import Question
from anabranch_hub.store.records import (
    Behind,
    Edge,
    EdgeIncident,
    EdgeStatus,
    Edit,
    HubWrite,
    Push,
    Told,
    Written,
)
from anabranch_hub.store.scope_digests import ScopeDigests
from anabranch_hub.store.snapshots import Snapshots
from anabranch_hub.store.upkeep import UpkeepTurns


class Store(Membership, Keeping):
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
        """Connect and migrate.

        Raises StoreAddressRefused, StoreUnavailable, StoreDenied, StoreUnsafe, SchemaNewer.
        """
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
        question = Question(tenant, after, always, replaced, held=held)
        return await pulls.pull(self._pool, self._digests, edge, incarnation, question)

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
        question = Question(tenant, after, held=held, relayed=relayed)
        return await self._catching_up.plan(edge, incarnation, question)

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

    # Proofs that replicas are equal.

    async def digest(self, tenant: str, scope: Scope) -> tuple[Cursor, ScopeDigest]:
        """Where the tenant stands, and the digest of a scope there."""
        return await pulls.digest(self._pool, self._digests, tenant, scope)

    async def survey(self, tenant: str, scope: Scope) -> Surveyed:
        """The digest of each live document of a scope."""
        return await pulls.survey(self._pool, tenant, scope)

    async def report(self, tenant: str, edge: str, incident: Incident) -> None:
        """Keep an incident of an edge."""
        await edges.report(self._pool, tenant, edge, incident)

    async def incidents(
        self, tenant: str, edge: str | None = None, *, limit: int = 200
    ) -> list[EdgeIncident]:
        """The newest incidents of one edge, or of all, newest first. Raises EdgeUnknown."""
        return await edges.incidents(self._pool, tenant, edge, limit)

    async def behind(self, tenant: str, edge: Edge) -> Behind:
        """What an edge is known to lack of its scope, and what its readers do not see of it."""
        return await edges.behind(self._pool, tenant, edge)

    # The hub's own writes.

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
