"""gRPC to the hub. Of the edge's modules only this one and `relay`, which serves, import grpc.

A channel is made for one attempt and closed with it: gRPC's own reconnecting and back-off would hide from
the agent what its link is like, and a channel's client certificate cannot be changed anyway.
"""

import asyncio
import os
import re
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from anabranch_protos.grpc_settings import settle_grpc
from anabranch_protos.sync.v1 import methods
from anabranch_protos.sync.v1.sync_pb2 import (
    EnrollReply,
    EnrollRequest,
    ExchangeFrame,
    PartPiece,
    PartRequest,
    RenewReply,
    RenewRequest,
)
from anabranch_sync.frame import FRAME_BYTES_MAX
from anabranch_sync.messages import CHUNK_BYTES_MIN, WINDOW_BYTES
from anabranch_sync.snapshot import Part

from anabranch.errors import HubAway, HubDenied, HubError, HubUnreachable, HubUnverified
from anabranch.identity import Identity, proof

settle_grpc()

import grpc  # noqa: E402
from grpc import aio  # noqa: E402

# A frame and protobuf's tag and length around it.
MESSAGE_BYTES_MAX = FRAME_BYTES_MAX + 16
# What a hub may have on its way before it waits for an acknowledgement comes in so many frames at most; more
# is left to gRPC, and so to the hub.
AHEAD_FRAMES_MAX = WINDOW_BYTES // CHUNK_BYTES_MIN
# A hub's headers are under 400 bytes.
METADATA_BYTES_MAX = 4 * 1024
# An idle link costs one ping and its answer each 40 s (34 bytes); a dead one is noticed within 72 s. The
# answer may have to wait for a chunk of 8 KiB before it: 28 s on a 2.4 kbit/s link.
PING_MS = 40_000
PONG_MS_MAX = 32_000
# On a link that is paid for by the byte: still within the five minutes after which networks forget a flow.
PING_METERED_MS = 240_000
# 5 KB of handshake on a 2.4 kbit/s link, and a hub that is busy.
CALL_S_MAX = 60.0
# gRPC allows a connection this long to stand, and 20 s by itself; the handshake is part of it.
CONNECT_MS_MAX = 60_000
# All that gRPC for Python says when the link breaks under a write.
WRITE_FAILED = "Internal error from Core"
# What the hub said is on its way then: on a busy machine a write fails seconds before the status is read.
STATUS_S_MAX = 5.0
STATUS_LOOK_S = 0.01

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.keepalive_time_ms", PING_MS),
    ("grpc.keepalive_timeout_ms", PONG_MS_MAX),
    ("grpc.http2.ping_timeout_ms", PONG_MS_MAX),  # counts as well, and is a minute
    ("grpc.min_reconnect_backoff_ms", CONNECT_MS_MAX),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.client_idle_timeout_ms", 2**31 - 1),  # a connection without a call costs nothing; a new one 6 KB
    ("grpc.http2.bdp_probe", 0),  # pings with every burst of data would cost more than they find out here
    ("grpc.enable_retries", 0),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # none: frames are; to name others takes 15 bytes
    ("grpc.service_config_disable_resolution", 1),  # no TXT look-ups before each connection
    ("grpc.use_local_subchannel_pool", 1),  # else a new channel inherits the back-off of the one before
]
_METERED = [("grpc.keepalive_time_ms", PING_METERED_MS)]

# What the system said, in "UNKNOWN: ipv4:10.0.0.1:1: Failed to connect to remote host: No route" and in
# "errors resolving h:1: [field:hostname lookup error:address lookup failed for h:1: Domain name not found]".
_CAUSE = re.compile(r"(?:to remote host|connect failed: .* error|lookup failed for \S+): ([^][]+)\]*$")


@dataclass(frozen=True, slots=True)
class Renewed:
    """A new certificate. `renew_at_ms` by the hub's clock."""

    chain_pem: bytes
    root_pem: bytes
    renew_at_ms: int


@dataclass(frozen=True, slots=True)
class Enrolled:
    """What the hub tells a new edge."""

    renewed: Renewed
    tenant: str
    edge: str
    prefixes: tuple[str, ...]
    incarnation: int
    epoch: int


