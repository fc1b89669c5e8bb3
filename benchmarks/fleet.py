"""Real processes to measure: one hub, edges behind counting links, and programs that use the SDK."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anabranch.replica import Facts, Replica
from anabranch_hub.demo.catalogue import CatalogueDocument
from anabranch_hub.demo.processes import Hub, command, program, start_agent, start_hub, stop, stop_hub

from benchmarks.counting import Carried, CountingLink

OPERATOR = "operator"
# A phase that takes longer hangs; the slowest takes seconds.
PHASE_S_MAX = 120.0
LOOK_S = 0.002
# A command has a minute or two; a busy machine imports so many small documents in one.
IMPORTED_AT_ONCE = 10_000
# After the last byte of a phase nothing may follow for so long, or it would be counted to the next one.
QUIET_S = 0.3


class PhaseStuck(Exception):
    """A phase did not come to its end."""


@dataclass(slots=True)
class Edge:
    """An edge: its replica's file, its link, and its agent while it runs."""

    name: str
    replica: Path
    link: CountingLink
    agent: Process | None = None

    async def start(self, *options: str) -> None:
        """Start the agent."""
        assert self.agent is None, "runs already"
        self.agent = await start_agent(self.replica, *options)

    async def stop(self) -> None:
        """Stop the agent as an init system does. Safe to repeat."""
        if self.agent is not None:
            await stop(self.agent)
            self.agent = None

    @property
    def resident_peak_bytes(self) -> int:
        """The agent's largest resident memory so far."""
        return self._memory("status", "VmHWM")

    @property
    def resident_bytes(self) -> int:
        return self._memory("status", "VmRSS")

    @property
    def private_bytes(self) -> int:
        """Memory of the agent that no other process shares."""
        return self._memory("smaps_rollup", "Private_Dirty") + self._memory("smaps_rollup", "Private_Clean")

    def _memory(self, table: str, name: str) -> int:
        assert self.agent is not None, "does not run"
        return _memory_bytes(self.agent.pid, table, name)

    async def until(self, holds: Callable[[Facts], bool], what: str, within_s: float = PHASE_S_MAX) -> float:
        """Watch the replica until its facts are so; the moment (time.monotonic)."""
        deadline_s = time.monotonic() + within_s
        with Replica.open(self.replica) as replica:
            view = -1
            while True:
                if (seen := replica.look()) != view:
                    view = seen
                    if holds(replica.facts()):
                        return time.monotonic()
                if time.monotonic() > deadline_s:
                    raise PhaseStuck(f"{self.name}: {what}: not after {within_s:.0f} s")
                await asyncio.sleep(LOOK_S)

    async def until_settled(self, hub_seq: int, within_s: float = PHASE_S_MAX) -> float:
        """Until the edge is where the hub is and has nothing left to send; the moment."""
        return await self.until(
            lambda facts: facts.cursor.hub_seq >= hub_seq and not facts.outbox,
            f"position {hub_seq}",
            within_s,
        )


@dataclass(slots=True)
class Fleet:
    """The hub, and what was enrolled with it. `stack` ends all of it, in reverse."""

    stack: AsyncExitStack
    folder: Path
    hub: Hub
    started_s: float

    @classmethod
    async def start(cls, stack: AsyncExitStack, folder: Path) -> "Fleet":
        """A hub that serves, with its own Postgres and OpenBao."""
        started_s = time.monotonic()
        hub = await start_hub(folder / "hub")
        stack.push_async_callback(stop_hub, hub)
        return cls(stack, folder, hub, started_s)

    @property
    def hub_dir(self) -> Path:
        return self.folder / "hub"

    @property
    def hub_resident_bytes(self) -> int:
        """The memory of the hub's process; its Postgres and OpenBao are others."""
        return _memory_bytes(self.hub.process.pid, "status", "VmRSS")

    def say(self, line: str) -> None:
        """Tell how it goes, on standard error."""
        sys.stderr.write(f"{time.monotonic() - self.started_s:6.1f} s  {line}\n")
        sys.stderr.flush()

    async def ask(self, *words: str, stdin: str | None = None) -> Any:
        """A command of the hub."""
        place = ("--data-dir", str(self.hub_dir), "--author", OPERATOR)
        return await command(program("anabranch-hub"), *words, *place, stdin=stdin)

    async def tenant(self, name: str, documents: Sequence[CatalogueDocument]) -> None:
        """A tenant with these documents."""
        await self.ask("tenant", "create", name)
        for first in range(0, len(documents), IMPORTED_AT_ONCE):
            batch = documents[first : first + IMPORTED_AT_ONCE]
            content = {f"{each.namespace}/{each.key}": each.content for each in batch}
            await self.ask("import", name, "-", stdin=json.dumps(content))

    async def position(self, tenant: str) -> int:
        """Where the tenant stands in the hub's order."""
        return int((await self.ask("digest", tenant))["hub_seq"])

    async def enrol(self, tenant: str, name: str, *invited_as: str) -> Edge:
        """A new edge with an empty replica, behind a link of its own. Its agent does not run yet."""
        link = await self.stack.enter_async_context(CountingLink(self.hub.listen))
        replica = self.folder / f"{tenant}-{name}.db"
        invited = await self.ask("edge", "invite", tenant, name, *invited_as)
        words = ("init", "--replica", str(replica), "--hub", link.address, "--token", "-", "--author", name)
        await command(program("anabranch"), *words, stdin=str(invited["token"]))
        edge = Edge(name, replica, link)
        self.stack.push_async_callback(edge.stop)
        return edge


async def run_program(verb: str, *arguments: str) -> Any:
    """Run `benchmarks.program` in a process of its own; what it prints."""
    words = (sys.executable, "-m", "benchmarks.program", verb, *arguments)
    process = await asyncio.create_subprocess_exec(*words, stdout=PIPE, stderr=PIPE)
    try:
        out, err = await asyncio.wait_for(process.communicate(), PHASE_S_MAX)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise PhaseStuck(f"{verb}: {err.decode(errors='replace').strip()}")
    return json.loads(out)


async def carried_until_quiet(edges: Sequence[Edge], before: Sequence[Carried]) -> list[Carried]:
    """What each link has carried since `before`, once nothing passes any more."""
    for edge in edges:
        await edge.link.quiet(QUIET_S)
    return [edge.link.carried - old for edge, old in zip(edges, before, strict=True)]


def _memory_bytes(pid: int, table: str, name: str) -> int:
    for line in Path(f"/proc/{pid}/{table}").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise PhaseStuck(f"the kernel does not tell {name} of process {pid}")
