"""A relay: an agent that passes other edges of its site on to the hub, or to the next relay.

::

    child ---TLS, its certificate---> relay ---TLS, one connection, a stream for each child---> hub or relay

A child's frames go through as they are: its session speaks with the hub's. Who the child is stands in the
certificate it showed, which is passed on; the hub judges it. Each child has a stream of its own, so that one
which stalls, floods or lies ends for itself.

What is the same for many children is kept: parts of snapshots. A child asks for them piece by piece; what is
not here is asked for above, in the child's name, and passes through the cache. So whichever child is ahead
fetches for all, also of those that begin at once. A child is given a part only if the hub has offered it to
that child, on a stream that stands: the relay sees that offer pass, and looks into no other message.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Self, TypeAlias
from weakref import WeakValueDictionary

from anabranch_protos.grpc_settings import settle_grpc
from anabranch_protos.relaying import BEHIND, LEVELS_MAX, STREAMS_PER_RELAY_MAX, relay_name
from anabranch_protos.sync.v1 import methods
from anabranch_protos.sync.v1.sync_pb2 import ExchangeFrame, PartPiece, PartRequest
from anabranch_sync.messages import CHUNK_BYTES_MAX
from anabranch_sync.offering import overheard
from anabranch_sync.snapshot import Part
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.message import DecodeError

from anabranch.enrol import split_address
from anabranch.errors import ListenRefused, NotARelay
from anabranch.identity import Identity
from anabranch.link import (
    CALL_S_MAX,
    CONNECT_MS_MAX,
    MESSAGE_BYTES_MAX,
    METADATA_BYTES_MAX,
    PING_MS,
    PONG_MS_MAX,
    PartStream,
    channel_of,
)
from anabranch.part_cache import PartCache

settle_grpc()

import grpc  # noqa: E402
from grpc import aio  # noqa: E402

log = logging.getLogger(__name__)

# An exchange and its ghost, with the parts of each, and a renewal.
STREAMS_PER_CHILD_MAX = 5
# Children ask again by themselves; the relay's link is tried no less often than theirs.
RECONNECT_MS_MAX = 5_000
# What calls under way get to come to their end; children come again by themselves.
STOP_S_MAX = 3.0
_CERTIFICATE = "x509_pem_cert"

_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX),
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.server_handshake_timeout_ms", CONNECT_MS_MAX),
    ("grpc.max_concurrent_streams", STREAMS_PER_RELAY_MAX + STREAMS_PER_CHILD_MAX),
    ("grpc.keepalive_time_ms", 10 * 60_000),  # as a hub does: children ping by themselves
    ("grpc.keepalive_timeout_ms", PONG_MS_MAX),
    ("grpc.http2.min_ping_interval_without_data_ms", PING_MS // 2),
    ("grpc.http2.bdp_probe", 0),
]


# The certificates from the child's to the caller's. Only the last is proved by TLS, so that whoever shows
# another's is not taken for it: the hub takes the row as a whole, or not.
_Behind: TypeAlias = tuple[bytes, ...]


@dataclass(eq=False, slots=True)
class _Stream:
    """A child's, with what the hub has offered on it."""

    offered: dict[bytes, Part] = field(default_factory=dict)


