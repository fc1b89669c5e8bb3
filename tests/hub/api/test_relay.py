"""Edges that reach their hub through relays."""

import asyncio
import contextlib
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from anabranch.agent import Waiting, run_agent
from anabranch.errors import HubDenied, HubUnverified, NotARelay
from anabranch.identity import certificate_request, go_via, identity_folder, new_key, next_key, put_renewed
from anabranch.link import HubLink, channel_of
from anabranch.part_cache import PartCache, parts_folder
from anabranch.polling import Wish
from anabranch.relay import Relay
from anabranch_hub.api.streams import EdgeName
from anabranch_protos.relaying import BEHIND
from anabranch_protos.sync.v1 import methods
from anabranch_protos.sync.v1.sync_pb2 import RenewRequest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from grpc import aio

from tests.hub.api.fleet import Fleet, comes, facts_of, identity_of, new_tenant, read, write
from tests.hub.secrets.requests import forged_certificate, p256_key

pytestmark = pytest.mark.anyio


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def go(replica: Path, via: str) -> None:
    """Let the edge reach its hub through the relay there."""
    go_via(identity_folder(replica), identity_of(replica), via)


def certificate(replica: Path) -> bytes:
    leaf = x509.load_pem_x509_certificates(identity_of(replica).chain_pem)[0]
    return leaf.public_bytes(Encoding.DER)


def relay(replica: Path, at: str) -> Relay:
    """The edge as a relay that listens there."""
    return Relay(identity_of(replica), at, PartCache(parts_folder(replica)))


async def once(replica: Path) -> None:
    assert (await run_agent(replica, once=True)).settled


async def test_children_two_relays_away_and_the_relays_themselves_come_to_hold_the_same(fleet: Fleet) -> None:
    # given
    near, far = await fleet.enrol("near", relay=True), await fleet.enrol("far", relay=True)
    one, two = await fleet.enrol("one"), await fleet.enrol("two")
    near_at, far_at = free_address(), free_address()
    go(far, near_at)
    go(one, far_at)
    go(two, near_at)

    # when
    async with relay(near, near_at), relay(far, far_at):
        fleet.start(near, far, one, two)
        write(one, {"limit": 10})
        await fleet.comes_together(near, far, one, two)
        write(near, {"limit": 20})
        await fleet.comes_together(near, far, one, two)
        connected = fleet.hub.server.streams.names()
        await fleet.stop()

    # then
    assert [read(each) for each in (near, far, one, two)] == [{"limit": 20}] * 4
    assert {EdgeName(fleet.tenant, name) for name in ("near", "far", "one", "two")} <= connected


async def test_a_child_is_told_that_the_relay_has_no_link_and_goes_on_by_itself_when_it_has(
    fleet: Fleet,
) -> None:
    # given
    near, one = await fleet.enrol("near", relay=True), await fleet.enrol("one")
    at, nowhere = free_address(), free_address()
    go(one, at)
    heard: list[str] = []
    told = "the relay near does not reach its hub; it is tried again"

    def hear(step: object) -> None:
        if isinstance(step, Waiting):
            heard.append(step.reason)

    # when, then
    write(one, {"limit": 10})
    cut_off = Relay(replace(identity_of(near), address=nowhere), at, PartCache(parts_folder(near)))
    async with cut_off:
        fleet.start(one, progress=hear)
        # gRPC drops the reason of a stream that ends while the child writes: the next try tells it.
        await comes(lambda: told in heard)
        assert read(one) == {"limit": 10}
        await cut_off.renewed(identity_of(near))
        await fleet.comes_together(one)
        await fleet.stop()


async def test_the_hub_believes_certificates_that_are_passed_on_by_relays_only(fleet: Fleet) -> None:
    # given
    plain, near, one = (
        await fleet.enrol("plain"),
        await fleet.enrol("near", relay=True),
        await fleet.enrol("one"),
    )
    stranger = await Fleet(fleet.hub, await new_tenant(fleet.hub.store), fleet.folder / "other").enrol("one")

    async def refusal(caller: Path, *behind: bytes) -> tuple[str, str]:
        async with channel_of(identity_of(caller)) as channel:
            call = channel.stream_stream(methods.EXCHANGE)(metadata=[(BEHIND, each) for each in behind])
            return (await call.code()).name, str(await call.details())

    # when, then
    child = certificate(one)
    assert await refusal(plain, child) == (
        "ABORTED",
        "the relay plain is refused: it was not invited as a relay",
    )
    assert (await refusal(near, child, certificate(plain)))[0] == "ABORTED"
    assert (await refusal(near, certificate(stranger)))[0] == "PERMISSION_DENIED"
    assert (await refusal(near, b"no certificate"))[0] == "PERMISSION_DENIED"
    root = x509.load_pem_x509_certificate(identity_of(one).root_pem)
    forged = forged_certificate(p256_key(), root, f"spiffe://anabranch/tenant/{fleet.tenant}/edge/one")
    forged_der = x509.load_pem_x509_certificate(forged).public_bytes(Encoding.DER)
    code, details = await refusal(near, forged_der)
    assert (code, "none of this hub's" in details) == ("PERMISSION_DENIED", True)
    assert "limit 3" in (await refusal(near, *[child] * 4))[1]
    await fleet.hub.store.revoke(fleet.tenant, "one")
    assert (await refusal(near, child))[0] == "PERMISSION_DENIED"
    await fleet.hub.store.revoke(fleet.tenant, "near")
    assert (await refusal(near, child))[0] == "ABORTED"


