"""The part of `Store` about who takes part: tenants, edges, operators, and a hub restored from a backup."""

from anabranch_sync.audit_event import Event, EventKind
from anabranch_sync.budget import Budget
from anabranch_sync.ids import HubSeq
from anabranch_sync.scope import Scope

from anabranch_hub.store import (
    auditing,
    edges,
    migrations,
    operators,
    rescoping,
    restoring,
)
from anabranch_hub.store.pool import Pool, Session
from anabranch_hub.store.records import (
    Edge,
    Enrolment,
    Invitation,
    NewEpoch,
    Operator,
    OperatorInvitation,
    Tenant,
)


class Membership:
    """Who takes part in what a hub does: a part of `Store`."""

    _pool: Pool

    async def create_tenant(self, name: str, *, author: str = "") -> None:
        """Make a tenant, whose log begins with who made it. Raises TenantExists."""

        async def found(session: Session) -> None:
            event = Event(EventKind.TENANT_CREATED, name, {"position": 0, "author": author})
            await auditing.append(session, name, [auditing.Act(event)], auditing.hub_ms())

        await migrations.create_tenant(self._pool.dsn, name, migrations.released(), found)

    async def tenants(self) -> list[Tenant]:
        """All tenants, by name."""
        async with self._pool.connection() as session:
            return [Tenant(**row) for row in await session.rows("tenants")]

    async def invite(
        self,
        tenant: str,
        edge: str,
        prefixes: tuple[str, ...],
        token_hash: bytes,
        expires_ms: int,
        invited_by: str,
        *,
        relay: bool = False,
    ) -> None:
        """Keep an invitation to write below `prefixes`, and to pass others on or not. Raises EdgeRevoked."""
        pool = self._pool
        await edges.invite(pool, tenant, edge, prefixes, token_hash, expires_ms, invited_by, relay=relay)

    async def invitation(
        self, token_hash: bytes, now_ms: int, *, key_hash: bytes | None = None
    ) -> Invitation:
        """What `redeem` would answer now; the token stays unused. Raises TokenRefused."""
        return await edges.invitation(self._pool, token_hash, now_ms, key_hash)

    async def redeem(self, token_hash: bytes, now_ms: int, *, key_hash: bytes | None = None) -> Invitation:
        """Use a one-time token up. Raises TokenRefused, EdgeRevoked.

        Safe to repeat with the `key_hash` of the first time: the answer may have been lost.
        """
        return await edges.redeem(self._pool, token_hash, now_ms, key_hash)

    async def enrolled(self, tenant: str, edge: str, certificate_serial: str, not_after_ms: int) -> Enrolment:
        """Record an edge's first certificate and lease an incarnation. Raises EdgeUnknown, EdgeRevoked."""
        return await edges.enrolled(self._pool, tenant, edge, certificate_serial, not_after_ms)

    async def renewed(self, tenant: str, edge: str, certificate_serial: str, not_after_ms: int) -> None:
        """Record an edge's next certificate; the present one counts until the next is shown.

        Raises EdgeUnknown, EdgeRevoked.
        """
        await edges.renewed(self._pool, tenant, edge, certificate_serial, not_after_ms)

    async def certificate_shown(self, tenant: str, edge: str, certificate_serial: str) -> None:
        """An edge has shown its next certificate: the one before counts no more. Safe to repeat."""
        await edges.certificate_shown(self._pool, tenant, edge, certificate_serial)

    async def edges(self, tenant: str) -> list[Edge]:
        """All edges of a tenant, by name."""
        return await edges.edges(self._pool, tenant)

    async def edge(self, tenant: str, edge: str) -> Edge:
        """One edge. Raises EdgeUnknown."""
        return await edges.edge(self._pool, tenant, edge)

    async def retire(self, tenant: str, edge: str, *, author: str) -> None:
        """Let an edge hold no tombstones back until it comes again. Raises EdgeUnknown, EdgeRevoked."""
        await edges.retire(self._pool, tenant, edge, author)

    async def revoke(self, tenant: str, edge: str, *, author: str = "") -> None:
        """Shut an edge out for good, its open streams included; safe to repeat. Raises EdgeUnknown."""
        await edges.revoke(self._pool, tenant, edge, author)

    async def set_budget(
        self, tenant: str, edge: str, *, day_bytes: int | None, month_bytes: int | None, author: str
    ) -> Budget:
        """Limit what an edge's link may carry (0: no limit, None: as it is); it hears at its next exchange.

        Returns what holds then. Raises EdgeUnknown, EdgeRevoked.
        """
        return await edges.set_budget(self._pool, tenant, edge, day_bytes, month_bytes, author)

    async def rescope(self, tenant: str, edge: str, prefixes: tuple[str, ...], *, author: str) -> Scope:
        """Give an edge another scope; returns the one that it had. Safe to repeat.

        Raises InvalidName, EdgeUnknown, EdgeRevoked.
        """
        return await rescoping.rescope(self._pool, tenant, edge, prefixes, author)

    async def order_wipe(self, tenant: str, edge: str, *, at_once: bool, author: str) -> None:
        """Let everything leave an edge's disk at its next contact. Safe to repeat. Raises EdgeUnknown.

        Unless `at_once`, it sends first what is unsent.
        """
        await edges.order_wipe(self._pool, tenant, edge, author, at_once=at_once)

    async def cancel_wipe(self, tenant: str, edge: str, *, author: str) -> bool:
        """Take the order back; False: there was none, or it was done. Raises EdgeUnknown."""
        return await edges.cancel_wipe(self._pool, tenant, edge, author)

    async def wiped(self, tenant: str, edge: str) -> None:
        """An edge says that nothing is left there, as was ordered; safe to repeat."""
        await edges.wiped(self._pool, tenant, edge)

    # A restore from a backup.

    async def restored(self, tenant: str, *, author: str, known: HubSeq | None, now_ms: int) -> NewEpoch:
        """Begin another epoch, for the tables were restored from a backup that ended at `known`.

        None: they stand now where it ended. Raises PositionAhead.
        """
        return await restoring.restored(self._pool, tenant, author, known, now_ms)

    async def position_of_leaf(self, tenant: str, leaf: int) -> HubSeq:
        """Where the tenant stood when a leaf of the log was written; 0 where there is no such leaf."""
        return await restoring.position_of_leaf(self._pool, tenant, leaf)

    # Operators.

    async def invite_operator(
        self,
        tenant: str,
        operator: str,
        lasts_s: int,
        token_hash: bytes,
        expires_ms: int,
        invited_by: str,
    ) -> None:
        """Keep an invitation to a certificate that lasts so long. Raises OperatorRevoked."""
        await operators.invite(self._pool, tenant, operator, lasts_s, token_hash, expires_ms, invited_by)

    async def operator_invitation(
        self, token_hash: bytes, now_ms: int, key_hash: bytes
    ) -> OperatorInvitation:
        """Whom the token lets in; it stays unused. Raises TokenRefused."""
        return await operators.invitation(self._pool, token_hash, now_ms, key_hash)

    async def operator_enrolled(
        self, token_hash: bytes, now_ms: int, key_hash: bytes, serial: str, not_after_ms: int
    ) -> None:
        """Use a token up for the certificate that was signed. Raises TokenRefused, OperatorRevoked.

        Safe to repeat with the same key: the answer may have been lost.
        """
        await operators.enrolled(self._pool, token_hash, now_ms, key_hash, serial, not_after_ms)

    async def operators(self, tenant: str) -> list[Operator]:
        """All operators of a tenant, by name."""
        return await operators.operators(self._pool, tenant)

    async def operator(self, tenant: str, name: str) -> Operator:
        """One operator. Raises OperatorUnknown."""
        return await operators.operator(self._pool, tenant, name)

    async def revoke_operator(self, tenant: str, name: str, *, author: str) -> None:
        """Shut an operator out for good; safe to repeat. Raises OperatorUnknown."""
        await operators.revoke(self._pool, tenant, name, author)
