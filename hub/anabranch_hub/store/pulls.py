"""What a replica lacks, read at one moment: everything in a pull is of one snapshot."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from anabranch_sync.change import decode
from anabranch_sync.columns import decode_document
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import EMPTY, Document
from anabranch_sync.ids import Cursor, DocumentId, HubSeq, Incarnation
from anabranch_sync.pull import (
    Decided,
    Notice,
    Outcome,
    Pull,
    Result,
    Run,
    difference,
    touched_in_order,
)
from anabranch_sync.register import DELETED, Register, Slot
from anabranch_sync.scope import Scope

from anabranch_hub.errors import EdgeRevoked, Fenced
from anabranch_hub.store.ledger import recorded_candidates
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.records import address
from anabranch_hub.store.scope_digests import ScopeDigests, reading_prefixes

# Unpacking this many bytes takes a few milliseconds; beyond it the event loop is left to others.
INLINE_BYTES_MAX = 16 * 1024


async def pull(
    pool: Pool,
    digests: ScopeDigests,
    tenant: str,
    edge: str,
    incarnation: Incarnation,
    after: Cursor,
    *,
    always: bool,
) -> Pull | None:
    """What the replica lacks after `after`, or None: nothing that concerns it has happened.

    `always`: also when only the tenant's position has moved. Raises EdgeRevoked, Fenced.
    """
    async with pool.undoing(tenant) as session:
        async with session.pipeline():
            await session.begin(snapshot=True)
            row = await session.row("pulling_replica", incarnation=incarnation, edge=edge)
        if row is None:
            raise Fenced(edge, incarnation, "it was never leased to this edge")
        if row["revoked"]:
            raise EdgeRevoked(tenant, edge)
        upto = Cursor(row["epoch"], row["hub_seq"])
        if after == upto:
            return None
        # A cursor of another epoch says nothing here, nor one beyond what this hub has decided.
        whole = after.epoch != upto.epoch or after.hub_seq > upto.hub_seq
        scope = Scope(tuple(row["prefixes"]))
        lacking = await _lacking(session, incarnation, scope, 0 if whole else after.hub_seq)
        if not (lacking.any or always or after.epoch != upto.epoch):
            return None
        digest = await digests.at(session, tenant, scope, upto)
    if lacking.size_bytes > INLINE_BYTES_MAX:
        return await asyncio.to_thread(lacking.composed, after, upto, digest, scope, whole=whole)
    return lacking.composed(after, upto, digest, scope, whole=whole)


async def digest(pool: Pool, digests: ScopeDigests, tenant: str, scope: Scope) -> tuple[Cursor, ScopeDigest]:
    """Where the tenant stands, and the digest of `scope` there."""
    async with pool.undoing(tenant) as session:
        async with session.pipeline():
            await session.begin(snapshot=True)
            row = await session.row("position")
        assert row is not None, "a tenant has its state from its first migration on"
        cursor = Cursor(row["epoch"], row["hub_seq"])
        return cursor, await digests.at(session, tenant, scope, cursor)


async def _lacking(session: Session, incarnation: Incarnation, scope: Scope, after: HubSeq) -> "_Lacking":
    async with session.pipeline():
        changed = await session.run("changed_documents", after=after, prefixes=reading_prefixes(scope))
        own = await session.run("own_changes", incarnation=incarnation, after=after)
        merges = await session.run("own_merges", incarnation=incarnation, after=after)
        lacking = _Lacking(incarnation, after, await own.fetchall(), await merges.fetchall())
        lacking.states = {row["id"]: row["state"] for row in await changed.fetchall()}
        lacking.any = bool(lacking.states or lacking.own or lacking.merges)
    if unread := [each for each in lacking.touched if each not in lacking.states]:
        rows = await session.rows("deciding_documents", ids=unread)
        lacking.states.update((row["id"], row["state"]) for row in rows)
    return lacking


class _Lacking:
    """The rows of a pull, before they are taken apart."""

    def __init__(
        self,
        incarnation: Incarnation,
        after: HubSeq,
        own: Sequence[Mapping[str, Any]],
        merges: Sequence[Mapping[str, Any]],
    ) -> None:
        self.incarnation = incarnation
        self.after = after
        self.own = [
            Decided(row["hub_seq"], row["local_seq"], decode(row["body"]), Outcome(row["outcome"]))
            for row in own
        ]
        self.reasons = {row["local_seq"]: row["reason"] for row in own}
        self.merges = merges
        self.states: dict[str, bytes] = {}
        self.any = False

    @property
    def touched(self) -> list[str]:
        """The documents that own changes mention."""
        return [str(document) for document in touched_in_order(each.change for each in self.own)]

    @property
    def size_bytes(self) -> int:
        return sum(len(state) for state in self.states.values())

    def composed(
        self, after: Cursor, upto: Cursor, digest: ScopeDigest, scope: Scope, *, whole: bool
    ) -> Pull:
        """The pull."""
        states = {address(each): decode_document(state) for each, state in self.states.items()}
        visible = {document: state for document, state in states.items() if scope.reads(document)}
        merged = [each.change for each in self.own if each.outcome is Outcome.MERGED]
        documents = difference(visible, self.after, self.incarnation, self.own)
        return Pull(
            after,
            upto,
            digest,
            _completed(visible, documents) if whole else documents,
            tuple(_runs(self.own)),
            tuple(
                Result(each.local_seq, each.outcome, self.reasons[each.local_seq])
                for each in self.own
                if each.outcome is not Outcome.MERGED
            ),
            tuple(_notice(row, self.incarnation) for row in self.merges),
            tuple(states.get(document, EMPTY).version for document in touched_in_order(merged)),
            whole,
        )


def _completed(
    visible: Mapping[DocumentId, Document], documents: Mapping[DocumentId, Document]
) -> dict[DocumentId, Document]:
    """The documents of a whole pull: whoever starts from nothing may have dropped its own changes."""
    completed = {}
    for document, state in visible.items():
        sent: Mapping[Slot, Register] = documents[document].registers if document in documents else {}
        completed[document] = Document({**sent, **state.registers}, state.version)
    return completed


def _runs(own: Sequence[Decided]) -> list[Run]:
    runs: list[Run] = []
    for each in own:
        last = runs[-1] if runs else None
        if (
            last
            and each.local_seq == last.first_local + last.count
            and each.hub_seq == last.first_hub_seq + last.count
        ):
            runs[-1] = Run(last.first_local, last.first_hub_seq, last.count + 1)
        else:
            runs.append(Run(each.local_seq, each.hub_seq, 1))
    return runs


def _notice(row: Mapping[str, Any], incarnation: Incarnation) -> Notice:
    candidates = recorded_candidates(row["candidates"])
    return Notice(
        row["id"],
        row["hub_seq"],
        address(row["document_id"]),
        tuple(row["path"]),
        row["kind"],
        row["policy"],
        any(write.dot.incarnation == incarnation for write in candidates[0].writes),
        tuple(() if each.value is DELETED else (each.value,) for each in candidates),
        tuple(each.writes[0].author for each in candidates),
    )
