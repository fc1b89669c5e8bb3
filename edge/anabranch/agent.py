"""The agent: exchanges with the hub, waits, and begins again, for ever.

One agent runs on a replica; programs read and write it meanwhile and never wait for it. Whatever happens to
an exchange, the next one goes on from what is on disk. Stopping is safe at any moment: what is under way on
disk is finished or undone as a whole, and nothing else is remembered.
"""

import asyncio
import contextlib
import logging
import random
import signal
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from anabranch_sync.backoff import delay_ms, next_attempt
from anabranch_sync.budget import left_bytes
from anabranch_sync.errors import AnabranchError
from anabranch_sync.ids import START
from anabranch_sync.messages import CHUNK_BYTES_MIN
from anabranch_sync.pacing import NOTHING_LEARNED
from anabranch_sync.plan import Plan

from anabranch.circumstances import is_full
from anabranch.condition import Condition, Word, clock_condition, condition, condition_after
from anabranch.errors import (
    DiskFull,
    EdgeWiped,
    HubAway,
    HubDenied,
    HubLogRefused,
    HubUnreachable,
    ReplicaError,
    ReplicaMissing,
    ReplicaUnwritable,
    StorageFailed,
)
from anabranch.exchange import (
    BUDGET_USED_UP,
    Applied,
    Clock,
    Connected,
    Ended,
    Exchange,
    Parts,
    Pulled,
    Pushed,
    Settled,
    Step,
)
from anabranch.identity import (
    Identity,
    certificate_request,
    identity_folder,
    next_key,
    put_renewed,
    read_identity,
)
from anabranch.link import PING_METERED_MS, PING_MS, HubLink
from anabranch.patience import Patience
from anabranch.polling import AS_KEPT, Polling, Wish
from anabranch.replica import Link, LinkMode, Replica
from anabranch.supervision import Supervisor, supervised
from anabranch.wiping import finish_wipe, wipe_late_parts

if TYPE_CHECKING:
    from anabranch.relay import Relay

log = logging.getLogger(__name__)

WATCH_S = 0.5
# Someone has to act before a denied edge is let in again; asking more often only costs the hub.
DENIED_RETRY_MS = 5 * 60_000
# A certificate that could not be renewed is good for a third of its life still.
RENEWAL_RETRY_MS = 60 * 60_000
# A disk that is full or away comes back by somebody's hand, or when a card is seated again.
DISK_RETRY_MS = 5_000
# While the byte budget is used up, the hub is asked this often whether it has something urgent.
SAVING_LOOK_MS = 60 * 60_000
_NOBODY = Supervisor()


@dataclass(frozen=True, slots=True)
class Waiting:
    """The link is down; the next attempt comes after `delay_ms`."""

    reason: str
    delay_ms: int


Progress: TypeAlias = Step | Waiting


@dataclass(frozen=True, slots=True)
class AgentOutcome:
    """What an agent has done until it ended. Bytes are those of frames, without HTTP/2 and TLS.

    `plan` is how the hub last meant to bring what was missing, `plan_bytes` about how much that was.
    """

    reason: str
    settled: bool
    exchanges: int
    changes_pushed: int
    documents_pulled: int
    conflicts: int
    bytes_up: int
    bytes_down: int
    seconds: float
    plan: str = ""
    plan_bytes: int = 0


@dataclass(slots=True)
class Counts:
    """What an agent counts up. `advanced`: the present connection brought something durable forward."""

    exchanges: int = 0
    changes_pushed: int = 0
    documents_pulled: int = 0
    conflicts: int = 0
    bytes_up: int = 0
    bytes_down: int = 0
    plan: Plan | None = None
    advanced: bool = False


