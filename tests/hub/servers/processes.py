"""What the tests of servers ask of processes."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from anabranch_hub.servers.process import shim

# Only a hang meets this; every wait ends as soon as what it waits for is there.
PATIENCE_S = 60.0


@dataclass(frozen=True, slots=True)
class Owner:
    """A running `owner` process and what it reported."""

    process: subprocess.Popen[str]
    uid: int
    pids: list[int]
    postgres_dsn: str


def owner_command(*, ordinary_user: bool) -> list[str]:
    """How to run `owner`; as an ordinary user, root first steps down as the servers themselves do."""
    steps_down = ordinary_user and os.geteuid() == 0
    front = shim(signal.SIGKILL, "namespace") if steps_down else []
    return [*front, sys.executable, "-m", "tests.hub.servers.owner"]


def surroundings() -> dict[str, str]:
    """The environment of an `owner`: it imports what the tests import."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


@contextlib.contextmanager
def owner(data_dir: Path, *, ordinary_user: bool = False) -> Iterator[Owner]:
    """An `owner` over `data_dir`, ready; killed at the end if it still runs."""
    command = [*owner_command(ordinary_user=ordinary_user), str(data_dir)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=surroundings(), cwd=Path.cwd()
    ) as process:
        assert process.stdout is not None
        try:
            yield Owner(process, **json.loads(process.stdout.readline()))
        finally:
            process.kill()


def is_alive(pid: int) -> bool:
    """Whether `pid` runs; a zombie waits only for its parent."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def wait_until_gone(pids: list[int]) -> None:
    deadline_s = time.monotonic() + PATIENCE_S
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline_s, f"still running: {[pid for pid in pids if is_alive(pid)]}"
        time.sleep(0.01)


def descendants(pid: int) -> list[int]:
    """The processes below `pid`."""
    try:
        children = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [below for child in children for below in (child, *descendants(child))]


def living_below(folder: Path) -> list[int]:
    """The living processes below this one that work in `folder` or were told of it.

    Other servers may run below the tests too, for a whole session.
    """
    return [pid for pid in descendants(os.getpid()) if is_alive(pid) and _knows(pid, folder)]


def _knows(pid: int, folder: Path) -> bool:
    try:
        place = Path(f"/proc/{pid}/cwd").readlink()
        told = Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except OSError:
        return False
    return place.is_relative_to(folder) or str(folder) in told
