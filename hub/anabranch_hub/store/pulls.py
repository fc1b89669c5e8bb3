"""What a replica lacks, read at one moment: everything in a pull is of one snapshot."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

from anabranch_sync.budget import Budget
from anabranch_sync.case import Case, Claim, Hand, Look
from anabranch_sync.change import decode
from anabranch_sync.check_in import answered
from anabranch_sync.columns import decode_document
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import EMPTY, Document
from anabranch_sync.explanation import REVIEWS_SHOWN_MAX
from anabranch_sync.ids import Cursor, DocumentId, HubSeq, Incarnation, LocalSeq
from anabranch_sync.live import Quarantined
from anabranch_sync.messages import PROTOCOL_MIN, CheckIn
from anabranch_sync.priority import PRIORITY_DEFAULT, URGENT
from anabranch_sync.pull import (
    Decided,
    Notice,
    Outcome,
    Pull,
    Result,
    Run,
    Urgent,
    difference,
    touched_in_order,
    urgent,
)
from anabranch_sync.repairing import Surveyed
from anabranch_sync.scope import Scope
from anabranch_sync.snapshot import Snapshot

from anabranch_hub.errors import EdgeRevoked, Fenced, ScopeChanged
from anabranch_hub.store import rescoping
from anabranch_hub.store.deciding import read_schemas
from anabranch_hub.store.ledger import recorded_candidates, restored_value
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.quarantining import stored_aside
from anabranch_hub.store.records import address, replicated, stored_number
from anabranch_hub.store.rescoping import Entering
from anabranch_hub.store.scope_digests import ScopeDigests
from anabranch_hub.store.scope_filter import reading

# Unpacking this many bytes takes a few milliseconds; beyond it the event loop is left to others.
INLINE_BYTES_MAX = 16 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Question:
    """What does a replica of `tenant` lack after a cursor?

    `always`: an answer is wanted also when only the tenant's position has moved. `replaced` travel whole,
    changed or not. `held` is the fingerprint of the scope that it holds, where that is another than it
    should, `told` the scope that it was told of. It speaks `protocol`; `relayed`: there is a relay on the
    way, which keeps parts of snapshots for others.
    """

    tenant: str
    after: Cursor
    always: bool = False
    replaced: frozenset[DocumentId] = frozenset()
    protocol: int = PROTOCOL_MIN
    held: bytes = b""
    told: Scope | None = None
    relayed: bool = False


@dataclass(frozen=True, slots=True)
class Pulling:
    """A replica that pulls, at the moment of the session's snapshot.

    `after` is its cursor, `start` the position from which something may be new to it: 0 for a cursor that
    says nothing here. `whole`: it must be told everything. `changed_bytes` bounds what its delta is made
    of; a snapshot older than `not_before` would leave it where it is. `entering`
    is what came into its scope; None: it holds that scope. `anew_bytes` are what the documents take that came
    into it, or are to be replaced.
    """

    incarnation: Incarnation
    scope: Scope
    after: Cursor
    upto: Cursor
    start: HubSeq
    whole: bool
    changed_bytes: int
    not_before: HubSeq
    entering: Entering | None = None
    anew_bytes: int = 0


async def begun(session: Session, edge: str, incarnation: Incarnation, asked: Question) -> Pulling:
    """Open a transaction that reads at one moment, and find the replica, as `found` does."""
    async with session.pipeline():
        await session.begin(snapshot=True)
        return await found(session, edge, incarnation, asked)


async def found(session: Session, edge: str, incarnation: Incarnation, asked: Question) -> Pulling:
    """The replica, in a transaction that reads at one moment. Raises EdgeRevoked, Fenced, ScopeChanged."""
    after = asked.after
    row = await session.row(
        "pulling_replica", incarnation=incarnation, edge=edge, epoch=after.epoch, after=after.hub_seq
    )
    if row is None:
        raise Fenced(edge, incarnation, "it was never leased to this edge")
    if row["revoked"]:
        raise EdgeRevoked(asked.tenant, edge)
    upto, scope = Cursor(row["epoch"], row["hub_seq"]), replicated(row)
    if asked.told is not None and asked.told != scope:
        raise ScopeChanged(asked.tenant, edge)
    entering = None
    if asked.held not in (b"", scope.fingerprint):
        entering = await rescoping.entering(session, edge, scope, asked.held)
    is_unknown = entering is not None and not entering.is_known
    anew_bytes = entering.size_bytes if entering else 0
    if asked.replaced:
        named = [str(document) for document in asked.replaced]
        anew_bytes += (await session.one("bytes_of", ids=named))["bytes"]
    # A cursor of another epoch says nothing here, nor one beyond what this hub has decided.
    strange = after.epoch != upto.epoch or after.hub_seq > upto.hub_seq or is_unknown
    return Pulling(
        incarnation,
        scope,
        after,
        upto,
        0 if strange else after.hub_seq,
        strange or row["overtaken"],
        row["bytes"] + anew_bytes,
        max(row["trimmed_seq"], row["collected_seq"]),
        entering,
        anew_bytes,
    )


async def pull(
    pool: Pool, digests: ScopeDigests, edge: str, incarnation: Incarnation, asked: Question
) -> Pull | None:
    """What the replica lacks, or None: nothing that concerns it has happened. Raises as `found`."""
    async with pool.undoing(asked.tenant) as session:
        pulling = await begun(session, edge, incarnation, asked)
        return await drawn(session, digests, pulling, asked)


async def drawn(session: Session, digests: ScopeDigests, pulling: Pulling, asked: Question) -> Pull | None:
    """The pull of a replica that was found."""
    always, replaced = asked.always, asked.replaced
    after, upto = pulling.after, pulling.upto
    if pulling.entering is not None:
        always, replaced = True, replaced | pulling.entering.documents
    elif after == upto and not replaced:
        return None
    if pulling.whole:
        replaced = frozenset()  # all of them are
    lacking = await _lacking(session, pulling, replaced)
    if not (lacking.concerns or always or replaced or after.epoch != upto.epoch):
        return None
    digest = await digests.at(session, asked.tenant, pulling.scope, upto)
    size_bytes = sum(len(state) for state in lacking.states.values())
    return await _apart(size_bytes, partial(_composed, lacking, pulling, digest))


async def drawn_urgent(
    pool: Pool, tenant: str, scope: Scope, incarnation: Incarnation, after: Cursor
) -> Urgent:
    """The urgent documents in `scope` that others changed after a position, whole."""
    async with pool.undoing(tenant) as session:
        async with session.pipeline():
            await session.begin(snapshot=True)
            row = await session.one("position")
        upto = Cursor(row["epoch"], row["hub_seq"])
        changed = await _priorities(session, scope, after.hub_seq)
        pressing = [each for each, priority in changed.items() if priority == URGENT]
        if not pressing or upto.epoch != after.epoch:
            return Urgent()
        rows = await session.rows("deciding_documents", ids=pressing)
    whole = {address(row["id"]): decode_document(row["state"]) for row in rows}
    quarantined = {address(row["id"]) for row in rows if row["violations"]}
    return urgent(whole, quarantined, incarnation, after, upto)


async def weighed(
    pool: Pool, tenant: str, scope: Scope, incarnation: Incarnation, after: Cursor
) -> int | None:
    """How pressing what is new to the replica after a position is; None: nothing concerns it."""
    async with pool.undoing(tenant) as session:
        await session.begin(snapshot=True)
        concerns = await session.one(
            "concerns", incarnation=incarnation, after=after.hub_seq, **reading(scope)
        )
        if not concerns["anything"]:
            return None
        changed = await _priorities(session, scope, after.hub_seq)
    return min(changed.values(), default=PRIORITY_DEFAULT)


async def closing(session: Session, pulling: Pulling, snapshot: Snapshot) -> Pull:
    """The pull that swaps a snapshot in: what became of own changes that are in it."""
    upto = snapshot.upto
    own = await _outcomes(session, pulling, upto.hub_seq)
    merges = await session.rows("own_merges", **_own(pulling), reviews=REVIEWS_SHOWN_MAX)
    return Pull(
        pulling.after,
        upto,
        snapshot.digest,
        {},
        tuple(_runs(own)),
        tuple(_results(own)),
        tuple(_notices([row for row in merges if row["hub_seq"] <= upto.hub_seq], pulling)),
        whole=True,
        parts=tuple(part.name for part in snapshot.parts),
    )


async def check_in(pool: Pool, digests: ScopeDigests, tenant: str, edge: str, asked: CheckIn) -> bytes:
    """The answer to a check-in, as a frame. Raises EdgeRevoked, Fenced."""
    async with pool.undoing(tenant) as session:
        async with session.pipeline():
            await session.begin(snapshot=True)
            row = await session.row(
                "pulling_replica",
                incarnation=asked.incarnation,
                edge=edge,
                epoch=asked.cursor.epoch,
                after=asked.cursor.hub_seq,
            )
        if row is None:
            raise Fenced(edge, asked.incarnation, "it was never leased to this edge")
        if row["revoked"] and not row["wiping"]:
            raise EdgeRevoked(tenant, edge)
        at, scope = Cursor(row["epoch"], row["hub_seq"]), replicated(row)
        # A position of another epoch says nothing of this one.
        after = asked.cursor.hub_seq if asked.cursor.epoch == at.epoch else 0
        concerns = await session.one("concerns", incarnation=asked.incarnation, after=after, **reading(scope))
        # An order to wipe waits for nothing, nor for a byte budget.
        is_wiping = row["wiping"]
        is_urgent = is_wiping
        if concerns["anything"] and not is_wiping:
            is_urgent = URGENT in (await _priorities(session, scope, after)).values()
        return answered(
            asked,
            epoch=at.epoch,
            hub_seq=at.hub_seq,
            push_mark=row["push_mark"],
            concerned=is_wiping or concerns["anything"],
            digest=await digests.at(session, tenant, scope, at),
            scope=scope,
            urgent=is_urgent,
            budget=Budget(row["budget_day_bytes"], row["budget_month_bytes"]),
        )


async def _priorities(session: Session, scope: Scope, after: HubSeq) -> dict[str, int]:
    """How pressing the changes after a position are, of each document in the scope that they touch."""
    policies = (await read_schemas(session, 0)).policies
    rows = await session.rows("changed_addresses", after=after, **reading(scope))
    return {row["id"]: URGENT if row["is_urgent"] else policies.priority(address(row["id"])) for row in rows}


async def digest(pool: Pool, digests: ScopeDigests, tenant: str, scope: Scope) -> tuple[Cursor, ScopeDigest]:
    """Where the tenant stands, and the digest of `scope` there."""
    async with pool.undoing(tenant) as session:
        async with session.pipeline():
            await session.begin(snapshot=True)
            row = await session.one("position")
        cursor = Cursor(row["epoch"], row["hub_seq"])
        return cursor, await digests.at(session, tenant, scope, cursor)


async def survey(pool: Pool, tenant: str, scope: Scope) -> Surveyed:
    """The digest of each live document in `scope`."""
    async with pool.session(tenant) as session:
        rows = await session.rows("surveyed", **reading(scope))
    return Surveyed({address(row["id"]): stored_number(row["digest"]) for row in rows})


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of an own change."""

    hub_seq: HubSeq
    local_seq: LocalSeq
    outcome: Outcome
    reason: str
    absorbed: int


