"""Small files below a data directory: secrets for the owner only, and everything replaced whole.

A file is written aside, synced, and renamed over the old one, and the folder is synced: after a power cut
there is the old content or the new one. A folder or disk that takes no file is DataDirNotWritable.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anabranch_hub.errors import DataDirNotWritable


@contextmanager
def writing_below(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into DataDirNotWritable for `folder`."""
    try:
        yield
    except OSError as error:
        raise DataDirNotWritable(folder, error.strerror or str(error)) from error


def write_private(path: Path, content: str | bytes) -> None:
    """Replace `path` durably; readable by the owner alone from its first moment."""
    aside = path.with_name(path.name + ".new")
    with writing_below(path.parent):
        aside.unlink(missing_ok=True)
        file = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with os.fdopen(file, "wb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        aside.replace(path)
        sync_folder(path.parent)


def read_text(path: Path) -> str | None:
    """The stripped content, or None when there is no such file."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        return None


def sync_folder(folder: Path) -> None:
    """Make renames and removals in `folder` durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_private_folder(folder: Path) -> None:
    """Create `folder` for its owner alone; nothing when it exists."""
    with writing_below(folder):
        folder.mkdir(mode=0o700, exist_ok=True)


def remove_tree(folder: Path) -> None:
    """Remove what an interrupted first start left; nothing when there is nothing."""
    with writing_below(folder.parent):
        if folder.exists():
            shutil.rmtree(folder)
