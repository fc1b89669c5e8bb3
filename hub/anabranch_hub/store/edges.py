"""Edges of a tenant: invited by a one-time token, enrolled with a certificate, revoked for good."""

import logging
from collections.abc import Mapping
from typing import Any, TypeAlias

from anabranch_sync.audit_event import Event, EventKind
from anabranch_sync.budget import Budget
from anabranch_sync.change import CHAIN_START
from anabranch_sync.circumstances import Circumstances, link_class
from anabranch_sync.ids import Cursor, Incarnation, check_author, check_edge
from anabranch_sync.incident import Incident, IncidentKind, Remedy
from anabranch_sync.opening import Opening
from anabranch_sync.scope import EVERYTHING, Scope, scope
from anabranch_sync.value import Json
from anabranch_sync.wiping import WipeOrder

from anabranch_hub.errors import EdgeRevoked, EdgeUnknown, Fenced, TokenRefused
from anabranch_hub.store import auditing, rescoping
from anabranch_hub.store.log_reading import presented
from anabranch_hub.store.news import CHANNEL, rescoped_payload, revoked_payload
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.records import (
    Behind,
    Edge,
    EdgeIncident,
    EdgeStatus,
    Enrolment,
    Invitation,
    Proof,
    Told,
    Wipe,
    address,
    ended_of,
    replicated,
)
from anabranch_hub.store.scope_filter import reading
from anabranch_hub.store.transfers import arrived

log = logging.getLogger(__name__)

Data: TypeAlias = dict[str, Json]

# A disk that goes bad reports for months; what an edge did years ago explains nothing of today.
INCIDENTS_OF_EDGE_MAX = 200


async def invite(
    pool: Pool,
    tenant: str,
    edge: str,
    prefixes: tuple[str, ...],
    token_hash: bytes,
    expires_ms: int,
    invited_by: str,
    *,
    relay: bool,
) -> None:
    """Keep an invitation; from now on the edge is a relay or it is none.

    Raises InvalidName, TenantUnknown, EdgeRevoked.
    """
    checked = list(scope(prefixes).prefixes)
    check_edge(edge)
    check_author(invited_by)
    async with pool.transaction(tenant) as session:
        await session.run("add_edge", edge=edge, prefixes=checked)
        if (await _edge(session, tenant, edge)).status is EdgeStatus.REVOKED:
            raise EdgeRevoked(tenant, edge)
        await session.run("set_relay", edge=edge, relay=relay)
        await session.run(
            "add_invitation",
            token_hash=token_hash,
            tenant=tenant,
            edge=edge,
            prefixes=checked,
            expires_ms=expires_ms,
            invited_by=invited_by,
        )
        data: Data = {"author": invited_by, "scope": [*checked], "expires_ms": expires_ms}
        if relay:
            data["relay"] = True
        await _audit(session, tenant, EventKind.EDGE_INVITED, edge, data)


async def invitation(pool: Pool, token_hash: bytes, now_ms: int, key_hash: bytes | None) -> Invitation:
    """What a token would entitle to now; it stays unused. Raises TokenRefused."""
    async with pool.connection() as session:
        return await _invitation(session, token_hash, now_ms, key_hash)


async def redeem(pool: Pool, token_hash: bytes, now_ms: int, key_hash: bytes | None) -> Invitation:
    """Use a token up and give its edge the scope it promises, in one transaction. Raises TokenRefused."""
    async with pool.hub_transaction() as session:
        row = await session.row("use_invitation", token_hash=token_hash, now_ms=now_ms, key_hash=key_hash)
        if row is None:
            await _invitation(session, token_hash, now_ms, key_hash)
            raise TokenRefused("used")  # a moment ago, by another
        tenant, edge, prefixes = row["tenant"], row["edge"], row["prefixes"]
        if await rescoping.give(session.of(tenant), edge, prefixes) is None:
            raise EdgeRevoked(tenant, edge)
        await _audit(session.of(tenant), tenant, EventKind.EDGE_REDEEMED, edge, {"scope": prefixes})
        return Invitation(tenant, edge, Scope(tuple(prefixes)))


async def enrolled(pool: Pool, tenant: str, edge: str, serial: str, not_after_ms: int) -> Enrolment:
    """Record the first certificate of an edge's replica and lease it an incarnation.

    Raises EdgeUnknown, EdgeRevoked.
    """
    async with pool.transaction(tenant) as session:
        await _certify(session, tenant, edge, serial, not_after_ms)
        incarnation = await _lease(session, edge)
        position = await session.one("position")
        data: Data = {
            "certificate": serial,
            "not_after_ms": not_after_ms,
            "incarnation": incarnation,
            "scope": [*(await _edge(session, tenant, edge)).scope.prefixes],
        }
        await _audit(session, tenant, EventKind.EDGE_ENROLLED, edge, data)
        return Enrolment(incarnation, position["epoch"])


