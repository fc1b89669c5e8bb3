"""A real hub in a process of its own, and its command line, for any test that needs one.

    with running_hub(tmp_path / "hub") as hub:
        hub.ok("tenant", "create", "acme")
        token = hub.invite("acme", "store-1", "acme/prod")

The addresses are ports of this machine that were free. Leaving it stops the hub as an operator would, and
checks that it went in peace and left no process behind.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.hub.servers.processes import descendants, wait_until_gone

# Only a hang meets this: a first start takes some 5 s on a loaded machine.
PATIENCE_S = 120.0

AUTHOR = "Ada Lovelace <ada@example.org>"
ANY_PORTS = ("--listen", "127.0.0.1:0", "--health", "127.0.0.1:0")


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str


class RunCommand(Protocol):
    """A way to run a command on the hub on `data_dir`."""

    def __call__(self, *arguments: str, stdin: str, data_dir: Path) -> Ran: ...


@dataclass(frozen=True, slots=True)
class RunningHub:
    """A hub that serves. `listen` is where edges exchange, `health` the health port: HOST:PORT."""

    data_dir: Path
    process: subprocess.Popen[str]
    listen: str
    health: str
    pids: tuple[int, ...]
    run_command: RunCommand

    def run(self, *arguments: str, stdin: str = "") -> Ran:
        """Run a command on this hub to its end."""
        return self.run_command(*arguments, stdin=stdin, data_dir=self.data_dir)

    def ok(self, *arguments: str, stdin: str = "") -> str:
        """The output of a command that must succeed."""
        ran = self.run(*arguments, stdin=stdin)
        assert ran.code == 0, f"{arguments} ended with {ran.code}: {ran.err}"
        return ran.out

    def json(self, *arguments: str, stdin: str = "") -> Any:
        """The JSON that a command prints, which must succeed."""
        return json.loads(self.ok(*arguments, "--json", stdin=stdin))

    def invite(self, tenant: str, edge: str, *prefixes: str) -> str:
        """A one-time token."""
        scopes = [part for prefix in prefixes for part in ("--scope", prefix)]
        token: str = self.json("edge", "invite", tenant, edge, *scopes)["token"]
        return token

    def kill(self) -> None:
        """Kill the hub with -9 and wait until it and its servers are gone."""
        self.process.kill()
        self.process.wait(PATIENCE_S)
        wait_until_gone(list(self.pids))

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop the hub and wait until it and its servers are gone; its exit code."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE_S)
        wait_until_gone(list(self.pids))
        return code


@contextlib.contextmanager
def running_hub(
    data_dir: Path, *options: str, environment: Mapping[str, str] | None = None
) -> Iterator[RunningHub]:
    """A hub over `data_dir`. Its log goes to serve.log beside the directory."""
    log_path = data_dir.with_name(f"{data_dir.name}-serve.log")
    with log_path.open("a") as log:
        process = subprocess.Popen(
            hub_command("serve", "--data-dir", str(data_dir), "--json", *ANY_PORTS, *options),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**surroundings(), **(environment or {})},
        )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"the hub ended with {process.wait(PATIENCE_S)}:\n{log_path.read_text()}"
            where = json.loads(line)
            pids = (process.pid, *descendants(process.pid))
            hub = RunningHub(data_dir, process, where["listen"], where["health"], pids, run_hub_command)
            yield hub
            if process.poll() is None:
                assert hub.stop() == 0, log_path.read_text()
        finally:
            process.kill()


def hub_command(*arguments: str) -> list[str]:
    """How to run `anabranch-hub`, installed or not."""
    return [sys.executable, "-m", "anabranch_hub", *arguments]


def surroundings() -> dict[str, str]:
    """The environment of a command: it imports what the tests import, and no setting of whoever runs them."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANABRANCH_")}
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "PYTHONWARNINGS": "error",
        "ANABRANCH_AUTHOR": AUTHOR,
    }


def run_hub_command(
    *arguments: str,
    stdin: str = "",
    data_dir: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Ran:
    """Run `anabranch-hub` to its end."""
    place = {"ANABRANCH_HUB_DATA": str(data_dir)} if data_dir is not None else {}
    ran = subprocess.run(
        hub_command(*arguments),
        input=stdin,
        capture_output=True,
        text=True,
        env={**surroundings(), **place, **(environment or {})},
        timeout=PATIENCE_S,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)
