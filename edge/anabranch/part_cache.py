"""Parts of snapshots that passed this relay, on its disk, for the next of its children that lacks one.

::

    <replica>.parts/        0700
      <sha256>              a part
      <sha256>.head         the first bytes of one that is on its way
      counts                JSON: the bytes that were fetched from above, and served to edges here

All of it may go at any moment, and nothing is synced: what a disk does not take, or gives back damaged, is
fetched again. Who is given a part knows its name from the hub, and believes nothing but that.
"""

import contextlib
import json
import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from anabranch_sync.snapshot import NAME_BYTES, Part, name_of

# Some hundred scopes of a thousand documents; on the smallest cards in use, of 4 GB, a thirtieth.
PARTS_BYTES_MAX = 128 * 1024 * 1024
# The replica needs the disk more than this does.
DISK_FREE_BYTES_MIN = 64 * 1024 * 1024
# A scope that nobody fetched in this time has changed since, or nobody may have it any more.
PART_UNUSED_S_MAX = 7 * 86_400
_HEAD, _COUNTS = ".head", "counts"
_PART = re.compile(rf"[0-9a-f]{{{2 * NAME_BYTES}}}(\{_HEAD})?")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Counts:
    """Bytes of parts: fetched from above, and served to children and to the relay itself."""

    fetched_bytes: int = 0
    served_bytes: int = 0

    @property
    def saved_bytes(self) -> int:
        """What this relay's link did not carry."""
        return max(0, self.served_bytes - self.fetched_bytes)


@dataclass(frozen=True, slots=True)
class Holding:
    """What is kept. `incomplete` are parts of which not all has come."""

    parts: int
    incomplete: int
    size_bytes: int
    counts: Counts


@dataclass(frozen=True, slots=True)
class _Kept:
    used_s: float
    size_bytes: int
    path: Path


def parts_folder(replica: Path) -> Path:
    """Where the relay with the replica at `replica` keeps parts."""
    return Path(f"{replica}.parts")


class PartCache:
    """The parts in `folder`. Only `clear` raises for what a disk does; each may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writing = threading.Lock()

    def piece(self, name: bytes, offset: int, bytes_max: int) -> bytes:
        """Bytes of a part from `offset` on; empty where they are not here.

        The part is verified where they are its first or its last: who goes on with the rest of one asks for
        no first, and would be given the same damage again and again.
        """
        path = self._path(name)
        try:
            if path.exists() and (not offset or offset + bytes_max >= path.stat().st_size):
                if name_of(path.read_bytes()) != name:
                    log.warning("a kept part is damaged and goes", extra={"part": name.hex()})
                    path.unlink()
                    return b""
                os.utime(path)
            with (path if path.exists() else _head_of(path)).open("rb") as file:
                file.seek(offset)
                kept = file.read(bytes_max)
        except OSError:
            return b""
        if kept:
            with self._writing:
                self._count(0, len(kept))
        return kept

    def add(self, part: Part, offset: int, piece: bytes) -> None:
        """Keep a piece that was fetched for somebody, where it goes on from what is here."""
        path = self._path(part.name)
        head = _head_of(path)
        with self._writing:
            self._count(len(piece), len(piece))
            try:
                begins = not head.exists()
                if path.exists() or (begins and (offset or not self._has_room(part.size_bytes))):
                    return
                if not _append(head, offset, piece) or offset + len(piece) < part.size_bytes:
                    return
                if name_of(head.read_bytes()) == part.name:
                    head.replace(path)
                else:
                    head.unlink()
            except OSError as error:
                log.warning("a part is not kept", extra={"part": part.name.hex(), "reason": str(error)})
                _remove(head)  # what is there of it would only keep the disk full

    def holding(self) -> Holding:
        """What is here now."""
        kept = [*self._kept()]
        incomplete = sum(each.path.suffix == _HEAD for each in kept)
        return Holding(
            len(kept) - incomplete, incomplete, sum(each.size_bytes for each in kept), self._counts()
        )

    def clear(self) -> Holding:
        """Remove everything; returns what was here. Safe while a relay runs. Raises OSError."""
        held = self.holding()
        for each in self._kept():
            each.path.unlink(missing_ok=True)
        (self._folder / _COUNTS).unlink(missing_ok=True)
        return held

    def _count(self, fetched_bytes: int, served_bytes: int) -> None:
        """Add to what is counted."""
        before = self._counts()
        now = Counts(before.fetched_bytes + fetched_bytes, before.served_bytes + served_bytes)
        with contextlib.suppress(OSError):  # it only counts
            self._folder.mkdir(mode=0o700, exist_ok=True)
            aside = self._folder / f"{_COUNTS}.new"
            aside.touch(mode=0o600)
            aside.write_text(json.dumps(asdict(now)))
            aside.replace(self._folder / _COUNTS)

    def _path(self, name: bytes) -> Path:
        assert len(name) == NAME_BYTES, "the name of a part"
        return self._folder / name.hex()

    def _has_room(self, size_bytes: int) -> bool:
        """Make room for a part, at the cost of those that were used least recently. Raises OSError."""
        self._folder.mkdir(mode=0o700, exist_ok=True)
        kept = sorted(self._kept(), key=lambda each: each.used_s)
        left = sum(each.size_bytes for each in kept)
        for each in kept:
            is_old = each.used_s < time.time() - PART_UNUSED_S_MAX
            if is_old or left + size_bytes > PARTS_BYTES_MAX:
                each.path.unlink(missing_ok=True)
                left -= each.size_bytes
        return shutil.disk_usage(self._folder).free >= DISK_FREE_BYTES_MIN + size_bytes

    def _kept(self) -> Iterator[_Kept]:
        try:
            entries = [each for each in self._folder.iterdir() if _PART.fullmatch(each.name)]
        except OSError:
            return
        for path in entries:
            try:
                known = path.stat()
            except OSError:
                continue  # it has gone meanwhile
            yield _Kept(known.st_mtime, known.st_size, path)

    def _counts(self) -> Counts:
        try:
            told = json.loads((self._folder / _COUNTS).read_bytes())
            return Counts(int(told["fetched_bytes"]), int(told["served_bytes"]))
        except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError):
            return Counts()


def _head_of(path: Path) -> Path:
    return path.with_suffix(_HEAD)


def _append(head: Path, offset: int, piece: bytes) -> bool:
    """Write the piece where all before it is there. Raises OSError."""
    descriptor = os.open(head, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        if os.fstat(descriptor).st_size != offset:
            return False
        file.write(piece)
    return True


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
