"""Edges come by a token that works once, and go for good."""

import asyncio
import secrets

import pytest
from anabranch_hub.errors import EdgeRevoked, EdgeUnknown, TenantExists, TokenRefused
from anabranch_hub.store import EdgeStatus, Invitation, Store
from anabranch_sync.change import CHAIN_START
from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import Cursor
from anabranch_sync.scope import Scope

from tests.hub.store.replica import FAR_MS, NOON_MS, ROUTER, enrolled, place

pytestmark = pytest.mark.anyio


async def test_a_token_works_once_and_gives_what_it_promised(store: Store, tenant: str) -> None:
    token_hash = secrets.token_bytes(32)
    await store.invite(tenant, "e1", ("acme/prod", "acme/prod"), token_hash, NOON_MS + 1, "operator")

    answers = await asyncio.gather(
        *(store.redeem(token_hash, NOON_MS) for _ in range(5)), return_exceptions=True
    )

    given = [answer for answer in answers if isinstance(answer, Invitation)]
    assert given == [Invitation(tenant, "e1", Scope(("acme/prod",)))]
    assert {str(answer)[:28] for answer in answers if isinstance(answer, TokenRefused)} == {
        "the token is refused (used):"
    }


async def test_expired_and_unknown_tokens_are_told_apart(store: Store, tenant: str) -> None:
    token_hash = secrets.token_bytes(32)
    await store.invite(tenant, "e1", ("acme",), token_hash, NOON_MS, "operator")

    with pytest.raises(TokenRefused, match="expired"):
        await store.redeem(token_hash, NOON_MS)
    with pytest.raises(TokenRefused, match="unknown"):
        await store.redeem(secrets.token_bytes(32), NOON_MS)


async def test_an_edge_is_invited_then_enrolled_then_revoked(store: Store, tenant: str) -> None:
    token_hash = secrets.token_bytes(32)
    await store.invite(tenant, "e1", ("acme",), token_hash, FAR_MS, "operator")
    invited = await store.edge(tenant, "e1")
    await store.redeem(token_hash, NOON_MS)
    enrolment = await store.enrolled(tenant, "e1", "serial-1", FAR_MS)
    enrolled_edge = await store.edge(tenant, "e1")
    unused = secrets.token_bytes(32)
    await store.invite(tenant, "e1", ("acme",), unused, FAR_MS, "operator")
    await store.revoke(tenant, "e1")
    await store.revoke(tenant, "e1")

    assert (invited.status, invited.incarnation, invited.seen_ms) == (EdgeStatus.INVITED, 0, 0)
    assert (enrolled_edge.status, enrolled_edge.certificate_serial) == (EdgeStatus.ENROLLED, "serial-1")
    assert enrolled_edge.incarnation == enrolment.incarnation > 0
    assert [edge.status for edge in await store.edges(tenant)] == [EdgeStatus.REVOKED]
    with pytest.raises(TokenRefused, match="unknown"):
        await store.redeem(unused, NOON_MS)
    with pytest.raises(EdgeRevoked):
        await store.invite(tenant, "e1", ("acme",), secrets.token_bytes(32), FAR_MS, "operator")
    with pytest.raises(EdgeRevoked):
        await store.enrolled(tenant, "e1", "serial-2", FAR_MS)


async def test_every_lease_is_a_new_incarnation(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")

    openings = await asyncio.gather(*(store.open_replica(tenant, "e1", 0) for _ in range(5)))

    assert len({replica.incarnation, *(opening.incarnation for opening in openings)}) == 6
    assert {(opening.push_mark, opening.chain) for opening in openings} == {(0, CHAIN_START)}


async def test_an_edge_is_listed_with_how_far_its_replica_has_come(store: Store, tenant: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    replica.record([(ROUTER, place("a"), 1)])
    await replica.push()
    await replica.pull()

    [edge] = await store.edges(tenant)

    assert (edge.push_mark, edge.cursor) == (1, replica.cursor)
    assert edge.cursor > Cursor(1, 0)
    assert edge.seen_ms > 0


async def test_names_are_checked_and_what_is_missing_is_named(store: Store, tenant: str) -> None:
    with pytest.raises(InvalidName):
        await store.invite(tenant, "two words", ("acme",), b"", FAR_MS, "operator")
    with pytest.raises(InvalidName):
        await store.invite(tenant, "e1", ("acme/../other",), b"", FAR_MS, "operator")
    for asked in (store.edge(tenant, "e9"), store.revoke(tenant, "e9"), store.enrolled(tenant, "e9", "s", 1)):
        with pytest.raises(EdgeUnknown, match="has no edge e9"):
            await asked


async def test_a_tenant_is_made_once(store: Store, tenant: str) -> None:
    with pytest.raises(TenantExists):
        await store.create_tenant(tenant)
    with pytest.raises(InvalidName):
        await store.create_tenant("Global")

    assert tenant in [each.name for each in await store.tenants()]