async def test_a_child_renews_its_certificate_through_a_relay_and_a_relay_cannot_do_it_for_it(
    fleet: Fleet,
) -> None:
    # given
    near, one = await fleet.enrol("near", relay=True), await fleet.enrol("one")
    at = free_address()
    go(one, at)
    identity = identity_of(one)

    # when
    async with relay(near, at), HubLink(identity) as link:
        answer = await link.renew(certificate_request(next_key(identity_folder(one))))
    async with channel_of(identity_of(near)) as channel:
        own_key = RenewRequest(csr_pem=certificate_request(new_key()), proof=b"")
        call = channel.unary_unary(methods.RENEW)(
            own_key.SerializeToString(), metadata=[(BEHIND, certificate(one))]
        )
        status = await call.code()

    # then
    assert status.name == "PERMISSION_DENIED"
    put_renewed(identity_folder(one), identity, answer.chain_pem, answer.root_pem, answer.renew_at_ms)
    assert identity_of(one).via == at
    async with relay(near, at):
        await once(one)


async def test_a_child_looks_in_through_a_relay(fleet: Fleet) -> None:
    # given
    near, one, two = await fleet.enrol("near", relay=True), await fleet.enrol("one"), await fleet.enrol("two")
    at = free_address()
    go(one, at)
    write(two, {"limit": 10})

    # when
    async with relay(near, at):
        polling = asyncio.create_task(run_agent(one, mode=Wish(poll_ms=20)))
        await fleet.comes_together(one)
        await once(two)
        await comes(lambda: read(one) == {"limit": 10})
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)

    # then
    assert not facts_of(one).outbox


async def test_only_a_relay_of_the_tenant_is_believed_to_be_one(fleet: Fleet) -> None:
    # given
    plain, one = await fleet.enrol("plain"), await fleet.enrol("one")
    other = Fleet(fleet.hub, await new_tenant(fleet.hub.store), fleet.folder / "other")
    foreign = await other.enrol("near", relay=True)
    at = free_address()

    # when, then: an edge that is none, another tenant's, the hub's own port
    with pytest.raises(NotARelay, match="edge invite"):
        relay(plain, at)
    go(one, at)
    async with relay(foreign, at):
        with pytest.raises(HubUnverified):
            await run_agent(one, once=True)
    go(one, fleet.hub.address)
    with pytest.raises(HubUnverified):
        await run_agent(one, once=True)
    go(one, "")
    await once(one)


async def test_a_relay_that_is_revoked_cuts_its_children_off_and_does_not_shut_them_out(fleet: Fleet) -> None:
    # given
    near, one = await fleet.enrol("near", relay=True), await fleet.enrol("one")
    at = free_address()
    go(one, at)
    heard: list[str] = []

    def hear(step: object) -> None:
        if isinstance(step, Waiting):
            heard.append(step.reason)

    async with relay(near, at):
        fleet.start(one, progress=hear)
        await comes(lambda: EdgeName(fleet.tenant, "one") in fleet.hub.server.streams.names())

        # when
        await fleet.hub.store.revoke(fleet.tenant, "near")
        await comes(lambda: any("the relay near is refused" in reason for reason in heard))
        await fleet.stop()
    go(one, "")

    # then
    write(one, {"limit": 10})
    await once(one)
    assert not facts_of(one).outbox


async def test_a_child_that_opens_too_many_streams_is_refused_and_others_are_served(fleet: Fleet) -> None:
    # given
    near, one, two = await fleet.enrol("near", relay=True), await fleet.enrol("one"), await fleet.enrol("two")
    at = free_address()
    go(one, at)
    go(two, at)

    # when
    async with relay(near, at), channel_of(identity_of(one)) as channel:
        calls = [channel.stream_stream(methods.EXCHANGE)() for _ in range(12)]
        for call in calls:
            # The refused ones may have ended before there is anything to say to them.
            with contextlib.suppress(aio.AioRpcError, asyncio.InvalidStateError):
                await call.write(b"\x0a\x02no")  # a message with bytes that are no frame
        ends = [code.name for code in await asyncio.gather(*(call.code() for call in calls))]
        await once(two)
        await once(one)

    # then
    assert "ABORTED" in ends
    assert "OK" not in ends


async def test_a_child_that_is_revoked_hears_it_from_its_hub(fleet: Fleet) -> None:
    # given
    near, one = await fleet.enrol("near", relay=True), await fleet.enrol("one")
    at = free_address()
    go(one, at)

    # when
    await fleet.hub.store.revoke(fleet.tenant, "one")

    # then
    async with relay(near, at):
        with pytest.raises(HubDenied, match="revoked"):
            await run_agent(one, once=True)
