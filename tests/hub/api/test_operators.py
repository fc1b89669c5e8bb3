"""Who may ask for the ledger: operators, with their own certificate, about their own tenant."""

from __future__ import annotations

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import grpc
import psycopg
import pytest
from anabranch.errors import HubDenied
from anabranch.identity import Identity, certificate_request, new_key
from anabranch.link import HubLink
from anabranch_hub.errors import TokenRefused
from anabranch_hub.identity.operator_identity import new_request
from anabranch_hub.store import Edit, Store
from anabranch_protos.invitation import hash_secret, new_token
from anabranch_protos.operator.v1 import methods
from anabranch_protos.operator.v1 import operator_pb2 as pb
from anabranch_sync.clock import WALL_MS_MAX
from anabranch_sync.ids import document_id
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.message import Message
from grpc import aio

from tests.hub.api.fleet import Fleet, Hub, identity_of, new_tenant, now_ms
from tests.hub.api.stranger import stranger
from tests.hub.secrets.requests import forged_certificate, key_pem, p256_key, request_of
from tests.hub.store.replica import enrolled as replica_of
from tests.hub.store.replica import place

pytestmark = pytest.mark.anyio

ROUTER = document_id("acme/prod/router")
OK = "OK"


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator's identity, and the port to ask at."""

    address: str
    key_pem: bytes
    chain_pem: bytes
    root_pem: bytes


async def operator(hub: Hub, tenant: str, name: str, lasts_s: int = 3_600) -> Operator:
    """An operator who was invited and enrolled."""
    token = await invited(hub, tenant, name, lasts_s=lasts_s)
    key, request = new_request()
    reply = await enrolling(hub, token, request)
    return Operator(hub.address, key, reply.chain_pem, reply.ca_pem)


async def invited(hub: Hub, tenant: str, name: str, *, life_ms: int = 60_000, lasts_s: int = 3_600) -> bytes:
    """The secret of a token."""
    root = x509.load_pem_x509_certificate(await hub.authority.root_pem())
    token = new_token(root.public_bytes(Encoding.DER))
    await hub.store.invite_operator(tenant, name, lasts_s, token.secret_hash, now_ms() + life_ms, "ops")
    return token.secret


async def enrolling(hub: Hub, secret: bytes, csr_pem: bytes) -> pb.EnrollReply:
    credentials = grpc.ssl_channel_credentials(await hub.authority.root_pem())
    async with aio.secure_channel(hub.enrolment_address, credentials) as channel:
        call = channel.unary_unary(
            methods.ENROLL, pb.EnrollRequest.SerializeToString, pb.EnrollReply.FromString
        )
        reply: pb.EnrollReply = await call(pb.EnrollRequest(secret=secret, csr_pem=csr_pem))
        return reply


@asynccontextmanager
async def asking(who: Operator) -> AsyncIterator[aio.Channel]:
    credentials = grpc.ssl_channel_credentials(who.root_pem, who.key_pem, who.chain_pem)
    async with aio.secure_channel(who.address, credentials) as channel:
        yield channel


async def status(who: Operator, path: str, request: Message) -> tuple[str, str]:
    """The status of a call, and its words."""
    async with asking(who) as channel:
        call = channel.unary_unary(path, type(request).SerializeToString, lambda raw: raw)
        try:
            await call(request)
        except aio.AioRpcError as error:
            return error.code().name, str(error.details())
    return OK, ""


def requests_of(tenant: str) -> dict[str, Message]:
    """A call of each method, which is answered where it is allowed."""
    return {
        methods.LIST: pb.ListRequest(tenant=tenant, limit=10),
        methods.GET: pb.RowRequest(tenant=tenant, id=1),
        methods.EXPLAIN: pb.RowRequest(tenant=tenant, id=1),
        methods.STATS: pb.StatsRequest(tenant=tenant, limit=5),
        methods.ACCEPT: pb.AcceptRequest(tenant=tenant, ids=[1]),
        methods.RESTORE: pb.RestoreRequest(tenant=tenant, id=1, candidate=1, trial=True),
    }


METHODS = [path for name, path in vars(methods).items() if name.isupper() and name != "ENROLL"]


async def disputed(store: Store, tenant: str) -> None:
    """One row in the tenant's ledger."""
    for name in ("d1", "d2"):
        edge = await replica_of(store, tenant, name)
        edge.record([(ROUTER, place("a"), name)])
        await edge.push()


def as_operator(edge: Identity) -> Operator:
    """An edge that asks like an operator."""
    return Operator(edge.address, edge.key_pem, edge.chain_pem, edge.root_pem)


def as_edge(who: Operator, like: Identity) -> Identity:
    """An operator that asks like an edge."""
    return replace(like, key_pem=who.key_pem, chain_pem=who.chain_pem, root_pem=who.root_pem)


