"""How long histories stay readable, and what becomes of them afterwards: they are folded.

Of each document the last version that is older than the tenant keeps them becomes its *base*: its
content is kept whole, the patches up to it go. Digests, authors, messages, times and the changes
themselves stay (a replica away for longer must still pull, a repeated push still be recognised), so
the log of a document goes back to its beginning; only contents before the base can be read no more.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from anabranch_sync.audit_event import Event, EventKind
from anabranch_sync.errors import HistoryDamaged
from anabranch_sync.ids import HubSeq
from anabranch_sync.value import INT_MAX, Json, render_json

from anabranch_hub.errors import RetentionRefused
from anabranch_hub.store import auditing
from anabranch_hub.store.history import rebuilt_rows
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.records import Folded, Retention, Stored

# A mistake found at the end of a quarter can still be explained, and undone.
RETENTION_DAYS_MIN = 90
# A hundred years: for ever, in a number that a clock can count back.
RETENTION_DAYS_MAX = 36_500
DAY_MS = 86_400_000
# Documents in one transaction: a second's work at most, while deciders of the tenant wait for its end.
_DOCUMENTS_EACH = 100


async def retention(pool: Pool, tenant: str) -> Retention:
    """How long the tenant keeps histories readable, and up to where they were folded."""
    async with pool.session(tenant) as session:
        return await _retention(session)


async def set_retention(pool: Pool, tenant: str, days: int, author: str) -> None:
    """Keep histories readable for so many days. Raises RetentionRefused."""
    if not RETENTION_DAYS_MIN <= days <= RETENTION_DAYS_MAX:
        raise RetentionRefused(days, at_least=RETENTION_DAYS_MIN, at_most=RETENTION_DAYS_MAX)
    async with pool.transaction(tenant) as session:
        before = await _retention(session)
        await session.run("set_retention", days=days)
        data: dict[str, Json] = {"days": days, "days_before": before.days, "author": author}
        act = auditing.Act(Event(EventKind.RETENTION_SET, tenant, data))
        await auditing.append(session, tenant, [act], auditing.hub_ms())


async def fold(pool: Pool, tenant: str, now_ms: int, *, author: str, dry_run: bool) -> Folded:
    """Fold what is older than the tenant keeps it; safe to repeat, and from several processes at once.

    A document whose history is damaged is left as it is and named. `author` is empty where the hub does
    it by itself.
    """
    async with pool.session(tenant) as session:
        kept = await _retention(session)
        row = await session.one("foldable_until", wall_ms=max(0, now_ms - kept.days * DAY_MS))
    upto = int(row["hub_seq"])
    total = Folded(upto, 0, 0, 0, ())
    after = ""
    while rows := await _page(pool, tenant, kept.folded_seq, upto, after):
        after = rows[-1]["id"]
        batch = await _bases(pool, tenant, rows)
        folded = batch.folded(upto)
        if not dry_run and batch.bases:
            versions = await _write(pool, tenant, batch, upto, author, now_ms)
            folded = Folded(upto, folded.documents, versions, folded.patch_bytes, folded.damaged)
        total = total.with_more(folded)
    if not dry_run and not total.damaged:
        async with pool.transaction(tenant) as session:
            await session.run("folded", upto=upto)
    return total


@dataclass(frozen=True, slots=True)
class _Batch:
    """Documents whose base moves, each as it stood, with the row that says what goes."""

    bases: Sequence[tuple[Stored, Mapping[str, Any]]]
    damaged: tuple[str, ...]

    def folded(self, upto: HubSeq) -> Folded:
        """What this batch comes to."""
        return Folded(
            upto,
            len(self.bases),
            sum(row["versions"] for _, row in self.bases),
            sum(row["bytes"] for _, row in self.bases),
            self.damaged,
        )


async def _retention(session: Session) -> Retention:
    row = await session.one("retention")
    return Retention(row["retention_days"], row["folded_seq"])


async def _page(pool: Pool, tenant: str, after_seq: HubSeq, upto: HubSeq, after: str) -> list[dict[str, Any]]:
    async with pool.session(tenant) as session:
        return await session.rows(
            "documents_to_fold", after_seq=after_seq, upto=upto, after=after, limit=_DOCUMENTS_EACH
        )


async def _bases(pool: Pool, tenant: str, rows: Sequence[Mapping[str, Any]]) -> _Batch:
    """The contents that become bases, read before anything is locked: they are past and do not change."""
    bases, damaged = [], []
    async with pool.undoing(tenant) as session:
        await session.begin(snapshot=True)
        for row in rows:
            try:
                fresh = await session.one(
                    "document_at", id=row["id"], version=row["version"], hub_seq=INT_MAX
                )
                [stored] = await rebuilt_rows(session, [fresh])
            except HistoryDamaged:
                damaged.append(row["id"])
            else:
                bases.append((stored, row))
    return _Batch(bases, tuple(damaged))


async def _write(pool: Pool, tenant: str, batch: _Batch, upto: HubSeq, author: str, now_ms: int) -> int:
    """Put the bases in place of what leads to them; returns how many versions were folded."""
    stored = [each for each, _ in batch.bases]
    documents = [str(each.document) for each in stored]
    versions = [each.version for each in stored]
    contents = [None if each.content is None else render_json(each.content) for each in stored]
    async with pool.transaction(tenant) as session:
        await session.run("lock_tenant")
        await session.run("save_bases", document_id=documents, version=versions, content=contents)
        gone = await session.rows("drop_patches", document_id=documents, version=versions)
        folded = Counter(row["document_id"] for row in gone)
        acts = [
            _act(each, folded[str(each.document)], upto, author)
            for each in stored
            if str(each.document) in folded
        ]
        if acts:  # another process may have folded them meanwhile
            await auditing.append(session, tenant, acts, now_ms)
    return folded.total()


def _act(base: Stored, versions: int, upto: HubSeq, author: str) -> auditing.Act:
    data: dict[str, Json] = {
        "position": upto,
        "base_version": base.version,
        "base_digest": f"{base.digest:032x}",
        "versions": versions,
    }
    if author:
        data["author"] = author
    return auditing.Act(Event(EventKind.VERSIONS_FOLDED, str(base.document), data))
