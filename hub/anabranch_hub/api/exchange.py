"""One stream with one edge: carries out what `HubSession` decides.

The session says what to do and this does it, in order, and waits for each thing before the next: an
acknowledgement leaves after what it acknowledges is committed. Nothing is read from the edge meanwhile, so a
slow store slows the edge down instead of filling memory.

Who the edge is was read from its certificate; tenant and edge are bound to every call of the store here, and
nothing the edge says can change them.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from anabranch_sync.circumstances import Circumstances, link_class
from anabranch_sync.greeting import subscription_of
from anabranch_sync.hub_effects import (
    Accused,
    Close,
    Compare,
    Decide,
    Draw,
    DrawUrgent,
    Fetch,
    HubEffect,
    Open,
    Present,
    Recall,
    Report,
    Seen,
    Send,
    Spool,
    StorePart,
    Survey,
    Wanted,
    Weigh,
    WentBack,
    Wiped,
)
from anabranch_sync.hub_session import HubSession, Phase
from anabranch_sync.incident import documents_named
from anabranch_sync.plan import SNAPSHOT_PROTOCOL
from anabranch_sync.pull import Pull
from anabranch_sync.scope import Scope
from anabranch_sync.snapshot import Offer

from anabranch_hub.errors import (
    CutElsewhere,
    EdgeRevoked,
    Fenced,
    RequestRefused,
    ScopeChanged,
    StoreUnavailable,
)
from anabranch_hub.identity.peer import Peer
from anabranch_hub.store.attribution import Attribution
from anabranch_hub.store.drawing import INLINE_DOCUMENTS_MAX
from anabranch_hub.store.records import Told

if TYPE_CHECKING:
    from anabranch_hub.api.streams import Streams
    from anabranch_hub.store import Store

# A Postgres that restarts is back within seconds; the edge spreads its return over as long again.
STORE_AWAY_RETRY_MS = 2_000
# A hub that stops is followed by another, or by itself.
STOPPING_RETRY_MS = 1_000
# The last frame of an interrupted stream is a courtesy; an edge that does not read must not hold us up.
FAREWELL_S_MAX = 2.0

HINT_RESTORED = "if a backup was restored, run `anabranch-hub restored`"

# Before the edge has said who it is.
NOWHERE = Scope(())

log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Interruption:
    """Why the hub ends a stream: `revoked`, `refused`, `superseded`, `stopping`, `away` (the store)."""

    order: str
    reason: str


class _Refused(Exception):
    """This side ends the stream from within."""

    def __init__(self, interruption: Interruption) -> None:
        self.interruption = interruption
        super().__init__(interruption.reason)


STOPPING = Interruption("stopping", "this hub stops")
# The edge comes back at once, and is told.
RESCOPED = Interruption("stopping", "the edge was given another scope, or an order")
# It would take the prefixes for damage, again and again.
STARS_UNKNOWN = "the edge's scope has stars, which its release does not know: update it, or name it prefixes"
CERTIFICATE_ENDED = Interruption("refused", "the edge's certificate has ended: ask for a new token")


@dataclass(frozen=True, slots=True)
class Finished:
    """One exchange, for the log and for gRPC's status: ended by the edge, by the session, or interrupted."""

    reason: str
    by_edge: bool = False
    interruption: Interruption | None = None


@dataclass(slots=True)
class Carried:
    """What went over one stream. Frames' bytes only: HTTP/2 and TLS are not counted."""

    frames_up: int = 0
    frames_down: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    changes_up: int = 0
    documents_down: int = 0


class Clock:
    """Milliseconds since 1970 as of the start of the process, and steady since: it never jumps."""

    def __init__(self) -> None:
        self._began_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        return (self._began_ns + time.monotonic_ns()) // 1_000_000