@pytest.mark.parametrize("path", METHODS)
async def test_every_method_is_for_operators_of_that_tenant_and_for_nobody_else(
    fleet: Fleet, path: str
) -> None:
    # given
    hub, own, other = fleet.hub, fleet.tenant, await new_tenant(fleet.hub.store)
    for tenant in (own, other):
        await disputed(hub.store, tenant)
    olga, theirs = await operator(hub, own, "olga"), await operator(hub, other, "olga")
    revoked = await operator(hub, own, "pete")
    await hub.store.revoke_operator(own, "pete", author="ops")
    before = await operator(hub, own, "quinn")
    await operator(hub, own, "quinn")
    edge = as_operator(identity_of(await fleet.enrol("olga")))

    async def asked(who: Operator, tenant: str) -> tuple[str, str]:
        return await status(who, path, requests_of(tenant)[path])

    # then
    assert await asked(olga, own) == (OK, "")
    for who, tenant, why in (
        (olga, other, f"for tenant {own} only: {other} is another's"),
        (theirs, own, f"for tenant {other} only: {own} is another's"),
        (olga, "nobody-has-it", "nobody-has-it is another's"),
        (olga, "", "only"),
        (edge, own, "it is an edge's"),
        (edge, other, "it is an edge's"),
        (revoked, own, "is revoked"),
        (before, own, "enrolled again"),
    ):
        code, details = await asked(who, tenant)
        assert (code, why in details) == ("PERMISSION_DENIED", True), (code, details)


async def test_an_operator_cannot_exchange_or_renew_like_an_edge(fleet: Fleet) -> None:
    # given
    edge = identity_of(await fleet.enrol("olga"))
    olga = as_edge(await operator(fleet.hub, fleet.tenant, "olga"), edge)
    # when, then
    async with stranger(olga) as stream:
        with pytest.raises(HubDenied, match="it is an operator's"):
            await stream.greets(0)
    async with HubLink(olga) as link:
        with pytest.raises(HubDenied, match="it is an operator's"):
            await link.renew(certificate_request(new_key()))


async def test_the_hubs_and_a_strangers_certificate_open_nothing(fleet: Fleet) -> None:
    # given
    hub = fleet.hub
    olga = await operator(hub, fleet.tenant, "olga")
    own = await hub.authority.server_credentials(["localhost"])
    key = p256_key()
    root = x509.load_pem_x509_certificate(olga.root_pem)
    forged = forged_certificate(key, root, f"spiffe://anabranch/tenant/{fleet.tenant}/operator/olga")
    # when, then
    for who in (
        replace(olga, key_pem=own.key_pem, chain_pem=own.chain_pem),
        replace(olga, key_pem=key_pem(key), chain_pem=forged),
    ):
        for path, request in requests_of(fleet.tenant).items():
            code, _ = await status(who, path, request)
            assert code == "UNAVAILABLE"


async def test_the_ledger_is_not_served_without_a_certificate(fleet: Fleet) -> None:
    credentials = grpc.ssl_channel_credentials(await fleet.hub.authority.root_pem())
    for address, expected in (
        (fleet.hub.address, "UNAVAILABLE"),
        (fleet.hub.enrolment_address, "UNIMPLEMENTED"),
    ):
        async with aio.secure_channel(address, credentials) as channel:
            for path in METHODS:
                with pytest.raises(aio.AioRpcError) as refused:
                    await channel.unary_unary(path)(b"")
                assert refused.value.code().name == expected


async def test_an_operators_token_is_good_once_and_never_for_an_edge(fleet: Fleet) -> None:
    # given
    hub = fleet.hub
    secret = await invited(hub, fleet.tenant, "olga")
    expired = await invited(hub, fleet.tenant, "olga", life_ms=-1)
    _, request = new_request()
    # when: the same key may ask again, for its answer may have been lost
    await enrolling(hub, secret, request)
    again = await enrolling(hub, secret, request)
    # then
    assert (again.tenant, again.operator) == (fleet.tenant, "olga")
    for used in (secret, expired, secrets.token_bytes(32), b"short"):
        with pytest.raises(aio.AioRpcError) as refused:
            await enrolling(hub, used, request_of(p256_key()))
        assert refused.value.code() is grpc.StatusCode.PERMISSION_DENIED
        assert "operator invite" in str(refused.value.details())
    with pytest.raises(TokenRefused, match="unknown"):
        await hub.store.invitation(hash_secret(secret), now_ms())


async def test_a_request_that_names_somebody_else_is_certified_as_who_was_invited(fleet: Fleet) -> None:
    # given
    secret = await invited(fleet.hub, fleet.tenant, "olga")
    claim = f"spiffe://anabranch/tenant/{fleet.tenant}/operator/admin"
    # when
    reply = await enrolling(fleet.hub, secret, request_of(p256_key(), common_name="admin", uri=claim))
    # then
    certificate = x509.load_pem_x509_certificates(reply.chain_pem)[0]
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"spiffe://anabranch/tenant/{fleet.tenant}/operator/olga"
    ]