async def renewed(pool: Pool, tenant: str, edge: str, serial: str, not_after_ms: int) -> None:
    """Record the next certificate of an enrolled edge. Raises EdgeUnknown, EdgeRevoked."""
    async with pool.transaction(tenant) as session:
        if (
            await session.row("certify_edge_next", edge=edge, serial=serial, not_after_ms=not_after_ms)
            is None
        ):
            await _edge(session, tenant, edge)
            raise EdgeRevoked(tenant, edge)
        data: Data = {"certificate": serial, "not_after_ms": not_after_ms}
        await _audit(session, tenant, EventKind.EDGE_RENEWED, edge, data)


async def certificate_shown(pool: Pool, tenant: str, edge: str, serial: str) -> None:
    """The edge has its next certificate; safe to repeat."""
    async with pool.session(tenant) as session:
        await session.run("show_certificate", edge=edge, serial=serial)


async def edges(pool: Pool, tenant: str) -> list[Edge]:
    """All edges, by name."""
    async with pool.session(tenant) as session:
        return [_edge_of(tenant, row) for row in await session.rows("edges", edge=None)]


async def edge(pool: Pool, tenant: str, name: str) -> Edge:
    """One edge. Raises EdgeUnknown."""
    async with pool.session(tenant) as session:
        return await _edge(session, tenant, name)


async def revoke(pool: Pool, tenant: str, name: str, author: str) -> None:
    """Shut an edge out for good, its unused tokens included; safe to repeat. Raises EdgeUnknown."""
    async with pool.transaction(tenant) as session:
        # In the order in which `redeem` takes its locks: invitations, then edges.
        await session.run("void_invitations", tenant=tenant, edge=name)
        if await session.row("revoke_edge", edge=name) is None:
            raise EdgeUnknown(tenant, name)
        await _audit(session, tenant, EventKind.EDGE_REVOKED, name, {"author": author})
        await session.run("notify", channel=CHANNEL, payload=revoked_payload(tenant, name))


async def set_budget(
    pool: Pool, tenant: str, name: str, day_bytes: int | None, month_bytes: int | None, author: str
) -> Budget:
    """Limit what an edge's link may carry; a limit of None stays. Raises EdgeUnknown, EdgeRevoked."""
    async with pool.transaction(tenant) as session:
        if (await _edge(session, tenant, name)).status is EdgeStatus.REVOKED:
            raise EdgeRevoked(tenant, name)
        row = await session.one("set_edge_budget", edge=name, day_bytes=day_bytes, month_bytes=month_bytes)
        budget = Budget(row["budget_day_bytes"], row["budget_month_bytes"])
        limits: Data = {"day_bytes": budget.day_bytes, "month_bytes": budget.month_bytes}
        await _audit(session, tenant, EventKind.EDGE_BUDGET_SET, name, {"author": author, **limits})
        return budget


async def budget_used_up(pool: Pool, tenant: str, name: str, until_ms: int) -> None:
    """An edge says that its budget is used up until then, by its clock; safe to repeat."""
    async with pool.session(tenant) as session:
        await session.run("tell_budget_used_up", edge=name, until_ms=until_ms)


async def retire(pool: Pool, tenant: str, name: str, author: str) -> None:
    """Let an edge hold no tombstones back, until it comes again; safe to repeat.

    Raises EdgeUnknown, EdgeRevoked.
    """
    async with pool.transaction(tenant) as session:
        if await session.row("retire_edge", edge=name) is None:
            await _edge(session, tenant, name)
            raise EdgeRevoked(tenant, name)
        await _audit(session, tenant, EventKind.EDGE_RETIRED, name, {"author": author})


async def order_wipe(pool: Pool, tenant: str, name: str, author: str, *, at_once: bool) -> None:
    """Let everything leave an edge's disk at its next contact, and be told again if it was; safe to repeat.

    Unless `at_once`, it sends first what is unsent. Raises EdgeUnknown.
    """
    async with pool.transaction(tenant) as session:
        if await session.row("order_wipe", edge=name, at_once=at_once) is None:
            raise EdgeUnknown(tenant, name)
        await _audit(
            session, tenant, EventKind.EDGE_WIPE_ORDERED, name, {"author": author, "discard_unsent": at_once}
        )
        await session.run("notify", channel=CHANNEL, payload=rescoped_payload(tenant, name))


