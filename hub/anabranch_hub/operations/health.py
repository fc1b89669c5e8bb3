"""The health port: two questions of an orchestrator, answered over plain HTTP.

::

    GET /health/live     200 while the process runs its loop: restart it otherwise
    GET /health/ready    200 when edges can be served, 503 with the reasons when not: send none meanwhile

Both answer JSON. FastAPI and uvicorn would answer as well, at 34 MB of memory and a second event loop's
worth of options; two fixed documents need neither routing nor a parser, so this reads a request line,
drops the rest, answers and closes. Everything read is bounded in bytes and in time, everything run in
number. Nothing here needs a login, and so nothing here tells more than which part is well.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from anabranch_hub.errors import HubError
from anabranch_hub.operations.listening import listen_error
from anabranch_hub.settings import Address

log = logging.getLogger(__name__)

# Request line and headers of a probe are some 200 bytes; 8 KiB is what web servers allow.
HEAD_BYTES_MAX = 8_192
# A probe sends its request at once; an orchestrator gives up after a few seconds itself.
REQUEST_S_MAX = 5.0
# One probe at a time per orchestrator and load balancer; 64 leaves room for people with curl.
CONNECTIONS_MAX = 64
# A part that needs longer is not ready, whatever it answers then.
CHECK_S_MAX = 2.0
# Many probes at once are answered from one look.
READY_FRESH_S = 0.5


@dataclass(frozen=True, slots=True)
class Part:
    """How a part is: `reason` tells what is wrong with it, None that it is well.

    `warning` tells what an operator has to look at, while edges are served.
    """

    reason: str | None = None
    restarts: int = 0
    warning: str | None = None


Check = Callable[[], Awaitable[Part]]


@dataclass(frozen=True, slots=True)
class Readiness:
    """Each part by name."""

    parts: Mapping[str, Part]

    @property
    def ready(self) -> bool:
        """Whether edges can be served."""
        return all(part.reason is None for part in self.parts.values())

    def body(self) -> dict[str, object]:
        """What /health/ready answers."""
        return {
            "status": "ready" if self.ready else "not ready",
            "parts": {
                name: {
                    "state": "ready" if part.reason is None else "not ready",
                    "reason": part.reason,
                    "restarts": part.restarts,
                    "warning": part.warning,
                }
                for name, part in self.parts.items()
            },
        }


class Health:
    """The health port of one hub. `checks` may be replaced while it runs."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self.checks = checks
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()
        self._looking: asyncio.Task[Readiness] | None = None
        self._looked_s = float("-inf")

    async def start(self, address: Address) -> Address:
        """Listen; return the address with the port taken. Raises PortInUse, ListenRefused."""
        try:
            self._server = await asyncio.start_server(
                self._answer, address.host, address.port, limit=HEAD_BYTES_MAX
            )
        except OSError as error:
            raise listen_error(address, error) from error
        port: int = self._server.sockets[0].getsockname()[1]
        return Address(address.host, port)

    async def stop(self) -> None:
        """Stop listening and end what is being answered."""
        tasks = [*self._connections, *([self._looking] if self._looking is not None else [])]
        if self._server is not None:
            self._server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.wait_closed()

    async def readiness(self) -> Readiness:
        """How the parts are; callers at about the same time share one look."""
        now_s = asyncio.get_running_loop().time()
        if self._looking is None or (self._looking.done() and now_s - self._looked_s >= READY_FRESH_S):
            self._looked_s = now_s
            self._looking = asyncio.create_task(self._look(), name="health")
        return await asyncio.shield(self._looking)

    async def _look(self) -> Readiness:
        checks = self.checks
        parts = await asyncio.gather(*(_part(check) for check in checks.values()))
        return Readiness(dict(zip(checks, parts, strict=True)))

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None, "asyncio runs this in a task"
        self._connections.add(task)
        try:
            if len(self._connections) <= CONNECTIONS_MAX:
                async with asyncio.timeout(REQUEST_S_MAX):
                    writer.write(await self._reply(await reader.readuntil(b"\r\n\r\n")))
                    await writer.drain()
        except (TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            pass  # not a request, or nobody left to answer
        finally:
            self._connections.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _reply(self, head: bytes) -> bytes:
        method, _, rest = head.partition(b"\r\n")[0].partition(b" ")
        target = rest.partition(b" ")[0].partition(b"?")[0]
        body: dict[str, object]
        if method not in (b"GET", b"HEAD"):
            status, body = "405 Method Not Allowed", {"status": "only GET and HEAD"}
        elif target == b"/health/live":
            status, body = "200 OK", {"status": "live"}
        elif target == b"/health/ready":
            readiness = await self.readiness()
            status, body = "200 OK" if readiness.ready else "503 Service Unavailable", readiness.body()
        else:
            status, body = "404 Not Found", {"status": "only /health/live and /health/ready"}
        content = json.dumps(body).encode() + b"\n"
        lines = (
            f"HTTP/1.1 {status}",
            "Content-Type: application/json",
            f"Content-Length: {len(content)}",
            "Cache-Control: no-store",
            "Connection: close",
            "\r\n",
        )
        return "\r\n".join(lines).encode("ascii") + (b"" if method == b"HEAD" else content)


async def _part(check: Check) -> Part:
    try:
        async with asyncio.timeout(CHECK_S_MAX):
            return await check()
    except TimeoutError:
        return Part(f"no answer within {CHECK_S_MAX:.0f} s")
    except HubError as error:
        return Part(str(error))
    except Exception as error:
        log.exception("health check failed")
        return Part(f"unexpected {type(error).__name__}")
