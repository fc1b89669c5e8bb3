"""The part of `Store` about what is kept: documents and their past, the log and the ledger, and how long."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager

from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId, HubSeq
from anabranch_sync.merkle import TreeHead
from anabranch_sync.reference import AtVersion, Moment, Reference
from anabranch_sync.witness import Presented

from anabranch_hub.store import (
    collecting,
    erasing,
    history,
    judging,
    ledger,
    log_reading,
    quarantining,
    reading,
    retention,
    reviews,
    trimming,
)
from anabranch_hub.store.collecting import Collected
from anabranch_hub.store.log_reading import Log, StoredCheckpoint
from anabranch_hub.store.log_snapshot import LogSnapshot, log_copy, log_snapshot
from anabranch_hub.store.pool import Pool
from anabranch_hub.store.records import (
    ALL_ROWS,
    Folded,
    LedgerRow,
    LedgerStats,
    Matching,
    Pair,
    Placed,
    Retention,
    Stored,
    Version,
)
from anabranch_hub.store.trimming import Trimmed


class Keeping:
    """What a hub keeps of its tenants: a part of `Store`."""

    _pool: Pool

    # Documents.

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
