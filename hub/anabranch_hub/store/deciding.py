"""One transaction: read what stands under the tenant's lock, decide, write what follows from it.

Two round trips where nothing conflicts: everything a batch can mention is known before it begins, so
the lock and all reads share the first, and all writes, the notification and the commit the second.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ParamSpec, TypeAlias, TypeVar

from anabranch_sync.change import Change
from anabranch_sync.collection import recalled
from anabranch_sync.columns import encode_document
from anabranch_sync.conflict import Candidate
from anabranch_sync.document import DIGEST_BYTES
from anabranch_sync.epochs import Epochs
from anabranch_sync.errors import AnabranchError
from anabranch_sync.ids import HUB_INCARNATION, Cursor, DocumentId, HubSeq, Incarnation, LocalSeq
from anabranch_sync.opening import Answer
from anabranch_sync.policy import SCHEMA_NAMESPACE
from anabranch_sync.register import DELETED, json_of
from anabranch_sync.scope import Scope
from anabranch_sync.value import Json, render_json

from anabranch_hub.errors import HubError
from anabranch_hub.store.auditing import Appended, LogEnd, appended, hub_ms, log_end, write_leaves
from anabranch_hub.store.collecting import by_address
from anabranch_hub.store.decided_acts import decided_acts, stored_policy
from anabranch_hub.store.decision import (
    Batch,
    DecidedChange,
    DecidedConflict,
    Schemas,
    Step,
    TenantState,
    schemas_from,
)
from anabranch_hub.store.news import CHANNEL, moved_payload
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.quarantining import recorded_violations, stored_aside
from anabranch_hub.store.records import Aside, HubWrite, Push, Replica, Written, address, ended_of
from anabranch_hub.store.reviews import Restoration, restorations, review_columns

# One transaction holds the tenant's lock for about a second at most: what waits behind it waits that long.
GROUP_CHANGES_MAX = 5_000
# Merging this many bytes takes a few milliseconds; beyond it the event loop is left to others.
INLINE_BYTES_MAX = 16 * 1024
# Tenants whose policies one process remembers: a few KB each.
_SCHEMAS_MAX = 1_000

_P = ParamSpec("_P")
_T = TypeVar("_T")

Request: TypeAlias = Push | HubWrite
Response: TypeAlias = Answer | Written


class Decider:
    """Decides batches for the tenants of one hub process, remembering their policies."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._schemas: dict[tuple[str, int], Schemas] = {}

    async def decide_now(
        self, tenant: str, requests: Sequence[Request]
    ) -> list[Response | HubError | AnabranchError]:
        """`decide` at the time of the hub's clock."""
        return await self.decide(tenant, requests, hub_ms())

    async def decide(
        self, tenant: str, requests: Sequence[Request], now_ms: int
    ) -> list[Response | HubError | AnabranchError]:
        """Decide all requests in one transaction; each gets its own answer or its own error.

        When this raises (TenantUnknown, StoreUnavailable), nothing was written.
        """
        async with self._pool.undoing(tenant) as session:
            batch, end = await self._read(session, tenant, requests, now_ms)
            # A large batch is worked on in a thread.
            is_large = sum(_size_bytes(request) for request in requests) > INLINE_BYTES_MAX
            worked = asyncio.to_thread if is_large else _inline
            responses = await worked(_responses, batch, requests)
            columns = await worked(_columns, batch)
            if batch.changes:
                candidates = _candidates(batch.conflicts, await _writes(session, batch))
                columns["save_merges"] = _ledger_columns(batch.conflicts, candidates)
                restored = await restorations(session, batch)
                columns["review_merges"] = review_columns(restored)
                leaves = await worked(_leaves, tenant, end, batch, candidates, restored, now_ms)
                await self._write(session, tenant, batch, columns, leaves)
            elif pushed := [each.entries[0].dot.incarnation for each in requests if isinstance(each, Push)]:
                async with session.committing():
                    await session.run("drop_uploads", incarnations=pushed)
            self._remember(tenant, batch.state.epoch, batch.schemas)
            return responses

    async def _read(
        self, session: Session, tenant: str, requests: Sequence[Request], now_ms: int
    ) -> tuple[Batch, LogEnd]:
        pushes = [request for request in requests if isinstance(request, Push)]
        entries = [each for push in pushes for each in push.entries]
        documents = {document for request in requests for document in _mentioned(request)}
        incarnations = {HUB_INCARNATION, *(each.dot.incarnation for each in entries)}
        async with session.pipeline():
            await session.begin()
            locked = await session.run("lock_tenant")
            log = await session.run("lock_log")
            replicas = await session.run("deciding_replicas", incarnations=list(incarnations))
            stand = await session.run("deciding_documents", ids=[str(document) for document in documents])
            gone = await session.run("collected_tombstones", ids=[str(document) for document in documents])
            merged = await session.run("merged_before", content_ids=[each.content_id for each in entries])
            row, ended = await locked.fetchone(), await log.fetchone()
            assert row is not None, "a tenant has its state from its first migration on"
            assert ended is not None, "it has been read a moment before"
            state = TenantState(
                Epochs(row["epoch"], ended_of(row)),
                row["hub_seq"],
                row["ledger"],
                row["timestamp"],
                row["schemas_seq"],
            )
            schemas = self._schemas.get((tenant, state.epoch), Schemas())
            if schemas.hub_seq != state.schemas_seq:
                schemas = await read_schemas(session, state.schemas_seq)
            known = {each["incarnation"]: _replica(each) for each in await replicas.fetchall()}
            standing = await stand.fetchall()
            aside = {
                address(row["id"]): stored_aside(row) for row in standing if row["violations"] is not None
            }
            batch = Batch(
                tenant,
                state,
                schemas,
                known,
                recalled(
                    by_address(standing),
                    by_address(await gone.fetchall()),
                    [each.change for each in entries],
                    Cursor(state.epoch, state.hub_seq),
                ),
                {each["content_id"]: each["hub_seq"] for each in await merged.fetchall()},
                await _chains(session, pushes, known),
                now_ms,
                aside,
                {address(row["id"]): row["forgotten_seq"] for row in standing if row["forgotten_seq"]},
            )
            return batch, log_end(ended)

    async def _write(
        self,
        session: Session,
        tenant: str,
        batch: Batch,
        columns: Mapping[str, Mapping[str, Sequence[Any]]],
        leaves: Appended,
    ) -> None:
        state = batch.state
        pushed = {each.entry.dot.incarnation for each in batch.changes}
        async with session.committing():
            for name, values in columns.items():
                if any(values.values()):
                    await session.run(name, **values)
            await write_leaves(session, leaves)
            await session.run("drop_uploads", incarnations=list(pushed))
            await session.run(
                "save_state",
                hub_seq=state.hub_seq,
                ledger=state.ledger,
                timestamp=state.timestamp,
                schemas_seq=state.schemas_seq,
            )
            await session.run("notify", channel=CHANNEL, payload=moved_payload(tenant, state.hub_seq))

    def _remember(self, tenant: str, epoch: int, schemas: Schemas) -> None:
        if len(self._schemas) >= _SCHEMAS_MAX:
            self._schemas.clear()
        self._schemas[tenant, epoch] = schemas


