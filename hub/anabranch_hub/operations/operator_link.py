"""A hub far away, asked by an operator with a certificate: the ledger through gRPC.

The other hub module that imports grpc, and the only one that calls. What the hub refuses comes back
as an error with the exit code that the same command has on the hub's own machine.
"""

from __future__ import annotations

import asyncio
import os
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from anabranch_protos.grpc_settings import settle_grpc
from anabranch_protos.introduction import root_shown
from anabranch_protos.invitation import InvitationToken
from anabranch_protos.operator.v1 import methods
from anabranch_protos.operator.v1 import operator_pb2 as pb
from google.protobuf.message import Message

from anabranch_hub.api.ledger_messages import (
    packed_matching,
    unpacked_restoration,
    unpacked_row,
    unpacked_stats,
)
from anabranch_hub.errors import (
    HubAway,
    HubConflict,
    HubDenied,
    HubError,
    HubMisses,
    HubRejects,
    HubUnverified,
)
from anabranch_hub.identity.operator_identity import OperatorIdentity, Whom, new_request
from anabranch_hub.operations.ledger import Restoration
from anabranch_hub.settings import Address, parse_address
from anabranch_hub.store import LedgerRow, LedgerStats, Matching

settle_grpc()

import grpc  # noqa: E402
from grpc import aio  # noqa: E402

# A page of rows, each with values of up to 512 KiB: the hub ends a page early, but not within a row.
REPLY_BYTES_MAX = 64 * 1024 * 1024
# Counting a large ledger takes a second, a handshake over a slow link several.
CALL_S_MAX = 60.0

_Reply = TypeVar("_Reply", bound=Message)


class FarLedger:
    """The ledger of one tenant, in the name on the operator's certificate."""

    def __init__(self, identity: OperatorIdentity, address: str, channel: aio.Channel) -> None:
        self._tenant = identity.whom.tenant
        self._address = address
        self._channel = channel

    async def tenants(self) -> list[str]:
        return [self._tenant]

    async def merges(
        self, tenant: str, matching: Matching, *, before: int | None, limit: int
    ) -> list[LedgerRow]:
        found: list[LedgerRow] = []
        while len(found) < limit:
            request = pb.ListRequest(
                tenant=tenant,
                matching=packed_matching(matching),
                before=found[-1].id if found else before or 0,
                limit=limit - len(found),
            )
            reply = await self._call(methods.LIST, request, pb.ListReply)
            if not reply.rows:
                break
            found += [unpacked_row(each) for each in reply.rows]
        return found

    async def merge(self, tenant: str, number: int) -> LedgerRow:
        return unpacked_row(await self._call(methods.GET, pb.RowRequest(tenant=tenant, id=number), pb.Row))

    async def merge_stats(self, tenant: str, matching: Matching, *, limit: int) -> LedgerStats:
        request = pb.StatsRequest(tenant=tenant, matching=packed_matching(matching), limit=limit)
        return unpacked_stats(await self._call(methods.STATS, request, pb.StatsReply))

    async def accept(self, tenant: str, numbers: Sequence[int], note: str) -> list[int]:
        request = pb.AcceptRequest(tenant=tenant, ids=numbers, note=note)
        return list((await self._call(methods.ACCEPT, request, pb.AcceptReply)).ids)

    async def restore(
        self, tenant: str, number: int, candidate: int, message: str, *, recreate: bool, is_trial: bool
    ) -> Restoration:
        request = pb.RestoreRequest(
            tenant=tenant, id=number, candidate=candidate, message=message, recreate=recreate, trial=is_trial
        )
        reply = await self._call(methods.RESTORE, request, pb.RestoreReply)
        return unpacked_restoration(reply, number, candidate)

    async def _call(self, path: str, request: Message, reply: type[_Reply]) -> _Reply:
        return await _called(self._address, self._channel, path, request, reply)


@asynccontextmanager
async def far_ledger(identity: OperatorIdentity, address: str = "") -> AsyncIterator[FarLedger]:
    """The ledger at `address` (where it was enrolled, by default). Nothing connects before the first call."""
    called = address or identity.whom.address
    credentials = grpc.ssl_channel_credentials(identity.root_pem, identity.key_pem, identity.chain_pem)
    async with _channel(called, credentials) as channel:
        yield FarLedger(identity, called, channel)


async def enrol(address: str, token: InvitationToken) -> OperatorIdentity:
    """Trade an operator's invitation for a certificate of a new key. Raises HubError."""
    hub = parse_address(address)
    enrolment = Address(hub.host, token.enrolment_port or hub.port + 1)
    root_pem = await asyncio.to_thread(_root_of, enrolment, token.root_fingerprint)
    key_pem, csr_pem = new_request()
    request = pb.EnrollRequest(secret=token.secret, csr_pem=csr_pem)
    async with _channel(str(enrolment), grpc.ssl_channel_credentials(root_pem)) as channel:
        reply = await _called(str(enrolment), channel, methods.ENROLL, request, pb.EnrollReply)
    whom = Whom(str(hub), reply.tenant, reply.operator)
    return OperatorIdentity(whom, key_pem, reply.chain_pem, reply.ca_pem)


def _root_of(enrolment: Address, fingerprint: bytes) -> bytes:
    """The root that the token names. Raises HubAway, HubUnverified."""
    try:
        root_pem = root_shown(enrolment.host, enrolment.port, fingerprint)
    except ssl.SSLError as error:
        raise HubUnverified(str(enrolment), f"no TLS 1.3 there ({error.reason or 'it broke off'})") from error
    except OSError as error:
        raise HubAway(str(enrolment), error.strerror or str(error)) from error
    if root_pem is None:
        raise HubUnverified(str(enrolment), "its chain does not end in the root that the token names")
    return root_pem


def _channel(address: str, credentials: Any) -> aio.Channel:
    options = [
        ("grpc.max_receive_message_length", REPLY_BYTES_MAX),
        ("grpc.enable_retries", 0),
        ("grpc.service_config_disable_resolution", 1),  # no TXT look-ups before each connection
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", int("grpc_proxy" in os.environ)),
    ]
    return aio.secure_channel(address, credentials, options=options)


async def _called(
    address: str, channel: aio.Channel, path: str, request: Message, reply: type[_Reply]
) -> _Reply:
    call = channel.unary_unary(path, type(request).SerializeToString, reply.FromString)
    try:
        answer: _Reply = await call(request, timeout=CALL_S_MAX)
    except aio.AioRpcError as error:
        raise _translated(address, error.code(), str(error.details() or "")) from error
    return answer


def _translated(address: str, status: grpc.StatusCode, details: str) -> HubError:
    match status:
        case grpc.StatusCode.INVALID_ARGUMENT:
            return HubRejects(address, details)
        case grpc.StatusCode.NOT_FOUND:
            return HubMisses(address, details)
        case grpc.StatusCode.PERMISSION_DENIED | grpc.StatusCode.UNAUTHENTICATED:
            return HubDenied(address, details)
        case grpc.StatusCode.FAILED_PRECONDITION:
            return HubConflict(address, details)
        case grpc.StatusCode.UNIMPLEMENTED:
            return HubUnverified(address, "it speaks gRPC, but not this protocol: another port or release")
        case grpc.StatusCode.UNAVAILABLE if "SSL_ERROR_SSL" in details:
            return HubUnverified(address, "its certificate is not of this hub's root, or for another name")
        case _:
            cause = details.rsplit("last error:", 1)[-1].strip() or status.name.lower().replace("_", " ")
            return HubAway(address, cause if len(cause) <= 160 else f"{cause[:157]}...")
