"""An edge's courier file, verified and decided as its stream would be.

What the edge would be answered at once is written by `answering`, later and from what is remembered here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from anabranch_sync import frame
from anabranch_sync.change import Entry
from anabranch_sync.courier import check_in_order, is_older, messages_of
from anabranch_sync.errors import ParcelDamaged, ParcelForeign, ParcelStray
from anabranch_sync.hub_effects import Accused, Close, Decide, HubEffect, Open, WentBack
from anabranch_sync.hub_session import HubSession
from anabranch_sync.ids import LocalSeq
from anabranch_sync.messages import Hello, decode_message
from anabranch_sync.opening import Answer
from anabranch_sync.parcel import COURIER_ID, Letter, opened, uris_of
from cryptography import x509

from anabranch_hub.api.enrolment import check_standing
from anabranch_hub.api.exchange import HINT_RESTORED
from anabranch_hub.courier.keeping import CourierStore
from anabranch_hub.errors import CutElsewhere, Fenced
from anabranch_hub.identity.peer import peer_of_certificate
from anabranch_hub.store import Parcel, Store


@dataclass(frozen=True, slots=True)
class Taken:
    """What a file brought. `renewed`: its changes are of another history, or it asked for a new incarnation,

    which the answer gives. `older`: the answer will not be for it, but for one that is newer.
    """

    tenant: str
    edge: str
    part: int
    parts: int
    changes: int
    push_mark: LocalSeq
    renewed: bool
    older: bool
    accused: str = ""


async def verified(store: Store, raw: bytes, root: x509.Certificate, now_ms: int) -> Letter:
    """The letter, signed by an edge of this hub that may be served. Raises ParcelError, RequestRefused."""
    found = opened(raw, root, now_ms)
    letter = found.letter
    if uris_of(found.certificate) == [COURIER_ID]:
        raise ParcelForeign(f"it goes from a hub to {letter.tenant}/{letter.edge}: import it there")
    peer = peer_of_certificate(found.certificate)
    if letter.from_hub or (letter.tenant, letter.edge) != (peer.tenant, peer.edge):
        raise ParcelForeign(f"{peer.tenant}/{peer.edge} has signed it in another's name")
    await check_standing(store, peer)
    return letter


async def take(store: CourierStore, letter: Letter, now_ms: int) -> Taken:
    """Decide what the letter holds and remember whom to answer; safe to repeat.

    Raises ParcelError, RequestRefused, StoreUnavailable; a push of it is decided as a whole or not at all.
    """
    return await _Taking(store, letter).run(now_ms)


class _Taking:
    def __init__(self, store: CourierStore, letter: Letter) -> None:
        self._store = store
        self._letter = letter
        self._session = HubSession()
        self._before = 0
        self._mark = 0
        self._lease = 0
        self._accused = ""

    async def run(self, now_ms: int) -> Taken:
        letter = self._letter
        hello, *_ = messages_of(letter)
        assert isinstance(hello, Hello), "messages_of has looked"
        last = await self._store.parcel(letter.tenant, letter.edge)
        self._lease = last.lease if last is not None and last.export == letter.export else 0
        self._session.start(now_ms)
        for each in letter.frames:
            queue = deque(self._session.received(each, now_ms))
            while queue:
                queue.extend(await self._done(queue.popleft(), now_ms))
        older = last is not None and is_older(hello, letter.made_ms, hello_of(last), last.made_ms)
        if not older:
            parcel = Parcel(letter.export, letter.made_ms, letter.frames[0], self._lease)
            await self._store.put_parcel(letter.tenant, letter.edge, parcel)
        return Taken(
            letter.tenant,
            letter.edge,
            letter.part,
            letter.parts,
            self._mark - self._before,
            self._mark,
            self._lease > 0,
            older,
            self._accused,
        )

    async def _done(self, effect: HubEffect, now_ms: int) -> Sequence[HubEffect]:
        """Carry out what concerns the edge's changes; what answers it waits for the export."""
        match effect:
            case Open(hello):
                return await self._open(hello, now_ms)
            case Decide(entries, chain):
                return await self._decide(entries, chain)
            case Accused(reason):
                self._accused = reason
            case WentBack(reason):
                raise ParcelStray(f"{reason}; {HINT_RESTORED}")
            case Close(reason) if not self._lease:
                raise ParcelDamaged(reason)
        return ()

    async def _open(self, hello: Hello, now_ms: int) -> Sequence[HubEffect]:
        store, letter, session = self._store, self._letter, self._session
        wanted = hello.incarnation or self._lease
        try:
            opening = await store.open_replica(letter.tenant, letter.edge, wanted, hello.checkpoint)
        except Fenced as error:
            return await self._fenced(error)
        if not hello.incarnation:
            self._lease = opening.incarnation
        self._before = self._mark = opening.push_mark
        cursor = hello.cursor
        is_known = cursor.epoch == opening.epoch and cursor.hub_seq <= opening.hub_seq
        # Where a head of a pull is there already, its bytes stay until the rest has followed.
        if hello.incarnation and is_known and not hello.partial:
            await store.seen(letter.tenant, hello.incarnation, cursor)
        return session.opened(opening, now_ms)

    async def _decide(self, entries: Sequence[Entry], chain: bytes) -> Sequence[HubEffect]:
        check_in_order(entries, self._mark)
        try:
            answer = await self._store.decide(self._letter.tenant, self._letter.edge, entries, chain)
        except Fenced as error:
            return await self._fenced(error)
        except (
            CutElsewhere
        ):  # the hub has more than this file, and what is absorbed hides where this one ends
            here = (self._letter.tenant, self._letter.edge)
            opening = await self._store.open_replica(*here, entries[0].dot.incarnation)
            answer = Answer(opening.push_mark, opening.chain, opening.hub_seq)
        self._mark = max(self._mark, answer.push_mark)
        return self._session.decided(answer)

    async def _fenced(self, error: Fenced) -> Sequence[HubEffect]:
        """The replica was cloned or restored: the answer gives it an incarnation of its own."""
        if not self._lease:
            opening = await self._store.open_replica(self._letter.tenant, self._letter.edge, 0)
            self._lease = opening.incarnation
        return self._session.fenced(error.reason)


def hello_of(parcel: Parcel) -> Hello:
    """The Hello that is remembered of a file."""
    raw = frame.decode(parcel.hello)
    hello = decode_message(raw.kind, raw.body)
    assert isinstance(hello, Hello), "it was looked at when it was taken"
    return hello
