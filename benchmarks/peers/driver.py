"""A peer's processes: its hub, and its edges behind counting links."""

import asyncio
import contextlib
import json
import os
import signal
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.counting import CountingLink

# A line of `fields` holds the values of every edit of ten edges.
LINE_BYTES_MAX = 64 * 2**20
# Starting a server with its storage; the slowest takes two seconds.
START_S_MAX = 30.0


class PeerFailed(Exception):
    """A peer's process ended, or said that it cannot."""


@dataclass(frozen=True, slots=True)
class Peer:
    """One column of the table: how its driver is called, and with what in its environment."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class PeerEdge:
    """An edge of a peer: a driver process, the folder it keeps, and its link to the hub."""

    folder: Path
    link: CountingLink
    process: Process
    pids: Sequence[int]

    async def ask(self, verb: str, **arguments: object) -> Any:
        """One command of drivers/driver.mjs; its answer. Raises PeerFailed."""
        assert self.process.stdin is not None, "piped"
        self.process.stdin.write(json.dumps({"do": verb, **arguments}).encode() + b"\n")
        answer = await _line(self.process)
        if "error" in answer:
            raise PeerFailed(str(answer["error"]).splitlines()[0])
        self.pids = answer.get("pids", self.pids)
        return answer

    async def until(self, file: Path) -> None:
        """Until each field has the last value that the edits give it."""
        await self.ask("until", file=str(file))

    @property
    def resident_peak_bytes(self) -> int:
        """The largest resident memory so far of the processes that are the edge."""
        return sum(_peak_bytes(pid) for pid in self.pids)

    @property
    def stored_bytes(self) -> int:
        """What its files hold."""
        return sum(each.stat().st_size for each in self.folder.rglob("*") if each.is_file())


class PeerFleet:
    """A peer's hub, and the edges that are started; `stack` ends all of it."""

    def __init__(self, stack: AsyncExitStack, peer: Peer, folder: Path, names: Path, port: int) -> None:
        self._stack = stack
        self._peer = peer
        self._folder = folder
        self._names = names
        self._port = port
        self._count = 0

    @classmethod
    async def start(cls, stack: AsyncExitStack, peer: Peer, folder: Path, names: Path) -> "PeerFleet":
        """Start the hub. Raises PeerFailed, TimeoutError."""
        place = folder / "hub"
        place.mkdir(parents=True)
        process = await _started(stack, peer, "hub", str(place))
        ready = await asyncio.wait_for(_line(process), START_S_MAX)
        return cls(stack, peer, folder, names, int(ready["port"]))

    async def edge(self) -> PeerEdge:
        """A new edge that is not connected and holds nothing."""
        self._count += 1
        place = self._folder / f"edge-{self._count}"
        place.mkdir()
        link = await self._stack.enter_async_context(CountingLink(f"127.0.0.1:{self._port}", tls=False))
        process = await _started(self._stack, self._peer, "edge", str(place), link.address, str(self._names))
        ready = await asyncio.wait_for(_line(process), START_S_MAX)
        return PeerEdge(place, link, process, ready["pids"])


async def _started(stack: AsyncExitStack, peer: Peer, *words: str) -> Process:
    process = await asyncio.create_subprocess_exec(
        *peer.command,
        *words,
        stdin=PIPE,
        stdout=PIPE,
        stderr=None if os.environ.get("PEERS_DEBUG") else DEVNULL,
        env={**os.environ, **peer.environment},
        limit=LINE_BYTES_MAX,
        # A driver starts servers of its own: they end with it.
        start_new_session=True,
    )
    stack.push_async_callback(_ended, process)
    return process


async def _ended(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def _line(process: Process) -> Any:
    """Its next answer; what libraries print in between is theirs."""
    assert process.stdout is not None, "piped"
    while line := await process.stdout.readline():
        if line.startswith(b"{"):
            return json.loads(line)
    raise PeerFailed("its process ended")


def _peak_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise PeerFailed(f"the kernel does not tell the memory of {pid}")