class Relay:
    """Serves children on `listen` (HOST:PORT) while it is entered; `parts` is what it keeps."""

    def __init__(self, identity: Identity, listen: str, parts: PartCache) -> None:
        """Raises InvalidName, and NotARelay where the certificate is none of a relay's."""
        split_address(listen)
        if relay_name(identity.tenant) not in identity.serves_as:
            raise NotARelay(identity.tenant, identity.edge)
        self._identity = identity
        self._listen = listen
        self._parts = parts
        self._streams: dict[_Behind, list[_Stream]] = {}
        self._fetching: WeakValueDictionary[bytes, asyncio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> Self:
        self._channel = _upward(self._identity)
        self._server = aio.server(options=_OPTIONS, maximum_concurrent_rpcs=STREAMS_PER_RELAY_MAX)
        # All is passed on as the bytes it is.
        by_name = {
            methods.EXCHANGE: grpc.stream_stream_rpc_method_handler(self._exchange),
            methods.SNAPSHOT: grpc.stream_stream_rpc_method_handler(
                self._snapshot, PartRequest.FromString, PartPiece.SerializeToString
            ),
            # A child proves to the hub that it asks for its certificate itself.
            methods.RENEW: grpc.unary_unary_rpc_method_handler(self._passing(methods.RENEW)),
            methods.CHECK_IN: grpc.unary_unary_rpc_method_handler(self._passing(methods.CHECK_IN)),
        }
        _, service, _ = methods.EXCHANGE.split("/")
        named = {path.rpartition("/")[2]: each for path, each in by_name.items()}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, named),))
        # Asked for at each handshake: a renewed certificate needs no other port.
        credentials = grpc.dynamic_ssl_server_credentials(
            _shown(self._identity), lambda: _shown(self._identity), require_client_authentication=True
        )
        try:
            bound = self._server.add_secure_port(self._listen, credentials)
        except RuntimeError:
            bound = 0
        if not bound:
            await self._channel.close()
            raise ListenRefused(self._listen)
        await self._server.start()
        log.info("relay serves", extra={"edge": self._identity.edge, "listen": self._listen})
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.stop(STOP_S_MAX)
        await self._channel.close()

    def through_cache(self, above: PartStream) -> "CachedParts":
        """Parts for a child or for the relay's own exchange; what is not here comes from `above`."""
        return CachedParts(self._parts, self._fetching, above)

    async def renewed(self, identity: Identity) -> None:
        """Serve and call under the next certificate; children whose streams end by that come back."""
        self._identity = identity
        before, self._channel = self._channel, _upward(identity)
        await before.close()

    async def _exchange(self, _: object, context: Any) -> None:
        """One stream of a child, for as long as both sides hold it."""
        behind = await self._behind(context)
        call = self._channel.stream_stream(methods.EXCHANGE)(metadata=_passed(behind))
        upward = asyncio.create_task(_carry_up(context, call))
        frames = bytes_down = 0
        with self._stream_of(behind) as stream:
            try:
                while (frame := await call.read()) is not aio.EOF:
                    stream.offered = _offered(frame) or stream.offered
                    await context.write(frame)
                    frames, bytes_down = frames + 1, bytes_down + len(frame)
            except aio.AioRpcError:
                pass  # the status below says why
            finally:
                upward.cancel()
                call.cancel()
                facts = {"edge": self._identity.edge, "frames_down": frames, "bytes_down": bytes_down}
                log.info("child's stream ended", extra=facts)
        await self._end(context, await call.code(), str(await call.details() or ""))

    async def _snapshot(self, _: object, context: Any) -> None:
        """Pieces of parts for a child; an empty one where the child has to ask the hub itself."""
        behind = await self._behind(context)
        parts = self.through_cache(PartStream(self._channel, _passed(behind)))
        served = 0
        with self._stream_of(behind):
            try:
                while (asked := await context.read()) is not aio.EOF:
                    part = self._offered_to(behind, asked.name)
                    piece = b""
                    if part is not None and asked.offset < part.size_bytes:
                        piece = await parts.piece(part, asked.offset, min(asked.bytes_max, CHUNK_BYTES_MAX))
                    await context.write(PartPiece(piece=piece))
                    served += len(piece)
            finally:
                parts.cancel()
                log.info("parts served", extra={"edge": self._identity.edge, "bytes_down": served})

    def _offered_to(self, behind: _Behind, name: bytes) -> Part | None:
        """The part of this name, if the hub has offered it to the child on a stream that stands."""
        offers = (stream.offered for stream in self._streams[behind])
        return next((offered[name] for offered in offers if name in offered), None)

    @contextmanager
    def _stream_of(self, behind: _Behind) -> Iterator[_Stream]:
        """A stream of this child, while it stands."""
        streams, stream = self._streams.setdefault(behind, []), _Stream()
        streams.append(stream)
        try:
            yield stream
        finally:
            streams.remove(stream)
            if not streams:
                del self._streams[behind]

    def _passing(self, method: str) -> Callable[[bytes, Any], Awaitable[bytes]]:
        """The handler of a unary method that passes a child's question and its answer on."""

        async def passed_on(request: bytes, context: Any) -> bytes:
            behind = await self._behind(context)
            call = self._channel.unary_unary(method)
            try:
                reply: bytes = await call(request, metadata=_passed(behind), timeout=CALL_S_MAX)
            except aio.AioRpcError as error:
                await self._end(context, error.code(), str(error.details() or ""))
                raise  # not reached: it was not OK, so the call has ended
            return reply

        return passed_on

    async def _behind(self, context: Any) -> _Behind:
        """The certificates to pass on, the child's first. Ends the call where it may not come this way."""
        tenant = self._identity.tenant
        (pem,) = context.auth_context()[_CERTIFICATE]
        caller = x509.load_pem_x509_certificate(pem)
        passed = [bytes(value) for key, value in context.invocation_metadata() or () if key == BEHIND]
        behind = (*passed, caller.public_bytes(Encoding.DER))
        if not _is_edge_of(tenant, caller):
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, f"this relay is for edges of {tenant}")
        if len(behind) > LEVELS_MAX:
            reason = (
                f"{len(behind)} relays one behind the other, limit {LEVELS_MAX}: call one nearer to the hub"
            )
            await context.abort(grpc.StatusCode.ABORTED, reason)
        if len(self._streams.get(behind, ())) >= STREAMS_PER_CHILD_MAX:
            reason = f"this edge has {STREAMS_PER_CHILD_MAX} streams through this relay already"
            await context.abort(grpc.StatusCode.ABORTED, reason)
        return behind

    async def _end(self, context: Any, status: Any, details: str) -> None:
        """End the child's call as the hub ended ours."""
        match status:
            case grpc.StatusCode.OK:
                return
            case grpc.StatusCode.UNAVAILABLE | grpc.StatusCode.DEADLINE_EXCEEDED | grpc.StatusCode.CANCELLED:
                # Not UNAVAILABLE, which is also what a link that breaks looks like to an edge.
                reason = f"the relay {self._identity.edge} does not reach its hub; it is tried again"
                await context.abort(grpc.StatusCode.ABORTED, reason)
            case _:
                await context.abort(status, details)  # the hub means the child


