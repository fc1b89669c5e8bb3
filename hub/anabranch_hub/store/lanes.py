"""Group commit: the pushes and writes of one tenant that wait at the same time share a transaction.

The tenant's lock lets one transaction decide at a time, in all hub processes together. Whoever waits
for it in this process waits in a lane instead, and the next transaction takes all of them: one lock
and one fsync for many edges.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from anabranch_sync.errors import AnabranchError

from anabranch_hub.errors import HubError
from anabranch_hub.store.deciding import Request, Response
from anabranch_hub.store.records import HubWrite, Push

log = logging.getLogger(__name__)

# One transaction holds the tenant's lock for about a second at most: what waits behind it waits that long.
FOLD_CHANGES_MAX = 5_000

Decide: TypeAlias = Callable[
    [str, Sequence[Request], int], Awaitable[Sequence[Response | HubError | AnabranchError]]
]


@dataclass(frozen=True, slots=True)
class _Waiting:
    request: Request
    response: asyncio.Future[Response]


class Lanes:
    """The requests that wait, a queue for each tenant."""

    def __init__(self, decide: Decide) -> None:
        self._decide = decide
        self._waiting: dict[str, deque[_Waiting]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    async def submit(self, tenant: str, request: Request) -> Response:
        """The answer to `request` once it is committed. Raises what the decision says of it.

        A caller that stops waiting leaves the request to its fate: it may be decided.
        """
        response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(tenant, deque()).append(_Waiting(request, response))
        if tenant not in self._running:
            self._running[tenant] = asyncio.create_task(self._serve(tenant), name=f"decide {tenant}")
        return await response

    async def close(self) -> None:
        """Let what waits be decided."""
        while self._running:
            await asyncio.gather(*self._running.values())

    async def _serve(self, tenant: str) -> None:
        lane = self._waiting[tenant]
        try:
            while lane:
                await self._answer(tenant, _folded(lane))
        finally:
            for each in lane:  # only when cancelled
                each.response.cancel()
            del self._waiting[tenant], self._running[tenant]

    async def _answer(self, tenant: str, group: Sequence[_Waiting]) -> None:
        responses: Sequence[Response | Exception]
        try:
            requests = [each.request for each in group]
            responses = await self._decide(tenant, requests, time.time_ns() // 1_000_000)
        except asyncio.CancelledError:
            for each in group:
                each.response.cancel()
            raise
        except Exception as error:  # noqa: BLE001  # the top of a task; each caller gets the error
            if len(group) > 1 and not isinstance(error, HubError):
                # One of them breaks the decision itself: alone, it fails alone.
                log.warning("batch failed, deciding singly", extra={"tenant": tenant, "requests": len(group)})
                for each in group:
                    await self._answer(tenant, [each])
                return
            responses = [error] * len(group)
        for each, response in zip(group, responses, strict=True):
            _settle(each, response)


def _folded(lane: deque[_Waiting]) -> list[_Waiting]:
    """Take the head of the lane that one transaction may hold; at least one request."""
    group = [lane.popleft()]
    changes = _changes(group[0].request)
    while lane and (changes := changes + _changes(lane[0].request)) <= FOLD_CHANGES_MAX:
        group.append(lane.popleft())
    return group


def _changes(request: Request) -> int:
    match request:
        case Push():
            return len(request.entries)
        case HubWrite():
            return 1


def _settle(waiting: _Waiting, response: Response | Exception) -> None:
    if waiting.response.done():
        return
    if isinstance(response, Exception):
        waiting.response.set_exception(response)
    else:
        waiting.response.set_result(response)