async def run_agent(
    replica_path: str | Path,
    *,
    once: bool = False,
    mode: Wish = AS_KEPT,
    progress: Callable[[Progress], None] | None = None,
    supervisor: Supervisor = _NOBODY,
    relay: str | None = None,
) -> AgentOutcome:
    """Keep the replica and its hub equal until SIGTERM or SIGINT; with `once` until nothing is on its way.

    `progress` hears of every step, in the event loop's thread, `supervisor` of the condition. `mode`: how it
    keeps in touch, which the replica remembers. `relay`: where to listen (HOST:PORT) for edges that are to be
    passed on. A disk that fails, is full or read-only is waited for, unless `once`. Raises ReplicaError
    (ReplicaInUse: another agent runs), IdentityUnusable, IdentityForeign, NotARelay, ListenRefused; with
    `once` also HubUnreachable, HubDenied, HubUnverified.
    """
    path = Path(replica_path)
    if finish_wipe(path):
        raise EdgeWiped(str(path))
    with _stop_at_signals() as stop:
        hear = progress or (lambda step: None)
        replica = await _opened(path, hear, supervisor, stop, once=once)
        if replica is None:
            return AgentOutcome("stopped", False, 0, 0, 0, 0, 0, 0, 0.0)
        with replica, replica.lock_agent() as tell_condition, ThreadPoolExecutor(1, "replica") as disk:
            identity = read_identity(identity_folder(path), of=f"{replica.tenant}/{replica.edge}")
            async with contextlib.AsyncExitStack() as stack:
                relaying = None
                if relay is not None:
                    # What a plain edge need not hold in memory.
                    from anabranch.part_cache import PartCache, parts_folder
                    from anabranch.relay import Relay

                    stack.enter_context(_without_late_parts(path))
                    parts = PartCache(parts_folder(path))
                    relaying = await stack.enter_async_context(Relay(identity, relay, parts))
                kept = _kept(replica, mode)
                agent = _Agent(
                    replica, identity, disk, hear, stop, supervisor, tell_condition, relaying, kept
                )
                stack.enter_context(supervised(supervisor))
                return await agent.run(once=once)


async def _opened(
    path: Path,
    progress: Callable[[Progress], None],
    supervisor: Supervisor,
    stop: asyncio.Event,
    *,
    once: bool,
) -> Replica | None:
    """The replica, as soon as its disk gives it; None when stopped before that. Raises ReplicaError."""
    while True:
        try:
            replica = Replica.open(path)
            if not replica.is_read_only():
                return replica
            replica.close()
            raise ReplicaUnwritable(
                str(path), "its disk is read-only", "mount it for writing; reading goes on"
            )
        except (DiskFull, StorageFailed, ReplicaUnwritable) as error:
            if once:
                raise
            log.error("the disk does not give the replica", extra={"reason": str(error)})
            supervisor.status(str(condition_after(error)))
            progress(Waiting(str(error), DISK_RETRY_MS))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DISK_RETRY_MS / 1000):
                await stop.wait()
                return None


@contextlib.contextmanager
def _without_late_parts(path: Path) -> Iterator[None]:
    """A relay that is wiped in the block leaves nothing of what its last children fetched through it."""
    try:
        yield
    except EdgeWiped:
        wipe_late_parts(path)
        raise


def _kept(replica: Replica, wish: Wish) -> LinkMode:
    """How the agent keeps in touch, which the replica remembers as far as its disk lets it."""
    before = replica.link_mode()
    mode = wish.over(before)
    if mode != before:
        with contextlib.suppress(ReplicaError):
            replica.set_link_mode(mode)
    return mode


