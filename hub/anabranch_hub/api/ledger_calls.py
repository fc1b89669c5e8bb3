"""What operators ask over gRPC, answered from the hub's store in the name on their certificate.

The tenant a call names must be that of the certificate: saying so beats guessing, and a mistaken
`--tenant` is refused instead of answered with another ledger.
"""

from anabranch_protos.operator.v1 import operator_pb2 as pb
from anabranch_sync.errors import InvalidValue
from anabranch_sync.explanation import sentence

from anabranch_hub.api.ledger_messages import (
    checked_id,
    packed_restoration,
    packed_row,
    packed_stats,
    unpacked_matching,
)
from anabranch_hub.errors import (
    CertificateUnknown,
    OperatorRevoked,
    OperatorUnknown,
    TenantDenied,
    TenantUnknown,
)
from anabranch_hub.identity.peer import OperatorPeer
from anabranch_hub.operations.ledger import ACCEPTED_MAX, Ledger, OwnLedger, case_of
from anabranch_hub.store import EdgeStatus, Store

# A page of the store (`store.ledger.MERGES_MAX`); programs ask for the next one.
ROWS_MAX = 1_000
# A page ends before the row that passes this, as values may have 512 KiB each: gRPC's clients take replies
# of 4 MiB unless told otherwise.
REPLY_BYTES = 3 * 1024 * 1024


async def check_operator_standing(store: Store, peer: OperatorPeer) -> None:
    """Return if `peer` may be served. Raises CertificateUnknown, OperatorRevoked, StoreUnavailable."""
    try:
        operator = await store.operator(peer.tenant, peer.operator)
    except (TenantUnknown, OperatorUnknown) as error:
        raise CertificateUnknown(
            f"operator {peer.operator} of tenant {peer.tenant} is not known here", of="operator"
        ) from error
    if operator.status is EdgeStatus.REVOKED:
        raise OperatorRevoked(peer.tenant, peer.operator)
    if operator.certificate_serial != peer.serial:
        reason = f"operator {peer.operator} was enrolled again since it was issued"
        raise CertificateUnknown(reason, of="operator")


class LedgerCalls:
    """The methods of the service `Ledger`. Each raises HubError or InvalidInput."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def list_rows(self, peer: OperatorPeer, request: pb.ListRequest) -> pb.ListReply:
        ledger = self._ledger(peer, request.tenant)
        rows = await ledger.merges(
            peer.tenant,
            unpacked_matching(request.matching),
            before=checked_id("/before", request.before) or None,
            limit=_limit(request.limit),
        )
        reply = pb.ListReply()
        size_bytes = 0
        for row in rows:
            packed = packed_row(row)
            size_bytes += packed.ByteSize()
            if size_bytes > REPLY_BYTES and reply.rows:
                break
            reply.rows.append(packed)
        return reply

    async def get(self, peer: OperatorPeer, request: pb.RowRequest) -> pb.Row:
        return packed_row(
            await self._ledger(peer, request.tenant).merge(peer.tenant, checked_id("/id", request.id))
        )

    async def explain(self, peer: OperatorPeer, request: pb.RowRequest) -> pb.ExplainReply:
        row = await self._ledger(peer, request.tenant).merge(peer.tenant, checked_id("/id", request.id))
        return pb.ExplainReply(sentence=sentence(case_of(row)), row=packed_row(row))

    async def stats(self, peer: OperatorPeer, request: pb.StatsRequest) -> pb.StatsReply:
        ledger = self._ledger(peer, request.tenant)
        matching = unpacked_matching(request.matching)
        return packed_stats(await ledger.merge_stats(peer.tenant, matching, limit=_limit(request.limit)))

    async def accept(self, peer: OperatorPeer, request: pb.AcceptRequest) -> pb.AcceptReply:
        if not 0 < len(request.ids) <= ACCEPTED_MAX:
            raise InvalidValue("/ids", f"{len(request.ids)} rows: accept 1 to {ACCEPTED_MAX} in one call")
        ledger = self._ledger(peer, request.tenant)
        numbers = [checked_id("/ids", number) for number in request.ids]
        return pb.AcceptReply(ids=await ledger.accept(peer.tenant, numbers, request.note))

    async def restore(self, peer: OperatorPeer, request: pb.RestoreRequest) -> pb.RestoreReply:
        restoration = await self._ledger(peer, request.tenant).restore(
            peer.tenant,
            checked_id("/id", request.id),
            request.candidate,
            request.message,
            recreate=request.recreate,
            is_trial=request.trial,
        )
        return packed_restoration(restoration)

    def _ledger(self, peer: OperatorPeer, tenant: str) -> Ledger:
        """The ledger in the operator's name. Raises TenantDenied."""
        if tenant != peer.tenant:
            raise TenantDenied(peer.operator, peer.tenant, tenant)
        return OwnLedger(self._store, peer.operator)


def _limit(asked: int) -> int:
    if not 0 < asked <= ROWS_MAX:
        raise InvalidValue("/limit", f"{asked} is not a number from 1 to {ROWS_MAX}")
    return asked
