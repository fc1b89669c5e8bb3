"""One server process: started through the shim, its output in a log, ended by signals of rising force.

    p = await ServerProcess.start("postgres", argv, log_path=..., ends_with=SIGQUIT, identity="same")
    await p.exited()                      # its exit status, whenever that comes
    await p.stop((SIGINT, 30.0), (SIGQUIT, 10.0))

A server never sees the hub's environment (variables such as PGPORT or BAO_ADDR would steer it) and never the
terminal's Ctrl-C (it has a session of its own), so the hub decides in which order things end.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from anabranch_hub.errors import ServerFailed
from anabranch_hub.servers.private_files import writing_below

SHIM = Path(__file__).with_name("as_ordinary_user.py")

# A log line can hold a whole query plan; the last words of a dying server fit well into this.
LOG_TAIL_BYTES_MAX = 4096
LOG_TAIL_LINES_MAX = 6

# Logs survive restarts; at a start one this long steps aside, replacing the one before it.
LOG_BYTES_MAX = 8 * 1024 * 1024

# SIGKILL needs no patience, but a process in uninterruptible I/O may take a while to go.
KILL_PATIENCE_S = 10.0

LEFTOVER_POLL_S = 0.02

# What a server may see of the environment. LD_LIBRARY_PATH: some Python builds need it to start the shim.
ENVIRONMENT_KEPT = ("PATH", "LD_LIBRARY_PATH")


@dataclass(slots=True, eq=False)
class ServerProcess:
    """A running (or ended) server process."""

    server: str
    log_path: Path
    _process: Process
    _log_start: int

    @classmethod
    async def start(
        cls, server: str, argv: Sequence[str], *, log_path: Path, ends_with: signal.Signals, identity: str
    ) -> ServerProcess:
        """Start `argv` as `identity` (see the shim); it gets `ends_with` when the calling thread ends.

        It works in the folder of its log, so that a configuration can name files without saying where the
        data directory is, and the directory can be moved.
        """
        with writing_below(log_path.parent):
            move_long_log_aside(log_path)
            log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            log_start = os.fstat(log).st_size
            process = await asyncio.create_subprocess_exec(
                *shim(ends_with, identity),
                *argv,
                stdin=DEVNULL,
                stdout=log,
                stderr=log,
                env=environment(),
                cwd=log_path.parent,
                start_new_session=True,
            )
        except OSError as error:  # no process or no memory left
            raise ServerFailed(server, f"cannot start a process: {error.strerror}", log_path) from error
        finally:
            os.close(log)
        return cls(server, log_path, process, log_start)

    @property
    def pid(self) -> int:
        """The server's own process id: the shim execs, it does not fork."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.returncode is None

    async def exited(self) -> int:
        """Wait for the end; negative values are signals."""
        return await self._process.wait()

    async def stop(self, *steps: tuple[signal.Signals, float]) -> None:
        """Send each signal and wait its patience (seconds), then SIGKILL. Nothing when it has ended."""
        for step, patience_s in (*steps, (signal.SIGKILL, KILL_PATIENCE_S)):
            if not self.is_running:
                return
            try:
                self._process.send_signal(step)
                await asyncio.wait_for(self._process.wait(), patience_s)
            except ProcessLookupError:
                return
            except TimeoutError:
                continue

    def last_words(self) -> str:
        """What this process wrote last, on one line."""
        return " | ".join(log_tail(self.log_path, self._log_start)) or "it said nothing"


def shim(ends_with: signal.Signals, identity: str) -> list[str]:
    """The command line in front of a server's own."""
    return [sys.executable, "-I", "-S", str(SHIM), str(os.getpid()), str(int(ends_with)), identity]


def environment() -> Mapping[str, str]:
    """The same surroundings on every machine."""
    kept = {name: os.environ[name] for name in ENVIRONMENT_KEPT if name in os.environ}
    return {**kept, "LC_ALL": "C", "TZ": "UTC"}


def exit_reason(status: int) -> str:
    """`status` in words."""
    if status >= 0:
        return f"it ended with status {status}"
    return f"it was ended by {signal.Signals(-status).name}"


def log_tail(log_path: Path, start: int) -> list[str]:
    """The last lines of `log_path` written after byte `start`."""
    try:
        with log_path.open("rb") as log:
            end = log.seek(0, os.SEEK_END)
            log.seek(max(start, end - LOG_TAIL_BYTES_MAX))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return []
    return [line.strip() for line in text.splitlines() if line.strip()][-LOG_TAIL_LINES_MAX:]


def move_long_log_aside(log_path: Path) -> None:
    """Keep at most two files of LOG_BYTES_MAX (and what one run adds)."""
    try:
        if log_path.stat().st_size > LOG_BYTES_MAX:
            log_path.replace(log_path.with_name(log_path.name + ".1"))
    except FileNotFoundError:
        return


async def end_leftover(
    server: str, pid: int | None, argument: Path, log_path: Path, *steps: tuple[signal.Signals, float]
) -> bool:
    """End the server `pid` that outlived a killed hub; False when there is none.

    The data directory's lock says that no living hub owns it. A pid file may be stale and its pid reused, so
    the process must also have been started with `argument`. Raises ServerFailed when it does not go.
    """
    if pid is None or not runs_with(pid, argument):
        return False
    loop = asyncio.get_running_loop()
    for step, patience_s in (*steps, (signal.SIGKILL, KILL_PATIENCE_S)):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, step)
        deadline_s = loop.time() + patience_s
        while loop.time() < deadline_s:
            if not runs_with(pid, argument):
                return True
            await asyncio.sleep(LEFTOVER_POLL_S)
    raise ServerFailed(server, f"the one a killed hub left behind (pid {pid}) cannot be ended", log_path)


def runs_with(pid: int, argument: Path) -> bool:
    """Whether process `pid` lives and has `argument` in its command line. A zombie has none."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    return os.fsencode(argument) in command.split(b"\0")
