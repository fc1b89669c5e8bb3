"""The merge ledger, read: every concurrent write that was decided, and why it was decided so."""

from collections.abc import Mapping, Sequence
from typing import Any

from anabranch_sync.ids import Cursor, Dot
from anabranch_sync.register import DELETED
from anabranch_sync.value import INT_MAX

from anabranch_hub.store.pool import Pool
from anabranch_hub.store.records import LedgerRow, RecordedCandidate, Write, address

# A page a person can still scan; programs ask for the next one.
MERGES_MAX = 1_000


async def merges(
    pool: Pool,
    tenant: str,
    *,
    prefix: str,
    kind: str,
    policy: str,
    waiting: bool,
    before: int | None,
    limit: int,
) -> list[LedgerRow]:
    """Ledger rows, the latest first: those with an id below `before`, at most `limit`."""
    async with pool.session(tenant) as session:
        rows = await session.rows(
            "merges",
            prefix=prefix,
            kind=kind,
            policy=policy,
            waiting=waiting,
            before=INT_MAX if before is None else before,
            limit=min(limit, MERGES_MAX),
        )
        return [_ledger_row(row) for row in rows]


async def merge(pool: Pool, tenant: str, number: int) -> LedgerRow | None:
    """One ledger row."""
    found = await merges(
        pool, tenant, prefix="", kind="", policy="", waiting=False, before=number + 1, limit=1
    )
    return found[0] if found and found[0].id == number else None


def recorded_candidates(candidates: Sequence[Mapping[str, Any]]) -> tuple[RecordedCandidate, ...]:
    """The candidates of a ledger row."""
    return tuple(
        RecordedCandidate(
            tuple(each["path"]),
            None if each["element"] is None else bytes.fromhex(each["element"]),
            each.get("value", DELETED),
            tuple(_write(facts) for facts in each["writes"]),
        )
        for each in candidates
    )


def _write(facts: Mapping[str, Any]) -> Write:
    return Write(
        facts["hub_seq"],
        facts["timestamp"],
        Dot(facts["incarnation"], facts["local_seq"]),
        Cursor(facts["base_epoch"], facts["base_seq"]),
        facts["author"],
        facts["edge"],
        facts["skew_ms"],
    )


def _ledger_row(row: Mapping[str, Any]) -> LedgerRow:
    return LedgerRow(
        row["id"],
        row["hub_seq"],
        row["decided_ms"],
        address(row["document_id"]),
        tuple(row["path"]),
        row["element"],
        row["kind"],
        row["policy"],
        row["policy_version"],
        recorded_candidates(row["candidates"]),
        row["waiting"],
        row["reviewed_by"] or "",
        row["reviewed_ms"],
        row["reviewed_seq"] or 0,
    )
