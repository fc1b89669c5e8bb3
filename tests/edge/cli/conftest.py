"""A replica, and the command line on it: in this process for breadth, in one of its own for the rest.

`make test-binary` names a program in $ANABRANCH_UNDER_TEST: then each command line is run by that.
"""

from __future__ import annotations

import errno
import inspect
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from anabranch.cli import main
from anabranch.replica import Replica
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.ids import START, Cursor
from anabranch_sync.pull import Pull

if TYPE_CHECKING:
    from tests.running_hub import RunningHub

# Only a hang meets this.
PATIENCE_S = 60.0
# The single file of `make binary`, where that is what is tested.
UNDER_TEST = os.environ.get("ANABRANCH_UNDER_TEST")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave out what looks into modules, where a single file keeps them to itself."""
    if not UNDER_TEST:
        return
    inside = pytest.mark.skip(reason="it changes what is inside the program")
    for item in items:
        if isinstance(item, pytest.Function) and "monkeypatch" in inspect.signature(item.function).parameters:
            item.add_marker(inside)


@dataclass(frozen=True, slots=True)
class Ran:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, as JSON; the command must have succeeded."""
        assert self.code == 0, self.err
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """The error it told as JSON, which must be one line, with nothing on standard output."""
        assert self.out == ""
        assert self.err.count("\n") == 1
        return json.loads(self.err)["error"]


@dataclass(frozen=True, slots=True)
class Anabranch:
    """`anabranch` on the replica at `path`, with `folder` as home and for its crash file."""

    path: Path
    folder: Path
    monkeypatch: pytest.MonkeyPatch
    capture: pytest.CaptureFixture[str]

    def beside(self, name: str) -> Anabranch:
        """The command line on another replica, which is not there yet, in the same folder."""
        return Anabranch(self.folder / f"{name}.db", self.folder, self.monkeypatch, self.capture)

    def join(self, hub: RunningHub, token: str) -> None:
        """Enrol at the hub by a one-time token."""
        assert self.apart("init", "--hub", hub.listen, "--token", "-", stdin=token).code == 0

    def __call__(self, *arguments: str, stdin: str | bytes = "") -> Ran:
        """Run it in this process, where it can be."""
        text = stdin.encode() if isinstance(stdin, str) else stdin
        if UNDER_TEST:
            return self._run(arguments, text, None)
        with self.monkeypatch.context() as patch:
            for name, value in self.variables().items():
                patch.setenv(name, value)
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), "utf-8"))
            code = main(arguments)
        out, err = self.capture.readouterr()
        assert "Traceback" not in err
        return Ran(code, out, err)

    def apart(
        self, *arguments: str, stdin: str | None = None, environment: Mapping[str, str] | None = None
    ) -> Ran:
        """Run it to its end in a process of its own."""
        return self._run(arguments, None if stdin is None else stdin.encode(), environment)

    def _run(self, arguments: Sequence[str], stdin: bytes | None, more: Mapping[str, str] | None) -> Ran:
        try:
            ran = subprocess.run(
                self.command(*arguments),
                input=stdin,
                capture_output=True,
                env=self.environment(more),
                timeout=PATIENCE_S,
                check=False,
            )
        except OSError as error:
            if error.errno != errno.E2BIG:
                raise
            pytest.skip("no process takes so long an argument")
        except ValueError:
            pytest.skip("no process takes a NUL")
        return Ran(ran.returncode, ran.stdout.decode(), ran.stderr.decode())

    def started(self, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
        """Start it in a process of its own."""
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **settings}
        return subprocess.Popen(
            self.command(*arguments),
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            env=self.environment(),
            **settings,
        )

    def command(self, *arguments: str) -> list[str]:
        """How to run it, installed or not."""
        return [UNDER_TEST, *arguments] if UNDER_TEST else [sys.executable, "-m", "anabranch.cli", *arguments]

    def environment(self, more: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment of a process: it imports what the tests import."""
        # Unbuffered, Python itself forgets the rest of what a pipe has taken a part of.
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("ANABRANCH_") and name != "PYTHONUNBUFFERED"
        }
        import_path = os.pathsep.join(path for path in sys.path if path)
        return {**inherited, "PYTHONPATH": import_path, **self.variables(), **(more or {})}

    def variables(self) -> dict[str, str]:
        """Where it finds its replica and its home."""
        return {
            "ANABRANCH_REPLICA": str(self.path),
            "HOME": str(self.folder),
            "XDG_STATE_HOME": str(self.folder / "state"),
            "NO_COLOR": "1",
        }

    def synced(self) -> None:
        """Let the replica hear from a hub that has nothing for it."""
        with Replica.open(self.path) as replica:
            replica.apply(Pull(START, Cursor(1, 1), ScopeDigest(), {}, whole=True), 0)


@pytest.fixture
def anabranch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Anabranch:
    """The command line on a new replica of the edge acme/edge-1, which writes acme/prod and acme/lab."""
    path = tmp_path / "replica.db"
    Replica.create(
        path, tenant="acme", edge="edge-1", prefixes=("acme/lab", "acme/prod"), incarnation=1, author="Ada"
    ).close()
    for name in [name for name in os.environ if name.startswith("ANABRANCH_")]:
        monkeypatch.delenv(name)
    return Anabranch(path, tmp_path, monkeypatch, capsys)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub with the tenant acme, for modules that run where the hub is installed too."""
    from tests.running_hub import running_hub

    with running_hub(tmp_path_factory.mktemp("hub") / "data") as running:
        running.ok("tenant", "create", "acme")
        yield running


@pytest.fixture
def edge(hub: RunningHub, anabranch: Anabranch) -> Callable[[str], Anabranch]:
    """Enrols an edge of this name for acme/prod."""

    def enrolled(name: str) -> Anabranch:
        new = anabranch.beside(name)
        token = hub.invite("acme", name, "acme/prod")
        ran = new.apart("init", "--hub", hub.listen, "--token", "-", "--json", stdin=token)
        assert ran.json["edge"] == name
        return new

    return enrolled
