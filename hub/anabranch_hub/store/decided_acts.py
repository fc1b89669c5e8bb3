"""What a batch leaves in the transparency log: a leaf for each change, ledger row and review of one.

Who, when and what is said in clear. Whatever depends on a value stands behind a salted commitment,
hashes of values too: a value that can be guessed could be tried against them, so that erasing it
would be worth nothing.
"""

from collections.abc import Iterator, Mapping, Sequence

from anabranch_sync.audit_event import Event, EventKind
from anabranch_sync.change import Change, Op
from anabranch_sync.ids import HubSeq
from anabranch_sync.path import render_pointer
from anabranch_sync.policy import Policy
from anabranch_sync.register import DELETED, json_of
from anabranch_sync.value import Json

from anabranch_hub.store.auditing import Act, sealed
from anabranch_hub.store.decision import Batch, DecidedChange, DecidedConflict, Step
from anabranch_hub.store.reviews import Restoration, restored_act


def decided_acts(
    batch: Batch, candidates: Sequence[Sequence[Mapping[str, Json]]], restored: Sequence[Restoration]
) -> Iterator[Act]:
    """The acts of a batch in the order of their positions.

    `candidates` are those of each of its conflicts, as the ledger keeps them; `restored` are reviews that
    its changes are.
    """
    reviews = {each.hub_seq: restored_act(each) for each in restored}
    steps: dict[HubSeq, list[Step]] = {}
    for step in batch.steps:
        steps.setdefault(step.hub_seq, []).append(step)
    conflicts: dict[HubSeq, list[Act]] = {}
    for conflict, recorded in zip(batch.conflicts, candidates, strict=True):
        conflicts.setdefault(conflict.hub_seq, []).append(_conflict(conflict, recorded))
    for each in batch.changes:
        yield _change(each, steps.get(each.hub_seq, ()))
        if review := reviews.get(each.hub_seq):
            yield review
        yield from conflicts.get(each.hub_seq, ())


def change_value(
    change: Change, content_id: bytes, reason: str, digests: Mapping[str, tuple[str, str]]
) -> Json:
    """What the leaf of a change commits to; `digests` are those before and after, by document."""
    return {
        "content_id": content_id.hex(),
        "message": change.message,
        "reason": reason,
        "digests": {document: list(both) for document, both in digests.items()},
        "ops": [_op(op) for op in change.ops],
    }


def _change(decided: DecidedChange, steps: Sequence[Step]) -> Act:
    entry = decided.entry
    change = entry.change
    versions = {step.document: step.version for step in steps}
    digests = {
        str(step.document): (_digest(step.digest_before), _digest(step.digest_after)) for step in steps
    }
    opening = sealed(change_value(change, entry.content_id, decided.reason, digests))
    data: dict[str, Json] = {
        "position": decided.hub_seq,
        "dot": str(entry.dot),
        "author": change.author,
        "edge": decided.edge,
        "outcome": decided.outcome.value,
        "documents": [
            {
                "document": str(document),
                "version": versions.get(document, 0),
                **({"quarantined": True} if document in decided.quarantined else {}),
            }
            for document in change.documents
        ],
        "change": opening.commitment,
    }
    if entry.absorbed:
        data["absorbed"] = entry.absorbed
    if change.restores:
        data["restores"] = change.restores
    if decided.rolled_back_to is not None:
        data["rolled_back_to"] = decided.rolled_back_to
    subject = str(change.documents[0]) if change.documents else str(entry.dot)
    return Act(Event(EventKind.CHANGE_DECIDED, subject, data), (opening,), decided.hub_seq)


def _conflict(decided: DecidedConflict, candidates: Sequence[Mapping[str, Json]]) -> Act:
    conflict = decided.conflict
    openings = tuple(sealed(candidate_value(each)) for each in candidates)
    data: dict[str, Json] = {
        "merge": decided.id,
        "position": decided.hub_seq,
        "document": str(conflict.document),
        "path": render_pointer(conflict.slot.path),
        "kind": conflict.kind.value,
        "policy": stored_policy(conflict.policy),
        "policy_version": conflict.policy_version,
        "waiting": conflict.waiting,
        # The winner comes first.
        "candidates": [
            {"value": opening.commitment, "writes": each["writes"]}
            for each, opening in zip(candidates, openings, strict=True)
        ],
    }
    event = Event(EventKind.CONFLICT_DECIDED, str(conflict.document), data)
    return Act(event, openings, decided.hub_seq)


def stored_policy(policy: Policy) -> str:
    """A policy as the ledger keeps it: its field may hold any character, a column of text any but one."""
    return str(policy).replace("\0", "\N{SYMBOL FOR NULL}")


def candidate_value(candidate: Mapping[str, Json]) -> Json:
    """What the leaf of a conflict commits to for one candidate: all but who wrote it."""
    return {name: value for name, value in candidate.items() if name != "writes"}


def _op(op: Op) -> Json:
    facts: dict[str, Json] = {"document": str(op.document), "path": render_pointer(op.slot.path)}
    if op.slot.element is not None:
        facts["element"] = op.slot.element.hex()
    if op.value is not DELETED:
        facts["value"] = json_of(op.value)
    return facts


def _digest(digest: int) -> str:
    """A document's digest as text; empty where there was none."""
    return f"{digest:032x}" if digest else ""
