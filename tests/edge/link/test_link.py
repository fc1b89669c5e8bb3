"""The edge's end of gRPC: what the hub and the network do to it comes out as errors of ours."""

import asyncio
import socket
from typing import Any

import pytest
from anabranch.errors import HubAway, HubDenied, HubError, HubUnreachable, HubUnverified
from anabranch.identity import certificate_request, new_key
from anabranch.link import AHEAD_FRAMES_MAX, MESSAGE_BYTES_MAX, WRITE_FAILED, FrameStream, HubLink
from anabranch_protos.sync.v1.sync_pb2 import ExchangeFrame, RenewReply, RenewRequest

from tests.edge.link.scripted_hub import Root, refusing, scripted_hub

import grpc  # isort: skip
from grpc import aio  # isort: skip


@pytest.mark.parametrize(
    ("status", "error", "exit_code"),
    [
        ("PERMISSION_DENIED", HubDenied, 4),
        ("UNAUTHENTICATED", HubDenied, 4),
        ("UNAVAILABLE", HubUnreachable, 7),
        ("RESOURCE_EXHAUSTED", HubUnreachable, 7),
        ("ABORTED", HubAway, 7),
        ("INTERNAL", HubUnreachable, 7),
        ("UNIMPLEMENTED", HubUnverified, 8),
    ],
)
def test_how_the_hub_ends_a_call_says_what_can_be_done(
    status: str, error: type[HubError], exit_code: int
) -> None:
    async def scenario() -> None:
        async def exchange(context: Any) -> None:
            await refusing(status, "because", context)

        async with scripted_hub(exchange=exchange) as hub, HubLink(hub.root.identity(hub.address)) as link:
            # when
            with pytest.raises(error) as told:
                await link.exchange().read()
        # then
        assert told.value.exit_code == exit_code
        assert told.value.address == hub.address
        assert "\n" not in str(told.value)

    asyncio.run(scenario())


def test_frames_arrive_whole_and_in_order() -> None:
    async def scenario() -> None:
        async def echo(context: Any) -> None:
            async for message in _messages(context):
                await context.write(message)

        async with scripted_hub(exchange=echo) as hub, HubLink(hub.root.identity(hub.address)) as link:
            stream = link.exchange()
            frames = [bytes([number]) * number * 1_000 for number in range(1, 60)]
            # when
            for frame in frames:
                await stream.write(frame)
            # then
            assert [await stream.read() for _ in frames] == frames
            await stream.finish()

    asyncio.run(scenario())


async def _messages(context: Any) -> Any:
    from grpc import aio

    while (message := await context.read()) is not aio.EOF:
        yield message


def test_a_stream_that_the_hub_ends_in_good_order_reads_none() -> None:
    async def scenario() -> None:
        async def end(context: Any) -> None:
            await context.read()

        async with scripted_hub(exchange=end) as hub, HubLink(hub.root.identity(hub.address)) as link:
            stream = link.exchange()
            await stream.write(b"hello")
            assert await stream.read() is None

    asyncio.run(scenario())


def test_writing_after_the_end_says_why_it_ended() -> None:
    async def scenario() -> None:
        async def deny(context: Any) -> None:
            await refusing("PERMISSION_DENIED", "revoked", context)

        async with scripted_hub(exchange=deny) as hub, HubLink(hub.root.identity(hub.address)) as link:
            stream = link.exchange()
            with pytest.raises(HubDenied, match="revoked"):
                await stream.read()
            # when, then
            with pytest.raises(HubDenied, match="revoked"):
                await stream.write(b"frame")
            with pytest.raises(HubDenied, match="revoked"):
                await stream.finish()

    asyncio.run(scenario())


def test_a_write_that_meets_the_end_is_an_error_of_ours() -> None:
    async def scenario() -> None:
        async def end(context: Any) -> None:
            await context.read()

        async with scripted_hub(exchange=end) as hub, HubLink(hub.root.identity(hub.address)) as link:
            stream = link.exchange()
            with pytest.raises(HubError):
                await _writes_for_ever(stream)

    asyncio.run(scenario())


async def _writes_for_ever(stream: FrameStream) -> None:
    while True:
        await stream.write(b"frame")


def test_a_message_over_the_limit_is_not_taken_in() -> None:
    async def scenario() -> None:
        async def flood(context: Any) -> None:
            await context.write(ExchangeFrame(frame=b"x" * (MESSAGE_BYTES_MAX + 1)))

        async with scripted_hub(exchange=flood) as hub, HubLink(hub.root.identity(hub.address)) as link:
            with pytest.raises(HubUnreachable, match="larger than max"):
                await link.exchange().read()

    asyncio.run(scenario())


