"""A TCP link that misbehaves on purpose and counts what it carried.

`FlakyLink` listens on loopback and forwards to a target. It breaks connections after a number of bytes
(exactly so many, or drawn around a mean from a seed), holds the traffic back or refuses it as a partition
does, and adds delay and a rate. It stands between real processes, for any user, without root.

    client  ── up ──>  FlakyLink  ── up ──>  target
            <─ down ─             <─ down ─

A cut is a reset (RST) on both sides, as from a middlebox that forgot the connection: neither gets a
farewell. Counted is the TCP payload handed on, TLS included if the endpoints speak it.
"""

import asyncio
import contextlib
import random
import socket
import struct
import sys
from dataclasses import dataclass, replace
from enum import Enum
from types import TracebackType
from typing import Self, TypeAlias

CHUNK_BYTES_MAX = 16_384
# With a rate, a chunk takes at most this long, so that a slow link trickles instead of stuttering.
CHUNK_S_MAX = 0.05
# So much may be under way in one direction: 4 MiB keeps 320 Mbit/s busy over a delay of 100 ms.
CHUNKS_UNDER_WAY_MAX = 256
UNLIMITED_BYTES = sys.maxsize

# Chunks with the moment each is due at the other end (the loop's clock).
_UnderWay: TypeAlias = "asyncio.Queue[tuple[float, bytes]]"

# SO_LINGER on, zero seconds: close() sends RST and forgets what was not sent.
_LINGER_ZERO = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class CutEvery:
    """Break each connection after exactly `payload_bytes`, both directions together."""

    payload_bytes: int


@dataclass(frozen=True, slots=True)
class CutAround:
    """Break each connection after an exponentially drawn number of bytes, both directions together."""

    mean_bytes: int
    seed: int


Cuts: TypeAlias = CutEvery | CutAround


@dataclass(frozen=True, slots=True)
class Carried:
    """What a link has carried: `bytes_up` from clients to the target, `bytes_down` back."""

    bytes_up: int = 0
    bytes_down: int = 0
    connections: int = 0
    cuts: int = 0


class Passage(Enum):
    """What a link lets through: all; nothing, and nobody is told; nothing, and everybody is told at once."""

    OPEN = "open"
    SILENT = "silent"
    REFUSED = "refused"


