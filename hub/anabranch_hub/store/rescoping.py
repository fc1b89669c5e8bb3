"""Giving an edge another scope, and finding out what a replica lacks that still holds a former one."""

from collections.abc import Sequence
from dataclasses import dataclass

from anabranch_sync.audit_event import Event, EventKind
from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import DocumentId, check_author
from anabranch_sync.scope import Scope, scope
from anabranch_sync.value import Json

from anabranch_hub.errors import EdgeRevoked, EdgeUnknown, SubscriptionRefused
from anabranch_hub.store import auditing
from anabranch_hub.store.news import CHANNEL, rescoped_payload
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.records import address, replicated
from anabranch_hub.store.scope_filter import reading

# An edge that was away for longer than this many changes of its scope takes the whole of the present one.
FORMER_SCOPES_MAX = 64


@dataclass(frozen=True, slots=True)
class Entering:
    """What a replica that holds another scope lacks of its present one, and what that takes.

    Unless `is_known`, nobody here knows any more what it holds: it lacks everything.
    """

    documents: frozenset[DocumentId]
    size_bytes: int
    is_known: bool = True


async def rescope(pool: Pool, tenant: str, edge: str, prefixes: tuple[str, ...], author: str) -> Scope:
    """Give an edge another scope; its open streams begin anew. Returns the one that it had. Safe to repeat.

    Raises InvalidName, EdgeUnknown, EdgeRevoked.
    """
    given = scope(prefixes)
    check_author(author)
    async with pool.transaction(tenant) as session:
        former = await give(session, edge, given.prefixes)
        if former is None:
            known = await session.row("edges", edge=edge)
            raise EdgeUnknown(tenant, edge) if known is None else EdgeRevoked(tenant, edge)
        if former != given:
            acted: dict[str, Json] = {
                "author": author,
                "scope": [*given.prefixes],
                "former": [*former.prefixes],
            }
            act = auditing.Act(Event(EventKind.EDGE_RESCOPED, edge, acted))
            # The tenant's lock, until the end: what was decided by the former scope is committed before.
            await auditing.append(session, tenant, [act], auditing.hub_ms())
            await session.run("notify", channel=CHANNEL, payload=rescoped_payload(tenant, edge))
        return former


async def give(session: Session, edge: str, prefixes: Sequence[str]) -> Scope | None:
    """Give an edge a scope and return the one that it had; None: it is unknown or revoked.

    Raises InvalidName where it and the edge's subscription take too many prefixes together.
    """
    row = await session.row("scope_of_edge", edge=edge)
    if row is None:
        return None
    former, given = Scope(tuple(row["prefixes"])), Scope(tuple(prefixes))
    if former != given:
        _check_room(given, Scope(tuple(row["subscription"])))
        await session.row("rescope_edge", edge=edge, prefixes=list(prefixes))
        await _leave(session, edge, replicated(row))
    return former


async def subscribe(session: Session, tenant: str, edge: str, wanted: Scope) -> None:
    """Let an edge replicate what it asks for of its scope. Raises SubscriptionRefused, EdgeRevoked."""
    row = await session.row("scope_of_edge", edge=edge)
    if row is None:
        raise EdgeRevoked(tenant, edge)
    former = Scope(tuple(row["subscription"]))
    if former == wanted:
        return
    try:
        Scope(tuple(row["prefixes"])).narrowed(wanted)
    except InvalidName as error:
        raise SubscriptionRefused(tenant, edge, error.reason) from error
    await session.run("subscribe_edge", edge=edge, subscription=list(wanted.prefixes))
    await _leave(session, edge, replicated(row))
    said: dict[str, Json] = {"subscription": [*wanted.prefixes], "former": [*former.prefixes]}
    act = auditing.Act(Event(EventKind.EDGE_SUBSCRIBED, edge, said))
    await auditing.append(session, tenant, [act], auditing.hub_ms())


def _check_room(given: Scope, wanted: Scope) -> None:
    """Raises InvalidName where what is both granted and asked for takes too many prefixes."""
    try:
        given.narrowed(wanted)
    except InvalidName as error:
        asked = ", ".join(wanted.prefixes[:3]) + (", ..." if len(wanted.prefixes) > 3 else "")
        reason = f"with what the edge asks for of it ({asked}): {error.reason}"
        raise InvalidName("scope", given.prefixes[0], reason) from error


async def _leave(session: Session, edge: str, former: Scope) -> None:
    """Remember what an edge replicated until now, and drop the pulls of that which are on their way to it."""
    await session.run(
        "leave_scope",
        edge=edge,
        fingerprint=former.fingerprint,
        prefixes=list(former.prefixes),
        kept=FORMER_SCOPES_MAX - 1,
    )
    await session.run("drop_spools_of", edge=edge)


async def entering(session: Session, edge: str, present: Scope, held: bytes) -> Entering:
    """What a replica lacks of its present scope that holds the one of the fingerprint `held`."""
    former = await session.row("former_scope", edge=edge, fingerprint=held)
    if former is None:
        row = await session.one("changed_bytes", after=0, **reading(present))
        return Entering(frozenset(), int(row["bytes"]), is_known=False)
    had = reading(Scope(tuple(former["prefixes"])), name="former_")
    rows = await session.rows("entering", **reading(present), **had)
    return Entering(frozenset(address(row["id"]) for row in rows), sum(row["bytes"] for row in rows))