@pytest.mark.parametrize(
    ("path", "request_", "code", "named"),
    [
        (methods.GET, pb.RowRequest(id=99), "NOT_FOUND", "no row 99"),
        (methods.GET, pb.RowRequest(id=2**63), "INVALID_ARGUMENT", str(2**63)),
        (methods.EXPLAIN, pb.RowRequest(id=0), "NOT_FOUND", "no row 0"),
        (methods.LIST, pb.ListRequest(limit=0), "INVALID_ARGUMENT", "0 is not a number from 1 to 1000"),
        (methods.LIST, pb.ListRequest(limit=1_001), "INVALID_ARGUMENT", "1001"),
        (methods.LIST, pb.ListRequest(limit=1, before=2**64 - 1), "INVALID_ARGUMENT", str(2**64 - 1)),
        (
            methods.LIST,
            pb.ListRequest(limit=1, matching=pb.Matching(author="a\0b")),
            "INVALID_ARGUMENT",
            "/matching/author",
        ),
        (
            methods.STATS,
            pb.StatsRequest(limit=1, matching=pb.Matching(since_ms=WALL_MS_MAX + 1)),
            "INVALID_ARGUMENT",
            str(WALL_MS_MAX + 1),
        ),
        (methods.ACCEPT, pb.AcceptRequest(), "INVALID_ARGUMENT", "0 rows"),
        (methods.ACCEPT, pb.AcceptRequest(ids=range(1, 1_002)), "INVALID_ARGUMENT", "1001 rows"),
        (methods.ACCEPT, pb.AcceptRequest(ids=[1, 7]), "NOT_FOUND", "no row 7"),
        (methods.ACCEPT, pb.AcceptRequest(ids=[1], note="a\nb"), "INVALID_ARGUMENT", "a\\nb"),
        (methods.RESTORE, pb.RestoreRequest(id=1, candidate=2), "INVALID_ARGUMENT", "no candidate 2"),
        (methods.RESTORE, pb.RestoreRequest(id=9, candidate=1), "NOT_FOUND", "no row 9"),
    ],
)
async def test_what_is_wrong_with_a_call_is_named(
    fleet: Fleet, path: str, request_: Message, code: str, named: str
) -> None:
    await disputed(fleet.hub.store, fleet.tenant)
    olga = await operator(fleet.hub, fleet.tenant, "olga")
    request = type(request_)()
    request.CopyFrom(request_)
    request.tenant = fleet.tenant  # type: ignore[attr-defined]

    answered, details = await status(olga, path, request)

    assert (answered, named in details) == (code, True), details
    row = await fleet.hub.store.merge(fleet.tenant, 1)
    assert row is not None
    assert row.reviews == ()


async def test_a_document_that_is_gone_is_a_failed_precondition(fleet: Fleet) -> None:
    # given
    await disputed(fleet.hub.store, fleet.tenant)
    await fleet.hub.store.write(fleet.tenant, [Edit(ROUTER, None)], author="ops", message="")
    olga = await operator(fleet.hub, fleet.tenant, "olga")
    # when
    request = pb.RestoreRequest(tenant=fleet.tenant, id=1, candidate=1)
    code, details = await status(olga, methods.RESTORE, request)
    # then
    assert code == "FAILED_PRECONDITION"
    assert "acme/prod/router/config is deleted" in details


async def test_every_operator_who_comes_and_goes_has_a_leaf_in_the_log(
    fleet: Fleet, postgres_dsn: str
) -> None:
    # when
    await operator(fleet.hub, fleet.tenant, "olga")
    await fleet.hub.store.revoke_operator(fleet.tenant, "olga", author="ops")
    # then
    [found] = await fleet.hub.store.operators(fleet.tenant)
    assert (found.name, found.status, found.invited_by) == ("olga", "revoked", "ops")
    with psycopg.connect(postgres_dsn) as connection:
        table = f"tenant_{fleet.tenant}.audit_leaves"
        leaves = connection.execute(
            f"SELECT convert_from(event, 'UTF8') FROM {table} ORDER BY leaf".encode()
        ).fetchall()
    events = [json.loads(leaf) for (leaf,) in leaves]
    told = [(each["type"], each["data"].get("author")) for each in events if each["subject"] == "olga"]
    assert told == [
        ("io.anabranch.operator.invited", "ops"),
        ("io.anabranch.operator.enrolled", None),
        ("io.anabranch.operator.revoked", "ops"),
    ]


async def test_a_large_page_is_cut_short_and_goes_on_where_it_ended(fleet: Fleet) -> None:
    # given: rows of more than half a megabyte each
    for name in ("d1", "d2"):
        edge = await replica_of(fleet.hub.store, fleet.tenant, name)
        for number in range(12):
            document = document_id(f"acme/prod/large-{number}")
            edge.record([(document, place("a"), name * 130_000)])
            await edge.push()
    olga = await operator(fleet.hub, fleet.tenant, "olga")
    seen: list[int] = []
    pages = 0
    # when
    async with asking(olga) as channel:
        call = channel.unary_unary(methods.LIST, pb.ListRequest.SerializeToString, pb.ListReply.FromString)
        while True:
            before = seen[-1] if seen else 0
            reply = await call(pb.ListRequest(tenant=fleet.tenant, limit=100, before=before))
            if not reply.rows:
                break
            pages += 1
            seen += [row.id for row in reply.rows]
    # then
    assert seen == list(range(12, 0, -1))
    assert pages > 1