async def cancel_wipe(pool: Pool, tenant: str, name: str, author: str) -> bool:
    """Take the order back; False: there was none, or it was done. Raises EdgeUnknown."""
    async with pool.transaction(tenant) as session:
        await _edge(session, tenant, name)
        if await session.row("cancel_wipe", edge=name) is None:
            return False
        await _audit(
            session, tenant, EventKind.EDGE_WIPE_ORDERED, name, {"author": author, "cancelled": True}
        )
        await session.run("notify", channel=CHANNEL, payload=rescoped_payload(tenant, name))
        return True


async def wiped(pool: Pool, tenant: str, name: str) -> None:
    """An edge says that nothing is left there, as was ordered; safe to repeat."""
    async with pool.transaction(tenant) as session:
        if await session.row("wiped_edge", edge=name) is not None:
            await _audit(session, tenant, EventKind.EDGE_WIPED, name, {})


async def open_replica(
    pool: Pool,
    tenant: str,
    name: str,
    incarnation: Incarnation,
    mark: bytes,
    told: Told | None,
    wanted: Scope | None,
) -> Opening:
    """Where a replica's exchange begins; incarnation 0 leases a new one.

    `mark` tells what the edge has seen of the log; `told` is what it says of itself, and is kept; `wanted` is
    what it asks for of its scope, where it says so.

    Raises EdgeUnknown, EdgeRevoked, SubscriptionRefused; Fenced for an incarnation that is not this edge's.
    """
    async with pool.transaction(tenant) as session:
        known = await _edge(session, tenant, name)
        if known.status is EdgeStatus.REVOKED:
            raise EdgeRevoked(tenant, name)
        # Before the replica's row is locked: who decides locks the log first, and then that row.
        if known.retired_ms is not None and await session.row("return_edge", edge=name) is not None:
            await _audit(session, tenant, EventKind.EDGE_RETURNED, name, {})
            log.warning("a retired edge has come back", extra={"tenant": tenant, "edge": name})
        if wanted is not None and wanted != known.subscription:
            await rescoping.subscribe(session, tenant, name, wanted)
        leased = incarnation or await _lease(session, name)
        row = await session.row("open_replica", incarnation=leased, edge=name)
        if row is None:
            raise Fenced(name, leased, "it was never leased to this edge")
        if told is not None and told.drained is not None:
            at = {"epoch": told.drained.epoch, "hub_seq": told.drained.hub_seq}
            await session.run("drained", incarnation=leased, **at)
        if told is not None:
            before = await session.one(
                "tell_report",
                edge=name,
                clock_offset_ms=told.clock_offset_ms,
                disk_free_bytes=told.circumstances.disk_free_bytes,
                link_class=str(told.circumstances.link_class),
                byte_budget=told.circumstances.byte_budget,
                budget_until_ms=told.circumstances.budget_until_ms,
                oldest_unsent_ms=told.oldest_unsent_ms,
                protocol=told.protocol,
                damaged_changes=told.damaged_changes,
            )
            if told.damaged_changes > before["damaged_before"]:
                rotted = (row["hub_seq"], told.damaged_changes, told.damaged_documents)
                await _report(session, name, Incident(IncidentKind.OUTBOX, Remedy.SET_ASIDE, *rotted))
                log.warning("changes rotted at an edge", extra={"tenant": tenant, "edge": name})
        if leased < row["latest"]:
            facts = {"tenant": tenant, "edge": name, "incarnation": leased, "latest": row["latest"]}
            log.warning("an edge lives twice: it was cloned, or put back to an older image", extra=facts)
        scope = replicated(row)
        return Opening(
            row["epoch"],
            leased,
            row["push_mark"],
            row["chain"],
            row["hub_seq"],
            scope,
            await arrived(session, leased) if incarnation else None,
            await presented(session, tenant, mark),
            ended_of(row),
            budget=Budget(row["budget_day_bytes"], row["budget_month_bytes"]),
            # Courier files, which tell nothing of the edge, order nothing either.
            wipe=WipeOrder.KEEP if told is None else _order(known.wipe),
            granted=None if wanted in (None, EVERYTHING) else Scope(tuple(row["prefixes"])),
        )


async def report(pool: Pool, tenant: str, name: str, incident: Incident) -> None:
    """Keep an incident of an edge, in place of its oldest where there are many."""
    async with pool.session(tenant) as session:
        await _report(session, name, incident)


async def _report(session: Session, name: str, incident: Incident) -> None:
    await session.run(
        "report_incident",
        edge=name,
        kind=str(incident.kind),
        remedy=str(incident.remedy),
        hub_seq=incident.hub_seq,
        count=incident.count,
        documents=[str(document) for document in incident.documents],
        kept=INCIDENTS_OF_EDGE_MAX - 1,
    )