def test_a_hub_under_another_root_is_not_spoken_to() -> None:
    async def scenario() -> None:
        spoken: list[object] = []

        async def listen(context: Any) -> None:
            spoken.append(await context.read())

        async with scripted_hub(exchange=listen) as impostor:
            ours = Root()
            async with HubLink(ours.identity(impostor.address)) as link:
                with pytest.raises(HubUnverified) as told:
                    await link.exchange().read()
        assert told.value.exit_code == 8
        assert spoken == []

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("why", "way_out"),
    [
        ("self-signed certificate in certificate chain", "somebody stands between"),
        ("certificate has expired", "set this machine's clock"),
        ("certificate is not yet valid", "set this machine's clock"),
    ],
)
def test_whose_clock_is_wrong_is_not_told_of_somebody_between(why: str, way_out: str) -> None:
    async def scenario() -> None:
        async def exchange(context: Any) -> None:
            details = f"SSL_ERROR_SSL: CERTIFICATE_VERIFY_FAILED: {why}"
            await refusing("UNAVAILABLE", details, context)

        async with scripted_hub(exchange=exchange) as hub, HubLink(hub.root.identity(hub.address)) as link:
            with pytest.raises(HubUnverified) as told:
                await link.exchange().read()
        words = ("somebody stands between", "set this machine's clock")
        assert [each for each in words if each in str(told.value)] == [way_out]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("details", "reason"),
    [
        ("UNKNOWN: ipv4:10.0.0.1:1: Failed to connect to remote host: No route", "No route"),
        (
            "NO: ipv4:10.0.0.1:1: connect failed: addr: ipv4:10.0.0.1:1 error: Network is down",
            "Network is down",
        ),
        (
            "errors resolving h:1: [field:x error:address lookup failed for h:1: Domain not found]",
            "Domain not found",
        ),
        ("Stream removed (Socket closed)", "Stream removed (Socket closed)"),
    ],
)
def test_of_what_grpc_says_a_person_is_told_what_the_system_said(details: str, reason: str) -> None:
    async def scenario() -> None:
        async def exchange(context: Any) -> None:
            await refusing("UNAVAILABLE", details, context)

        async with scripted_hub(exchange=exchange) as hub, HubLink(hub.root.identity(hub.address)) as link:
            with pytest.raises(HubUnreachable) as told:
                await link.exchange().read()
        assert told.value.reason == reason

    asyncio.run(scenario())


def test_an_address_where_nobody_listens_is_unreachable() -> None:
    async def scenario() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets it meanwhile
            address = f"127.0.0.1:{taken.getsockname()[1]}"
            async with HubLink(Root().identity(address)) as link:
                with pytest.raises(HubUnreachable) as told:
                    await link.exchange().read()
        assert told.value.reason == "Connection refused"

    asyncio.run(scenario())


def test_a_proxy_for_web_pages_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    for name in ("https_proxy", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)

    async def scenario() -> None:
        async def end(context: Any) -> None:
            await context.read()

        async with scripted_hub(exchange=end) as hub, HubLink(hub.root.identity(hub.address)) as link:
            stream = link.exchange()
            await stream.write(b"hello")
            assert await stream.read() is None

    # when, then
    asyncio.run(scenario())


def test_a_renewal_brings_the_next_certificate() -> None:
    async def scenario() -> None:
        root = Root()

        async def renew(request: RenewRequest, _: object) -> RenewReply:
            return RenewReply(chain_pem=root.certify(request.csr_pem), ca_pem=root.pem, renew_at_ms=4711)

        async with (
            scripted_hub(renew=renew, root=root) as hub,
            HubLink(root.identity(hub.address)) as link,
        ):
            renewed = await link.renew(certificate_request(new_key()))
        assert renewed.root_pem == root.pem
        assert renewed.renew_at_ms == 4711
        assert renewed.chain_pem.startswith(b"-----BEGIN CERTIFICATE-----")

    asyncio.run(scenario())


def test_a_write_that_fails_before_the_status_is_read_waits_for_what_the_hub_said() -> None:
    # given: a call as gRPC leaves it on a busy machine
    class Late:
        """Its status turns from gRPC's into the hub's after some looks."""

        looks = 0

        async def write(self, _: object) -> None:
            raise aio.AioRpcError(grpc.StatusCode.INTERNAL, aio.Metadata(), aio.Metadata(), WRITE_FAILED)

        async def code(self) -> grpc.StatusCode:
            self.looks += 1
            is_here = self.looks > 3
            return grpc.StatusCode.PERMISSION_DENIED if is_here else grpc.StatusCode.INTERNAL

        async def details(self) -> str:
            return "edge one is revoked" if self.looks > 3 else WRITE_FAILED

    # when, then
    with pytest.raises(HubDenied, match="edge one is revoked"):
        asyncio.run(FrameStream("127.0.0.1:9", Late()).write(b"hello"))


def test_what_came_before_the_link_broke_is_read_before_that_is_told() -> None:
    # given: a call that breaks as soon as its frames were taken, and drops those that were not
    class Breaking:
        def __init__(self) -> None:
            self.frames = [b"one", b"two", b"three"]
            self.is_broken = False

        async def read(self) -> ExchangeFrame:
            if self.frames:
                return ExchangeFrame(frame=self.frames.pop(0))
            self.is_broken = True
            raise aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), "reset")

        async def write(self, _: object) -> None:
            raise aio.AioRpcError(grpc.StatusCode.UNAVAILABLE, aio.Metadata(), aio.Metadata(), "reset")

    async def scenario() -> None:
        call = Breaking()
        stream = FrameStream("127.0.0.1:9", call)
        assert await stream.read() == b"one"
        while not call.is_broken:
            await asyncio.sleep(0)
        # when: what came first is acknowledged
        await stream.write(b"stored")
        # then
        assert [await stream.read(), await stream.read()] == [b"two", b"three"]
        with pytest.raises(HubUnreachable, match="reset"):
            await stream.read()
        with pytest.raises(HubUnreachable, match="reset"):
            await stream.write(b"stored")

    asyncio.run(scenario())


def test_no_more_frames_wait_than_a_window_has() -> None:
    # given
    class Endless:
        taken = 0

        async def read(self) -> ExchangeFrame:
            self.taken += 1
            await asyncio.sleep(0)
            return ExchangeFrame(frame=b"more")

        def cancel(self) -> None:
            """As of gRPC's."""

    async def scenario() -> int:
        call = Endless()
        stream = FrameStream("127.0.0.1:9", call)
        await stream.read()
        # when
        for _ in range(4 * AHEAD_FRAMES_MAX):
            await asyncio.sleep(0)
        stream.cancel()
        return call.taken

    # then: one waits for its room
    assert asyncio.run(scenario()) == AHEAD_FRAMES_MAX + 2
