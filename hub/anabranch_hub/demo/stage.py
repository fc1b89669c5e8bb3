"""The demo's stage: one hub, its edges behind links that break, and what people do with them."""

import asyncio
import json
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anabranch_hub.demo.link import CutAround, FlakyLink
from anabranch_hub.demo.plan import OPERATOR, Edit
from anabranch_hub.demo.processes import (
    DemoFailed,
    Hub,
    command,
    program,
    start_agent,
    start_hub,
    stop,
    stop_hub,
)

TENANT = "acme"
# Far above what a link that breaks every 60 kB needs on a busy machine; a run that takes longer is stuck.
SETTLED_S_MAX = 300.0
POLL_S = 0.5
# The compressed catalogue is several times this, so that every cold start is broken off inside.
CUT_MEAN_BYTES = 60_000


@dataclass
class Device:
    """An edge: its replica, its link, and its agent."""

    name: str
    replica: Path
    link: FlakyLink
    agent: Process
    edits: int = 0
    is_clone: bool = False  # behind the link of the edge that it was copied from


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """A write that was answered with ok."""

    edit: Edit
    dot: str


class Stage:
    """Everything that runs. `stack` ends what was started, in reverse."""

    def __init__(self, stack: AsyncExitStack, folder: Path, seed: int) -> None:
        self.stack = stack
        self.folder = folder
        self.hub_dir = folder / "hub"
        self.seed = seed
        self.edges: list[Device] = []
        self._started_s = time.monotonic()
        self._hub: Hub | None = None

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return time.monotonic() - self._started_s

    async def start_hub(self, *options: str) -> None:
        """Start the hub, where it was before if it was."""
        listen = self._hub.listen if self._hub else "127.0.0.1:0"
        self._hub = await start_hub(self.hub_dir, listen, *options)

    async def stop_hub(self) -> None:
        """Stop the hub, and its servers. Safe to repeat."""
        if self._hub is not None:
            await stop_hub(self._hub)

    async def enrol(self, name: str, number: int) -> None:
        """A new edge behind a link of its own; its agent runs."""
        assert self._hub is not None, "started before"
        host, _, port = self._hub.listen.rpartition(":")
        link = FlakyLink(host, int(port), cuts=CutAround(CUT_MEAN_BYTES, self.seed + number))
        await self.stack.enter_async_context(link)
        replica = self.folder / f"{name}.db"
        invited = await self.hub("edge", "invite", TENANT, name)
        await command(
            program("anabranch"), "init", "--replica", str(replica), "--hub", f"127.0.0.1:{link.port}",
            "--token", "-", "--author", name, stdin=str(invited["token"]),
        )  # fmt: skip
        self.join(Device(name, replica, link, await start_agent(replica)))

    def join(self, edge: Device) -> None:
        """One device more, whose agent runs."""
        self.edges.append(edge)
        self.stack.push_async_callback(lambda: stop(edge.agent))

    @asynccontextmanager
    async def stopped(self, edge: Device) -> AsyncIterator[None]:
        """The device is off for the block."""
        await stop(edge.agent)
        yield
        edge.agent = await start_agent(edge.replica)

    async def position(self) -> int:
        """Where the hub stands in its order."""
        return int((await self.hub("digest", TENANT))["hub_seq"])

    async def write_all(self, edits: list[Edit]) -> list[Acknowledged]:
        """One writer's edits, one after the other, each by a command as a person would type it."""
        acknowledged = []
        for edit in edits:
            printed = await command(*self.words(edit))
            assert printed.get("dot") or edit.writer == OPERATOR, f"{edit} says nothing new"
            acknowledged.append(Acknowledged(edit, str(printed.get("dot", ""))))
            for edge in self.edges:
                edge.edits += edge.name == edit.writer
        return acknowledged

    def words(self, edit: Edit) -> tuple[str, ...]:
        """The command that makes this edit."""
        value = json.dumps(edit.value)
        place = (edit.namespace, edit.pointer, value, "--key", edit.key)
        if edit.writer == OPERATOR:
            data_dir = ("--data-dir", str(self.hub_dir), "--author", OPERATOR)
            return (program("anabranch-hub"), "set", TENANT, *place, *data_dir)
        replica = next(edge.replica for edge in self.edges if edge.name == edit.writer)
        return (program("anabranch"), "set", *place, "--replica", str(replica))

    async def settled(self, phase: str) -> None:
        """Wait until every replica is where the hub is, with nothing left to send."""
        self.say(phase)
        deadline = time.monotonic() + SETTLED_S_MAX
        while True:
            hub = await self.hub("digest", TENANT)
            statuses = [await self.status(edge) for edge in self.edges]
            waiting = [
                edge.name
                for edge, status in zip(self.edges, statuses, strict=True)
                if status["digest"] != hub["digest"] or status["outbox"]
            ]
            if not waiting:
                return
            if time.monotonic() > deadline:
                raise DemoFailed((phase,), f"{', '.join(waiting)} not settled after {SETTLED_S_MAX:.0f} s")
            await asyncio.sleep(POLL_S)

    # The commands.

    async def hub(self, *words: str, stdin: str | None = None) -> Any:
        """What a command of the hub prints."""
        return await command(
            program("anabranch-hub"),
            *words,
            "--data-dir",
            str(self.hub_dir),
            "--author",
            OPERATOR,
            stdin=stdin,
        )

    async def edge(self, edge: Device, *words: str) -> Any:
        """What a command on an edge prints."""
        return await command(program("anabranch"), *words, "--replica", str(edge.replica))

    async def status(self, edge: Device) -> Any:
        """`anabranch status` there."""
        return await self.edge(edge, "status")

    def say(self, line: str) -> None:
        """Tell how it goes, on standard error."""
        sys.stderr.write(f"{self.seconds:6.1f} s  {line}\n")
        sys.stderr.flush()
