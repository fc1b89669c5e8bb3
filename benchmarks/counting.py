"""A loopback proxy that counts what an edge and its hub say to each other, with TLS and without.

It holds nothing back and changes nothing, but may be told to break connections after so many bytes. Counted
is TCP payload; what TLS adds is taken off by reading the headers of its records, which are not encrypted
(RFC 8446, 5.1 and 5.2)::

    type u8 | version u16 | length u16 | ciphertext = plaintext + type u8 + tag 16

The handshake is told from the payload by its place. BoringSSL, which gRPC speaks on both sides, writes
each flight into one record: after the plain hellos, the first encrypted record up is the edge's
certificate, the first two down are the hub's certificate and the session tickets; everything after is
HTTP/2. `check_against_known` holds that against a connection whose plaintext is known.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

_HEADER_BYTES = 5
_APPLICATION = 23
# The record's real type, and the tag of AES-GCM or ChaCha20-Poly1305.
_SEALING_BYTES = 17
_HANDSHAKE_RECORDS_UP = 1
_HANDSHAKE_RECORDS_DOWN = 2


@dataclass(frozen=True, slots=True)
class Carried:
    """Bytes from edge to hub (up) and back (down): TCP payload, and of it what is not TLS."""

    up: int = 0
    down: int = 0
    up_tls: int = 0
    down_tls: int = 0

    @property
    def both(self) -> int:
        return self.up + self.down

    @property
    def both_tls(self) -> int:
        return self.up_tls + self.down_tls

    def __sub__(self, other: "Carried") -> "Carried":
        return Carried(
            self.up - other.up,
            self.down - other.down,
            self.up_tls - other.up_tls,
            self.down_tls - other.down_tls,
        )

    def __add__(self, other: "Carried") -> "Carried":
        return Carried(
            self.up + other.up,
            self.down + other.down,
            self.up_tls + other.up_tls,
            self.down_tls + other.down_tls,
        )

    def figures(self, name: str) -> dict[str, int]:
        """The four figures under `name`."""
        return {
            f"{name}_bytes_up": self.up,
            f"{name}_bytes_down": self.down,
            f"{name}_bytes_up_tls": self.up_tls,
            f"{name}_bytes_down_tls": self.down_tls,
        }


@dataclass(slots=True)
class Records:
    """One direction of one connection, taken apart into TLS records as it comes."""

    handshake_records: int
    total_bytes: int = 0
    _header: bytearray = field(default_factory=bytearray)
    _left: int = 0
    _sealed: int = 0
    _whole_bytes: int = 0

    @property
    def payload_bytes(self) -> int:
        """What is not TLS; of a record that is under way, or that a break left incomplete, what has come."""
        if not self._left or self._header[0] != _APPLICATION or self._sealed < self.handshake_records:
            return self._whole_bytes
        length = int.from_bytes(self._header[3:], "big")
        return self._whole_bytes + min(length - self._left, length - _SEALING_BYTES)

    def add(self, chunk: bytes) -> None:
        """Count the next bytes."""
        self.total_bytes += len(chunk)
        view = memoryview(chunk)
        while view:
            if self._left:
                taken = min(self._left, len(view))
                self._left -= taken
                view = view[taken:]
                if not self._left:
                    self._end()
                continue
            missing = _HEADER_BYTES - len(self._header)
            self._header += view[:missing]
            view = view[missing:]
            if len(self._header) == _HEADER_BYTES:
                self._left = int.from_bytes(self._header[3:], "big")

    def _end(self) -> None:
        length = int.from_bytes(self._header[3:], "big")
        if self._header[0] == _APPLICATION:
            self._sealed += 1
            if self._sealed > self.handshake_records:
                self._whole_bytes += length - _SEALING_BYTES
        self._header.clear()


@dataclass(slots=True)
class Allowance:
    """How many bytes one connection may still carry, both ways together."""

    left: float


@dataclass(slots=True)
class Plain:
    """One direction of one connection without TLS: all of it is payload."""

    total_bytes: int = 0

    @property
    def payload_bytes(self) -> int:
        return self.total_bytes

    def add(self, chunk: bytes) -> None:
        """Count the next bytes."""
        self.total_bytes += len(chunk)


class CountingLink:
    """The proxy before `target` (host:port), over TLS or without; use it with `async with`."""

    def __init__(self, target: str, *, tls: bool = True) -> None:
        host, _, port = target.rpartition(":")
        self._tls = tls
        self._target = (host, int(port))
        self._directions: list[tuple[Records | Plain, Records | Plain]] = []
        self._server: asyncio.Server | None = None
        self._ends: set[asyncio.Transport] = set()
        self._break_after: Callable[[], float] | None = None
        self.breaks = 0
        self.last_byte_s = 0.0
        self.first_byte_s: float | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _EdgeEnd(self), "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None, "entered before"
        self._server.close()
        for end in list(self._ends):
            end.abort()

    @property
    def address(self) -> str:
        """Where edges connect."""
        assert self._server is not None, "entered before"
        return f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    @property
    def carried(self) -> Carried:
        """Everything so far."""
        return Carried(
            sum(up.payload_bytes for up, _ in self._directions),
            sum(down.payload_bytes for _, down in self._directions),
            sum(up.total_bytes for up, _ in self._directions),
            sum(down.total_bytes for _, down in self._directions),
        )

    @property
    def began_s(self) -> float:
        """When the first byte passed since `first_byte_s` was last set to None (time.monotonic)."""
        assert self.first_byte_s is not None, "something passed"
        return self.first_byte_s

    def break_after(self, draw: Callable[[], float] | None) -> None:
        """Break each connection made from now on after as many bytes as `draw` says, both ways together."""
        self._break_after = draw

    def allowance(self) -> "Allowance":
        """How much a connection that begins now may carry."""
        return Allowance(float("inf") if self._break_after is None else max(1.0, self._break_after()))

    async def quiet(self, for_s: float) -> None:
        """Wait until nothing has passed for so long."""
        loop = asyncio.get_running_loop()
        while (left := self.last_byte_s + for_s - loop.time()) > 0:
            await asyncio.sleep(left)

    def joined(self) -> tuple[Records | Plain, Records | Plain]:
        """A connection begins: its counters, up and down."""
        pair: tuple[Records | Plain, Records | Plain] = Plain(), Plain()
        if self._tls:
            pair = Records(_HANDSHAKE_RECORDS_UP), Records(_HANDSHAKE_RECORDS_DOWN)
        self._directions.append(pair)
        return pair

    def passed(self) -> None:
        """Bytes pass now."""
        self.last_byte_s = asyncio.get_running_loop().time()
        if self.first_byte_s is None:
            self.first_byte_s = self.last_byte_s

    @property
    def target(self) -> tuple[str, int]:
        return self._target

    @property
    def ends(self) -> set[asyncio.Transport]:
        return self._ends


class _End(asyncio.Protocol):
    """One end of a connection: hands what comes to the other, and counts it."""

    def __init__(self, link: CountingLink) -> None:
        self.link = link
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None
        self.records: Records | Plain | None = None
        self.allowance: Allowance | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "TCP"
        self.transport = transport
        self.link.ends.add(transport)

    def data_received(self, data: bytes) -> None:
        assert self.other is not None, "reading begins when both ends stand"
        assert self.other.transport is not None, "reading begins when both ends stand"
        assert self.records is not None, "reading begins when both ends stand"
        assert self.allowance is not None, "reading begins when both ends stand"
        if self.allowance.left <= 0:
            return  # broken already; what comes after the break goes nowhere
        if len(data) > self.allowance.left:
            data = data[: int(self.allowance.left)]
        self.allowance.left -= len(data)
        self.records.add(data)
        self.link.passed()
        self.other.transport.write(data)
        if self.allowance.left < 1:
            self.allowance.left = 0
            self.link.breaks += 1
            self._break()

    def _break(self) -> None:
        """Neither side gets a farewell, as from a middlebox that forgot the connection."""
        assert self.transport is not None, "connected before"
        assert self.other is not None, "reading begins when both ends stand"
        assert self.other.transport is not None, "reading begins when both ends stand"
        for transport in (self.transport, self.other.transport):
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            transport.abort()

    def eof_received(self) -> bool:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write_eof()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        assert self.transport is not None, "connected before"
        self.link.ends.discard(self.transport)
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


class _EdgeEnd(_End):
    """The accepted end; it connects the other one before it reads."""

    def __init__(self, link: CountingLink) -> None:
        super().__init__(link)
        self._joining: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert self.transport is not None, "just set"
        self.transport.pause_reading()
        self._joining = asyncio.get_running_loop().create_task(self._join())

    async def _join(self) -> None:
        assert self.transport is not None, "connected before"
        hub_end = _End(self.link)
        try:
            await asyncio.get_running_loop().create_connection(lambda: hub_end, *self.link.target)
        except OSError:
            self.transport.abort()
            return
        self.records, hub_end.records = self.link.joined()
        self.allowance = hub_end.allowance = self.link.allowance()
        self.other, hub_end.other = hub_end, self
        self.transport.resume_reading()