async def _inline(function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    return function(*arguments, **named)


async def read_schemas(session: Session, schemas_seq: HubSeq) -> Schemas:
    """The schema documents in force, which last changed at `schemas_seq`."""
    rows = await session.rows("schemas", namespace=SCHEMA_NAMESPACE)
    return schemas_from(
        schemas_seq, {address(row["id"]): (int(row["version"]), row["content"]) for row in rows}
    )


def _responses(batch: Batch, requests: Sequence[Request]) -> list[Response | HubError | AnabranchError]:
    responses: list[Response | HubError | AnabranchError] = []
    for request in requests:
        try:
            responses.append(batch.push(request) if isinstance(request, Push) else batch.write(request))
        except (HubError, AnabranchError) as error:
            responses.append(error)
    return responses


def changes_in(request: Request) -> int:
    """How many changes a request makes."""
    return len(request.entries) if isinstance(request, Push) else 1


def _mentioned(request: Request) -> list[DocumentId]:
    if isinstance(request, Push):
        return [document for each in request.entries for document in each.change.documents]
    return [edit.document for edit in request.edits]


def _size_bytes(request: Request) -> int:
    if isinstance(request, Push):
        return sum(len(each.body) for each in request.entries)
    return sum(len(str(edit.content)) for edit in request.edits)


def _replica(row: Mapping[str, Any]) -> Replica:
    return Replica(
        row["incarnation"],
        row["edge"],
        row["push_mark"],
        row["chain"],
        Scope(tuple(row["prefixes"])),
        row["revoked"],
    )


async def _chains(
    session: Session, pushes: Sequence[Push], replicas: Mapping[Incarnation, Replica]
) -> dict[tuple[Incarnation, LocalSeq], bytes]:
    """The stored chains where a push ends before its replica's mark: it says again what was said before."""
    ends = [
        last
        for push in pushes
        if (last := push.entries[-1].dot).incarnation in replicas
        and last.local_seq < replicas[last.incarnation].push_mark
    ]
    if not ends:
        return {}
    rows = await session.rows(
        "chains",
        incarnations=[dot.incarnation for dot in ends],
        local_seqs=[dot.local_seq for dot in ends],
    )
    return {(row["incarnation"], row["local_seq"]): row["chain"] for row in rows}


# What is written, as columns.

_Columns: TypeAlias = dict[str, list[Any]]


def _columns(batch: Batch) -> dict[str, _Columns]:
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


def _document_columns(batch: Batch) -> _Columns:
    documents = list(batch.touched)
    states = [batch.documents[document] for document in documents]
    return {
        "id": [str(document) for document in documents],
        "namespace": [document.namespace for document in documents],
        "key": [document.key for document in documents],
        "version": [state.version for state in states],
        "hub_seq": [state.hub_seq for state in states],
        "urgent_seq": [batch.urgent.get(document, 0) for document in documents],
        "digest": [stored_digest(batch.digest(document)) for document in documents],
        "state": [encode_document(state) for state in states],
        "content": [
            None if content is None else render_json(content)
            for content in (batch.live(document) for document in documents)
        ],
        **_quarantine_columns([batch.quarantined.get(document) for document in documents]),
    }


def _quarantine_columns(asides: Sequence[Aside | None]) -> _Columns:
    """Of the documents whose head is not live; None for the others."""
    held = [None if aside is None else aside.quarantined for aside in asides]
    return {
        "live_version": [None if each is None else each.live_version for each in held],
        "violations": [None if each is None else recorded_violations(each.violations) for each in held],
        "since": [None if aside is None else aside.since for aside in asides],
    }


def _version_columns(steps: Sequence[Step]) -> _Columns:
    return {
        "document_id": [str(step.document) for step in steps],
        "version": [step.version for step in steps],
        "hub_seq": [step.hub_seq for step in steps],
        "digest_before": [stored_digest(step.digest_before) for step in steps],
        "digest_after": [stored_digest(step.digest_after) for step in steps],
        "patch": [_rendered(step.patch) for step in steps],
        "inverse": [_rendered(step.inverse) for step in steps],
    }


def _change_columns(changes: Sequence[DecidedChange]) -> _Columns:
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
    }


