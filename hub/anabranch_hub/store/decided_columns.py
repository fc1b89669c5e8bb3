"""What a batch writes into the tables, an array for each column: a thousand rows are one statement."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from anabranch_sync.columns import encode_document
from anabranch_sync.conflict import Candidate
from anabranch_sync.document import DIGEST_BYTES
from anabranch_sync.ids import HubSeq
from anabranch_sync.register import DELETED, json_of
from anabranch_sync.value import Json, render_json

from anabranch_hub.store.decided_acts import stored_policy
from anabranch_hub.store.decision import Batch, DecidedChange, DecidedConflict, Step
from anabranch_hub.store.quarantining import recorded_violations
from anabranch_hub.store.records import Aside

Columns: TypeAlias = dict[str, list[Any]]


def columns_of(batch: Batch) -> dict[str, Columns]:
    """The rows of every table but the ledger's, by the statement that writes them."""
    replicas = {each.entry.dot.incarnation: each for each in batch.changes}
    return {
        "save_changes": _change_columns(batch.changes),
        "save_documents": _document_columns(batch),
        "save_versions": _version_columns(batch.steps),
        "save_marks": {
            "incarnation": list(replicas),
            "push_mark": [each.entry.dot.local_seq for each in replicas.values()],
            "chain": [each.chain for each in replicas.values()],
        },
    }


def _document_columns(batch: Batch) -> Columns:
    documents = list(batch.touched)
    states = [batch.documents[document] for document in documents]
    return {
        "id": [str(document) for document in documents],
        "namespace": [document.namespace for document in documents],
        "key": [document.key for document in documents],
        "version": [state.version for state in states],
        "hub_seq": [state.hub_seq for state in states],
        "urgent_seq": [batch.urgent.get(document, 0) for document in documents],
        "digest": [_stored_digest(batch.digest(document)) for document in documents],
        "state": [encode_document(state) for state in states],
        "content": [
            None if content is None else render_json(content)
            for content in (batch.live(document) for document in documents)
        ],
        **_quarantine_columns([batch.quarantined.get(document) for document in documents]),
    }


def _quarantine_columns(asides: Sequence[Aside | None]) -> Columns:
    """Of the documents whose head is not live; None for the others."""
    held = [None if aside is None else aside.quarantined for aside in asides]
    return {
        "live_version": [None if each is None else each.live_version for each in held],
        "violations": [None if each is None else recorded_violations(each.violations) for each in held],
        "since": [None if aside is None else aside.since for aside in asides],
    }


def _version_columns(steps: Sequence[Step]) -> Columns:
    return {
        "document_id": [str(step.document) for step in steps],
        "version": [step.version for step in steps],
        "hub_seq": [step.hub_seq for step in steps],
        "digest_before": [_stored_digest(step.digest_before) for step in steps],
        "digest_after": [_stored_digest(step.digest_after) for step in steps],
        "patch": [_rendered(step.patch) for step in steps],
        "inverse": [_rendered(step.inverse) for step in steps],
    }


def _change_columns(changes: Sequence[DecidedChange]) -> Columns:
    def of(name: str) -> list[Any]:
        return [getattr(each.entry.change, name) for each in changes]

    return {
        "hub_seq": [each.hub_seq for each in changes],
        "incarnation": [each.entry.dot.incarnation for each in changes],
        "local_seq": [each.entry.dot.local_seq for each in changes],
        "content_id": [each.entry.content_id for each in changes],
        "chain": [each.chain for each in changes],
        "body": [each.entry.body for each in changes],
        "author": of("author"),
        "message": of("message"),
        "base_epoch": [each.entry.change.base.epoch for each in changes],
        "base_seq": [each.entry.change.base.hub_seq for each in changes],
        "timestamp": of("timestamp"),
        "skew_ms": [each.skew_ms for each in changes],
        "outcome": [each.outcome.value for each in changes],
        "reason": [each.reason for each in changes],
        "restores": of("restores"),
        "edge": [each.edge for each in changes],
        "rolled_back_to": [each.rolled_back_to for each in changes],
        "absorbed": [each.entry.absorbed for each in changes],
    }


def recorded(
    conflicts: Sequence[DecidedConflict], writes: Mapping[HubSeq, Json]
) -> list[list[dict[str, Json]]]:
    """The candidates of each conflict as the ledger keeps them."""
    return [[_candidate(candidate, writes) for candidate in each.conflict.candidates] for each in conflicts]


def ledger_columns(
    conflicts: Sequence[DecidedConflict], candidates: Sequence[Sequence[dict[str, Json]]]
) -> Columns:
    decided = [each.conflict for each in conflicts]
    return {
        "id": [each.id for each in conflicts],
        "hub_seq": [each.hub_seq for each in conflicts],
        "document_id": [str(conflict.document) for conflict in decided],
        "path": [render_json(list(conflict.slot.path)) for conflict in decided],
        "element": [conflict.slot.element for conflict in decided],
        "kind": [conflict.kind.value for conflict in decided],
        "policy": [stored_policy(conflict.policy) for conflict in decided],
        "policy_version": [conflict.policy_version for conflict in decided],
        "candidates": [render_json(list(each)) for each in candidates],
        "actors": [
            render_json([*{stamp.actor for each in conflict.candidates for stamp in each.stamps}])
            for conflict in decided
        ],
        "waiting": [conflict.waiting for conflict in decided],
        "quarantined": [each.quarantined for each in conflicts],
    }


def _candidate(candidate: Candidate, writes: Mapping[HubSeq, Json]) -> dict[str, Json]:
    """A candidate as the ledger keeps it; one without `value` deleted."""
    facts: dict[str, Json] = {
        "path": list(candidate.slot.path),
        "element": None if candidate.slot.element is None else candidate.slot.element.hex(),
        "writes": [
            {"hub_seq": stamp.hub_seq, "timestamp": stamp.timestamp, **_facts(writes, stamp.hub_seq)}
            for stamp in candidate.stamps
        ],
    }
    if candidate.value is not DELETED:
        facts["value"] = json_of(candidate.value)
    return facts


def _facts(writes: Mapping[HubSeq, Json], hub_seq: HubSeq) -> dict[str, Json]:
    facts = writes.get(hub_seq)
    assert isinstance(facts, dict), f"position {hub_seq} is not in the change log"
    return facts


def _stored_digest(digest: int) -> bytes | None:
    """A document's digest as a column: None for the 0 of a document that is not there."""
    return digest.to_bytes(DIGEST_BYTES, "big") if digest else None


def _rendered(patch: Sequence[Mapping[str, Json]]) -> str:
    return render_json([dict(op) for op in patch])
