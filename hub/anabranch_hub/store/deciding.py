"""One transaction: read what stands under the tenant's lock, decide, write what follows from it.

Two round trips where nothing conflicts: everything a batch can mention is known before it begins, so
the lock and all reads share the first, and all writes, the notification and the commit the second.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeAlias, TypeVar

from anabranch_sync.collection import recalled
from anabranch_sync.columns import decode_document
from anabranch_sync.document import Document
from anabranch_sync.epochs import Epochs
from anabranch_sync.errors import AnabranchError
from anabranch_sync.ids import HUB_INCARNATION, Cursor, DocumentId, HubSeq, Incarnation, LocalSeq
from anabranch_sync.opening import Answer
from anabranch_sync.policy import SCHEMA_NAMESPACE
from anabranch_sync.scope import Scope
from anabranch_sync.value import Json

from anabranch_hub.store.auditing import Appended, LogEnd, appended, hub_ms, log_end, write_leaves
from anabranch_hub.store.collecting import by_address
from anabranch_hub.store.decided_acts import decided_acts
from anabranch_hub.store.decided_columns import columns_of, ledger_columns, recorded
from anabranch_hub.store.decision import (
    Batch,
    DecidedChange,
    Schemas,
    TenantState,
    schemas_from,
)
from anabranch_hub.store.news import CHANNEL, moved_payload
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.quarantining import stored_aside
from anabranch_hub.store.records import HubWrite, Push, Replica, Written, address, ended_of
from anabranch_hub.store.reviews import Restoration, restorations, review_columns
from anabranch_hub.store.unpacked import Unpacked

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


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read under the tenant's lock, documents still packed but for those that were at hand."""

    state: TenantState
    schemas: Schemas
    replicas: Mapping[Incarnation, Replica]
    standing: Sequence[Mapping[str, Any]]
    unpacked: Mapping[str, Document | None]
    gone: Sequence[Mapping[str, Any]]
    merged_before: Mapping[bytes, HubSeq]
    chains: Mapping[tuple[Incarnation, LocalSeq], bytes]
    end: LogEnd