@dataclass(frozen=True, slots=True)
class _Lacking:
    """What was read for a pull: documents by address, still packed, and rows of the ledger.

    `own` are changes whose values the replica knows, none for a whole pull. `states` are the documents that
    changed and those that `own` mentions, `aside` those of them in quarantine; `concerns`: there is anything
    new.
    """

    own: Sequence[Decided]
    outcomes: Sequence[_Outcome]
    merges: Sequence[Mapping[str, Any]]
    states: Mapping[str, bytes]
    aside: Mapping[DocumentId, Quarantined]
    concerns: bool
    replaced: frozenset[DocumentId]


async def _lacking(session: Session, pulling: Pulling, replaced: frozenset[DocumentId]) -> _Lacking:
    own = _own(pulling)
    since = 0 if pulling.whole else pulling.start
    async with session.pipeline():
        changed = await session.run("changed_documents", after=since, **reading(pulling.scope))
        if pulling.whole:  # bodies may be gone, and are of no use
            decided = await session.run("own_outcomes", **own, upto=pulling.upto.hub_seq)
        else:
            decided = await session.run("own_changes", **own)
        conflicts = await session.run("own_merges", **own, reviews=REVIEWS_SHOWN_MAX)
        stand = await changed.fetchall()
        rows = await decided.fetchall()
        merges = await conflicts.fetchall()
    concerns = bool(stand or rows or merges)
    read = {row["id"] for row in stand}
    known: list[Decided] = []
    if not pulling.whole:
        known = await _apart(sum(len(row["body"]) for row in rows), partial(_decided, rows))
    mentioned = touched_in_order(each.change for each in known)
    wanted = dict.fromkeys(map(str, (*mentioned, *sorted(replaced))))
    if unread := [each for each in wanted if each not in read]:
        stand += await session.rows("deciding_documents", ids=unread)
    states = {row["id"]: row["state"] for row in stand}
    aside = {address(row["id"]): stored_aside(row).quarantined for row in stand if row["violations"]}
    outcomes = [_outcome(row) for row in rows]
    return _Lacking(known, outcomes, merges, states, aside, concerns, replaced)