class Exchange:
    """A stream of `peer`. `read` gives None at the edge's end; both raise OSError when the link is gone."""

    def __init__(
        self,
        store: Store,
        streams: Streams,
        peer: Peer,
        clock: Clock,
        read: Callable[[], Awaitable[bytes | None]],
        write: Callable[[bytes], Awaitable[None]],
    ) -> None:
        self.peer = peer
        self.carried = Carried()
        self._store = store
        self._streams = streams
        self._clock = clock
        self._read = read
        self._write = write
        self._session = HubSession()
        self._attribution = Attribution()
        self._stirred = asyncio.Event()
        self._hub_seq = 0
        self._frames_owed = 0
        self._writing: asyncio.Future[None] | None = None
        self._scope = NOWHERE
        self._interruption: Interruption | None = None
        self._running: asyncio.Timeout | None = None
        self._reason = ""

    @property
    def incarnation(self) -> int:
        """Whom the edge speaks for; 0 before it said so."""
        return self._session.incarnation

    def notice(self, hub_seq: int) -> None:
        """The tenant's order has come to `hub_seq`."""
        self._hub_seq = max(self._hub_seq, hub_seq)
        self._stirred.set()

    def interrupt(self, interruption: Interruption) -> None:
        """End this stream at once, whatever it waits for. The first reason stays."""
        if self._interruption is None:
            self._interruption = interruption
            self._stirred.set()
            if self._running is not None and not self._running.expired():
                self._running.reschedule(asyncio.get_running_loop().time())

    async def run(self) -> Finished:
        """Exchange until either side ends it."""
        self._streams.join(self)
        try:
            async with asyncio.timeout(0 if self._interruption else None) as self._running:
                await self._exchange()
        except _Refused as refused:
            self._interruption = self._interruption or refused.interruption
        except TimeoutError:
            if self._interruption is None:
                raise
        finally:
            self._running = None
            self._streams.leave(self)
        if self._interruption is not None:
            if self._writing is not None:
                await asyncio.wait({self._writing}, timeout=FAREWELL_S_MAX)
            await self._say_farewell(self._interruption)
            reason = f"{self._interruption.order}: {self._interruption.reason}"
            return Finished(reason, interruption=self._interruption)
        return Finished(self._reason or "the edge ended it", by_edge=not self._reason)

    async def _exchange(self) -> None:
        session = self._session
        session.start(self._clock.now_ms())
        reading = self._next_frame()
        try:
            while session.phase is not Phase.CLOSED:
                await self._wait(session.wake_ms)
                if self._interruption is not None:
                    # The cancellation was lost: `asyncio.wait_for` of Python 3.11, with which the store waits
                    # for a connection, drops one that comes together with what it waits for.
                    raise _Refused(self._interruption)
                if self._clock.now_ms() >= self.peer.not_after_ms:
                    raise _Refused(CERTIFICATE_ENDED)
                await self._carry_out(session.woken(self._clock.now_ms()))
                await self._carry_out(session.notified(self._hub_seq, self._clock.now_ms()))
                if reading.done():
                    frame = reading.result()
                    if frame is None:
                        return
                    self.carried.frames_up += 1
                    self.carried.bytes_up += len(frame)
                    await self._carry_out(session.received(frame, self._clock.now_ms()))
                    reading = self._next_frame()
        finally:
            reading.cancel()

    def _next_frame(self) -> asyncio.Future[bytes | None]:
        reading = asyncio.ensure_future(self._read())
        reading.add_done_callback(lambda _: self._stirred.set())
        return reading

    async def _wait(self, wake_ms: int | None) -> None:
        """Until something happens, `wake_ms` comes or the edge's certificate ends."""
        end_ms = self.peer.not_after_ms if wake_ms is None else min(wake_ms, self.peer.not_after_ms)
        try:
            async with asyncio.timeout(max(0.0, (end_ms - self._clock.now_ms()) / 1000)):
                await self._stirred.wait()
        except TimeoutError:
            return
        self._stirred.clear()

    async def _carry_out(self, effects: Sequence[HubEffect]) -> None:
        queue = deque(self._owing(effects))
        while queue:
            try:
                queue.extend(self._owing(await self._done(queue.popleft())))
            except Fenced as error:
                queue.extend(self._owing(self._session.fenced(error.reason)))
            except ScopeChanged as error:
                raise _Refused(RESCOPED) from error
            except CutElsewhere as error:
                raise _Refused(Interruption("stopping", str(error))) from error
            except RequestRefused as error:
                raise _Refused(Interruption("refused", str(error))) from error
            except StoreUnavailable as error:
                raise _Refused(Interruption("away", str(error))) from error

    def _owing(self, effects: Sequence[HubEffect]) -> Sequence[HubEffect]:
        """Count the frames among `effects`: they are numbered, so none after them may go out before them."""
        self._frames_owed += sum(isinstance(each, Send) for each in effects)
        return effects

    async def _done(self, effect: HubEffect) -> Sequence[HubEffect]:
        """Carry `effect` out; return what the session makes of it. Raises RequestRefused, Unreachable."""
        store, session = self._store, self._session
        tenant, edge, incarnation = self.peer.tenant, self.peer.edge, session.incarnation
        match effect:
            case Send(frame):
                await self._send(frame)
            case Open(hello):
                told = Told(
                    self._clock.now_ms() - hello.now_ms,
                    Circumstances(
                        link_class(hello.link_class),
                        hello.byte_budget,
                        hello.budget_until_ms,
                        hello.disk_free_bytes,
                    ),
                    hello.oldest_unsent_ms,
                    session.protocol,
                    damaged_changes=hello.damaged_changes,
                    damaged_documents=tuple(documents_named(hello.damaged_documents)),
                    drained=hello.cursor if hello.incarnation and not hello.oldest_unsent_ms else None,
                )
                wanted = subscription_of(hello)
                try:
                    opening = await store.open_replica(
                        tenant, edge, hello.incarnation, hello.checkpoint, told, wanted
                    )
                except EdgeRevoked:
                    if (await store.edge(tenant, edge)).wipe is None:
                        raise
                    return session.wipe()
                if wanted is None and opening.scope.has_stars:
                    raise _Refused(Interruption("refused", STARS_UNKNOWN))
                self._scope = opening.scope
                self._streams.opened(self, opening.incarnation)
                if session.protocol >= SNAPSHOT_PROTOCOL:
                    at_hello = (tenant, edge, opening.incarnation, hello.cursor)
                    plan = await store.plan(*at_hello, held=hello.scope, relayed=bool(self.peer.via))
                    opening = replace(opening, plan=plan)
                return session.opened(opening, self._clock.now_ms())
            case Wanted():
                return session.found(await store.contents(tenant, self._scope, effect))
            case Decide(entries, chain):
                self.carried.changes_up += len(entries)
                answer = await store.decide(tenant, edge, entries, chain)
                self._streams.moved(tenant, answer.hub_seq)
                self._attribution.pushed(entries)
                return session.decided(answer)
            case Draw(after, always, replaced, held):
                at = (tenant, edge, incarnation, after)
                pull = await store.draw(
                    *at,
                    always=always,
                    replaced=replaced,
                    protocol=session.protocol,
                    held=held,
                    told=self._scope,
                    relayed=bool(self.peer.via),
                )
                if not isinstance(pull, Pull):
                    return self._drawn(pull)
                self.carried.documents_down += len(pull.documents)
                if len(pull.documents) <= INLINE_DOCUMENTS_MAX:
                    return self._drawn(pull)
                return await _to_its_end(asyncio.to_thread(self._drawn, pull))
            case Weigh(after):
                priority = await store.weighed(tenant, self._scope, incarnation, after)
                return session.weighed(priority, self._clock.now_ms())
            case DrawUrgent(after):
                urgent = await store.drawn_urgent(tenant, self._scope, incarnation, after)
                return session.drawn_urgent(urgent)
            case StorePart(batch, total, offset, piece):
                await _to_its_end(store.store_upload(tenant, incarnation, batch, total, offset, piece))
            case Spool(batch, sealed):
                await _to_its_end(store.spool(tenant, incarnation, batch, sealed))
            case Recall(batch):
                return session.recalled(await store.spooled(tenant, incarnation, batch))
            case Compare():
                return session.compared(*await store.digest(tenant, self._scope))
            case Survey():
                surveyed = await store.survey(tenant, self._scope)
                return await _to_its_end(asyncio.to_thread(session.surveyed, surveyed))
            case Report(incident):
                told_of = {"tenant": tenant, "edge": edge, "kind": incident.kind, "documents": incident.count}
                log.error("an edge differed", extra=told_of)
                await store.report(tenant, edge, incident)
            case Fetch(name):
                return session.fetched(await store.part(tenant, name))
            case Seen(cursor):
                shares = self._attribution.take(self.carried.bytes_up, self.carried.bytes_down)
                await _to_its_end(store.seen(tenant, incarnation, cursor, shares))
            case Wiped():
                log.warning("an edge was wiped", extra={"tenant": tenant, "edge": edge})
                await _to_its_end(store.wiped(tenant, edge))
            case Present(mark):
                return session.presented(await store.presented(tenant, mark))
            case Accused(reason):
                facts = {"tenant": tenant, "edge": edge, "reason": reason}
                log.error(f"an edge has seen another log: {HINT_RESTORED}", extra=facts)
            case WentBack(reason):
                facts = {"tenant": tenant, "edge": edge, "reason": reason}
                log.error(f"the hub lost what it once told an edge: {HINT_RESTORED}", extra=facts)
            case Close(reason):
                self._reason = reason
        return ()

    def _drawn(self, pull: Pull | Offer | None) -> Sequence[HubEffect]:
        self._attribution.pulled(pull)
        return self._session.drawn(pull)

    async def _send(self, frame: bytes) -> None:
        # An interruption must not break a write off: gRPC would end the stream with no status at all.
        self._writing = asyncio.ensure_future(self._written(frame))
        self._writing.add_done_callback(lambda writing: writing.cancelled() or writing.exception())
        await asyncio.shield(self._writing)

    async def _written(self, frame: bytes) -> None:
        await self._write(frame)
        self._frames_owed -= 1
        self.carried.frames_down += 1
        self.carried.bytes_down += len(frame)

    async def _say_farewell(self, interruption: Interruption) -> None:
        """Tell the edge why, if it listens. After a gap in the numbers a frame would read as damage."""
        if self._frames_owed:
            return
        match interruption.order:
            case "revoked" | "refused" as order:
                effects = self._session.ended(order, interruption.reason)
            case "stopping":
                effects = self._session.busy(STOPPING_RETRY_MS)
            case "away":
                effects = self._session.busy(STORE_AWAY_RETRY_MS)
            case _:
                return
        try:
            async with asyncio.timeout(FAREWELL_S_MAX):
                for effect in self._owing(effects):
                    if isinstance(effect, Send):
                        await self._send(effect.frame)
        except (TimeoutError, OSError):
            pass


async def _to_its_end(begun: Coroutine[Any, Any, _T]) -> _T:
    """Finish what was begun even if the link breaks meanwhile.

    gRPC cancels a stream with its link. A link that breaks with every chunk would otherwise never get one
    onto the disk.
    """
    task = asyncio.ensure_future(begun)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
