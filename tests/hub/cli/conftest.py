"""One hub for all tests of commands that leave it running.

Most commands run in the process of the tests: they are the same there from the first argument to the exit
code, and a second of starting Python is spared for each. Where a process matters a test starts one.
"""

from __future__ import annotations

import io
import itertools
import shutil
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import replace
from pathlib import Path

import pytest
from anabranch_hub.cli.program import program

from tests.running_hub import AUTHOR, Ran, RunningHub, running_hub

_NUMBERS = itertools.count(1)


def run_here(*arguments: str, stdin: str, data_dir: Path) -> Ran:
    """Run `anabranch-hub` in this process."""
    return _run("--author", AUTHOR, *arguments, "--data-dir", str(data_dir), stdin=stdin)


def run_far(*arguments: str) -> Ran:
    """Run `anabranch-hub` in this process as somebody who has nothing of a hub's."""
    return _run(*arguments, stdin="")


def _run(*arguments: str, stdin: str) -> Ran:
    out, err, standard_input = io.StringIO(), io.StringIO(), sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(stdin.encode()))
    try:
        with redirect_stdout(out), redirect_stderr(err):
            code = program.run([*arguments])
    finally:
        sys.stdin = standard_input
    return Ran(code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="session")
def hub_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that runs as long as the session, whose commands are processes too."""
    with running_hub(tmp_path_factory.mktemp("cli") / "hub") as running:
        yield running


@pytest.fixture(scope="session")
def hub(hub_process: RunningHub) -> RunningHub:
    """The same hub, its commands run here."""
    return replace(hub_process, run_command=run_here)


@pytest.fixture
def tenant(hub: RunningHub) -> str:
    """A tenant that no other test uses."""
    name = f"t{next(_NUMBERS)}"
    hub.ok("tenant", "create", name)
    return name


@pytest.fixture(scope="session")
def served_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose hub ran once and stopped, with a tenant `acme`; copy it, do not touch it."""
    data_dir = tmp_path_factory.mktemp("served-once") / "hub"
    with running_hub(data_dir) as running:
        running.ok("tenant", "create", "acme")
    return data_dir


@pytest.fixture
def data_dir(served_once: Path, tmp_path: Path) -> Path:
    """A data directory of the test's own, which saves it the first start."""
    copy = tmp_path / "hub"
    shutil.copytree(served_once, copy)
    return copy
