"""A loopback port for a server: the one it had before if it is free, else any.

Nothing reserves a port for another program, so a server may lose the race for it and is then given the next.
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

from anabranch_hub.errors import PortInUse, ServerFailed
from anabranch_hub.servers.private_files import read_text, write_private

LOOPBACK = "127.0.0.1"

# Losing the race once is bad luck, five times is something else.
PORT_ATTEMPTS_MAX = 5


async def launch_on_port(
    memory: Path, launch: Callable[[int], Awaitable[None]], *, pinned: int | None
) -> int:
    """Run `launch(port)` and return the port it succeeded with, written to the file `memory`.

    A `pinned` port is taken or PortInUse raised: clients hold it. A launch that fails although its port is
    free failed for another reason, and its ServerFailed goes through.
    """
    if pinned is not None:
        if not is_free(pinned):
            raise PortInUse(host=LOOPBACK, port=pinned)
        await launch(pinned)
        return pinned
    remembered = read_text(memory) or ""
    port = int(remembered) if remembered.isdecimal() and is_free(int(remembered)) else free_port()
    for _ in range(PORT_ATTEMPTS_MAX):
        try:
            await launch(port)
        except ServerFailed:
            if is_free(port):
                raise
            port = free_port()
        else:
            write_private(memory, str(port))
            return port
    raise PortInUse(host=LOOPBACK, port=port)


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Whether a server could listen on `port` now; like servers do, ignore connections in TIME_WAIT."""
    if port == 0:  # to the kernel it means any
        return False
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except (OSError, OverflowError):
            return False
        return True
