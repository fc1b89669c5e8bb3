"""Reviews: what operators do about rows of the ledger. They are only ever added.

A row is accepted, or one of its candidates is brought back by a change that names it. Either is the
row's present state until the next review.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId, check_author, check_message
from anabranch_sync.path import ROOT
from anabranch_sync.policy import Policy, parse_policy
from anabranch_sync.pull import Outcome
from anabranch_sync.register import DELETED
from anabranch_sync.value import same

from anabranch_hub.errors import LedgerRowUnknown
from anabranch_hub.store.decision import Batch
from anabranch_hub.store.ledger import recorded_candidates
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.records import RecordedCandidate


async def accept(pool: Pool, tenant: str, numbers: Sequence[int], reviewer: str, note: str) -> list[int]:
    """Note that `reviewer` looked at these rows and finds them right; all of them or none.

    Returns those that this changes: who has accepted a row need not do so again, as long as nobody
    restored a value meanwhile. Raises LedgerRowUnknown, InvalidName.
    """
    check_author(reviewer)
    check_message(note)
    async with pool.transaction(tenant) as session:
        # As deciding does: positions, rows and reviews then have one order.
        state = await session.row("lock_tenant")
        assert state is not None, "a tenant has its state from its first migration on"
        rows = await session.rows("reviewing", ids=list(numbers), reviewer=reviewer)
        if unknown := set(numbers) - {row["id"] for row in rows}:
            raise LedgerRowUnknown(tenant, min(unknown))
        fresh = [row["id"] for row in rows if not row["accepted"]]
        await session.run("accept_merges", ids=fresh, reviewer=reviewer, note=note, hub_seq=state["hub_seq"])
        return fresh


async def restorations(session: Session, batch: Batch) -> dict[str, list[Any]]:
    """The changes of the batch that name a row of a document they touch: reviews, as columns."""
    restoring = [
        each for each in batch.changes if each.outcome is Outcome.MERGED and each.entry.change.restores
    ]
    columns: dict[str, list[Any]] = {
        name: [] for name in ("merge", "candidate", "reviewer", "note", "hub_seq")
    }
    if not restoring:
        return columns
    wanted = [each.entry.change.restores for each in restoring]
    rows = {row["id"]: row for row in await session.rows("restored_merges", ids=wanted)}
    for each in restoring:
        change = each.entry.change
        row = rows.get(change.restores)
        touched = {str(document): document for document in change.documents}
        if row is None or row["document_id"] not in touched:
            continue
        columns["merge"].append(row["id"])
        columns["candidate"].append(_restored(row, touched[row["document_id"]], batch))
        columns["reviewer"].append(change.author)
        columns["note"].append(change.message)
        columns["hub_seq"].append(each.hub_seq)
    return columns


def standing(content: Object, candidates: Sequence[RecordedCandidate], policy: Policy) -> int | None:
    """Which of the candidates stands in `content`; None: another value."""
    for number, candidate in enumerate(candidates):
        if same(with_candidate(content, candidate, policy), content):
            return number
    return None


def with_candidate(content: Object, candidate: RecordedCandidate, policy: Policy) -> Object:
    """A copy of `content` in which `candidate` had won; whatever stands in its way goes."""
    result: Object = dict(content)
    if candidate.path == ROOT:  # the marker of an empty document
        return {}
    parent = result
    for key in candidate.path[:-1]:
        child = parent.get(key)
        parent[key] = inner = dict(child) if isinstance(child, dict) else {}
        parent = inner
    key, value = candidate.path[-1], candidate.value
    if candidate.element is not None:
        standing = parent.get(key)
        others = [
            each
            for each in (standing if isinstance(standing, list) else [])
            if policy.element(each) != candidate.element
        ]
        parent[key] = others if value is DELETED else [*others, value]
    elif value is DELETED:
        parent.pop(key, None)
    else:
        parent[key] = value
    return result


def _restored(row: Mapping[str, Any], document: DocumentId, batch: Batch) -> int | None:
    content = batch.content(document)
    candidates = recorded_candidates(row["candidates"])
    return standing({} if content is None else content, candidates, parse_policy(row["policy"]))
