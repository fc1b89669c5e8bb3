"""The merge ledger: every concurrent write that was decided, why it was decided so, and who looked at it."""

from collections.abc import Mapping, Sequence
from typing import Any

from anabranch_sync.ids import Cursor, Dot, HubSeq
from anabranch_sync.path import render_pointer
from anabranch_sync.register import DELETED, Value
from anabranch_sync.value import INT_MAX

from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.records import (
    LedgerRow,
    LedgerStats,
    Matching,
    RecordedCandidate,
    Review,
    Reviewed,
    Write,
    address,
)

# A page a person can still scan; programs ask for the next one.
MERGES_MAX = 1_000


async def merges(
    pool: Pool, tenant: str, matching: Matching, *, before: int | None, limit: int
) -> list[LedgerRow]:
    """Ledger rows, the latest first: those with an id below `before`, at most `limit`."""
    names, parameters = conditions(matching)
    async with pool.session(tenant) as session:
        rows = await session.rows(
            "merges",
            *names,
            before=INT_MAX if before is None else before,
            limit=min(limit, MERGES_MAX),
            **parameters,
        )
        received = await _received(session, rows)
        return [_ledger_row(row, received) for row in rows]


async def merge(pool: Pool, tenant: str, number: int) -> LedgerRow | None:
    """One ledger row, with all of its reviews."""
    async with pool.session(tenant) as session:
        row = await session.row("merge", id=number)
        if row is None:
            return None
        reviews = await session.rows("reviews", id=number)
        return _ledger_row(row, await _received(session, [row]), tuple(_review(each) for each in reviews))


async def stats(pool: Pool, tenant: str, matching: Matching, *, limit: int) -> LedgerStats:
    """The rows counted at one moment; of each thing they may have in common the `limit` most frequent."""
    names, parameters = conditions(matching)
    async with pool.transaction(tenant, snapshot=True) as session:
        totals = await session.one("merge_totals", *names, **parameters)
        oldest = await session.row("oldest_unreviewed", *names, **parameters)
        counts = await session.rows("merge_counts", *names, limit=limit, **parameters)
    by: dict[str, list[tuple[str, int]]] = {
        each: [] for each in ("policy", "kind", "namespace", "edge", "author", "place")
    }
    for count in counts:
        by[count["what"]].append((count["name"], count["rows"]))
    return LedgerStats(
        totals["rows"],
        totals["unreviewed"],
        totals["waiting"],
        None if oldest is None else (oldest["id"], oldest["decided_ms"]),
        by,
    )


def recorded_candidates(
    candidates: Sequence[Mapping[str, Any]], received: Mapping[HubSeq, int] | None = None
) -> tuple[RecordedCandidate, ...]:
    """The candidates of a ledger row; `received` has when each change came, where that is wanted."""
    return tuple(
        RecordedCandidate(
            tuple(each["path"]),
            None if each["element"] is None else bytes.fromhex(each["element"]),
            each.get("value", DELETED),
            tuple(_write(facts, (received or {}).get(facts["hub_seq"], 0)) for facts in each["writes"]),
        )
        for each in candidates
    )


def restored_value(
    what: str, candidate: int | None, candidates: Sequence[RecordedCandidate]
) -> tuple[Value, ...] | None:
    """What a review brought back, as `case.Look` has it."""
    if what != Reviewed.RESTORED:
        return None
    return () if candidate is None else (candidates[candidate].value,)


def conditions(matching: Matching) -> tuple[tuple[str, ...], dict[str, Any]]:
    """The names of the conditions to put into a statement, and the parameters they need."""
    by_name = {
        "in_namespace": ("prefix", matching.prefix),
        "of_kind": ("kind", matching.kind),
        "of_rule": ("rule", matching.rule),
        "of_edge": ("edge", matching.edge),
        "of_author": ("author", matching.author),
        "at_path": ("pointer", None if matching.path is None else searched(render_pointer(matching.path))),
        "decided_since": ("since_ms", matching.since_ms),
        "decided_until": ("until_ms", matching.until_ms),
    }
    asked = {name: parameter for name, parameter in by_name.items() if parameter[1] is not None}
    plain = ["waiting"] if matching.waiting else []
    if matching.reviewed is not None:
        plain.append("reviewed" if matching.reviewed else "unreviewed")
    return (*asked, *plain), dict(asked.values())


def searched(text: str) -> str:
    """`text` as a column can hold it, which takes every character but this one."""
    return text.replace("\0", "")


async def _received(session: Session, rows: Sequence[Mapping[str, Any]]) -> dict[HubSeq, int]:
    """When the changes that wrote the candidates of these rows came to the hub."""
    wanted = {
        write["hub_seq"] for row in rows for candidate in row["candidates"] for write in candidate["writes"]
    }
    if not wanted:
        return {}
    found = await session.rows("received", hub_seqs=sorted(wanted))
    return {each["hub_seq"]: each["received_ms"] for each in found}


def _write(facts: Mapping[str, Any], received_ms: int) -> Write:
    return Write(
        facts["hub_seq"],
        facts["timestamp"],
        Dot(facts["incarnation"], facts["local_seq"]),
        Cursor(facts["base_epoch"], facts["base_seq"]),
        facts["author"],
        facts["edge"],
        facts["skew_ms"],
        received_ms,
        facts.get("absorbed", 0),
    )


def _ledger_row(
    row: Mapping[str, Any], received: Mapping[HubSeq, int], reviews: tuple[Review, ...] = ()
) -> LedgerRow:
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
        recorded_candidates(row["candidates"], received),
        row["waiting"],
        row["review"],
        row["reviewed_by"] or "",
        row["reviewed_ms"],
        row["reviewed_seq"],
        reviews,
        row["quarantined"],
    )


def _review(row: Mapping[str, Any]) -> Review:
    return Review(
        Reviewed(row["what"]),
        row["candidate"],
        row["reviewer"],
        row["note"],
        row["reviewed_ms"],
        row["hub_seq"],
    )
