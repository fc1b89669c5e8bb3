"""What waits at the same time for the same thing is served together, a group at a time.

Pushes and writes of one tenant wait for its lock, which lets one transaction decide at a time, in all hub
processes together: the next transaction takes all that wait in this process, one lock and one fsync for many
edges. Pulls that stand alike wait for one another's reading.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from anabranch_sync.errors import AnabranchError

from anabranch_hub.errors import HubError

log = logging.getLogger(__name__)

Lane = TypeVar("Lane", bound=Hashable)
Request = TypeVar("Request")
Response = TypeVar("Response")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[Request, Response]):
    request: Request
    response: asyncio.Future[Response]


class Lanes(Generic[Lane, Request, Response]):
    """The requests that wait, a queue for each lane.

    `serve` answers a group of one lane; each request has its own answer or its own error. `size` says how
    much a request takes of the `size_max` that a group may be.
    """

    def __init__(
        self,
        serve: Callable[[Lane, Sequence[Request]], Awaitable[Sequence[Response | AnabranchError]]],
        *,
        size: Callable[[Request], int],
        size_max: int,
    ) -> None:
        self._serve = serve
        self._size = size
        self._size_max = size_max
        self._waiting: dict[Lane, deque[_Waiting[Request, Response]]] = {}
        self._running: dict[Lane, asyncio.Task[None]] = {}

    async def submit(self, lane: Lane, request: Request) -> Response:
        """The answer to `request`. Raises what serving says of it.

        A caller that stops waiting leaves the request to its fate: it may be served.
        """
        response: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(lane, deque()).append(_Waiting(request, response))
        if lane not in self._running:
            self._running[lane] = asyncio.create_task(self._drive(lane), name=f"serve {lane}")
        return await response

    async def close(self) -> None:
        """Let what waits be served."""
        while self._running:
            await asyncio.gather(*self._running.values())

    async def _drive(self, lane: Lane) -> None:
        waiting = self._waiting[lane]
        try:
            while waiting:
                await self._answer(lane, self._group(waiting))
        finally:
            for each in waiting:  # only when cancelled
                each.response.cancel()
            del self._waiting[lane], self._running[lane]

    def _group(self, waiting: deque[_Waiting[Request, Response]]) -> list[_Waiting[Request, Response]]:
        """Take the head of a queue that may be served together; at least one request."""
        group = [waiting.popleft()]
        size = self._size(group[0].request)
        while waiting and (size := size + self._size(waiting[0].request)) <= self._size_max:
            group.append(waiting.popleft())
        return group

    async def _answer(self, lane: Lane, group: Sequence[_Waiting[Request, Response]]) -> None:
        responses: Sequence[Response | Exception]
        try:
            responses = await self._serve(lane, [each.request for each in group])
        except asyncio.CancelledError:
            for each in group:
                each.response.cancel()
            raise
        except Exception as error:  # noqa: BLE001  # the top of a task; each caller gets the error
            if len(group) > 1 and not isinstance(error, HubError):
                # One of them breaks what is done together: alone, it fails alone.
                log.warning("group failed, serving singly", extra={"lane": str(lane), "requests": len(group)})
                for each in group:
                    await self._answer(lane, [each])
                return
            responses = [error] * len(group)
        for each, response in zip(group, responses, strict=True):
            _settle(each, response)


def _settle(waiting: _Waiting[Request, Response], response: Response | Exception) -> None:
    if waiting.response.done():
        return
    if isinstance(response, Exception):
        waiting.response.set_exception(response)
    else:
        waiting.response.set_result(response)
