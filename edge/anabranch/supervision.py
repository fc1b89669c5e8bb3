"""systemd's protocol for services (sd_notify(3)) in a few lines: ready, how it goes, still alive, stopping.

A datagram of ``NAME=value`` lines to the socket that NOTIFY_SOCKET names. Without one nothing is sent, and a
service manager that is not there, or has gone, never stops an agent.
"""

import asyncio
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

# systemd's own limit for a status is a page; it is shown on one line.
STATUS_CHARACTERS_MAX = 400


@dataclass(frozen=True, slots=True)
class Supervisor:
    """Whoever started this process and wants to hear of it. `watchdog_s`: how often at least."""

    address: str = ""
    watchdog_s: float | None = None

    def ready(self) -> None:
        """It serves."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """One line for people."""
        line = " ".join(text.split())
        self._send(f"STATUS={line[:STATUS_CHARACTERS_MAX]}")

    def alive(self) -> None:
        """Keep the watchdog from killing this process."""
        self._send("WATCHDOG=1")

    def stopping(self) -> None:
        """It ends, in good order."""
        self._send("STOPPING=1")

    def _send(self, line: str) -> None:
        if not self.address:
            return
        # A name that begins with @ is of Linux's abstract namespace, which is written with a NUL.
        address = f"\0{self.address[1:]}" if self.address.startswith("@") else self.address
        with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
            channel.setblocking(False)
            # A path that is no text, as systems allow it, must not end an agent that tells of it.
            channel.sendto(line.encode(errors="backslashreplace"), address)


def supervisor_of(environment: Mapping[str, str]) -> Supervisor:
    """The supervisor that the environment names; a watchdog only if it is meant for this process."""
    address = environment.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return Supervisor()
    meant = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
    micros = environment.get("WATCHDOG_USEC", "")
    if not meant or not micros.isdecimal() or int(micros) <= 0:
        return Supervisor(address)
    return Supervisor(address, int(micros) / 1_000_000)


@contextmanager
def supervised(supervisor: Supervisor) -> Iterator[None]:
    """Say that this process serves, and keep the watchdog away while its event loop turns."""
    supervisor.ready()
    watchdog_s = supervisor.watchdog_s
    beating = None if watchdog_s is None else asyncio.ensure_future(_beat(supervisor, watchdog_s))
    try:
        yield
    finally:
        if beating is not None:
            beating.cancel()
        supervisor.stopping()


async def _beat(supervisor: Supervisor, watchdog_s: float) -> None:
    while True:
        supervisor.alive()
        await asyncio.sleep(watchdog_s / 2)
