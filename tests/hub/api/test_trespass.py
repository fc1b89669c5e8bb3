"""Everything an edge might try to get at what is not its own, tried."""

import asyncio
import ssl
from dataclasses import replace
from typing import Any

import grpc
import pytest
from anabranch.errors import HubDenied, HubError, HubUnreachable, HubUnverified
from anabranch.identity import certificate_request, new_key
from anabranch.link import HubLink, enroll
from anabranch_hub.identity.peer import peer_of_certificate
from anabranch_hub.store import Edit
from anabranch_protos.sync.v1 import methods
from anabranch_protos.sync.v1.sync_pb2 import EnrollReply, EnrollRequest, ExchangeFrame
from anabranch_sync.frame import FRAME_BYTES_MAX
from anabranch_sync.ids import document_id
from anabranch_sync.messages import (
    Control,
    Welcome,
)
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from grpc import aio

from tests.hub.api.fleet import ROUTER, Fleet, Hub, facts_of, identity_of, invited, new_tenant
from tests.hub.api.stranger import stranger
from tests.hub.secrets.requests import forged_certificate, key_pem, p256_key, request_of

pytestmark = pytest.mark.anyio


async def test_an_incarnation_that_was_never_leased_to_this_edge_is_fenced(fleet: Fleet) -> None:
    # given
    mallory, other = await fleet.enrol("mallory"), await fleet.enrol("other")
    stolen = facts_of(other).continuity.incarnation
    # when
    async with stranger(identity_of(mallory)) as edge:
        answer = await edge.greets(stolen)
    # then
    assert isinstance(answer, Control)
    assert answer.order == "fence"


async def test_a_number_leased_in_another_tenant_means_nothing_in_this_one(fleet: Fleet) -> None:
    # given: the other tenant has more replicas than this one
    other = Fleet(fleet.hub, await new_tenant(fleet.hub.store), fleet.folder)
    theirs = [await other.enrol(f"theirs-{number}") for number in range(3)]
    mallory = await fleet.enrol("mallory")
    stolen = max(facts_of(each).continuity.incarnation for each in theirs)
    # when
    async with stranger(identity_of(mallory)) as edge:
        answer = await edge.greets(stolen)
    # then
    assert isinstance(answer, Control)
    assert answer.order == "fence"


async def test_changes_in_the_name_of_another_incarnation_end_the_stream(fleet: Fleet) -> None:
    # given
    mallory, other = await fleet.enrol("mallory"), await fleet.enrol("other")
    own = facts_of(mallory).continuity.incarnation
    stolen = facts_of(other).continuity.incarnation
    async with stranger(identity_of(mallory)) as edge:
        assert isinstance(await edge.greets(own), Welcome)
        # when
        await edge.pushes(stolen, ROUTER)
        # then
        with pytest.raises(HubUnreachable, match="another incarnation"):
            await edge.listens()
    assert await fleet.hub.store.read(fleet.tenant, ROUTER) is None


@pytest.mark.parametrize("document", ["acme/staging/router", "global/limits", "system/schemas"])
async def test_a_write_outside_the_scope_is_recorded_and_not_applied(fleet: Fleet, document: str) -> None:
    # given
    mallory = await fleet.enrol("mallory")
    own = facts_of(mallory).continuity.incarnation
    wanted = document_id(document)
    async with stranger(identity_of(mallory)) as edge:
        assert isinstance(await edge.greets(own), Welcome)
        # when
        await edge.pushes(own, wanted)
        await edge.listens()
    # then
    assert await fleet.hub.store.read(fleet.tenant, wanted) is None
    assert (await fleet.hub.store.edge(fleet.tenant, "mallory")).push_mark == 1, "it was decided"


async def test_the_same_document_in_two_tenants_is_two_documents(fleet: Fleet) -> None:
    # given
    other = await new_tenant(fleet.hub.store)
    await fleet.hub.store.write(other, [Edit(ROUTER, {"of": "theirs"})], author="ops", message="")
    mallory = await fleet.enrol("mallory")
    own = facts_of(mallory).continuity.incarnation
    async with stranger(identity_of(mallory)) as edge:
        assert isinstance(await edge.greets(own), Welcome)
        # when
        await edge.pushes(own, ROUTER)
        await edge.listens()
    # then
    theirs = await fleet.hub.store.read(other, ROUTER)
    assert theirs is not None
    assert theirs.content == {"of": "theirs"}
    own_one = await fleet.hub.store.read(fleet.tenant, ROUTER)
    assert own_one is not None
    assert own_one.content == {"stolen": True}


