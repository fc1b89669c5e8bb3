"""One exchange with the hub: carries out what `EdgeSession` decides.

The session says what to do and this does it, in order, and waits for each thing before the next: an
acknowledgement leaves after what it acknowledges is on disk. The replica's writes run in a thread of their
own, so that the event loop stays free for the link; they never run at once.
"""

import asyncio
import contextlib
import logging
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeAlias, TypeVar

from anabranch_sync.budget import Budget, smaller
from anabranch_sync.circumstances import LinkClass
from anabranch_sync.edge_effects import (
    Acknowledge,
    Adopt,
    Apply,
    Ask,
    Close,
    Discard,
    Distrust,
    EdgeEffect,
    Keep,
    Load,
    NoteStored,
    Overtake,
    Report,
    Reset,
    Send,
    Stage,
    StorePart,
    Survey,
    Wanted,
    Wipe,
    Witness,
)
from anabranch_sync.edge_session import EdgeSession, Phase
from anabranch_sync.errors import AnabranchError
from anabranch_sync.ids import START, Cursor
from anabranch_sync.pacing import Pacing
from anabranch_sync.plan import Plan
from anabranch_sync.priority import patience_ms
from anabranch_sync.scope import EVERYTHING
from anabranch_sync.snapshot import Part
from anabranch_sync.standing import Standing

from anabranch.circumstances import circumstances
from anabranch.errors import EdgeWiped, HubError, HubLogRefused, OutboxSalvaged, ReplicaCorrupt
from anabranch.giving_back import give_back
from anabranch.link import FrameStream
from anabranch.meter import Meter
from anabranch.replica import Link, Replica
from anabranch.replica.traffic import Traffic
from anabranch.wake import woken_by_writes
from anabranch.wiping import wipe

# How often to look whether another process wrote, where Linux does not tell and where it does. Looking costs
# some microseconds; what is noted for Linux to tell of may have failed.
LOOK_S = 0.05
LOOK_TOLD_S = 0.5
# A pull of so many documents takes some megabytes while it is decoded and applied.
LARGE_DOCUMENTS = 100
# How often a status is written down that has not changed: each is a transaction with its fsync.
HEARTBEAT_S = 30.0
# The hub ends its side within a round trip.
FINISH_S_MAX = 5.0

BUDGET_USED_UP = "the byte budget is used up"

log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Connected:
    """The hub has let this edge in. `clock_offset_ms` is its clock minus ours, `plan` how we catch up."""

    address: str
    clock_offset_ms: int
    plan: Plan | None = None


@dataclass(frozen=True, slots=True)
class Pushed:
    """`changes` of the `total` that were unsent are merged at the hub, `more` of them just now."""

    changes: int
    total: int
    more: int


@dataclass(frozen=True, slots=True)
class Pulled:
    """`received` of `total` bytes of a pull are on disk."""

    received: int
    total: int


@dataclass(frozen=True, slots=True)
class Applied:
    """A pull is applied: documents that changed, and conflicts in which this replica took part."""

    documents: int
    conflicts: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Nothing is on its way: what was written here is merged, and what the hub had is here."""


Step: TypeAlias = Connected | Pushed | Pulled | Applied | Settled


@dataclass(frozen=True, slots=True)
class Ended:
    """How an exchange ended. `settled`: at least once, nothing was on its way."""

    reason: str
    settled: bool
    renew: bool = False
    denied: bool = False
    retry_after_ms: int = 0
    error: AnabranchError | None = None


class Parts(Protocol):
    """Who is nearer than the hub and may have parts of a snapshot."""

    async def piece(self, part: Part, offset: int, bytes_max: int) -> bytes:
        """Bytes of a part from `offset` on; empty where they are not to be had."""

    def cancel(self) -> None:
        """No more is asked for. Safe to repeat."""


class Clock:
    """Milliseconds since 1970 as of when it was made, and steady since: it never jumps.

    It stands still while the machine sleeps, and knows of nobody who sets the machine's clock.
    """

    def __init__(self) -> None:
        self._began_ns = time.time_ns() - time.monotonic_ns()

    def now_ms(self) -> int:
        return (self._began_ns + time.monotonic_ns()) // 1_000_000

    @staticmethod
    def wall_ms() -> int:
        """What the machine's clock says now, set right or not: for notes that others compare with theirs."""
        return time.time_ns() // 1_000_000


