"""A whole log at one moment, read a page at a time beside the tables that it speaks of.

It is read as it is stored: whether any of it is true is for whoever reads it to find out.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from anabranch_sync.ids import HubSeq
from anabranch_sync.merkle import Subtree, TreeHead

from anabranch_hub.errors import LogTampered, LogUnwritable
from anabranch_hub.store.log_reading import Log, StoredCheckpoint, read_log, subtree_hashes
from anabranch_hub.store.pool import Pool, Session

# A page of leaves with their openings and rows: a megabyte or two as a rule, and a fraction of a second.
PAGE_LEAVES = 500

# No tenant can have this name.
_COPY = "-drill"

Row = Mapping[str, Any]
_Key = TypeVar("_Key")


@dataclass(frozen=True, slots=True)
class StoredOpening:
    """A value that a leaf commits to, as JSON text."""

    commitment: bytes
    salt: bytes
    text: str


@dataclass(frozen=True, slots=True)
class StoredLeaf:
    """A leaf, the hashes kept with it, and the values behind it that were not erased."""

    leaf: int
    hub_seq: HubSeq
    event: bytes
    hashes: bytes
    openings: tuple[StoredOpening, ...]


@dataclass(frozen=True, slots=True)
class Spoken:
    """What the tables say of the decisions that a page of leaves speaks of, by position or number."""

    changes: Mapping[HubSeq, Row]
    versions: Mapping[HubSeq, Sequence[Row]]
    merges: Mapping[int, Row]


@dataclass(frozen=True, slots=True)
class LogPage:
    """Leaves in their order, and the checkpoints whose last leaf is among them."""

    leaves: Sequence[StoredLeaf]
    checkpoints: Sequence[StoredCheckpoint]
    spoken: Spoken | None


@dataclass(frozen=True, slots=True)
class Totals:
    """The last position, the last ledger row, and how many leaves are stored."""

    hub_seq: HubSeq
    ledger: int
    leaves: int


class LogSnapshot:
    """A log within a transaction that sees one moment."""

    def __init__(self, session: Session, tenant: str) -> None:
        self.session = session
        self.tenant = tenant

    async def log(self) -> Log:
        """Where the log ends, and the newest checkpoint."""
        return await read_log(self.session)

    async def totals(self) -> Totals:
        """What the log has to account for."""
        row = await self.session.one("log_totals")
        return Totals(**row)

    async def pages(
        self, *, first: int = 0, openings: bool = True, spoken: bool = False
    ) -> AsyncIterator[LogPage]:
        """Leaves from `first` on; with the values behind them, and with what the tables say, if asked for."""
        while True:
            rows = await self.session.rows("log_leaves", first=first, limit=PAGE_LEAVES)
            if not rows:
                return
            last = rows[-1]["leaf"]
            opened = await self._openings(first, last) if openings else {}
            signed = await self.session.rows("log_checkpoints", after=first, upto=last + 1)
            yield LogPage(
                [
                    StoredLeaf(
                        row["leaf"],
                        row["hub_seq"],
                        row["event"],
                        row["hashes"],
                        tuple(opened.get(row["leaf"], ())),
                    )
                    for row in rows
                ],
                [_checkpoint(row) for row in signed],
                await self._spoken(rows) if spoken else None,
            )
            first = last + 1

    async def checkpoints_beyond(self, size: int) -> Sequence[StoredCheckpoint]:
        """Checkpoints of more leaves than this."""
        rows = await self.session.rows("log_checkpoints", after=size, upto=2**63 - 1)
        return [_checkpoint(row) for row in rows]

    async def leaf(self, number: int) -> StoredLeaf | None:
        """One leaf."""
        rows = await self.session.rows("log_leaves", first=number, limit=1)
        if not rows or rows[0]["leaf"] != number:
            return None
        row = rows[0]
        opened = await self._openings(number, number)
        return StoredLeaf(number, row["hub_seq"], row["event"], row["hashes"], tuple(opened.get(number, ())))

    async def leaves_at(self, hub_seq: HubSeq) -> Sequence[tuple[int, bytes]]:
        """Numbers and events of the leaves at a position."""
        return [(row["leaf"], row["event"]) for row in await self.session.rows("leaves_at", hub_seq=hub_seq)]

    async def merge_position(self, number: int) -> HubSeq | None:
        """Where a ledger row was decided."""
        row = await self.session.row("merge_position", id=number)
        return None if row is None else row["hub_seq"]

    async def subtree_hashes(self, wanted: Sequence[Subtree]) -> dict[Subtree, bytes]:
        """The hashes of these complete subtrees. Raises LogTampered where one is gone."""
        return await subtree_hashes(self.session, self.tenant, wanted)

    async def _openings(self, first: int, last: int) -> dict[int, list[StoredOpening]]:
        rows = await self.session.rows("log_openings", first=first, last=last)
        return _grouped(
            rows,
            lambda row: int(row["leaf"]),
            lambda row: StoredOpening(row["commitment"], row["salt"], row["value"]),
        )

    async def _spoken(self, rows: Sequence[Row]) -> Spoken:
        positions = list({row["hub_seq"] for row in rows})
        changes = await self.session.rows("logged_changes", hub_seqs=positions)
        versions = await self.session.rows("logged_versions", hub_seqs=positions)
        merges = await self.session.rows("logged_merges", hub_seqs=positions)
        return Spoken(
            {row["hub_seq"]: row for row in changes},
            _grouped(versions, lambda row: int(row["hub_seq"]), lambda row: row),
            {row["id"]: row for row in merges},
        )


@asynccontextmanager
async def log_snapshot(pool: Pool, tenant: str) -> AsyncIterator[LogSnapshot]:
    """The tenant's log as it is now, while this is open. Raises LogTampered where a table is gone."""
    try:
        async with pool.transaction(tenant, snapshot=True) as session:
            await session.run("position")  # an unknown tenant is told from a log without tables
            yield LogSnapshot(session, tenant)
    except LogUnwritable as error:
        raise LogTampered(tenant, 0, f"the log cannot be read ({error.reason})") from error


@asynccontextmanager
async def log_copy(pool: Pool, tenant: str) -> AsyncIterator[LogSnapshot]:
    """A copy of the log and of the tables it speaks of, which may be tampered with: it is undone at the end.

    No other transaction ever sees it. One copy at a time: a second one waits for the first.
    """
    async with pool.undoing(tenant) as session:
        await session.begin()
        await session.run("see_one_moment")
        await session.run("copy_log")
        yield LogSnapshot(session.of(_COPY), tenant)


def _checkpoint(row: Row) -> StoredCheckpoint:
    return StoredCheckpoint(TreeHead(row["size"], row["root"]), row["key"], row["note"])


_Value = TypeVar("_Value")


def _grouped(
    rows: Sequence[Row], key: Callable[[Row], _Key], value: Callable[[Row], _Value]
) -> dict[_Key, list[_Value]]:
    grouped: dict[_Key, list[_Value]] = {}
    for row in rows:
        grouped.setdefault(key(row), []).append(value(row))
    return grouped