class CachedParts:
    """Pieces of parts from the cache, and from `above` into it."""

    def __init__(
        self, cache: PartCache, fetching: WeakValueDictionary[bytes, asyncio.Lock], above: PartStream
    ) -> None:
        self._cache = cache
        self._fetching = fetching
        self._above = above

    async def piece(self, part: Part, offset: int, bytes_max: int) -> bytes:
        """Bytes of a part from `offset` on; empty where they are not to be had, or the link broke."""
        wanted = part.name, offset, bytes_max
        if kept := await asyncio.to_thread(self._cache.piece, *wanted):
            return kept
        async with self._fetching.setdefault(part.name, asyncio.Lock()):
            # Somebody else may have been ahead.
            if kept := await asyncio.to_thread(self._cache.piece, *wanted):
                return kept
            piece = await self._above.piece(part, offset, bytes_max)
            if piece:
                await asyncio.to_thread(self._cache.add, part, offset, piece)
            return piece

    def cancel(self) -> None:
        """No more is asked for. Safe to repeat."""
        self._above.cancel()


def _upward(identity: Identity) -> aio.Channel:
    return channel_of(identity, more=[("grpc.max_reconnect_backoff_ms", RECONNECT_MS_MAX)])


def _shown(identity: Identity) -> Any:
    """What is shown to children, and the root that theirs must lead to."""
    pair = (identity.key_pem, identity.chain_pem)
    return grpc.ssl_server_certificate_configuration([pair], identity.root_pem)


async def _carry_up(context: Any, call: Any) -> None:
    """The child's frames, one at a time: a slow uplink slows the child down instead of filling memory."""
    try:
        while (frame := await context.read()) is not aio.EOF:
            await call.write(frame)
        await call.done_writing()
    except (aio.AioRpcError, aio.UsageError, asyncio.InvalidStateError):
        pass  # the other direction ends too, and knows why


def _offered(message: bytes) -> dict[bytes, Part]:
    """The parts of a snapshot that the hub names in what it sends a child."""
    try:
        passing = ExchangeFrame.FromString(message)
    except DecodeError:
        return {}  # the child judges what it gets
    return {part.name: part for part in overheard(passing.frame)}


def _passed(behind: Sequence[bytes]) -> tuple[tuple[str, bytes], ...]:
    return tuple((BEHIND, each) for each in behind)


def _is_edge_of(tenant: str, certificate: x509.Certificate) -> bool:
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    ids = names.get_values_for_type(x509.UniformResourceIdentifier)
    return len(ids) == 1 and ids[0].startswith(f"spiffe://anabranch/tenant/{tenant}/edge/")