async def incidents(pool: Pool, tenant: str, name: str | None, limit: int) -> list[EdgeIncident]:
    """The newest incidents of one edge, or of all, newest first. Raises EdgeUnknown."""
    async with pool.session(tenant) as session:
        if name is not None:
            await _edge(session, tenant, name)
        rows = await session.rows("incidents", edge=name, limit=limit)
    return [
        EdgeIncident(
            row["edge"],
            row["at_ms"],
            Incident(
                IncidentKind(row["kind"]),
                Remedy(row["remedy"]),
                row["hub_seq"],
                row["count"],
                tuple(address(each) for each in row["documents"]),
            ),
        )
        for row in rows
    ]


async def behind(pool: Pool, tenant: str, edge: Edge) -> Behind:
    """What an edge is known to lack of its scope, and what its readers do not see of it."""
    async with pool.session(tenant) as session:
        position = await session.one("position")
        after = edge.cursor.hub_seq if edge.cursor.epoch == position["epoch"] else 0
        row = await session.one("behind", after=after, **reading(edge.replicates))
        return Behind(row["changed"], row["quarantined"])


async def _audit(session: Session, tenant: str, kind: EventKind, edge: str, data: Data) -> None:
    """Add what happened to an edge to the log; `author` in `data` is missing where the edge did it itself."""
    await auditing.append(session, tenant, [auditing.Act(Event(kind, edge, data))], auditing.hub_ms())


async def _invitation(session: Session, token_hash: bytes, now_ms: int, key_hash: bytes | None) -> Invitation:
    row = await session.row("invitation", token_hash=token_hash, key_hash=key_hash)
    if row is None:
        raise TokenRefused("unknown")
    if row["used"] or row["expires_ms"] <= now_ms:
        raise TokenRefused("used" if row["used"] else "expired")
    return Invitation(row["tenant"], row["edge"], Scope(tuple(row["prefixes"])))


async def _certify(session: Session, tenant: str, name: str, serial: str, not_after_ms: int) -> None:
    if await session.row("certify_edge", edge=name, serial=serial, not_after_ms=not_after_ms) is None:
        await _edge(session, tenant, name)
        raise EdgeRevoked(tenant, name)


async def _lease(session: Session, name: str) -> Incarnation:
    row = await session.one("lease", edge=name, chain=CHAIN_START)
    return int(row["incarnation"])


async def _edge(session: Session, tenant: str, name: str) -> Edge:
    row = await session.row("edges", edge=name)
    if row is None:
        raise EdgeUnknown(tenant, name)
    return _edge_of(tenant, row)


def _edge_of(tenant: str, row: Mapping[str, Any]) -> Edge:
    return Edge(
        tenant,
        row["name"],
        EdgeStatus(row["status"]),
        Scope(tuple(row["prefixes"])),
        row["certificate_serial"],
        row["next_serial"],
        row["not_after_ms"],
        row["incarnation"],
        row["push_mark"],
        Cursor(row["cursor_epoch"], row["cursor_seq"]),
        row["seen_ms"],
        row["relay"],
        _proof(row),
        _told(row),
        tuple(row["twins"]),
        Budget(row["budget_day_bytes"], row["budget_month_bytes"]),
        row["retired_ms"],
        Scope(tuple(row["subscription"])),
        _wipe(row),
    )


def _wipe(row: Mapping[str, Any]) -> Wipe | None:
    if row["wipe_ordered_ms"] is None:
        return None
    return Wipe(row["wipe_ordered_ms"], row["wipe_at_once"], row["wiped_ms"])


def _order(wipe: Wipe | None) -> WipeOrder:
    if wipe is None:
        return WipeOrder.KEEP
    return WipeOrder.AT_ONCE if wipe.at_once else WipeOrder.WHEN_SENT


def _proof(row: Mapping[str, Any]) -> Proof | None:
    if row["proved_ms"] is None:
        return None
    return Proof(row["proved_ms"], Cursor(row["proved_epoch"], row["proved_seq"]))


def _told(row: Mapping[str, Any]) -> Told | None:
    if row["told_ms"] is None:
        return None
    return Told(
        row["clock_offset_ms"],
        Circumstances(
            link_class(row["link_class"]),
            row["byte_budget"],
            row["budget_until_ms"],
            row["disk_free_bytes"],
        ),
        row["oldest_unsent_ms"],
        row["protocol"],
        row["told_ms"],
        row["damaged_changes"],
    )
