"""gRPC: the two ports edges and operators connect to. The hub serves it from here only.

    main port        Exchange, Snapshot, CheckIn, Renew    TLS 1.3, an edge's certificate
                     the ledger         TLS 1.3, an operator's
    enrolment port   Enroll, of both    TLS 1.3, no client certificate: who is new has none yet

grpc for Python asks for client certificates on all of a port or on none of it, hence two.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import Any, NoReturn, TypeVar

from anabranch_protos.grpc_settings import settle_grpc
from anabranch_protos.invitation import SECRET_BYTES, hash_secret
from anabranch_protos.operator.v1 import methods as operator_methods
from anabranch_protos.operator.v1 import operator_pb2 as pb
from anabranch_protos.relaying import BEHIND, STREAMS_PER_RELAY_MAX
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
from anabranch_sync.check_in import read_question
from anabranch_sync.errors import InvalidInput, WireError
from anabranch_sync.frame import FRAME_BYTES_MAX
from anabranch_sync.messages import CHUNK_BYTES_MAX
from anabranch_sync.transfer import SILENCE_MS_MAX
from cryptography import x509
from google.protobuf.message import Message

from anabranch_hub.api import enrolment
from anabranch_hub.api.exchange import RESCOPED, STOPPING, Clock, Exchange, Finished, Interruption
from anabranch_hub.api.ledger_calls import LedgerCalls, check_operator_standing
from anabranch_hub.api.relayed import check_proof, peer_behind
from anabranch_hub.api.streams import RESTORED, EdgeName, Streams
from anabranch_hub.errors import (
    CertificateUnknown,
    EdgeRevoked,
    HubError,
    PortInUse,
    RelayRefused,
    RequestRefused,
    TokenRefused,
    Unreachable,
)
from anabranch_hub.identity.peer import OperatorPeer, Peer, operator_of, peer_of
from anabranch_hub.secrets.authority import REQUEST_BYTES_MAX, Authority, ServerCredentials
from anabranch_hub.store import Logged, Moved, Rescoped, Restored, Revoked, Store

settle_grpc()

import grpc  # noqa: E402
from grpc import aio  # noqa: E402

log = logging.getLogger(__name__)

_T = TypeVar("_T")
_Request = TypeVar("_Request", bound=Message)

# A frame and protobuf's tag and length around it.
MESSAGE_BYTES_MAX = FRAME_BYTES_MAX + 16
# A certificate request, the secret and what is around them.
ENROL_BYTES_MAX = REQUEST_BYTES_MAX + 1024
# An honest call's headers are under 400 bytes.
METADATA_BYTES_MAX = 4 * 1024
# Of a relay and all behind it. An edge by itself has an exchange and its ghost, and a renewal beside each;
# what it has more than that ends its own streams (streams.STREAMS_PER_EDGE_MAX) or waits for itself.
STREAMS_PER_CONNECTION_MAX = STREAMS_PER_RELAY_MAX + 4
# The target is 10,000 idle edges in 2 GB; over this one process says no, and a balancer finds another.
EXCHANGES_MAX = 20_000
# Each holds a part in memory. A stream for the edge and one of its ghost.
FETCHES_PER_EDGE_MAX = 2
# And it asks for the next piece when it has the one before: who is silent for as long is not there any more.
FETCH_SILENCE_S = SILENCE_MS_MAX / 1_000
# A token has 256 bits: not against guessing, only against keeping Vault busy.
ENROLMENTS_AT_ONCE_MAX = 32
# Edges ping every 40 s and notice a dead hub within 72 s. The hub pings rarely (34 bytes each): it
# loses little by a ghost, which goes when its edge comes back.
HUB_PING_MS = 10 * 60_000
PONG_MS_MAX = 32_000
EDGE_PING_MS_MIN = 20_000
# A handshake with certificates is 5 KB: 20 s on a 2.4 kbit/s link.
HANDSHAKE_MS_MAX = 60_000
# What calls under way get to come to their end; edges come again by themselves.
STOP_S_MAX = 3.0

_COMMON_OPTIONS: list[tuple[str, Any]] = [
    ("grpc.so_reuseport", 0),  # else a second hub on the same port would take every other connection
    ("grpc.max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
    ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS_MAX),
    ("grpc.max_concurrent_streams", STREAMS_PER_CONNECTION_MAX),
    ("grpc.keepalive_time_ms", HUB_PING_MS),
    ("grpc.compression_enabled_algorithms_bitset", 1),  # none: frames are compressed already
    ("grpc.keepalive_timeout_ms", PONG_MS_MAX),
    ("grpc.http2.ping_timeout_ms", PONG_MS_MAX),  # counts as well, and is a minute
    ("grpc.http2.min_ping_interval_without_data_ms", EDGE_PING_MS_MIN),
    ("grpc.http2.bdp_probe", 0),  # pings with every burst of data would cost more than they find out here
]
_MAIN_OPTIONS = [*_COMMON_OPTIONS, ("grpc.max_receive_message_length", MESSAGE_BYTES_MAX)]
_ENROLMENT_OPTIONS = [*_COMMON_OPTIONS, ("grpc.max_receive_message_length", ENROL_BYTES_MAX)]


class GrpcServer:
    """Both ports, serving. `streams` are the edges connected now."""

    def __init__(
        self, main: aio.Server, enrolment: aio.Server, following: asyncio.Task[None], streams: Streams
    ) -> None:
        self.port = 0
        self.enrolment_port = 0
        self.streams = streams
        self._main = main
        self._enrolment = enrolment
        self._following = following

    async def stop(self) -> None:
        """Tell every edge to come back later, end every stream and close both ports. Safe to repeat."""
        self.streams.end_all(STOPPING)
        self._following.cancel()
        await asyncio.gather(
            self._main.stop(STOP_S_MAX),
            self._enrolment.stop(STOP_S_MAX),
            self._following,
            return_exceptions=True,
        )


async def serve_grpc(
    store: Store,
    authority: Authority,
    *,
    host: str,
    port: int,
    enrolment_port: int | None = None,
    names: tuple[str, ...] = (),
) -> GrpcServer:
    """Serve edges on `host`. Port 0 takes any; the enrolment port is the one after, unless it is given.

    `names` are the DNS names and addresses by which edges call this hub, beside `host` and the loopback
    ones. Raises PortInUse, VaultUnavailable, and what the store's first notification raises.
    """
    certified = tuple(dict.fromkeys((*names, *_callable_as(host), "localhost", "127.0.0.1", "::1")))
    credentials = await authority.server_credentials(certified)
    root_pem = await authority.root_pem()
    streams = Streams()
    service = _Service(store, authority, streams, x509.load_pem_x509_certificate(root_pem))
    main = aio.server(options=_MAIN_OPTIONS, maximum_concurrent_rpcs=EXCHANGES_MAX)
    main.add_generic_rpc_handlers(tuple(_handlers(service.main_methods())))
    enrolling = aio.server(options=_ENROLMENT_OPTIONS, maximum_concurrent_rpcs=ENROLMENTS_AT_ONCE_MAX)
    enrolling.add_generic_rpc_handlers(tuple(_handlers(service.enrolment_methods())))
    following = asyncio.create_task(_follow(store, streams), name="hear of decided changes")
    server = GrpcServer(main, enrolling, following, streams)
    try:
        server.port = _listen(main, host, port, _main_credentials(credentials, root_pem))
        wanted = server.port + 1 if enrolment_port is None else enrolment_port
        server.enrolment_port = _listen(
            enrolling, host, wanted, _enrolment_credentials(credentials, root_pem)
        )
        await main.start()
        await enrolling.start()
    except BaseException:
        await server.stop()
        raise
    return server


class _Service:
    """The methods, between gRPC's words and ours."""

    def __init__(self, store: Store, authority: Authority, streams: Streams, root: x509.Certificate) -> None:
        self._store = store
        self._root = root
        self._authority = authority
        self._streams = streams
        self._clock = Clock()
        self._ledger = LedgerCalls(store)
        self._fetching: Counter[EdgeName] = Counter()

    def main_methods(self) -> dict[str, Any]:
        """Those that need a certificate."""
        return {
            methods.EXCHANGE: grpc.stream_stream_rpc_method_handler(
                self.exchange, _frame_of, ExchangeFrame.SerializeToString
            ),
            methods.SNAPSHOT: grpc.stream_stream_rpc_method_handler(
                self.snapshot, PartRequest.FromString, PartPiece.SerializeToString
            ),
            methods.CHECK_IN: grpc.unary_unary_rpc_method_handler(
                self.check_in, _frame_of, ExchangeFrame.SerializeToString
            ),
            methods.RENEW: grpc.unary_unary_rpc_method_handler(
                self.renew, RenewRequest.FromString, RenewReply.SerializeToString
            ),
            operator_methods.LIST: self._for_operators(self._ledger.list_rows, pb.ListRequest),
            operator_methods.GET: self._for_operators(self._ledger.get, pb.RowRequest),
            operator_methods.EXPLAIN: self._for_operators(self._ledger.explain, pb.RowRequest),
            operator_methods.STATS: self._for_operators(self._ledger.stats, pb.StatsRequest),
            operator_methods.ACCEPT: self._for_operators(self._ledger.accept, pb.AcceptRequest),
            operator_methods.RESTORE: self._for_operators(self._ledger.restore, pb.RestoreRequest),
        }

    def enrolment_methods(self) -> dict[str, Any]:
        """Those that give one."""
        return {
            methods.ENROLL: grpc.unary_unary_rpc_method_handler(
                self.enroll, EnrollRequest.FromString, EnrollReply.SerializeToString
            ),
            operator_methods.ENROLL: grpc.unary_unary_rpc_method_handler(
                self.enroll_operator, pb.EnrollRequest.FromString, pb.EnrollReply.SerializeToString
            ),
        }

    async def exchange(self, _: object, context: aio.ServicerContext) -> None:
        """One stream, for as long as it lasts."""
        peer = await self._peer(context)
        began_ms = self._clock.now_ms()

        async def read() -> bytes | None:
            frame = await context.read()
            return None if frame is aio.EOF else frame

        async def write(frame: bytes) -> None:
            try:
                await context.write(ExchangeFrame(frame=frame))
            except aio.AioRpcError as error:
                raise BrokenPipeError(error.details()) from error

        stream = Exchange(self._store, self._streams, peer, self._clock, read, write)
        finished = Finished("the link broke")
        try:
            finished = await stream.run()
        except Exception as error:  # the top of the task
            finished = Finished(f"unexpected {type(error).__name__}")
            log.exception("exchange failed", extra={"tenant": peer.tenant, "edge": peer.edge})
            await context.abort(grpc.StatusCode.INTERNAL, "the hub cannot serve this: ask its operator")
        finally:
            log.info(
                "exchange finished",
                extra={
                    "tenant": peer.tenant,
                    "edge": peer.edge,
                    "via": " ".join(peer.via),
                    "incarnation": stream.incarnation,
                    "lasted_ms": self._clock.now_ms() - began_ms,
                    "reason": finished.reason,
                    **asdict(stream.carried),
                },
            )
        if finished.interruption is not None:
            await context.abort(_STATUS_OF_ORDER[finished.interruption.order], finished.interruption.reason)
        if not finished.by_edge:
            await context.abort(grpc.StatusCode.FAILED_PRECONDITION, finished.reason)

    async def snapshot(self, _: object, context: aio.ServicerContext) -> None:
        """Pieces of parts, each asked for by itself: to a relay, which keeps them for all behind it."""
        peer = await self._peer(context)
        edge = EdgeName(peer.tenant, peer.edge)
        if self._fetching[edge] >= FETCHES_PER_EDGE_MAX:
            await context.abort(
                grpc.StatusCode.ABORTED, f"{FETCHES_PER_EDGE_MAX} at once fetch parts already"
            )
        self._fetching[edge] += 1
        name = sealed = b""
        bytes_down = 0
        try:
            while (asked := await asyncio.wait_for(context.read(), FETCH_SILENCE_S)) is not aio.EOF:
                if asked.name != name:
                    await self._peer(context)  # it, or a relay on the way, may have been shut out
                    finding = self._part(edge, asked.name)
                    name, sealed = asked.name, await self._answered(context, finding)
                piece = sealed[asked.offset : asked.offset + min(asked.bytes_max, CHUNK_BYTES_MAX)]
                await context.write(PartPiece(piece=piece))
                bytes_down += len(piece)
        except TimeoutError:
            await context.abort(grpc.StatusCode.ABORTED, f"no question for {FETCH_SILENCE_S:.0f} s")
        finally:
            sent = {"via": " ".join(peer.via), "bytes_down": bytes_down}
            log.info("parts sent", extra={"tenant": peer.tenant, "edge": peer.edge, **sent})
            self._fetching[edge] -= 1
            self._fetching += Counter()  # forget those that are gone

    async def _part(self, edge: EdgeName, name: bytes) -> bytes:
        return await self._store.part_for(edge.tenant, edge.edge, name) or b""

    async def check_in(self, frame: bytes, context: aio.ServicerContext) -> ExchangeFrame:
        """Whether there is anything new for an edge that holds no exchange."""
        peer = await self._peer(context)
        try:
            question = read_question(frame)
        except WireError as error:
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))
        checking = self._store.check_in(peer.tenant, peer.edge, question)
        return ExchangeFrame(frame=await self._answered(context, checking))

    async def renew(self, request: RenewRequest, context: aio.ServicerContext) -> RenewReply:
        """A new certificate for the one shown."""
        peer = await self._peer(context)
        try:
            check_proof(peer, request.csr_pem, request.proof)
        except CertificateUnknown as error:
            await self._refuse(context, error)
        renewing = enrolment.renew(self._store, self._authority, self._clock, peer, request.csr_pem)
        return RenewReply(**asdict(await self._answered(context, renewing)))

    async def enroll(self, request: EnrollRequest, context: aio.ServicerContext) -> EnrollReply:
        """The first certificate, for an invitation."""
        if len(request.secret) != SECRET_BYTES:
            await self._refuse(context, TokenRefused("it is not one of this hub's"))
        enrolling = enrolment.enrol(
            self._store, self._authority, self._clock, hash_secret(request.secret), request.csr_pem
        )
        return EnrollReply(**asdict(await self._answered(context, enrolling)))

    async def enroll_operator(
        self, request: pb.EnrollRequest, context: aio.ServicerContext
    ) -> pb.EnrollReply:
        """An operator's certificate, for an invitation."""
        if len(request.secret) != SECRET_BYTES:
            await self._refuse(context, TokenRefused("it is not one of this hub's", of="operator"))
        enrolling = enrolment.enrol_operator(
            self._store, self._authority, self._clock, hash_secret(request.secret), request.csr_pem
        )
        return pb.EnrollReply(**asdict(await self._answered(context, enrolling)))

    def _for_operators(
        self, method: Callable[[OperatorPeer, _Request], Awaitable[Message]], kind: type[_Request]
    ) -> Any:
        """The handler of a method that only operators may call."""

        async def call(request: _Request, context: aio.ServicerContext) -> Message:
            asked = {"method": method.__name__}
            try:
                peer = operator_of(context.auth_context())
                asked |= {"tenant": peer.tenant, "operator": peer.operator}
                await check_operator_standing(self._store, peer)
                answer = await method(peer, request)
            except InvalidInput as error:
                await self._refuse_operator(context, asked, grpc.StatusCode.INVALID_ARGUMENT, error)
            except HubError as error:
                status = _STATUS_OF_EXIT_CODE.get(error.exit_code)
                if status is not None:
                    await self._refuse_operator(context, asked, status, error)
                await self._refuse(context, error)
            except Exception:  # the top of the task
                log.exception("operator's call failed", extra=asked)
                await _abort(context, grpc.StatusCode.INTERNAL, "the hub cannot serve this: ask its operator")
            log.info("operator answered", extra=asked)
            return answer

        return grpc.unary_unary_rpc_method_handler(
            call, kind.FromString, lambda reply: reply.SerializeToString()
        )

    async def _refuse_operator(
        self,
        context: aio.ServicerContext,
        asked: dict[str, str],
        status: grpc.StatusCode,
        error: HubError | InvalidInput,
    ) -> NoReturn:
        # What is refused may hold a value of a document: the log has only that it was.
        log.info("operator refused", extra={**asked, "status": status.name, "kind": type(error).__name__})
        await _abort(context, status, str(error))

    async def _peer(self, context: aio.ServicerContext) -> Peer:
        """Which edge calls, if it may."""

        async def known() -> Peer:
            peer = peer_of(context.auth_context())
            metadata = context.invocation_metadata() or ()
            passed = [bytes(value) for key, value in metadata if key == BEHIND]
            if not passed:
                await enrolment.check_standing(self._store, peer)
                return peer
            return await peer_behind(self._store, peer, passed, self._root, self._clock.now_ms())

        return await self._answered(context, known())

    async def _answered(self, context: aio.ServicerContext, answering: Awaitable[_T]) -> _T:
        """The answer, or gRPC's status for why there is none."""
        try:
            return await answering
        except HubError as error:
            await self._refuse(context, error)

    async def _refuse(self, context: aio.ServicerContext, error: HubError) -> NoReturn:
        match error:
            case RelayRefused():
                # Not those behind it: they are told to come back, and by another way.
                log.warning("relay refused", extra={"relay": error.relay, "reason": error.reason})
                await _abort(context, grpc.StatusCode.ABORTED, str(error))
            case RequestRefused():
                await _abort(context, grpc.StatusCode.PERMISSION_DENIED, str(error))
            case Unreachable():
                # Which of our servers is away is our affair.
                log.warning("call not served", extra={"reason": str(error)})
                await _abort(context, grpc.StatusCode.UNAVAILABLE, "the hub cannot serve now: try again")
            case _:
                log.error("call not served", extra={"reason": str(error)})
                await _abort(context, grpc.StatusCode.INTERNAL, "the hub cannot serve this: ask its operator")


