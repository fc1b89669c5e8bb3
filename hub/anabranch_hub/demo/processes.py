"""The demo's real processes: one hub, the edges' agents, and each command as a person would type it."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from anabranch_hub.errors import HubError

# initdb, a raft store and their first keys on a cold, busy machine; measured 6 to 12 s here.
HUB_START_S_MAX = 120.0
STOP_S_MAX = 30.0
COMMAND_S_MAX = 120.0
# The data a command may print: an export of the whole catalogue is under 10 MB.
OUTPUT_BYTES_MAX = 64 * 1024 * 1024


class DemoFailed(HubError):
    """A process of the demo did not do what it is for."""

    def __init__(self, command: Sequence[str], reason: str) -> None:
        self.command = tuple(command)
        self.reason = reason
        words = (Path(command[0]).name, *command[1:3])
        super().__init__(f"demo: {' '.join(words)}: {reason}")


def program(name: str) -> str:
    """The installed command beside this interpreter."""
    return str(Path(sys.executable).with_name(name))


async def command(*words: str, stdin: str | None = None) -> Any:
    """Run a command with ``--json`` and return what it printed. Raises DemoFailed."""
    process = await _spawn(*words, "--json", stdin=PIPE if stdin is not None else DEVNULL)
    try:
        out, err = await asyncio.wait_for(
            process.communicate(None if stdin is None else stdin.encode()), COMMAND_S_MAX
        )
    except (TimeoutError, asyncio.CancelledError):
        await kill(process)
        raise
    if process.returncode != 0:
        raise DemoFailed(words, _reason(err))
    return json.loads(out) if out.strip() else None


@dataclass(frozen=True, slots=True)
class Hub:
    """A serving hub, where it listens, and who reads its log so that a full pipe does not stop it."""

    process: Process
    listen: str
    log_reader: asyncio.Task[None]


async def start_hub(data_dir: Path, listen: str = "127.0.0.1:0", *options: str) -> Hub:
    """A hub with its own Postgres and OpenBao, serving. Raises DemoFailed."""
    words = (program("anabranch-hub"), "serve", "--data-dir", str(data_dir), "--listen", listen)
    process = await _spawn(*words, "--enrol-port", "0", "--health", "off", "--json", *options, stdin=DEVNULL)
    assert process.stdout is not None, "started with a pipe"
    assert process.stderr is not None, "started with a pipe"
    try:
        line = await asyncio.wait_for(process.stdout.readline(), HUB_START_S_MAX)
    except (TimeoutError, asyncio.CancelledError):
        await stop(process)
        raise
    if not line:
        reason = _reason(await process.stderr.read())
        await stop(process)
        raise DemoFailed(words, reason)
    return Hub(process, str(json.loads(line)["listen"]), asyncio.create_task(_drain(process.stderr)))


async def stop_hub(hub: Hub) -> None:
    """End a hub; it stops its Postgres and OpenBao."""
    await stop(hub.process)
    await hub.log_reader


async def start_agent(replica: Path, *options: str) -> Process:
    """An edge's agent."""
    return await asyncio.create_subprocess_exec(
        program("anabranch"),
        "agent",
        "--replica",
        str(replica),
        *options,
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
        start_new_session=True,
        env=_environment(),
    )


async def acknowledged_then_killed(agent: Process, *words: str) -> Any:
    """Run a write and kill -9 it and the agent the moment its ok is read. Returns what it printed."""
    process = await _spawn(*words, "--json", stdin=DEVNULL)
    assert process.stdout is not None, "started with a pipe"
    printed = await asyncio.wait_for(process.stdout.readuntil(b"}"), COMMAND_S_MAX)
    await kill(process)
    await kill(agent)
    return json.loads(printed)


async def stop(process: Process) -> None:
    """End a process as an init system does: SIGTERM, and SIGKILL when it does not listen."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), STOP_S_MAX)
        except TimeoutError:
            await kill(process)


async def kill(process: Process) -> None:
    """End a process as a power cut does."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGKILL)
    await process.wait()


async def _spawn(*words: str, stdin: int) -> Process:
    # A session of its own: Ctrl-C reaches the demo alone, which then stops what it started, in order.
    return await asyncio.create_subprocess_exec(
        *words,
        stdin=stdin,
        stdout=PIPE,
        stderr=PIPE,
        limit=OUTPUT_BYTES_MAX,
        start_new_session=True,
        env=_environment(),
    )


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.read(65_536):
        pass


def _environment() -> dict[str, str]:
    """This environment without what would point the commands elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("ANABRANCH_")}


def _reason(stderr: bytes) -> str:
    lines = stderr.decode(errors="replace").strip().splitlines()
    last = lines[-1] if lines else "no reason given"
    try:
        return str(json.loads(last)["error"]["message"])
    except (ValueError, TypeError, KeyError):
        return last