class _Agent:
    """What outlives one exchange."""

    def __init__(
        self,
        replica: Replica,
        identity: Identity,
        disk: Executor,
        progress: Callable[[Progress], None],
        stop: asyncio.Event,
        supervisor: Supervisor,
        tell_condition: Callable[[str], None],
        relay: "Relay | None",
        mode: LinkMode,
    ) -> None:
        self._relay = relay
        self._supervisor = supervisor
        self._tell_condition = tell_condition
        self._condition: Condition | None = None
        self._replica = replica
        self._identity = identity
        self._disk = disk
        self._progress = progress
        self._stop = stop
        self._clock = Clock()
        self._mode = mode
        self._polling = (
            Polling(replica, disk, self._now_ms, self._hub_now_ms, stop, mode.poll_ms)
            if mode.poll_ms
            else None
        )
        self._clock_offset_ms = replica.link().clock_offset_ms or 0
        self._renewal_not_before_ms = 0
        self._counts = Counts()
        self._overtaken = START
        self._lacks = False
        self._learned = NOTHING_LEARNED
        self._patience = Patience()
        self._began_s = time.monotonic()

    async def run(self, *, once: bool) -> AgentOutcome:
        """Exchange until stopped; with `once` until settled."""
        attempt = 0
        renew = False
        if self._replica.loss is not None:
            log.error(
                "acknowledged changes are missing",
                extra={"edge": self._identity.edge, "reason": str(self._replica.loss)},
            )
        await asyncio.get_running_loop().run_in_executor(self._disk, self._replica.vacuum)
        self._judge(None, Link.DOWN)
        while not self._stop.is_set():
            self._replica.check_there()  # whatever stands there next is another replica, for another agent
            began_s = time.monotonic()
            self._counts.advanced = False
            before = replace(self._counts)
            urgent = not once and await self._is_saving()
            if self._stop.is_set():
                break
            ended = await self._attempt(renew=renew, once=once, urgent=urgent)
            self._log(ended, before)
            if self._polling is not None and ended.settled and not once:
                attempt, renew = 0, False
                ended = await self._polled(self._polling)
                if ended.error is None:
                    continue
            if isinstance(ended.error, EdgeWiped):
                raise ended.error
            link = Link.UP if urgent and ended.settled and ended.error is None else _link_after(ended)
            await self._note_down(link)
            self._judge(ended.error, link)
            if self._stop.is_set() or (once and ended.settled):
                return self._outcome(ended.reason, settled=ended.settled)
            if isinstance(ended.error, ReplicaMissing):
                raise ended.error
            if once:
                self._give_up_if_final(ended)
            elif isinstance(ended.error, HubLogRefused):
                reason = ended.error.reason
                log.error("the hub's log is refused", extra={"edge": self._identity.edge, "reason": reason})
            # A new incarnation may be asked for at once, but not again and again.
            is_first_renewal = ended.renew and not renew
            renew = ended.renew
            if self._counts.advanced or is_first_renewal:
                # A link that breaks every few kilobytes gets somewhere only if it is used again soon.
                attempt = 0
            pause_ms = 0 if is_first_renewal else _pause_ms(ended, attempt)
            if once:
                pause_ms = min(pause_ms, self._patience.left_ms)
            attempt = next_attempt(attempt, int((time.monotonic() - began_s) * 1000))
            await self._pause(ended.reason, pause_ms)
        return self._outcome("stopped", settled=False)

    def _left_bytes(self) -> int | None:
        """What the budget leaves now; None without one. Raises ReplicaError."""
        now = self._replica.traffic(self._clock.wall_ms())
        return left_bytes(now.budget, now.spent)

    async def _is_saving(self) -> bool:
        """Wait while the budget is used up; True when something has to go all the same."""
        saving = Polling(
            self._replica,
            self._disk,
            self._now_ms,
            self._hub_now_ms,
            self._stop,
            SAVING_LOOK_MS,
            self._overtaken,
        )

        def is_over() -> bool:
            return self._left_bytes() != 0 or self._renewal_due_ms() <= self._now_ms()

        try:
            if self._left_bytes() != 0:
                return False
            log.info(BUDGET_USED_UP, extra={"edge": self._identity.edge})
            reason = await saving.until_urgent(self._connect, is_over)
            log.info("exchange due", extra={"edge": self._identity.edge, "reason": reason})
            return self._left_bytes() == 0
        except ReplicaError:
            return False  # the exchange meets it again, and knows what to say

    async def _polled(self, polling: Polling) -> Ended:
        """The time until another exchange is due, however it ends."""
        try:
            reason = await polling.until_news(self._connect, self._renewal_due_ms())
        except ReplicaError as error:
            return Ended(str(error), settled=False, error=error)
        log.debug("exchange due", extra={"edge": self._identity.edge, "reason": reason})
        return Ended(reason, settled=True)

    async def _attempt(self, *, renew: bool, once: bool, urgent: bool) -> Ended:
        """One connection from its beginning to its end, however it ends.

        Where the link saves and something urgent cannot go alone, another one follows.
        """
        try:
            if urgent and (ended := await self._urgent_alone(renew=renew)) is not None:
                return ended
            return await self._watched(self._exchange(renew=renew, once=once, urgent=urgent), once=once)
        except HubDenied as error:
            return Ended(error.reason, settled=False, denied=True, error=error)
        except HubUnreachable as error:
            seen = clock_condition(self._identity, self._hub_now_ms() / 1000)
            if seen is not None and seen.word is Word.CLOCK:
                unset = HubUnreachable(error.address, seen.sentence)
                return Ended(unset.reason, settled=False, error=unset)
            if seen is not None:
                reason = "the certificate has ended: get a token, then `anabranch init --keep-replica`"
                return Ended(reason, settled=False, denied=True, error=HubDenied(error.address, reason))
            return Ended(error.reason, settled=False, error=error)
        except AnabranchError as error:
            return Ended(str(error), settled=False, error=error)
        except Exception as error:
            if once:
                raise
            # The top of the task: an agent outlives its defects, and tells of them.
            log.exception("exchange failed", extra={"edge": self._identity.edge})
            return Ended(f"unexpected {type(error).__name__}", settled=False)

    async def _urgent_alone(self, *, renew: bool) -> Ended | None:
        """Exchange what is urgent and nothing else; None: some of it is not here without all else."""
        self._lacks = False
        ended = await self._watched(
            self._exchange(renew=renew, once=False, urgent=True, urgent_only=True), once=False
        )
        return None if self._lacks and not self._stop.is_set() else ended

    def _parts_of(self, link: HubLink) -> Parts | None:
        """Whoever may have parts of snapshots nearer than the hub."""
        if self._relay is not None:
            return self._relay.through_cache(link.parts())
        return link.parts() if self._identity.via else None

    def _connect(self) -> HubLink:
        return HubLink(self._identity, metered=self._mode.metered)

    async def _exchange(self, *, renew: bool, once: bool, urgent: bool, urgent_only: bool = False) -> Ended:
        """Connect and exchange. Raises HubError, ReplicaError."""
        self._set_clock()
        if self._renewal_due_ms() <= self._now_ms():
            await self._renew_certificate()
        async with self._connect() as link:
            exchange = Exchange(
                self._replica,
                self._disk,
                link.exchange(),
                self._identity.called,
                self._clock,
                self._tell,
                self._learned,
                PING_METERED_MS if self._mode.metered else PING_MS,
                metered=self._mode.metered,
                parts=self._parts_of(link),
            )
            away = False
            try:
                return await exchange.run(
                    renew=renew,
                    until_settled=once or urgent or self._polling is not None,
                    until_ms=max(self._renewal_due_ms(), self._now_ms() + 1),
                    save=not (once or urgent),
                    urgent_only=urgent_only,
                )
            except HubAway:
                away = True
                raise
            finally:
                self._learned, self._lacks = exchange.learned, exchange.lacks
                if not exchange.lacks:  # or what came and could not be shown would never be asked for
                    self._overtaken = max(self._overtaken, exchange.overtaken)
                with contextlib.suppress(ReplicaError):  # what a failing disk does not count, it does not
                    await exchange.count()
                self._counts.bytes_up += exchange.meter.bytes_up
                self._counts.bytes_down += exchange.meter.bytes_down
                if exchange.meter.bytes_up >= CHUNK_BYTES_MIN and not away:
                    # The hub may have stored a chunk and the link broken before we heard of it.
                    self._note_advance()

    async def _watched(self, exchange: Coroutine[Any, Any, Ended], *, once: bool) -> Ended:
        """The exchange, until it ends, this agent is stopped, or patience does with `once`."""
        running = asyncio.ensure_future(exchange)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            while not running.done():
                await asyncio.wait(
                    {running, stopping},
                    timeout=WATCH_S if once else None,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                if stopping.done():
                    return Ended("stopped", settled=False)
                if once and not self._patience.left_ms:
                    raise HubUnreachable(self._identity.called, self._patience.reason)
            return running.result()
        finally:
            stopping.cancel()
            running.cancel()
            await asyncio.gather(running, stopping, return_exceptions=True)

    def _give_up_if_final(self, ended: Ended) -> None:
        """Raise what a person has to hear now instead of another attempt."""
        if ended.denied:
            raise ended.error or HubDenied(self._identity.called, ended.reason)
        if ended.error is not None and not isinstance(ended.error, HubUnreachable):
            raise ended.error
        if self._patience.refused():
            raise ended.error or HubUnreachable(self._identity.called, ended.reason)

    # The certificate.

    def _set_clock(self) -> None:
        """Go by what the machine's clock says now: it was set meanwhile, or ours stood still in its sleep."""
        before, self._clock = self._clock, Clock()
        self._renewal_not_before_ms += self._clock.now_ms() - before.now_ms()

    def _now_ms(self) -> int:
        return self._clock.now_ms()

    def _hub_now_ms(self) -> int:
        return self._now_ms() + self._clock_offset_ms

    def _renewal_due_ms(self) -> int:
        """When to ask for the next certificate, by our clock."""
        return max(self._identity.renew_at_ms - self._clock_offset_ms, self._renewal_not_before_ms)

    async def _renew_certificate(self) -> None:
        """Ask for the next certificate; where that fails the present one serves on."""
        folder = identity_folder(self._replica.path)
        try:
            async with HubLink(self._identity) as link:
                renewed = await link.renew(certificate_request(next_key(folder)))
                self._identity = put_renewed(
                    folder, self._identity, renewed.chain_pem, renewed.root_pem, renewed.renew_at_ms
                )
            log.info("certificate renewed", extra={"edge": self._identity.edge})
            if self._relay is not None:
                await self._relay.renewed(self._identity)
        except (HubUnreachable, OSError) as error:
            self._renewal_not_before_ms = self._now_ms() + RENEWAL_RETRY_MS
            log.warning("certificate not renewed", extra={"edge": self._identity.edge, "reason": str(error)})

    # What is told.

    def _tell(self, step: Step) -> None:
        match step:
            case Connected():
                self._clock_offset_ms = step.clock_offset_ms
                self._counts.exchanges += 1
                if step.plan is not None and step.plan.size_bytes:
                    self._counts.plan = step.plan
                self._patience.connected()
            case Settled():
                self._judge(None, Link.UP)
            case Pushed():
                self._counts.changes_pushed += step.more
                self._note_advance()
            case Applied():
                self._counts.documents_pulled += step.documents
                self._counts.conflicts += step.conflicts
                self._note_advance()
            case Pulled():
                self._note_advance()
        self._progress(step)

    def _note_advance(self) -> None:
        self._counts.advanced = True
        self._patience.advanced()

    async def _pause(self, reason: str, pause_ms: int) -> None:
        self._progress(Waiting(reason, pause_ms))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_ms / 1000):
                await self._stop.wait()

    async def _note_down(self, link: Link) -> None:
        """Write down for `status` that the link is down, or the hub says no."""
        if link is Link.UP:  # that was written down when the hub said so
            return
        note = partial(self._replica.heard, link=link, now_ms=self._clock.wall_ms())
        with contextlib.suppress(ReplicaError):  # a full disk: `status` finds the age by itself
            if self._replica.link().link is link:
                return
            await asyncio.get_running_loop().run_in_executor(self._disk, note)

    def _judge(self, error: AnabranchError | None, link: Link) -> None:
        """Tell the condition to whoever may ask, where it has changed."""
        told = None if error is None else condition_after(error)
        now = told or condition(
            loss=self._replica.loss,
            is_read_only=self._replica.is_read_only(),
            has_reserve=self._replica.has_reserve(),
            is_full=is_full(self._replica.path),
            clock=clock_condition(self._identity, time.time()),
            link=link,
        )
        if now != self._condition:
            self._condition = now
            log.info("condition", extra={"word": str(now.word), "reason": now.sentence})
            self._tell_condition(str(now))
            self._supervisor.status(str(now))

    def _log(self, ended: Ended, before: Counts) -> None:
        if self._counts.exchanges == before.exchanges:
            return  # nobody was reached, and why is told with the wait for the next attempt
        log.info(
            "exchange finished",
            extra={
                "edge": self._identity.edge,
                "reason": ended.reason,
                "changes": self._counts.changes_pushed - before.changes_pushed,
                "documents": self._counts.documents_pulled - before.documents_pulled,
                "bytes_up": self._counts.bytes_up - before.bytes_up,
                "bytes_down": self._counts.bytes_down - before.bytes_down,
            },
        )

    def _outcome(self, reason: str, *, settled: bool) -> AgentOutcome:
        counts = self._counts
        return AgentOutcome(
            reason,
            settled,
            counts.exchanges,
            counts.changes_pushed,
            counts.documents_pulled,
            counts.conflicts,
            counts.bytes_up,
            counts.bytes_down,
            time.monotonic() - self._began_s,
            counts.plan.means if counts.plan else "",
            counts.plan.size_bytes if counts.plan else 0,
        )


def _link_after(ended: Ended) -> Link:
    """What `status` tells of the link once an exchange has ended so."""
    if isinstance(ended.error, HubLogRefused):
        return Link.DISTRUSTED
    if ended.reason == BUDGET_USED_UP:
        return Link.UP
    return Link.DENIED if ended.denied else Link.DOWN


def _pause_ms(ended: Ended, attempt: int) -> int:
    """How long to wait before the next attempt. What the hub asks for is spread by as much again."""
    if ended.retry_after_ms:
        return int(ended.retry_after_ms * (1 + random.random()))
    if ended.denied:
        return int(DENIED_RETRY_MS * (1 + random.random()))
    return delay_ms(attempt, random.random())


@contextlib.contextmanager
def _stop_at_signals() -> Iterator[asyncio.Event]:
    """An event that SIGTERM and SIGINT set; in a thread that is not the main one nothing sets it."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    caught = []
    for number in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(RuntimeError, ValueError):
            loop.add_signal_handler(number, stop.set)
            caught.append(number)
    try:
        yield stop
    finally:
        for number in caught:
            loop.remove_signal_handler(number)