class FlakyLink:
    """A loopback TCP proxy before `target_host:target_port`; use it with `async with`.

    `host` and `port` hold from construction to `aclose`, also while the link refuses connections.
    """

    host = "127.0.0.1"

    def __init__(
        self,
        target_host: str,
        target_port: int,
        *,
        cuts: Cuts | None = None,
        delay_s: float = 0.0,
        bytes_per_s: int | None = None,
    ) -> None:
        self._target = (target_host, target_port)
        self._delay_s = delay_s
        self._bytes_per_s = bytes_per_s
        self._carried = Carried()
        self._passage = Passage.OPEN
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._connections: dict[_Connection, asyncio.Task[None]] = {}
        self._server: asyncio.Server | None = None
        # Bound but never listening: it keeps the port ours while the listener is away and the kernel refuses.
        self._holder = _bound_socket(self.host, 0)
        self.port: int = self._holder.getsockname()[1]
        self.set_cuts(cuts)

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    @property
    def carried(self) -> Carried:
        """What was carried up to now; a new value each time, so that two can be compared."""
        return self._carried

    def set_cuts(self, cuts: Cuts | None) -> None:
        """Break the connections made from now on by `cuts`, none if None; live ones keep their limit."""
        self._cuts = cuts
        self._draws = random.Random(cuts.seed if isinstance(cuts, CutAround) else 0)

    async def open(self) -> None:
        """Let everything through; what a silence held back now arrives late. Safe to repeat."""
        if self._server is None:
            listener = _bound_socket(self.host, self.port)
            self._server = await asyncio.start_server(self._accept, sock=listener, limit=CHUNK_BYTES_MAX)
        self._passage = Passage.OPEN
        self._flowing.set()

    def silence(self) -> None:
        """Hold all bytes back from now on; connections stay and nobody is told. Safe to repeat."""
        self._passage = Passage.SILENT
        self._flowing.clear()

    def refuse(self) -> None:
        """Cut every connection and refuse new ones. Safe to repeat."""
        self._passage = Passage.REFUSED
        self._stop_listening()
        self.cut()

    def cut(self) -> int:
        """Reset every live connection; return how many there were."""
        return sum([self._cut(connection) for connection in list(self._connections)])

    async def aclose(self) -> None:
        """End the link and its connections; `carried` stays readable. Safe to repeat."""
        self._stop_listening()
        self._holder.close()
        tasks = list(self._connections.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for connection in self._connections:  # those that had not begun
            connection.reset()
        self._connections.clear()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # In a task of our own: of asyncio's a server tells by a traceback that it was cancelled (until 3.12).
        connection = _Connection(writer, bytes_left=self._drawn_limit())
        self._connections[connection] = asyncio.create_task(self._serve(connection, reader, writer))
        self._carried = replace(self._carried, connections=self._carried.connections + 1)

    async def _serve(
        self, connection: "_Connection", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            if self._passage is Passage.REFUSED:  # accepted just before, begun just after
                return
            await self._flowing.wait()
            target_reader, target_writer = await asyncio.open_connection(*self._target, limit=CHUNK_BYTES_MAX)
            connection.join(target_writer)
            async with asyncio.TaskGroup() as directions:
                directions.create_task(self._carry(connection, reader, target_writer, up=True))
                directions.create_task(self._carry(connection, target_reader, writer, up=False))
            await connection.close()
        except* OSError:
            pass  # A side went away or the target does not listen: the other side learns it by the reset.
        finally:
            connection.reset()
            del self._connections[connection]

    async def _carry(
        self, connection: "_Connection", source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, up: bool
    ) -> None:
        """Hand on one direction until its end, or until the connection's limit cuts both."""
        under_way: _UnderWay = asyncio.Queue(CHUNKS_UNDER_WAY_MAX)
        async with asyncio.TaskGroup() as ends:
            ends.create_task(self._depart(source, under_way))
            ends.create_task(self._arrive(connection, under_way, sink, up=up))

    async def _depart(
        self, source: asyncio.StreamReader, under_way: asyncio.Queue[tuple[float, bytes]]
    ) -> None:
        chunk_bytes = CHUNK_BYTES_MAX
        if self._bytes_per_s is not None:
            chunk_bytes = max(1, min(chunk_bytes, int(self._bytes_per_s * CHUNK_S_MAX)))
        clock = asyncio.get_running_loop().time
        chunk = b"the first"
        while chunk:  # The empty chunk travels too: it is the end of the stream.
            chunk = await source.read(chunk_bytes)
            await under_way.put((clock() + self._delay_s, chunk))

    async def _arrive(
        self,
        connection: "_Connection",
        under_way: _UnderWay,
        sink: asyncio.StreamWriter,
        *,
        up: bool,
    ) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            due_s, chunk = await under_way.get()
            if due_s > clock():
                await asyncio.sleep(due_s - clock())
            await self._flowing.wait()
            if not chunk:
                sink.write_eof()
                return
            chunk = connection.allowance(chunk)
            sink.write(chunk)
            await sink.drain()  # returns once the kernel has all of it: what is counted was sent
            self._count(len(chunk), up=up)
            if connection.bytes_left == 0:
                self._cut(connection)  # the next drain raises and ends both directions
            if self._bytes_per_s is not None:
                await asyncio.sleep(len(chunk) / self._bytes_per_s)

    def _count(self, payload_bytes: int, *, up: bool) -> None:
        before = self._carried
        self._carried = (
            replace(before, bytes_up=before.bytes_up + payload_bytes)
            if up
            else replace(before, bytes_down=before.bytes_down + payload_bytes)
        )

    def _cut(self, connection: "_Connection") -> bool:
        ended = connection.reset()
        if ended:
            self._carried = replace(self._carried, cuts=self._carried.cuts + 1)
        return ended

    def _drawn_limit(self) -> int:
        match self._cuts:
            case None:
                return UNLIMITED_BYTES
            case CutEvery(payload_bytes):
                return payload_bytes
            case CutAround(mean_bytes):
                return max(1, round(self._draws.expovariate(1 / mean_bytes)))


class _Connection:
    """A client's connection and, once it stands, the one to the target."""

    def __init__(self, client: asyncio.StreamWriter, *, bytes_left: int) -> None:
        self.bytes_left = bytes_left
        self._writers: list[asyncio.StreamWriter] = []
        self._is_over = False
        self.join(client)

    def join(self, writer: asyncio.StreamWriter) -> None:
        # drain() waits for an empty buffer, so that a byte is counted only when the kernel has it.
        writer.transport.set_write_buffer_limits(high=0)
        self._writers.append(writer)
        if self._is_over:
            _reset(writer)

    def allowance(self, chunk: bytes) -> bytes:
        """Return as much of `chunk` as may still pass, and take it off the limit."""
        passing = chunk[: self.bytes_left]
        self.bytes_left -= len(passing)
        return passing

    def reset(self) -> bool:
        """Reset both sides; return whether that ended it (False if it was over before)."""
        ended = not self._is_over
        self._is_over = True
        if ended:
            for writer in self._writers:
                _reset(writer)
        return ended

    async def close(self) -> None:
        """Say farewell to both sides."""
        self._is_over = True
        for writer in self._writers:
            writer.close()
        for writer in self._writers:
            await writer.wait_closed()


def _reset(writer: asyncio.StreamWriter) -> None:
    raw: socket.socket = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):  # closed already: nothing is left to reset
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
    writer.transport.abort()


def _bound_socket(host: str, port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    bound.bind((host, port))
    return bound