async def test_a_request_that_names_another_tenant_is_certified_as_who_it_is(fleet: Fleet) -> None:
    # given
    mallory = identity_of(await fleet.enrol("mallory"))
    claim = "spiffe://anabranch/tenant/victim/edge/admin"
    token = await invited(fleet.hub, fleet.tenant, "second")
    # when
    async with HubLink(mallory) as link:
        renewed = await link.renew(request_of(p256_key(), common_name="admin", uri=claim))
    enrolled = await enroll(
        fleet.hub.enrolment_address, mallory.root_pem, token.secret, request_of(p256_key(), uri=claim)
    )
    # then
    named = [
        peer_of_certificate(x509.load_pem_x509_certificates(chain)[0])
        for chain in (renewed.chain_pem, enrolled.renewed.chain_pem)
    ]
    assert [(each.tenant, each.edge) for each in named] == [
        (fleet.tenant, "mallory"),
        (fleet.tenant, "second"),
    ]


async def test_a_certificate_of_a_stranger_in_the_name_of_an_edge_is_refused(fleet: Fleet) -> None:
    # given
    honest = identity_of(await fleet.enrol("honest"))
    key = p256_key()
    root = x509.load_pem_x509_certificate(honest.root_pem)
    forged = forged_certificate(key, root, f"spiffe://anabranch/tenant/{fleet.tenant}/edge/honest")
    mallory = replace(honest, key_pem=key_pem(key), chain_pem=forged)
    # when, then
    async with stranger(mallory) as edge:
        with pytest.raises(HubError):
            await edge.greets(0)


async def test_the_hubs_own_certificate_lets_nobody_in_as_an_edge(fleet: Fleet) -> None:
    # given
    honest = identity_of(await fleet.enrol("honest"))
    hubs = await fleet.hub.authority.server_credentials(["localhost"])
    # when, then
    async with stranger(replace(honest, key_pem=hubs.key_pem, chain_pem=hubs.chain_pem)) as edge:
        with pytest.raises(HubError):
            await edge.greets(0)


async def test_an_edge_that_was_enrolled_again_cannot_use_its_old_certificate(fleet: Fleet) -> None:
    # given
    old = identity_of(await fleet.enrol("one"))
    token = await invited(fleet.hub, fleet.tenant, "one")
    request = certificate_request(new_key())
    await enroll(fleet.hub.enrolment_address, old.root_pem, token.secret, request)
    # when, then
    async with stranger(old) as edge:
        with pytest.raises(HubDenied, match="enrolled again"):
            await edge.greets(0)
    async with HubLink(old) as link:
        with pytest.raises(HubDenied, match="enrolled again"):
            await link.renew(request)


async def test_a_revoked_edge_is_refused_by_every_method(fleet: Fleet) -> None:
    # given
    one = identity_of(await fleet.enrol("one"))
    await fleet.hub.store.revoke(fleet.tenant, "one")
    # when, then
    async with stranger(one) as edge:
        with pytest.raises(HubDenied, match="revoked"):
            await edge.greets(0)
    async with HubLink(one) as link:
        with pytest.raises(HubDenied, match="revoked"):
            await link.renew(certificate_request(new_key()))


async def test_without_a_certificate_only_enrolment_is_served(fleet: Fleet) -> None:
    # given
    root_pem = await fleet.hub.authority.root_pem()
    openly = grpc.ssl_channel_credentials(root_pem)
    async with (
        aio.secure_channel(fleet.hub.address, openly) as main,
        aio.secure_channel(fleet.hub.enrolment_address, openly) as enrolment,
    ):
        # when, then
        for channel, status in ((main, "UNAVAILABLE"), (enrolment, "UNIMPLEMENTED")):
            for method in (methods.EXCHANGE, methods.RENEW):
                with pytest.raises(aio.AioRpcError) as refused:
                    await channel.unary_unary(method)(b"")
                assert refused.value.code().name == status