class FrameStream:
    """One exchange under way. Every method raises HubError when the link or the hub ends it.

    Frames are taken from gRPC when they come, and wait here: when a link breaks it drops what nobody took.
    """

    def __init__(self, address: str, call: aio.StreamStreamCall) -> None:
        self._address = address
        self._call = call
        self._came: deque[bytes] = deque()
        self._room = asyncio.Semaphore(AHEAD_FRAMES_MAX)
        self._stirred = asyncio.Event()
        self._taking: asyncio.Task[None] | None = None

    async def read(self) -> bytes | None:
        """The next frame; None when the hub has ended the exchange in good order."""
        if self._taking is None:
            self._taking = asyncio.create_task(self._take())
            self._taking.add_done_callback(self._taken)
        while not (self._came or self._taking.done()):
            self._stirred.clear()
            await self._stirred.wait()
        if self._came:
            self._room.release()
            return self._came.popleft()
        try:
            self._taking.result()
        except aio.AioRpcError as error:
            raise await self._broken(error) from error
        return None

    async def _take(self) -> None:
        """Take frames as they come, until the exchange ends. Raises AioRpcError."""
        while (message := await self._call.read()) is not aio.EOF:
            await self._room.acquire()
            self._came.append(message.frame)
            self._stirred.set()

    def _taken(self, taking: asyncio.Task[None]) -> None:
        self._stirred.set()
        if not taking.cancelled():
            taking.exception()  # whoever reads is told; where nobody does, nobody has to be

    async def write(self, frame: bytes) -> None:
        """Hand a frame on; returns when there is room for the next.

        A broken link is told of by `read`, after what has come.
        """
        try:
            await self._call.write(ExchangeFrame(frame=frame))
        except aio.AioRpcError as error:
            if not self._came:
                raise await self._broken(error) from error
        except (aio.UsageError, asyncio.InvalidStateError) as error:
            if not self._came:
                raise await self._over() from error

    async def finish(self) -> None:
        """Say that nothing more will come, and wait until the hub has taken in everything before."""
        try:
            await self._call.done_writing()
            while await self.read() is not None:
                pass
        except aio.AioRpcError as error:
            raise await self._broken(error) from error
        except (aio.UsageError, asyncio.InvalidStateError) as error:
            raise await self._over() from error

    async def _broken(self, error: aio.AioRpcError) -> HubError:
        """Why the call ended; of a write that failed, what the hub said, if that comes soon."""
        if not _is_mute(error.code(), error.details()):
            return _ours(self._address, error)
        with suppress(TimeoutError):
            async with asyncio.timeout(STATUS_S_MAX):
                while _is_mute(await self._call.code(), await self._call.details()):
                    await asyncio.sleep(STATUS_LOOK_S)
        return await self._over()

    async def _over(self) -> HubError:
        """Why the call ended before we knew."""
        return _translated(self._address, await self._call.code(), str(await self._call.details() or ""))

    def cancel(self) -> None:
        """Give it up at once. Safe to repeat, and after its end."""
        self._call.cancel()
        if self._taking is not None:
            self._taking.cancel()


class PartStream:
    """Pieces of parts from whoever is called; nothing is opened before the first is asked for.

    `behind` is what a relay passes on.
    """

    def __init__(self, channel: aio.Channel, behind: Sequence[tuple[str, bytes]] = ()) -> None:
        self._channel = channel
        self._behind = behind
        self._call: aio.StreamStreamCall | None = None

    async def piece(self, part: Part, offset: int, bytes_max: int) -> bytes:
        """Bytes of a part from `offset` on; empty where they are not to be had here, or the link broke."""
        try:
            if self._call is None:
                start = self._channel.stream_stream(
                    methods.SNAPSHOT, PartRequest.SerializeToString, PartPiece.FromString
                )
                self._call = start(metadata=tuple(self._behind))
            await self._call.write(PartRequest(name=part.name, offset=offset, bytes_max=bytes_max))
            reply = await self._call.read()
        except (aio.AioRpcError, aio.UsageError, asyncio.InvalidStateError):
            return b""
        return b"" if reply is aio.EOF else bytes(reply.piece[:bytes_max])

    def cancel(self) -> None:
        """No more is asked for now. Safe to repeat."""
        if self._call is not None:
            self._call.cancel()
            self._call = None


class HubLink:
    """A channel to the hub; use it with `async with`. Nothing connects before the first call."""

    def __init__(self, identity: Identity, *, metered: bool = False) -> None:
        self._address = identity.called
        self._key_pem = identity.key_pem
        self._channel = channel_of(identity, more=_METERED if metered else ())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close()

    def exchange(self) -> FrameStream:
        """Open an exchange."""
        start = self._channel.stream_stream(
            methods.EXCHANGE, ExchangeFrame.SerializeToString, ExchangeFrame.FromString
        )
        return FrameStream(self._address, start())

    def parts(self) -> PartStream:
        """Pieces of parts from the relay or hub that is called."""
        return PartStream(self._channel)

    async def check_in(self, frame: bytes) -> bytes:
        """Ask whether anything is new; the frame of the answer. Raises HubError."""
        call = self._channel.unary_unary(
            methods.CHECK_IN, ExchangeFrame.SerializeToString, ExchangeFrame.FromString
        )
        try:
            reply = await call(ExchangeFrame(frame=frame), timeout=CALL_S_MAX)
        except aio.AioRpcError as error:
            raise _ours(self._address, error) from error
        return bytes(reply.frame)

    async def renew(self, csr_pem: bytes) -> Renewed:
        """Ask for the next certificate with the present one. Raises HubError."""
        call = self._channel.unary_unary(methods.RENEW, RenewRequest.SerializeToString, RenewReply.FromString)
        try:
            # A relay on the way shows our certificate too: the hub wants to hear this from us.
            request = RenewRequest(csr_pem=csr_pem, proof=proof(self._key_pem, csr_pem))
            reply = await call(request, timeout=CALL_S_MAX)
        except aio.AioRpcError as error:
            raise _ours(self._address, error) from error
        return Renewed(reply.chain_pem, reply.ca_pem, reply.renew_at_ms)


