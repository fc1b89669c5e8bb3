"""Reviews: what operators do about rows of the ledger. They are only ever added.

A row is accepted, or one of its candidates is brought back by a change that names it. Either is the
row's present state until the next review.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from anabranch_sync.audit_event import Event, EventKind
from anabranch_sync.document import Object
from anabranch_sync.ids import HUB_INCARNATION, HubSeq, check_author, check_message
from anabranch_sync.path import ROOT
from anabranch_sync.policy import Policy, parse_policy
from anabranch_sync.pull import Outcome
from anabranch_sync.register import DELETED
from anabranch_sync.value import Json, same

from anabranch_hub.errors import LedgerRowUnknown
from anabranch_hub.store.auditing import Act, append, hub_ms, sealed
from anabranch_hub.store.decision import Batch
from anabranch_hub.store.ledger import recorded_candidates
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.records import RecordedCandidate, Reviewed, address


@dataclass(frozen=True, slots=True)
class Restoration:
    """A change of a batch that reviews a row: it named the row, and touched the row's document."""

    merge: int
    document: str
    candidate: int | None
    reviewer: str
    note: str
    hub_seq: HubSeq


async def accept(pool: Pool, tenant: str, numbers: Sequence[int], reviewer: str, note: str) -> list[int]:
    """Note that `reviewer` looked at these rows and finds them right; all of them or none.

    Returns those that this changes: who has accepted a row need not do so again, as long as nobody
    restored a value meanwhile. Raises LedgerRowUnknown, InvalidName.
    """
    check_author(reviewer)
    check_message(note)
    async with pool.transaction(tenant) as session:
        # As deciding does: positions, rows, reviews and leaves then have one order.
        state = await session.one("lock_tenant")
        rows = await session.rows("reviewing", ids=list(numbers), reviewer=reviewer)
        if unknown := set(numbers) - {row["id"] for row in rows}:
            raise LedgerRowUnknown(tenant, min(unknown))
        fresh = [row for row in rows if not row["accepted"]]
        ids = [row["id"] for row in fresh]
        if fresh:
            await session.run(
                "accept_merges", ids=ids, reviewer=reviewer, note=note, hub_seq=state["hub_seq"]
            )
            acts = [_accepted(row["id"], row["document_id"], reviewer, note) for row in fresh]
            await append(session, tenant, acts, hub_ms())
        return ids


async def restorations(session: Session, batch: Batch) -> list[Restoration]:
    """Those of the batch's changes that review a row of the ledger, in their order.

    Only the hub's own: an edge may claim to restore, and in anybody's name, but it reviews nothing.
    """
    restoring = [
        each
        for each in batch.changes
        if each.outcome is Outcome.MERGED
        and each.entry.change.restores
        and each.entry.dot.incarnation == HUB_INCARNATION
    ]
    if not restoring:
        return []
    wanted = [each.entry.change.restores for each in restoring]
    rows = {row["id"]: row for row in await session.rows("restored_merges", ids=wanted)}
    found = []
    for each in restoring:
        change = each.entry.change
        row = rows.get(change.restores)
        document = None if row is None else address(row["document_id"])
        if row is not None and document in change.documents:
            candidate = standing(
                batch.content(document) or {}, recorded_candidates(row["candidates"]), row["policy"]
            )
            found.append(
                Restoration(
                    row["id"],
                    row["document_id"],
                    candidate,
                    change.author,
                    change.message,
                    each.hub_seq,
                )
            )
    return found


def review_columns(restored: Sequence[Restoration]) -> dict[str, list[Any]]:
    """Restorations as the columns of `review_merges`."""
    return {
        name: [getattr(each, name) for each in restored]
        for name in ("merge", "candidate", "reviewer", "note", "hub_seq")
    }


def restored_act(restored: Restoration) -> Act:
    """What the log says of a restoration; its change says the rest, the note too."""
    data: dict[str, Json] = {
        "merge": restored.merge,
        "document": restored.document,
        "what": Reviewed.RESTORED.value,
        "candidate": restored.candidate,
        "author": restored.reviewer,
        "position": restored.hub_seq,
    }
    return Act(Event(EventKind.LEDGER_REVIEWED, str(restored.merge), data), hub_seq=restored.hub_seq)


def _accepted(number: int, document: str, reviewer: str, note: str) -> Act:
    opening = sealed({"note": note})
    data: dict[str, Json] = {
        "merge": number,
        "document": document,
        "what": Reviewed.ACCEPTED.value,
        "author": reviewer,
        "review": opening.commitment,
    }
    return Act(Event(EventKind.LEDGER_REVIEWED, str(number), data), (opening,))


def standing(content: Object, candidates: Sequence[RecordedCandidate], policy: str) -> int | None:
    """Which of the candidates stands in `content`; None: another value."""
    for number, candidate in enumerate(candidates):
        if same(with_candidate(content, candidate, parse_policy(policy)), content):
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