async def test_enrolment_is_not_served_on_the_main_port(fleet: Fleet) -> None:
    # given
    one = identity_of(await fleet.enrol("one"))
    credentials = grpc.ssl_channel_credentials(one.root_pem, one.key_pem, one.chain_pem)
    async with aio.secure_channel(fleet.hub.address, credentials) as channel:
        call = channel.unary_unary(methods.ENROLL, EnrollRequest.SerializeToString, EnrollReply.FromString)
        # when, then
        with pytest.raises(aio.AioRpcError) as refused:
            await call(EnrollRequest(secret=b"x" * 32))
        assert refused.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("port", ["main", "enrolment"])
async def test_tls_1_3_is_spoken_and_tls_1_2_refused(hub: Hub, port: str) -> None:
    # given
    number = hub.server.port if port == "main" else hub.server.enrolment_port
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    # when, then
    _, writer = await asyncio.open_connection("127.0.0.1", number, ssl=context)
    assert writer.get_extra_info("ssl_object").version() == "TLSv1.3"
    writer.transport.abort()
    # when, then
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises((ssl.SSLError, ConnectionError)):  # an alert or a reset, whichever comes first
        await asyncio.open_connection("127.0.0.1", number, ssl=context)


async def test_a_frame_over_the_limit_is_refused_before_it_is_read(fleet: Fleet) -> None:
    # given
    one = identity_of(await fleet.enrol("one"))
    async with stranger(one) as edge:
        # when
        await edge.frames.write(b"\0" * (FRAME_BYTES_MAX + 1024))
        # then
        with pytest.raises(HubUnreachable, match="larger than max"):
            await edge.hears()


@pytest.mark.parametrize("raw", [b"", b"\0", b"\x01" * 40, b"\xff" * FRAME_BYTES_MAX])
async def test_bytes_that_are_no_frame_end_the_stream_and_nothing_else(fleet: Fleet, raw: bytes) -> None:
    # given
    replica = await fleet.enrol("one")
    one = identity_of(replica)
    async with stranger(one) as edge:
        # when
        await edge.frames.write(raw)
        # then
        with pytest.raises(HubUnreachable, match="corrupt frame"):
            await edge.hears()
    async with stranger(one) as edge:
        assert isinstance(await edge.greets(facts_of(replica).continuity.incarnation), Welcome)


async def test_what_is_no_protobuf_ends_the_call(fleet: Fleet) -> None:
    # given
    one = identity_of(await fleet.enrol("one"))
    credentials = grpc.ssl_channel_credentials(one.root_pem, one.key_pem, one.chain_pem)
    async with aio.secure_channel(fleet.hub.address, credentials) as channel:
        # when
        call = channel.stream_stream(methods.EXCHANGE)()
        await call.write(b"\xff\xff\xff")
        # then
        with pytest.raises(aio.AioRpcError):
            await call.read()


async def test_headers_over_the_limit_are_refused(fleet: Fleet) -> None:
    # given
    one = identity_of(await fleet.enrol("one"))
    credentials = grpc.ssl_channel_credentials(one.root_pem, one.key_pem, one.chain_pem)
    headers: Any = [("x", "y" * 64 * 1024)]
    async with aio.secure_channel(fleet.hub.address, credentials) as channel:
        call = channel.stream_stream(methods.EXCHANGE, ExchangeFrame.SerializeToString)(metadata=headers)
        # when, then
        with pytest.raises(aio.AioRpcError) as refused:
            await call.read()
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_edge_does_not_speak_to_a_hub_of_another_root(fleet: Fleet) -> None:
    # given: the edge was enrolled elsewhere, under a root that is not this hub's
    one = identity_of(await fleet.enrol("one"))
    key = load_pem_private_key(one.key_pem, None)
    foreign = x509.load_pem_x509_certificate(one.chain_pem)
    # when, then
    async with stranger(replace(one, root_pem=_self_signed(key, foreign))) as edge:
        with pytest.raises(HubUnverified):
            await edge.greets(0)


def _self_signed(key: Any, like: x509.Certificate) -> bytes:
    """A root of somebody else's."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.serialization import Encoding

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody else")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(like.not_valid_before_utc)
    builder = builder.not_valid_after(like.not_valid_after_utc)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
