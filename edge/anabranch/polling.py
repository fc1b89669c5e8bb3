"""Looking in now and then instead of holding an exchange: `anabranch agent --poll 1h`.

Between two exchanges the agent asks at intervals whether anything is new (`check_in`), and begins an exchange
only when something is, or when something was written here since the last look. An urgent change goes at
once; all else waits for the next look, an interval and a tenth at most.

The connection stays open between two looks, and carries nothing meanwhile: a look is some 300 bytes then, and
6 KB of certificates where the network has forgotten the connection and another is made.
"""

import asyncio
import random
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from anabranch_sync.budget import Budget, resumes_ms
from anabranch_sync.check_in import asked, read_answer
from anabranch_sync.edge_session import Proved
from anabranch_sync.errors import WireError
from anabranch_sync.ids import START, Cursor
from anabranch_sync.messages import CheckedIn
from anabranch_sync.priority import URGENT

from anabranch.errors import HubError
from anabranch.exchange import Clock
from anabranch.link import HubLink
from anabranch.replica import Link, LinkMode, Replica

# How often to look whether something urgent was written: it costs some microseconds.
LOOK_S = 0.5
# Edges that were started together must not knock together for ever: each interval is up to so much longer
# or shorter than it was asked to be.
JITTER = 0.1
# A look over a connection that stands, and its answer.
LOOK_BYTES_UP, LOOK_BYTES_DOWN = 150, 150

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Wish:
    """How an agent is to keep in touch from now on; None: as the replica says."""

    poll_ms: int | None = None
    metered: bool | None = None

    def over(self, kept: LinkMode) -> LinkMode:
        """The mode, where `kept` is the one before."""
        poll_ms = kept.poll_ms if self.poll_ms is None else self.poll_ms
        return LinkMode(poll_ms, kept.metered if self.metered is None else self.metered)


AS_KEPT = Wish()


class Polling:
    """The time between two exchanges. `now_ms` is steady, `hub_now_ms` the hub's clock as far as it is known.

    `overtaken` is up to where the hub's urgent documents are here, ahead of all else.
    """

    def __init__(
        self,
        replica: Replica,
        disk: Executor,
        now_ms: Callable[[], int],
        hub_now_ms: Callable[[], int],
        stop: asyncio.Event,
        every_ms: int,
        overtaken: Cursor = START,
    ) -> None:
        self._replica = replica
        self._disk = disk
        self._now_ms = now_ms
        self._hub_now_ms = hub_now_ms
        self._stop = stop
        self._every_ms = every_ms
        self._overtaken = overtaken

    async def until_urgent(self, connect: Callable[[], HubLink], is_over: Callable[[], bool]) -> str:
        """Wait until something urgent is here or at the hub, or until `is_over`, and say which."""
        async with connect() as link:
            while not self._stop.is_set():
                if await self._urgent_within(self._every_ms, is_over):
                    return "something urgent was written"
                with suppress(HubError, WireError):  # it is asked again in an hour
                    if not is_over() and (await self._asked(link)).urgent:
                        return "the hub has something urgent"
                if is_over():
                    return "the byte budget allows it again"
        return "stopped"

    async def until_news(self, connect: Callable[[], HubLink], until_ms: int) -> str:
        """Wait until an exchange is due, and say why. `until_ms` is when the certificate needs one."""
        async with connect() as link:
            while True:
                interval_ms = int(self._every_ms * random.uniform(1 - JITTER, 1 + JITTER))
                if await self._urgent_within(interval_ms):
                    return "something urgent was written"
                if self._stop.is_set():
                    return "stopped"
                if self._now_ms() >= until_ms:
                    return "the certificate is due for renewal"
                if reason := await self._news(link):
                    return reason

    async def _urgent_within(self, wait_ms: int, is_over: Callable[[], bool] = lambda: False) -> bool:
        """Wait so long, until stopped, or until `is_over`, as when somebody raised the budget.

        True as soon as something urgent waits in the outbox.
        """
        end_ms, seen = self._now_ms() + wait_ms, -1
        while not self._stop.is_set() and self._now_ms() < end_ms:
            view = self._replica.look()
            if view != seen:
                if await self._on_disk(self._replica.most_pressing_unsent) == URGENT:
                    return True
                if is_over():
                    return False
            seen = view
            with suppress(TimeoutError):
                async with asyncio.timeout(min(LOOK_S, (end_ms - self._now_ms()) / 1000)):
                    await self._stop.wait()
        return False

    async def _news(self, link: HubLink) -> str:
        """Why an exchange is due now; empty: the hub has shown that both are equal."""
        standing = await self._on_disk(self._replica.standing)
        if standing.last_local > standing.push_mark:
            return "something was written"
        if (await self._on_disk(self._replica.subscribing.now)).is_untold:
            return "another subscription is to be told"
        try:
            answer = await self._asked(link)
        except (HubError, WireError) as error:
            return str(error)  # the exchange that follows meets it again, and knows how to wait
        if not answer.equal:
            return "the hub has news"
        wall_ms, hub_now_ms = Clock.wall_ms(), self._hub_now_ms()
        await self._on_disk(
            lambda: self._replica.heard(
                link=Link.UP,
                now_ms=wall_ms,
                clock_offset_ms=hub_now_ms - wall_ms,
                proved=Proved(standing.cursor, hub_now_ms),
            )
        )
        return ""

    async def _asked(self, link: HubLink) -> CheckedIn:
        """What the hub says to where this replica stands. Raises HubError, WireError."""
        standing = await self._on_disk(self._replica.standing)
        await self._on_disk(lambda: self._replica.spend(LOOK_BYTES_UP, LOOK_BYTES_DOWN, Clock.wall_ms()))
        now = await self._on_disk(lambda: self._replica.traffic(Clock.wall_ms()))
        until_ms = resumes_ms(now.budget, now.spent, now.today)
        # Where only what is urgent has come, it is what lies behind that which would be news.
        standing = replace(standing, cursor=max(standing.cursor, self._overtaken))
        answer = read_answer(await link.check_in(asked(standing, self._replica.scope, until_ms)))
        ordered = Budget(answer.budget_day_bytes, answer.budget_month_bytes)
        if ordered != now.ordered:
            await self._on_disk(lambda: self._replica.order_budget(ordered))
        return answer

    async def _on_disk(self, work: Callable[[], _T]) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._disk, work)