def _own(pulling: Pulling) -> dict[str, Any]:
    return {"incarnation": pulling.incarnation, "after": pulling.start}


async def _outcomes(session: Session, pulling: Pulling, upto: HubSeq) -> list[_Outcome]:
    return [_outcome(row) for row in await session.rows("own_outcomes", **_own(pulling), upto=upto)]


def _outcome(row: Mapping[str, Any]) -> _Outcome:
    return _Outcome(row["hub_seq"], row["local_seq"], Outcome(row["outcome"]), row["reason"], row["absorbed"])


async def _apart(size_bytes: int, unpack: Callable[[], T]) -> T:
    """The result of `unpack`, which takes so many bytes apart: many of them beside the event loop."""
    return await asyncio.to_thread(unpack) if size_bytes > INLINE_BYTES_MAX else unpack()


def _decided(rows: Sequence[Mapping[str, Any]]) -> list[Decided]:
    return [
        Decided(row["hub_seq"], row["local_seq"], decode(row["body"]), Outcome(row["outcome"]))
        for row in rows
    ]


def _composed(lacking: _Lacking, pulling: Pulling, digest: ScopeDigest) -> Pull:
    own, incarnation = lacking.own, pulling.incarnation
    states = {address(each): decode_document(state) for each, state in lacking.states.items()}
    visible = {document: state for document, state in states.items() if pulling.scope.reads(document)}
    merged = [each.change for each in own if each.outcome is Outcome.MERGED]
    documents: Mapping[DocumentId, Document] = visible
    if not pulling.whole:
        documents = difference(visible, pulling.start, incarnation, own, lacking.replaced)
    return Pull(
        pulling.after,
        pulling.upto,
        digest,
        documents,
        tuple(_runs(lacking.outcomes)),
        tuple(_results(lacking.outcomes)),
        tuple(_notices(lacking.merges, pulling)),
        tuple(states.get(document, EMPTY).version for document in touched_in_order(merged)),
        pulling.whole,
        {document: lacking.aside[document] for document in lacking.aside.keys() & visible.keys()},
        lacking.replaced,
    )