async def _writes(session: Session, batch: Batch) -> dict[HubSeq, Json]:
    """Who wrote the candidates of the batch's conflicts, by position; the change log knows the older ones."""
    wanted = {
        stamp.hub_seq
        for each in batch.conflicts
        for candidate in each.conflict.candidates
        for stamp in candidate.stamps
    }
    found: dict[HubSeq, Json] = {
        each.hub_seq: _write(
            each.entry.dot.incarnation, each.entry.dot.local_seq, each.entry.change, each.edge, each.skew_ms
        )
        for each in batch.changes
        if each.hub_seq in wanted
    }
    if missing := list(wanted - found.keys()):
        for row in await session.rows("writes", hub_seqs=missing):
            found[row.pop("hub_seq")] = row
    return found


def _write(incarnation: Incarnation, local_seq: LocalSeq, change: Change, edge: str, skew_ms: int) -> Json:
    return {
        "incarnation": incarnation,
        "local_seq": local_seq,
        "base_epoch": change.base.epoch,
        "base_seq": change.base.hub_seq,
        "author": change.author,
        "edge": edge,
        "skew_ms": skew_ms,
    }


def _candidates(
    conflicts: Sequence[DecidedConflict], writes: Mapping[HubSeq, Json]
) -> list[list[dict[str, Json]]]:
    """The candidates of each conflict as the ledger keeps them."""
    return [[_candidate(candidate, writes) for candidate in each.conflict.candidates] for each in conflicts]


def _leaves(
    tenant: str,
    end: LogEnd,
    batch: Batch,
    candidates: Sequence[Sequence[Mapping[str, Json]]],
    restored: Sequence[Restoration],
    now_ms: int,
) -> Appended:
    return appended(tenant, end, list(decided_acts(batch, candidates, restored)), now_ms)


def _ledger_columns(
    conflicts: Sequence[DecidedConflict], candidates: Sequence[Sequence[dict[str, Json]]]
) -> _Columns:
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


def stored_digest(digest: int) -> bytes | None:
    """A document's digest as a column: None for the 0 of a document that is not there."""
    return digest.to_bytes(DIGEST_BYTES, "big") if digest else None


def _rendered(patch: Sequence[Mapping[str, Json]]) -> str:
    return render_json([dict(op) for op in patch])