_STATUS_OF_ORDER = {
    "revoked": grpc.StatusCode.PERMISSION_DENIED,
    "refused": grpc.StatusCode.PERMISSION_DENIED,
    "superseded": grpc.StatusCode.ABORTED,
    "stopping": grpc.StatusCode.UNAVAILABLE,
    # Not UNAVAILABLE, which is also what a link that breaks looks like to an edge.
    "away": grpc.StatusCode.ABORTED,
}


# What an operator is told, by what a command on the hub's own machine would end with.
_STATUS_OF_EXIT_CODE = {
    2: grpc.StatusCode.INVALID_ARGUMENT,
    3: grpc.StatusCode.NOT_FOUND,
    4: grpc.StatusCode.PERMISSION_DENIED,
    5: grpc.StatusCode.FAILED_PRECONDITION,
}


async def _abort(context: aio.ServicerContext, status: grpc.StatusCode, why: str) -> NoReturn:
    """End the call, which `abort` does by raising."""
    await context.abort(status, why)
    raise AssertionError("abort raises")


async def _follow(store: Store, streams: Streams) -> None:
    """Pass on what the store hears, for as long as this hub serves."""
    async for heard in store.listen():
        match heard:
            case Moved(tenant, hub_seq):
                streams.moved(tenant, hub_seq)
            case Revoked(tenant, edge):
                streams.end(tenant, edge, Interruption("revoked", str(EdgeRevoked(tenant, edge))))
            case Rescoped(tenant, edge):
                streams.end(tenant, edge, RESCOPED)
            case Restored(tenant):
                streams.end_tenant(tenant, RESTORED)
            case Logged():
                pass  # edges see it in the next checkpoint they are shown