def _results(own: Sequence[_Outcome]) -> list[Result]:
    return [
        Result(each.local_seq, each.outcome, each.reason)
        for each in own
        if each.outcome is not Outcome.MERGED
    ]


def _runs(own: Sequence[_Outcome]) -> list[Run]:
    runs: list[Run] = []
    for each in own:
        last = runs[-1] if runs else None
        if (
            last
            and not each.absorbed
            and each.local_seq == last.first_local + last.count
            and each.hub_seq == last.first_hub_seq + last.count
        ):
            runs[-1] = replace(last, count=last.count + 1)
        else:
            runs.append(Run(each.local_seq, each.hub_seq, 1, each.absorbed))
    return runs


def _notices(merges: Sequence[Mapping[str, Any]], pulling: Pulling) -> Iterator[Notice]:
    """Conflicts of the replica's own changes, but for documents that it has left since."""
    for row in merges:
        if pulling.scope.reads(address(row["document_id"])):
            yield _notice(row, pulling.incarnation)


def _notice(row: Mapping[str, Any], incarnation: Incarnation) -> Notice:
    candidates = recorded_candidates(row["candidates"])
    claims = tuple(
        Claim(
            each.path,
            each.element,
            each.value,
            tuple(Hand(write.author, write.edge, write.timestamp, write.skew_ms) for write in each.writes),
        )
        for each in candidates
    )
    looks = tuple(
        Look(
            each["reviewer"],
            each["reviewed_ms"],
            each["note"],
            restored_value(each["what"], each["candidate"], candidates),
        )
        for each in row["reviews"] or ()
    )
    case = Case(
        address(row["document_id"]),
        row["kind"],
        row["policy"],
        row["policy_version"],
        claims,
        row["waiting"],
        looks,
        row["quarantined"],
    )
    won = any(write.dot.incarnation == incarnation for write in candidates[0].writes)
    return Notice(row["id"], row["hub_seq"], won, case)