class Exchange:
    """One stream. `tell` hears of each step, `meter` counts what it carries."""

    def __init__(
        self,
        replica: Replica,
        disk: Executor,
        stream: FrameStream,
        address: str,
        clock: Clock,
        tell: Callable[[Step], None],
        learned: Pacing,
        ping_ms: int,
        *,
        metered: bool,
        parts: Parts | None = None,
    ) -> None:
        self.meter = Meter(clock.now_ms, ping_ms)
        self._replica = replica
        self._disk = disk
        self._stream = stream
        self._address = address
        self._clock = clock
        self._tell = tell
        self._learned = learned
        self._metered = metered
        self._before: Traffic | None = None
        self._link_class = LinkClass.UNKNOWN
        self._saves = False
        self._saves_up = False
        self._offer_ms: int | None = None
        self._asked = EVERYTHING
        self._is_untold = False
        self._session: EdgeSession | None = None
        self._stirred = asyncio.Event()
        self._close: Close | None = None
        self._error: HubLogRefused | EdgeWiped | None = None
        self._is_connected = False
        self._settled = False
        self._noted_s = 0.0
        self._reading: asyncio.Future[bytes | None] | None = None
        self._parts = parts
        self._asking: asyncio.Future[bytes] | None = None
        self._seen_view = 0
        self._was_large = False
        self._unsent_first = self._unsent_last = self._pushed_upto = 0

    @property
    def learned(self) -> Pacing:
        """What is known of the link, now that this exchange was broken off."""
        return self._learned if self._session is None else self._session.broken

    async def count(self) -> None:
        """Make durable what was carried since the last time. Raises ReplicaError."""
        spent = self.meter.uncounted()
        if spent is not None:
            await self._on_disk(lambda: self._replica.spend(*spent))

    @property
    def overtaken(self) -> Cursor:
        """Up to where the hub's urgent documents are here, ahead of all else."""
        return START if self._session is None else self._session.overtaken

    @property
    def lacks(self) -> bool:
        """Whether an urgent document cannot be shown without all else."""
        return self._session is not None and self._session.lacks

    async def run(
        self,
        *,
        renew: bool,
        until_settled: bool,
        until_ms: int,
        save: bool = False,
        urgent_only: bool = False,
    ) -> Ended:
        """Exchange until either side ends it, until nothing is on its way, until `until_ms` is over or,
        where the link is to `save`, its budget is used up. With `urgent_only` nothing else goes.

        Raises HubError, ReplicaError.
        """
        standing = await self._on_disk(self._replica.standing)
        before = await self._on_disk(lambda: self._replica.traffic(self._clock.wall_ms()))
        self._before, self._saves = before, save
        if save:
            self.meter.keep_to(before.budget, before.spent)
        around = circumstances(self._replica.path, before, metered=self._metered)
        self._link_class, self._saves_up = around.link_class, not until_settled
        self._count_from(standing)
        asking = await self._on_disk(self._replica.subscribing.now)
        # What leaves the disk is sent first, under what the hub knows already.
        is_unsent = standing.last_local > standing.push_mark
        self._asked = asking.told if is_unsent else asking.wanted
        self._is_untold = asking.wanted != self._asked
        session = EdgeSession(
            standing,
            asking.held.fingerprint,
            renew=renew,
            learned=self._learned,
            circumstances=around,
            relayed=self._parts is not None,
            subscription=self._asked,
            urgent_only=urgent_only,
        )
        self._session = session
        self._seen_view = self._replica.look()
        try:
            with woken_by_writes(self._replica.path, self._stirred.set) as is_told:
                look_s = LOOK_TOLD_S if is_told else LOOK_S
                await self._carry_out(session, session.start(self._clock.now_ms()))
                while session.phase is not Phase.CLOSED:
                    if not await self._go_on(session, look_s):
                        return self._ended("the hub ended the exchange")
                    if self._is_untold and session.settled and not session.is_ahead:
                        self._settled = False
                        return await self._finished("another subscription is to be told")
                    if self._settled and until_settled:
                        return await self._finished("nothing is on its way")
                    if self.meter.is_used_up:
                        # What is on its way was paid for: without it a change of more than a day's bytes
                        # would begin anew each day.
                        return await self._finished(BUDGET_USED_UP)
                    if session.settled and self._clock.now_ms() >= until_ms:
                        return await self._finished("the certificate is due for renewal")
            # That it was wiped the hub is to hear: nobody is left to say it again.
            return await self._finished("") if isinstance(self._error, EdgeWiped) else self._ended("")
        except OutboxSalvaged as salvaged:
            return Ended(salvaged.reason, self._settled, renew=True)
        except ReplicaCorrupt as corrupt:
            if not await self._on_disk(self._replica.salvage.run):
                raise
            told = {"edge": self._replica.edge, "reason": corrupt.reason}
            log.error("damaged changes set aside: anabranch doctor", extra=told)
            return Ended(corrupt.reason, self._settled, renew=True)
        finally:
            for waiting in (self._reading, self._asking):
                if waiting is not None:
                    waiting.cancel()
            if self._parts is not None:
                self._parts.cancel()
            self._stream.cancel()

    async def _obey(self, ordered: Budget | None) -> None:
        """Keep to the operator's budget, from now on where it is another than it was."""
        before = self._before
        if ordered is None or before is None or ordered == before.ordered:
            return
        await self._on_disk(lambda: self._replica.order_budget(ordered))
        if self._saves:
            self.meter.keep_to(smaller(before.own, ordered), before.spent)

    async def _note_subscription(self, session: EdgeSession) -> None:
        """Keep what the hub has made of what was asked for, where that is anything new."""
        known = await self._on_disk(self._replica.subscribing.now)
        granted = session.granted
        if (self._asked, session.is_subscribed) == (known.told, known.known) and granted in (
            None,
            known.granted,
        ):
            return
        told = partial(self._replica.subscribing.told, self._asked, granted, known=session.is_subscribed)
        await self._on_disk(told)

    async def _finished(self, reason: str) -> Ended:
        """End in good order, so that the hub hears our last word. Without that nothing is lost."""
        with contextlib.suppress(HubError, TimeoutError):
            async with asyncio.timeout(FINISH_S_MAX):
                if self._session is not None:
                    await self._carry_out(self._session, self._session.leaving())
                await self._stream.finish()
        return self._ended(reason)

    async def _go_on(self, session: EdgeSession, look_s: float) -> bool:
        """Wait for the next thing that happens and act on it; False when the hub has ended the stream."""
        if self._was_large:  # here, where nobody holds that pull any more
            self._was_large = False
            await self._on_disk(give_back)
        reading = self._reading = self._reading or self._next_frame()
        await self._wait(look_s)
        now_ms = self._clock.now_ms()
        await self._carry_out(session, session.woken(now_ms))
        if reading.done():
            self._reading = None
            frame = reading.result()
            if frame is None:
                return False
            self.meter.received(len(frame))
            effects = session.received(frame, now_ms)
            if session.clock_offset_ms is not None and not self._is_connected:
                self._is_connected = True
                self._tell(Connected(self._address, session.clock_offset_ms, session.plan))
                await self._obey(session.ordered)
                await self._note_subscription(session)
            was_open = session.phase is Phase.OPEN
            await self._carry_out(session, effects)
            if not was_open:
                await self._mend(session)
        if self._asking is not None and self._asking.done():
            await self._brought(session, self._asking.result(), now_ms)
        if session.phase is Phase.CLOSED:  # the replica may be gone, if it was wiped
            return True
        await self._look(session)
        await self._note(session)
        return True

    async def _brought(self, session: EdgeSession, piece: bytes, now_ms: int) -> None:
        self._asking = None
        self.meter.received(len(piece))
        await self._carry_out(session, session.brought(piece, now_ms))
        if self._asking is None and self._parts is not None:
            self._parts.cancel()  # all is here, or comes from the hub: a stream is not held for that

    async def _wait(self, look_s: float) -> None:
        """Until something happens, but no longer than it is to the next look."""
        try:
            async with asyncio.timeout(look_s):
                await self._stirred.wait()
        except TimeoutError:
            return
        self._stirred.clear()

    def _next_frame(self) -> asyncio.Future[bytes | None]:
        return self._stirring(self._stream.read())

    def _stirring(self, waiting: Coroutine[Any, Any, _T]) -> asyncio.Future[_T]:
        """Begin to wait for something that wakes this exchange when it comes."""
        begun = asyncio.ensure_future(waiting)
        begun.add_done_callback(lambda _: self._stirred.set())
        return begun

    async def _look(self, session: EdgeSession) -> None:
        """Offer what was written here since the last look, by whatever process, as soon as it is due."""
        view, now_ms = self._replica.look(), self._clock.now_ms()
        if view != self._seen_view:
            self._seen_view = view
            noticed = await self._on_disk(self._replica.noticed)
            self._is_untold = noticed.wanted != self._asked
            if noticed.most_pressing is not None:
                due_ms = now_ms + self._patience_ms(noticed.most_pressing)
                self._offer_ms = due_ms if self._offer_ms is None else min(self._offer_ms, due_ms)
            if noticed.is_damaged:
                await self._mend(session)
        if self._offer_ms is not None and now_ms >= self._offer_ms:
            self._offer_ms = None
            await self._carry_out(session, session.offered(now_ms))

    def _patience_ms(self, priority: int) -> int:
        """How long what waits in the outbox may wait for company."""
        is_patient = self._saves_up and self._link_class is LinkClass.METERED
        return patience_ms(self._link_class, priority) if is_patient else 0

    async def _mend(self, session: EdgeSession) -> None:
        """Ask for what some read found damaged."""
        if session.phase is Phase.OPEN and await self._on_disk(self._replica.equality.is_damaged):
            await self._carry_out(session, session.damaged(self._clock.now_ms()))

    async def _note(self, session: EdgeSession) -> None:
        """Tell, and write down for `status`, that the hub is there and has nothing newer."""
        if not session.settled:
            return
        now_s = time.monotonic()
        if self._settled and now_s - self._noted_s < HEARTBEAT_S:
            return
        self._noted_s = now_s
        if session.is_ahead:
            await self.count()
        else:
            spent = self.meter.uncounted()
            wall_ms = self._clock.wall_ms()
            hub_now_ms = self._clock.now_ms() + (session.clock_offset_ms or 0)
            await self._on_disk(
                lambda: self._replica.heard(
                    link=Link.UP,
                    now_ms=wall_ms,
                    clock_offset_ms=hub_now_ms - wall_ms,
                    proved=session.proved,
                    spent=spent,
                )
            )
        if not self._settled:
            self._settled = True
            self._tell(Settled())

    async def _carry_out(self, session: EdgeSession, effects: Sequence[EdgeEffect]) -> None:
        queue = deque(effects)
        while queue:
            queue.extend(await self._done(session, queue.popleft()))

    async def _done(self, session: EdgeSession, effect: EdgeEffect) -> Sequence[EdgeEffect]:
        """Carry `effect` out and return what the session makes of it. Raises HubError, ReplicaError."""
        replica = self._replica
        match effect:
            case Send(frame) if session.phase is Phase.CLOSED:
                with contextlib.suppress(HubError):  # a last word, to a hub that may have hung up by itself
                    await self._stream.write(frame)
            case Send(frame):
                await self._stream.write(frame)
                self.meter.sent(len(frame))
            case Load(after):
                return session.loaded(*await self._on_disk(lambda: replica.to_push(after)))
            case Wanted(_, wanted):
                return session.found(await self._on_disk(lambda: replica.contents(wanted)))
            case StorePart(batch, total, offset, piece):
                await self._on_disk(lambda: replica.store_part(batch, total, offset, piece))
                self._tell(Pulled(offset + len(piece), total))
            case NoteStored(stored_mark):
                await self._on_disk(lambda: replica.note_stored(stored_mark))
            case Acknowledge(push_mark, chain):
                await self._on_disk(lambda: replica.acknowledge(push_mark, chain))
                self._tell_pushed(push_mark)
            case Apply(pull, reoffer, rescoped):
                now_ms = self._clock.wall_ms()
                digest = await self._on_disk(lambda: replica.apply(pull, now_ms, reoffer, rescoped))
                if rescoped is not None:
                    log.info("another scope", extra={"edge": replica.edge, "scope": rescoped.prefixes})
                if reoffer is not None:
                    told = {"edge": replica.edge, "epoch": reoffer.present, "known": reoffer.known}
                    log.warning("the hub was restored: it is offered what it may lack", extra=told)
                # A notice that comes again, as its row was reviewed, is no other conflict.
                conflicts = sum(pull.whole or each.hub_seq > pull.after.hub_seq for each in pull.notices)
                documents = pull.digest.count if pull.parts else len(pull.documents)
                self._was_large = documents >= LARGE_DOCUMENTS
                self._tell(Applied(documents, conflicts))
                return session.applied(digest)
            case Overtake(pull):
                lacks = await self._on_disk(lambda: replica.overtake(pull))
                self._tell(Applied(len(pull.documents), 0))
                return session.overtook(lacks=lacks)
            case Stage(names):
                await self._on_disk(lambda: replica.stage(names))
            case Ask(part, offset, bytes_max):
                assert self._parts is not None, "a question without a relay"
                self._asking = self._stirring(self._parts.piece(part, offset, bytes_max))
                self.meter.sent(len(part.name))
            case Discard():
                await self._on_disk(replica.discard)
            case Keep(name, sealed):
                await self._on_disk(lambda: replica.keep(name, sealed))
                self._tell(Pulled(len(sealed), len(sealed)))
            case Adopt(incarnation):
                await self._on_disk(lambda: replica.adopt(incarnation))
                standing = await self._on_disk(replica.standing)
                self._count_from(standing)
                return session.adopted(standing)
            case Reset():
                await self._on_disk(replica.reset)
            case Survey():
                return session.surveyed(await self._on_disk(replica.equality.survey))
            case Report(incident):
                log.error(
                    "documents differ from the hub's",
                    extra={
                        "edge": replica.edge,
                        "kind": str(incident.kind),
                        "remedy": str(incident.remedy),
                        "documents": incident.count,
                    },
                )
                await self._on_disk(lambda: replica.equality.report(incident, self._clock.wall_ms()))
            case Wipe(at_once):
                if not await self._on_disk(lambda: wipe(replica, at_once=at_once)):
                    return session.offered(self._clock.now_ms())
                log.warning("wiped, by order of the hub's operator", extra={"edge": replica.edge})
                self._error = EdgeWiped(str(replica.path))
                return session.wiped()
            case Witness(witnessed, hub_seq, epoch, broken):
                now_ms = self._clock.wall_ms()
                await self._on_disk(
                    lambda: replica.witness(witnessed, hub_seq, now_ms, epoch=epoch, broken=broken)
                )
                if broken:
                    told = {"edge": replica.edge, "epoch": epoch, "reason": broken}
                    log.warning("the hub was restored: its log begins anew", extra=told)
            case Distrust(reason, checkpoint):
                self._error = HubLogRefused(self._address, reason)
                await self._on_disk(lambda: replica.distrust(reason, checkpoint, self._clock.wall_ms()))
            case Close():
                self._close = effect
        return ()

    def _tell_pushed(self, push_mark: int) -> None:
        more = push_mark - self._pushed_upto
        self._pushed_upto = push_mark
        self._unsent_last = max(self._unsent_last, push_mark)
        self._tell(Pushed(push_mark - self._unsent_first, self._unsent_last - self._unsent_first, more))

    def _count_from(self, standing: Standing) -> None:
        self._unsent_first = self._pushed_upto = standing.push_mark
        self._unsent_last = standing.last_local

    async def _on_disk(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)

    def _ended(self, reason: str) -> Ended:
        close = self._close or Close(reason)
        return Ended(
            close.reason, self._settled, close.renew, close.denied, close.retry_after_ms, self._error
        )