async def enroll(address: str, root_pem: bytes, secret: bytes, csr_pem: bytes) -> Enrolled:
    """Trade an invitation's secret for a certificate, at the hub whose chain ends in this root.

    The same secret with the same key may be sent again when the answer was lost. Raises HubError.
    """
    async with _channel(address, grpc.ssl_channel_credentials(root_pem)) as channel:
        call = channel.unary_unary(methods.ENROLL, EnrollRequest.SerializeToString, EnrollReply.FromString)
        try:
            reply = await call(EnrollRequest(secret=secret, csr_pem=csr_pem), timeout=CALL_S_MAX)
        except aio.AioRpcError as error:
            raise _ours(address, error) from error
    return Enrolled(
        Renewed(reply.chain_pem, reply.ca_pem, reply.renew_at_ms),
        reply.tenant,
        reply.edge,
        tuple(reply.prefixes),
        reply.incarnation,
        reply.epoch,
    )


def channel_of(identity: Identity, *, more: Sequence[tuple[str, Any]] = ()) -> aio.Channel:
    """A channel to the hub of `identity`, or to the relay through which it is to be reached."""
    credentials = grpc.ssl_channel_credentials(identity.root_pem, identity.key_pem, identity.chain_pem)
    if identity.server_name:
        more = (*more, ("grpc.ssl_target_name_override", identity.server_name))
    return _channel(identity.called, credentials, more)


def _channel(address: str, credentials: Any, more: Sequence[tuple[str, Any]] = ()) -> aio.Channel:
    # A proxy meant for web pages has no business here; who needs one for this says so in `grpc_proxy`.
    proxied = ("grpc.enable_http_proxy", int("grpc_proxy" in os.environ))
    options = dict([*_OPTIONS, proxied, *more])  # what comes later stands
    return aio.secure_channel(address, credentials, options=[*options.items()])


def _is_mute(status: grpc.StatusCode, details: str | None) -> bool:
    """Whether this says no more than that a write failed."""
    return status is grpc.StatusCode.INTERNAL and details == WRITE_FAILED


def _ours(address: str, error: aio.AioRpcError) -> HubError:
    return _translated(address, error.code(), str(error.details() or ""))


def _translated(address: str, status: grpc.StatusCode, details: str) -> HubError:
    match status:
        case grpc.StatusCode.OK:
            return HubUnreachable(address, "it ended the exchange")
        case grpc.StatusCode.PERMISSION_DENIED | grpc.StatusCode.UNAUTHENTICATED:
            return HubDenied(address, details)
        case grpc.StatusCode.UNAVAILABLE if "SSL_ERROR_SSL" in details:
            if "CERTIFICATE_VERIFY_FAILED" in details or "BAD_SIGNATURE" in details:
                why = "its certificate is not of this hub's root, or for another name"
                if "certificate has expired" in details or "not yet valid" in details:
                    here = datetime.now(UTC).strftime("%Y-%m-%dT%H:%MZ")
                    why = f"its certificate is not valid at {here}, the time on this machine"
                    way_out = "set this machine's clock; if it is right, restart the hub: that renews it"
                    return HubUnverified(address, why, way_out)
                return HubUnverified(address, why)
            return HubUnverified(address, f"no TLS as a hub speaks it ({details.rsplit(':', 1)[-1].strip()})")
        case grpc.StatusCode.UNAVAILABLE if "Hostname Verification Check failed" in details:
            return HubUnverified(
                address, "its certificate is for another name, or for no relay of this tenant"
            )
        case grpc.StatusCode.ABORTED:
            return HubAway(address, details)
        case grpc.StatusCode.UNIMPLEMENTED:
            return HubUnverified(address, "it speaks gRPC, but not this protocol: another port or program")
        case grpc.StatusCode.INTERNAL if details == WRITE_FAILED:
            return HubUnreachable(address, "the link broke")
        case _:
            # gRPC's own words, short enough for a line: what came last says most.
            cause = details.rsplit("last error:", 1)[-1].strip() or status.name.lower().replace("_", " ")
            if said := _CAUSE.search(cause):
                cause = said[1]
            return HubUnreachable(address, cause if len(cause) <= 160 else f"{cause[:157]}...")
