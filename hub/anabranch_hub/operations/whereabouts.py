"""Where a hub runs, written below its data directory for the commands that want to reach it.

    DIR/run/            0700
      hub.json          pid, addresses, the authority's fingerprint
      postgres-dsn      0600, password included; gone after a clean stop
      authority.pem     the root certificate that edges trust
      courier.pem       0600, key and certificate that sign files to edges; gone after a clean stop

`serve` writes it when everything answers and removes it when it stops. What a killed hub left behind
is replaced by the next; until then the pid in it tells a reader that nobody is there.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from anabranch_hub.errors import DataDirNotWritable, DataDirVersion, NoHubRuns, NotOurs
from anabranch_hub.servers.private_files import make_private_folder, read_text, write_private

_FOLDER = "run"
_HUB = "hub.json"
_DSN = "postgres-dsn"
_AUTHORITY = "authority.pem"
_COURIER = "courier.pem"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """A running hub. Addresses are HOST:PORT; `health` is empty when it is off."""

    pid: int
    release: str
    started_ms: int
    listen: str
    enrol: str
    health: str
    embedded: bool
    vault: str
    authority_sha256: str


_ADAPTER = TypeAdapter(Whereabouts)


def announce(
    data_dir: Path, whereabouts: Whereabouts, *, postgres_dsn: str, authority_pem: bytes, courier_pem: bytes
) -> None:
    """Write `whereabouts` below `data_dir`, the file that names the others last.

    Raises DataDirNotWritable.
    """
    folder = data_dir / _FOLDER
    try:
        make_private_folder(folder)
        write_private(folder / _DSN, postgres_dsn)
        write_private(folder / _AUTHORITY, authority_pem)
        write_private(folder / _COURIER, courier_pem)
        write_private(folder / _HUB, _ADAPTER.dump_json(whereabouts, indent=1))
    except OSError as error:
        raise DataDirNotWritable(folder, error.strerror or str(error)) from error


def withdraw(data_dir: Path) -> None:
    """Remove what `announce` wrote; safe to repeat, and with a disk that takes no more writes."""
    for name in (_HUB, _DSN, _COURIER):
        with contextlib.suppress(OSError):
            (data_dir / _FOLDER / name).unlink(missing_ok=True)


def find(data_dir: Path) -> Whereabouts:
    """The hub that runs on `data_dir`. Raises NoHubRuns, NotOurs, DataDirVersion."""
    text = _read(data_dir, _HUB)
    try:
        whereabouts = _ADAPTER.validate_json(text)
    except ValidationError as error:
        # Another release's hub, running: what it wrote has fields we do not know.
        raise DataDirVersion(
            data_dir, what="a hub of", found="another release", supported="its own"
        ) from error
    if not is_running(whereabouts.pid):
        raise NoHubRuns(data_dir)
    return whereabouts


def postgres_dsn(data_dir: Path) -> str:
    """How to reach the Postgres of the hub on `data_dir`. Raises NoHubRuns, NotOurs."""
    return _read(data_dir, _DSN)


def authority_pem(data_dir: Path) -> bytes:
    """The root that the hub's edges trust. Raises NoHubRuns, NotOurs."""
    return _read(data_dir, _AUTHORITY).encode("ascii") + b"\n"


def courier_pem(data_dir: Path) -> bytes:
    """The key that signs files to edges, and its certificates. Raises NoHubRuns, NotOurs."""
    return _read(data_dir, _COURIER).encode("ascii") + b"\n"


def is_running(pid: int) -> bool:
    """Whether a process has this pid."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _read(data_dir: Path, name: str) -> str:
    try:
        text = read_text(data_dir / _FOLDER / name)
    except OSError as error:
        raise NotOurs(data_dir, error.strerror or str(error)) from error
    if text is None:
        raise NoHubRuns(data_dir)
    return text