class Decider:
    """Decides batches for the tenants of one hub process, remembering their policies and documents."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._schemas: dict[tuple[str, int], Schemas] = {}
        self._unpacked = Unpacked()

    async def decide_now(self, tenant: str, requests: Sequence[Request]) -> list[Response | AnabranchError]:
        """`decide` at the time of the hub's clock."""
        return await self.decide(tenant, requests, hub_ms())

    async def decide(
        self, tenant: str, requests: Sequence[Request], now_ms: int
    ) -> list[Response | AnabranchError]:
        """Decide all requests in one transaction; each gets its own answer or its own error.

        When this raises (TenantUnknown, StoreUnavailable), nothing was written.
        """
        async with self._pool.undoing(tenant) as session:
            read = await self._read(session, tenant, requests)
            # A large batch is worked on in a thread.
            is_large = sum(_size_bytes(request) for request in requests) > INLINE_BYTES_MAX
            worked = asyncio.to_thread if is_large else _inline
            batch = await worked(_batch, tenant, requests, read, now_ms)
            responses = await worked(_responses, batch, requests)
            columns = await worked(columns_of, batch)
            if batch.changes:
                candidates = recorded(batch.conflicts, await _writes(session, batch))
                columns["save_merges"] = ledger_columns(batch.conflicts, candidates)
                restored = await restorations(session, batch)
                columns["review_merges"] = review_columns(restored)
                leaves = await worked(_leaves, tenant, read.end, batch, candidates, restored, now_ms)
                await self._write(session, tenant, batch, columns, leaves)
            elif pushed := [each.entries[0].dot.incarnation for each in requests if isinstance(each, Push)]:
                async with session.committing():
                    await session.run("drop_uploads", incarnations=pushed)
            self._remember(tenant, batch, columns["save_documents"]["state"])
            return responses

    async def _read(self, session: Session, tenant: str, requests: Sequence[Request]) -> _Read:
        pushes = [request for request in requests if isinstance(request, Push)]
        entries = [each for push in pushes for each in push.entries]
        documents = {document for request in requests for document in _mentioned(request)}
        incarnations = {HUB_INCARNATION, *(each.dot.incarnation for each in entries)}
        async with session.pipeline():
            await session.begin()
            locked = await session.run("lock_tenant")
            log = await session.run("lock_log")
            epochs = await session.run("ended_epochs")
            replicas = await session.run("deciding_replicas", incarnations=list(incarnations))
            stand = await session.run("deciding_documents", ids=[str(document) for document in documents])
            gone = await session.run("collected_tombstones", ids=[str(document) for document in documents])
            merged = await session.run("merged_before", content_ids=[each.content_id for each in entries])
            row, end, before = await locked.fetchone(), await log.fetchone(), await epochs.fetchone()
            assert row is not None, "a tenant has its state from its first migration on"
            assert end is not None, "it has been read a moment before"
            assert before is not None, "it has always a row"
            state = TenantState(
                Epochs(row["epoch"], ended_of(before)),
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
            return _Read(
                state,
                schemas,
                known,
                standing,
                {row["id"]: self._unpacked.get(row["state"]) for row in standing},
                await gone.fetchall(),
                {each["content_id"]: each["hub_seq"] for each in await merged.fetchall()},
                await _chains(session, pushes, known),
                log_end(end),
            )

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

    def _remember(self, tenant: str, batch: Batch, states: Sequence[bytes]) -> None:
        if len(self._schemas) >= _SCHEMAS_MAX:
            self._schemas.clear()
        self._schemas[tenant, batch.state.epoch] = batch.schemas
        for document, state in zip(batch.touched, states, strict=True):
            self._unpacked.remember(state, batch.documents[document])


async def _inline(function: Callable[_P, _T], *arguments: _P.args, **named: _P.kwargs) -> _T:
    return function(*arguments, **named)


async def read_schemas(session: Session, schemas_seq: HubSeq) -> Schemas:
    """The schema documents in force, which last changed at `schemas_seq`."""
    rows = await session.rows("schemas", namespace=SCHEMA_NAMESPACE)
    return schemas_from(
        schemas_seq, {address(row["id"]): (int(row["version"]), row["content"]) for row in rows}
    )


def _batch(tenant: str, requests: Sequence[Request], read: _Read, now_ms: int) -> Batch:
    rows = read.standing
    standing = {address(row["id"]): read.unpacked[row["id"]] or decode_document(row["state"]) for row in rows}
    changes = [each.change for request in requests if isinstance(request, Push) for each in request.entries]
    here = Cursor(read.state.epoch, read.state.hub_seq)
    return Batch(
        tenant,
        read.state,
        read.schemas,
        read.replicas,
        recalled(standing, by_address(read.gone), changes, here),
        read.merged_before,
        read.chains,
        now_ms,
        {address(row["id"]): stored_aside(row) for row in rows if row["violations"] is not None},
        {address(row["id"]): row["forgotten_seq"] for row in rows if row["forgotten_seq"]},
    )


def _responses(batch: Batch, requests: Sequence[Request]) -> list[Response | AnabranchError]:
    responses: list[Response | AnabranchError] = []
    for request in requests:
        try:
            responses.append(batch.push(request) if isinstance(request, Push) else batch.write(request))
        except AnabranchError as error:
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


async def _writes(session: Session, batch: Batch) -> dict[HubSeq, Json]:
    """Who wrote the candidates of the batch's conflicts, by position; the change log knows the older ones."""
    wanted = {
        stamp.hub_seq
        for each in batch.conflicts
        for candidate in each.conflict.candidates
        for stamp in candidate.stamps
    }
    found: dict[HubSeq, Json] = {
        each.hub_seq: _write(each) for each in batch.changes if each.hub_seq in wanted
    }
    if missing := list(wanted - found.keys()):
        for row in await session.rows("writes", hub_seqs=missing):
            hub_seq, absorbed = row.pop("hub_seq"), row.pop("absorbed")
            found[hub_seq] = _with_absorbed(row, absorbed)
    return found


def _write(decided: DecidedChange) -> Json:
    entry = decided.entry
    facts: dict[str, Json] = {
        "incarnation": entry.dot.incarnation,
        "local_seq": entry.dot.local_seq,
        "base_epoch": entry.change.base.epoch,
        "base_seq": entry.change.base.hub_seq,
        "author": entry.change.author,
        "edge": decided.edge,
        "skew_ms": decided.skew_ms,
    }
    return _with_absorbed(facts, entry.absorbed)


def _with_absorbed(facts: dict[str, Json], absorbed: int) -> Json:
    """The facts of a write, and for how many before it it stands, where there are any."""
    return {**facts, "absorbed": absorbed} if absorbed else facts


def _leaves(
    tenant: str,
    end: LogEnd,
    batch: Batch,
    candidates: Sequence[Sequence[Mapping[str, Json]]],
    restored: Sequence[Restoration],
    now_ms: int,
) -> Appended:
    return appended(tenant, end, list(decided_acts(batch, candidates, restored)), now_ms)
