"""Operators of a tenant: people with a certificate of their own, who look after it from afar.

They are let in as edges are, by a one-time token, and shut out for good. Everything about them is a
leaf of the tenant's log.
"""

from collections.abc import Mapping
from typing import Any

from anabranch_sync.audit_event import Event, EventKind
from anabranch_sync.ids import check_author, check_operator
from anabranch_sync.value import Json

from anabranch_hub.errors import OperatorRevoked, OperatorUnknown, TokenRefused
from anabranch_hub.store import auditing
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.records import EdgeStatus, Operator, OperatorInvitation


async def invite(
    pool: Pool,
    tenant: str,
    operator: str,
    lasts_s: int,
    token_hash: bytes,
    expires_ms: int,
    invited_by: str,
) -> None:
    """Keep an invitation. Raises InvalidName, TenantUnknown, OperatorRevoked."""
    check_operator(operator)
    check_author(invited_by)
    async with pool.transaction(tenant) as session:
        await session.run("add_operator", operator=operator, invited_by=invited_by)
        if (await _operator(session, tenant, operator)).status is EdgeStatus.REVOKED:
            raise OperatorRevoked(tenant, operator)
        await session.run(
            "add_operator_invitation",
            token_hash=token_hash,
            tenant=tenant,
            operator=operator,
            lasts_s=lasts_s,
            expires_ms=expires_ms,
            invited_by=invited_by,
        )
        data: dict[str, Json] = {"author": invited_by, "expires_ms": expires_ms, "lasts_s": lasts_s}
        await _audit(session, tenant, EventKind.OPERATOR_INVITED, operator, data)


async def invitation(pool: Pool, token_hash: bytes, now_ms: int, key_hash: bytes) -> OperatorInvitation:
    """Whom a token would let in now; it stays unused. Raises TokenRefused."""
    async with pool.connection() as session:
        return await _invitation(session, token_hash, now_ms, key_hash)


async def enrolled(
    pool: Pool, token_hash: bytes, now_ms: int, key_hash: bytes, serial: str, not_after_ms: int
) -> None:
    """Use a token up and record the certificate that was signed for it, in one transaction.

    Safe to repeat with the same key. Raises TokenRefused, OperatorRevoked.
    """
    async with pool.hub_transaction() as session:
        row = await session.row(
            "use_operator_invitation", token_hash=token_hash, now_ms=now_ms, key_hash=key_hash
        )
        if row is None:
            await _invitation(session, token_hash, now_ms, key_hash)
            raise TokenRefused("used", of="operator")  # a moment ago, by another
        tenant, operator = row["tenant"], row["operator"]
        own = session.of(tenant)
        certified = await own.row(
            "certify_operator", operator=operator, serial=serial, not_after_ms=not_after_ms
        )
        if certified is None:
            raise OperatorRevoked(tenant, operator)
        data: dict[str, Json] = {"serial": serial, "not_after_ms": not_after_ms}
        await _audit(own, tenant, EventKind.OPERATOR_ENROLLED, operator, data)


async def operators(pool: Pool, tenant: str) -> list[Operator]:
    """All operators, by name."""
    async with pool.session(tenant) as session:
        return [_operator_of(tenant, row) for row in await session.rows("operators", operator=None)]


async def operator(pool: Pool, tenant: str, name: str) -> Operator:
    """One operator. Raises OperatorUnknown."""
    async with pool.session(tenant) as session:
        return await _operator(session, tenant, name)


async def revoke(pool: Pool, tenant: str, name: str, author: str) -> None:
    """Shut an operator out for good, unused tokens included; safe to repeat. Raises OperatorUnknown."""
    async with pool.transaction(tenant) as session:
        # In the order in which `enrolled` takes its locks: invitations, then operators.
        await session.run("void_operator_invitations", tenant=tenant, operator=name)
        if await session.row("revoke_operator", operator=name) is None:
            raise OperatorUnknown(tenant, name)
        await _audit(session, tenant, EventKind.OPERATOR_REVOKED, name, {"author": author})


async def _invitation(
    session: Session, token_hash: bytes, now_ms: int, key_hash: bytes
) -> OperatorInvitation:
    row = await session.row("operator_invitation", token_hash=token_hash, key_hash=key_hash)
    if row is None:
        raise TokenRefused("unknown", of="operator")
    if row["used"] or row["expires_ms"] <= now_ms:
        raise TokenRefused("used" if row["used"] else "expired", of="operator")
    return OperatorInvitation(row["tenant"], row["operator"], row["lasts_s"])


async def _operator(session: Session, tenant: str, name: str) -> Operator:
    row = await session.row("operators", operator=name)
    if row is None:
        raise OperatorUnknown(tenant, name)
    return _operator_of(tenant, row)


def _operator_of(tenant: str, row: Mapping[str, Any]) -> Operator:
    return Operator(
        tenant,
        row["name"],
        EdgeStatus(row["status"]),
        row["certificate_serial"],
        row["not_after_ms"],
        row["invited_by"],
    )


async def _audit(
    session: Session, tenant: str, kind: EventKind, operator: str, data: Mapping[str, Json]
) -> None:
    await auditing.append(session, tenant, [auditing.Act(Event(kind, operator, data))], auditing.hub_ms())
