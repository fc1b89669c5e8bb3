"""A new replica's file: built aside and moved to its name when it is whole."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anabranch.errors import DiskFull, ReplicaExists, ReplicaUnwritable
from anabranch.replica import marks
from anabranch.replica.file import Connection, ReplicaFile, connected


@contextmanager
def creating(path: Path) -> Iterator[tuple[Path, Connection]]:
    """Build a new replica aside and move it to `path` when the block ends: half a file never shows.

    Raises ReplicaExists; never overwrites.
    """
    aside = Path(f"{path}.new")
    with _unwritable(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        if path.exists():
            raise ReplicaExists(str(path), "the file is already there")
        marks.forget(descriptor)
        _remove(aside)
        with _unwritable(path):
            os.close(os.open(aside, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        file = ReplicaFile(aside)
        with file.translated():
            connection = connected(aside, new=True)
            try:
                yield aside, connection
                # A last close that finds no room keeps quiet, and the WAL is not moved along.
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()
        with _unwritable(path):
            aside.rename(path)
            sync_directory(path)
    finally:
        _remove(aside)
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Make the directory entry of `path` durable: without it a power cut can take the whole file."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", ".ballast"):
        Path(f"{path}{suffix}").unlink(missing_ok=True)


@contextmanager
def _unwritable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull(str(path), "no room for a new file") from error
        raise ReplicaUnwritable(str(path), f"{error.filename}: {error.strerror}") from error
