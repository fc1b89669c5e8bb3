"""The answer to an edge's courier file: what of its changes is merged, and all that it lacks.

It is what the hub's session would say to that edge on a stream, to an edge that takes all of it at once.
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from anabranch_sync.change import CHAIN_START
from anabranch_sync.courier import letters_from_hub
from anabranch_sync.errors import ParcelStray
from anabranch_sync.hub_effects import Close, Draw, HubEffect, Open, Recall, Send, Spool, WentBack
from anabranch_sync.hub_session import HubSession
from anabranch_sync.ids import START
from anabranch_sync.messages import PROTOCOL_MIN, Batch, Chunk, Stored, Welcome
from anabranch_sync.packing import unseal
from anabranch_sync.parcel import EXPORT_BYTES, Letter, encode_letter, signed_bytes, wrapped
from anabranch_sync.pull_body import decode_pull, wanted_by_pull
from anabranch_sync.stream import Stream
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from anabranch_hub.api.exchange import HINT_RESTORED
from anabranch_hub.courier.keeping import CourierStore
from anabranch_hub.courier.taking import hello_of
from anabranch_hub.errors import NothingToAnswer
from anabranch_hub.store import Parcel, Store


async def answer(store: Store, tenant: str, edge: str, now_ms: int, bytes_max: int) -> list[Letter]:
    """The letters to `edge`, each for a file of at most `bytes_max`; safe to repeat, and nothing changes.

    Raises NothingToAnswer, EdgeUnknown, EdgeRevoked, StoreUnavailable.
    """
    await store.edge(tenant, edge)
    parcel = await store.parcel(tenant, edge)
    if parcel is None:
        raise NothingToAnswer(tenant, edge)
    return await answered(store, tenant, edge, parcel, now_ms, bytes_max)


async def answered(
    store: CourierStore, tenant: str, edge: str, parcel: Parcel, now_ms: int, bytes_max: int
) -> list[Letter]:
    """The letters that answer `parcel`."""
    return await _Answering(store, tenant, edge, parcel).run(now_ms, bytes_max)


def signed(letter: Letter, courier_pem: bytes) -> bytes:
    """The file of `letter`, signed with the hub's courier key."""
    key = load_pem_private_key(courier_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey), "a key of another kind than the authority makes"
    chain = tuple(each.public_bytes(Encoding.DER) for each in x509.load_pem_x509_certificates(courier_pem))
    body = encode_letter(letter)
    return wrapped(body, chain, key.sign(signed_bytes(body), ec.ECDSA(hashes.SHA256())))


class _Answering:
    """The hub's session with an edge that is not there: what it acknowledges is acknowledged here."""

    def __init__(self, store: CourierStore, tenant: str, edge: str, parcel: Parcel) -> None:
        self._store = store
        self._tenant = tenant
        self._edge = edge
        self._parcel = parcel
        self._session = HubSession()
        self._from_edge = Stream()
        self._to_edge = Stream()
        self._welcome: Welcome | None = None
        self._recalled = b""  # a pull of which the edge has a head already
        self._offset = 0
        self._sealed = b""
        self._total = 0

    async def run(self, now_ms: int, bytes_max: int) -> list[Letter]:
        parcel, session = self._parcel, self._session
        hello = hello_of(parcel)
        if parcel.lease:
            hello = replace(hello, incarnation=parcel.lease, push_mark=0, chain=CHAIN_START)
        # A file is answered once, so nothing that takes rounds is begun: where documents differ, all come.
        hello = replace(hello, protocol_max=PROTOCOL_MIN)
        session.start(now_ms)
        queue = deque(session.received(self._from_edge.frame(hello), now_ms))
        while queue:
            queue.extend(await self._done(queue.popleft(), now_ms))
        assert self._welcome is not None, "a session that was opened greets"
        # How long a file is on its way says nothing of clocks.
        welcome = replace(self._welcome, clock_offset_ms=0)
        after = upto = hello.cursor
        if self._sealed:
            pull = decode_pull(unseal(self._sealed))
            after, upto = START if pull.whole else pull.after, pull.upto
        export = secrets.token_bytes(EXPORT_BYTES)
        files = letters_from_hub(welcome, self._sealed, self._offset, bytes_max)
        return [
            Letter(
                *(True, self._tenant, self._edge, export, parcel.export, now_ms),
                *(part, len(files), after, upto, frames),
            )
            for part, frames in enumerate(files, 1)
        ]

    async def _done(self, effect: HubEffect, now_ms: int) -> Sequence[HubEffect]:
        store, session, tenant, incarnation = (
            self._store,
            self._session,
            self._tenant,
            self._session.incarnation,
        )
        match effect:
            case Open(hello):
                opening = await store.open_replica(tenant, self._edge, hello.incarnation, hello.checkpoint)
                return session.opened(opening, now_ms)
            case Recall(batch):
                spooled = await store.spooled(tenant, incarnation, batch)
                # One that began on a stream may be relative to documents; a file says all by itself.
                if spooled is not None and not wanted_by_pull(unseal(spooled)):
                    self._recalled = spooled
                return session.recalled(self._recalled or None)
            case Draw(after, always):
                pull = await store.pull(tenant, self._edge, incarnation, after, always=always)
                return session.drawn(pull)
            case Spool(batch, sealed):
                await store.spool(tenant, incarnation, batch, sealed)
            case Send(frame):
                return self._sent(frame, now_ms)
            case WentBack(reason):
                raise ParcelStray(f"{reason}; {HINT_RESTORED}")
            case Close(reason):
                raise AssertionError(f"a session with nobody at the other end was closed: {reason}")
        return ()

    def _sent(self, frame: bytes, now_ms: int) -> Sequence[HubEffect]:
        """Keep what would go out, and acknowledge each piece of a pull but the last."""
        match self._to_edge.message(frame):
            case Welcome() as welcome:
                self._welcome = welcome
                return ()
            case Batch() as first:
                self._offset, self._total = first.offset, first.total or len(first.piece)
                self._sealed = self._recalled[: first.offset] + first.piece
            case Chunk() as next_piece:
                self._sealed += next_piece.piece
            case _:
                return ()
        if len(self._sealed) == self._total:
            return ()
        return self._session.received(self._from_edge.frame(Stored(len(self._sealed))), now_ms)