def _listen(server: aio.Server, host: str, port: int, credentials: Any) -> int:
    """Bind, and return the port. Raises PortInUse."""
    try:
        bound: int = server.add_secure_port(_authority_part(host, port), credentials)
    except RuntimeError:
        bound = 0
    if bound == 0:
        raise PortInUse(host=host, port=port)
    return bound


def _main_credentials(credentials: ServerCredentials, root_pem: bytes) -> Any:
    pair = (credentials.key_pem, credentials.chain_pem)
    return grpc.ssl_server_credentials([pair], root_pem, require_client_auth=True)


def _enrolment_credentials(credentials: ServerCredentials, root_pem: bytes) -> Any:
    # The root is sent too: a new edge knows its fingerprint and nothing else.
    return grpc.ssl_server_credentials([(credentials.key_pem, credentials.chain_pem + root_pem)])


def _handlers(by_path: dict[str, Any]) -> Iterator[Any]:
    """A handler for each service of these methods, given by their paths."""
    for service in dict.fromkeys(path.split("/")[1] for path in by_path):
        methods = {
            path.split("/")[2]: each for path, each in by_path.items() if path.split("/")[1] == service
        }
        yield grpc.method_handlers_generic_handler(service, methods)


def _frame_of(raw: bytes) -> bytes:
    return ExchangeFrame.FromString(raw).frame


def _callable_as(host: str) -> tuple[str, ...]:
    """What an edge may call this host: nothing where it stands for every address."""
    return () if host in ("", "0.0.0.0", "::", "[::]") else (host,)


def _authority_part(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host and not host.startswith("[") else f"{host}:{port}"
