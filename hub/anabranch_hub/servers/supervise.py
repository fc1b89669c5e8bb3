"""The servers a hub brings along, held by one hub at a time and kept running.

    async with EmbeddedServers(data_dir, progress=print) as servers:
        serve(servers.postgres_dsn, servers.vault)
        servers.states()                    # for /health/ready

    DIR/
      lock        held (flock) by the hub, with its pid
      layout      the version of this layout
      postgres/   see postgres.py
      openbao/    see openbao.py

Enter it in the main thread, or in one that lives as long as the hub: Linux ends the servers with the thread
that started them. That is how `kill -9` of a hub leaves nothing behind.

A server that dies is started again on its old address, at once the first time, then with growing waits and
without end: a full disk is emptied some day, and until then /health/ready tells why the hub cannot serve.
Nothing acknowledged is lost by that, since both servers acknowledge only what is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Protocol

from anabranch_hub.errors import DataDirInUse, DataDirNotWritable, DataDirVersion, HubError
from anabranch_hub.secrets.vault import VaultAccess
from anabranch_hub.servers.openbao import EmbeddedOpenBao
from anabranch_hub.servers.postgres import EmbeddedPostgres
from anabranch_hub.servers.private_files import read_text, write_private, writing_below

log = logging.getLogger(__name__)

LAYOUT = "1"

RESTART_WAIT_FIRST_S = 0.1
# Half a minute of a hub that could serve again is the most a long trouble may add to itself.
RESTART_WAIT_MAX_S = 30.0
# A server that lived this long had recovered; its next death starts from the shortest wait.
STEADY_S = 60.0


class Phase(Enum):
    """Where a server is in its life."""

    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class ServerState:
    """One line for /health/ready. `reason` says why a server is not ready, or why it was restarted last."""

    server: str
    phase: Phase
    pid: int | None
    restarts: int
    reason: str | None


class Server(Protocol):
    """What supervision needs of a server."""

    @property
    def name(self) -> str: ...
    @property
    def pid(self) -> int | None: ...
    async def start(self, progress: Callable[[str], None]) -> None: ...
    async def died(self) -> str: ...
    async def stop(self) -> None: ...


class EmbeddedServers:
    """A Postgres and an OpenBao below `data_dir`, for as long as this is entered."""

    def __init__(self, data_dir: Path, progress: Callable[[str], None] = lambda line: None) -> None:
        self._data_dir = data_dir.absolute()
        self._progress = progress
        self._postgres = EmbeddedPostgres(self._data_dir / "postgres")
        self._openbao = EmbeddedOpenBao(self._data_dir / "openbao")
        self._states = {
            server.name: ServerState(server.name, Phase.STOPPED, None, 0, None) for server in self._servers
        }
        self._watches: list[asyncio.Task[None]] = []
        self._lock = -1

    @property
    def _servers(self) -> tuple[Server, ...]:
        return (self._postgres, self._openbao)

    @property
    def postgres_dsn(self) -> str:
        """A superuser's connection string, password included: never print it."""
        return self._postgres.dsn

    @property
    def vault(self) -> VaultAccess:
        """Address and credentials of the hub."""
        return self._openbao.access

    def states(self) -> tuple[ServerState, ...]:
        """How each server is."""
        return tuple(
            replace(self._states[server.name], pid=server.pid if self._is_up(server) else None)
            for server in self._servers
        )

    async def __aenter__(self) -> EmbeddedServers:
        """Start both at once and wait for both. Raises DataDirError, ServerFailed; nothing runs then."""
        self._lock = open_data_dir(self._data_dir)
        try:
            for server in self._servers:
                self._note(server, phase=Phase.STARTING)
            try:
                await self._start_all()
            except PermissionError as error:  # a part of it is somebody else's
                reason = f"{error.filename}: {error.strerror}"
                raise DataDirNotWritable(self._data_dir, reason) from error
        except BaseException:
            await self._stop()
            raise
        for server in self._servers:
            self._note(server, phase=Phase.READY)
            self._watches.append(asyncio.create_task(self._keep_running(server), name=f"keep {server.name}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)
        self._watches.clear()
        await self._stop()

    async def _start_all(self) -> None:
        """Start both at once; the first failure breaks off the other one's start."""
        starts = [asyncio.create_task(server.start(self._progress)) for server in self._servers]
        try:
            done, _ = await asyncio.wait(starts, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            # Once each, which is why `gather` does not wait above: it cancels too, and a second cancellation
            # would break off the cleaning up after the first.
            for start in starts:
                start.cancel()
            await asyncio.gather(*starts, return_exceptions=True)
        for start in done:
            start.result()

    async def _stop(self) -> None:
        try:
            await asyncio.gather(*(server.stop() for server in self._servers))
            for server in self._servers:
                self._note(server, phase=Phase.STOPPED)
        finally:
            os.close(self._lock)

    async def _keep_running(self, server: Server) -> None:
        """Restart `server` whenever it dies."""
        loop = asyncio.get_running_loop()
        wait_s = RESTART_WAIT_FIRST_S
        while True:
            ready_s = loop.time()
            reason = await server.died()
            log.error("server died", extra={"server": server.name, "reason": reason})
            if loop.time() - ready_s > STEADY_S:
                wait_s = RESTART_WAIT_FIRST_S
            while True:
                self._note(server, phase=Phase.RESTARTING, reason=reason)
                await asyncio.sleep(wait_s)
                wait_s = min(wait_s * 2, RESTART_WAIT_MAX_S)
                try:
                    await server.start(self._progress)
                    break
                except (HubError, OSError) as error:
                    reason = str(error)
                    log.error("server not restarted", extra={"server": server.name, "reason": reason})
            restarts = self._states[server.name].restarts + 1
            self._note(server, phase=Phase.READY, reason=reason, restarts=restarts)
            log.warning("server restarted", extra={"server": server.name, "restarts": restarts})

    def _is_up(self, server: Server) -> bool:
        return self._states[server.name].phase is Phase.READY

    def _note(
        self, server: Server, *, phase: Phase, reason: str | None = None, restarts: int | None = None
    ) -> None:
        state = self._states[server.name]
        restarts = state.restarts if restarts is None else restarts
        self._states[server.name] = replace(state, phase=phase, reason=reason, restarts=restarts)


def open_data_dir(data_dir: Path) -> int:
    """Make `data_dir` ours, and return the lock's file descriptor: closing it gives the folder free.

    Raises DataDirNotWritable, DataDirInUse, DataDirVersion.
    """
    with writing_below(data_dir):
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    with contextlib.ExitStack() as undo:
        undo.callback(os.close, lock)
        try:
            # Not a POSIX record lock: that is lost when anything in this process closes the file.
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(lock, 20, 0).decode("ascii", "replace").strip()
            raise DataDirInUse(data_dir, int(holder) if holder.isdecimal() else 0) from None
        with writing_below(data_dir):
            os.ftruncate(lock, 0)
            os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
            found = read_text(data_dir / "layout")
            if found is None:
                write_private(data_dir / "layout", LAYOUT)
        if found not in (None, LAYOUT):
            raise DataDirVersion(
                data_dir, what="data directory layout", found=str(found)[:20] or "empty", supported=LAYOUT
            )
        undo.pop_all()
    return lock
