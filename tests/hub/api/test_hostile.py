"""What strangers and broken edges do to a hub's port: it is refused, and the others are served meanwhile."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from anabranch.identity import Identity, identity_folder
from anabranch.link import channel_of
from anabranch_protos.sync.v1 import methods
from anabranch_protos.sync.v1.sync_pb2 import ExchangeFrame
from grpc import aio

from tests.hub.api.fleet import Fleet, identity_of, write

pytestmark = pytest.mark.anyio

HALF_OPEN = 300
RESETS = 5_000
# Of HTTP/2 (RFC 9113): the preface, an empty SETTINGS, and what a frame's header says.
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
HEADERS, RST_STREAM, SETTINGS = 1, 3, 4
END_HEADERS = 4
CANCEL = 8


async def test_a_message_of_5_mb_is_refused(fleet: Fleet) -> None:
    one = await fleet.enrol("one")

    status = await _sent(identity_of(one), bytes(5_000_000))

    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    await _is_served(fleet, one)


async def test_a_gzip_bomb_is_refused(fleet: Fleet) -> None:
    one = await fleet.enrol("one")

    status = await _sent(identity_of(one), bytes(64_000_000), grpc.Compression.Gzip)

    # The hub takes nothing that gRPC compressed; INTERNAL where that breaks the write before it is read.
    assert status in (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.INTERNAL)
    await _is_served(fleet, one)


async def test_metadata_of_100_kb_is_refused(fleet: Fleet) -> None:
    one = await fleet.enrol("one")

    status = await _sent(identity_of(one), b"", metadata=(("x-long", "a" * 100_000),))

    assert status in (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.INTERNAL)
    await _is_served(fleet, one)


async def test_edges_are_served_while_300_connections_are_left_half_open(fleet: Fleet) -> None:
    # given connections that never say who they are, some in the middle of a handshake
    one = await fleet.enrol("one")
    host, port = identity_of(one).address.rsplit(":", 1)
    with contextlib.ExitStack() as stack:
        for number in range(HALF_OPEN):
            left = stack.enter_context(socket.create_connection((host, int(port))))
            left.sendall(b"\x16\x03\x01\x02\x00\x01"[: number % 7])

        # then
        await _is_served(fleet, one)


async def test_edges_are_served_while_one_resets_its_streams_as_fast_as_it_can(fleet: Fleet) -> None:
    # given an edge that opens streams and resets each at once, over HTTP/2 spoken by hand
    one, rapid = await fleet.enrol("one"), await fleet.enrol("rapid")
    async with _http2(rapid) as writer:
        # when
        for number in range(RESETS):
            stream = 2 * number + 1
            writer.write(_frame(HEADERS, END_HEADERS, stream, _request(methods.EXCHANGE)))
            writer.write(_frame(RST_STREAM, 0, stream, CANCEL.to_bytes(4, "big")))
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            if writer.is_closing():
                break  # which is an answer, too

        # then
        await _is_served(fleet, one)


async def _sent(
    identity: Identity,
    frame: bytes,
    compression: grpc.Compression = grpc.Compression.NoCompression,
    metadata: tuple[tuple[str, str], ...] = (),
) -> grpc.StatusCode:
    """How an exchange ends whose first message has this frame."""
    # An edge's own channel would not compress.
    async with channel_of(identity, more=[("grpc.compression_enabled_algorithms_bitset", 7)]) as channel:
        start = channel.stream_stream(
            methods.EXCHANGE, ExchangeFrame.SerializeToString, ExchangeFrame.FromString
        )
        call = start(metadata=metadata, compression=compression)
        with contextlib.suppress(aio.AioRpcError, asyncio.InvalidStateError):
            await call.write(ExchangeFrame(frame=frame))
        code: grpc.StatusCode = await call.code()
        return code


async def _is_served(fleet: Fleet, replica: Path) -> None:
    write(replica, {"served": True})
    fleet.start(replica)
    await fleet.comes_together(replica)
    await fleet.stop(replica)


@contextlib.asynccontextmanager
async def _http2(replica: Path) -> AsyncIterator[asyncio.StreamWriter]:
    host, port = identity_of(replica).address.rsplit(":", 1)
    folder = identity_folder(replica)
    context = ssl.create_default_context(cafile=folder / "ca.pem")
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(host, int(port), ssl=context, server_hostname=host)
    writer.write(PREFACE + _frame(SETTINGS, 0, 0, b""))
    draining = asyncio.ensure_future(_drained(reader))
    try:
        yield writer
    finally:
        draining.cancel()
        writer.transport.abort()


async def _drained(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(OSError):
        while await reader.read(65_536):
            pass


def _frame(kind: int, flags: int, stream: int, body: bytes) -> bytes:
    return len(body).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + body


def _request(path: str) -> bytes:
    """The headers of a gRPC call, literal and never indexed (RFC 7541, 6.2.2)."""
    headers = {":method": "POST", ":scheme": "https", ":path": path, ":authority": "hub", "te": "trailers"}
    headers["content-type"] = "application/grpc"
    return b"".join(
        b"\x00" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
        for name, value in headers.items()
    )
