"""The end of an edge's data, by order of its hub: the replica, what stands beside it, and the keys.

The replica is renamed first. From then on no program takes it for one, and whoever finds that name finishes
what a power cut broke off. Bytes are overwritten before their names go; what flash or a copying file system
keeps of them is not claimed.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from anabranch.errors import ReplicaUnwritable
from anabranch.identity import identity_folder, sync_folder
from anabranch.part_cache import parts_folder
from anabranch.replica import Replica

_BLOCK_BYTES = 1024 * 1024
# Those in which there is no more than the numbers of pages, and locks.
_BARE = ("-shm", ".lock", ".agent.lock")
_FILLED = ("-wal", ".ballast", ".identity.new")


def wipe(replica: Replica, *, at_once: bool) -> bool:
    """Remove everything; False, and nothing done, where something is unsent and it is not to be `at_once`.

    Raises ReplicaError.
    """
    aside = _aside(replica.path)

    def put_aside() -> None:
        replica.path.rename(aside)
        sync_folder(replica.path.parent)

    with _writing(replica.path):
        if at_once:  # whatever the file is like
            put_aside()
        elif not replica.end(put_aside):
            return False
        _erase(replica.path)
    return True


def finish_wipe(path: Path) -> bool:
    """Finish a wipe of the replica at `path` that was broken off; whether there was one.

    Raises ReplicaUnwritable.
    """
    if not _aside(path).exists():
        return False
    with _writing(path):
        _erase(path)
    return True


def wipe_late_parts(path: Path) -> None:
    """Remove what a relay has kept for its children after it was wiped, now that it serves none any more.

    Raises ReplicaUnwritable.
    """
    with _writing(path):
        _erase_parts(path)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into our error."""
    try:
        yield
    except OSError as error:
        raise ReplicaUnwritable(str(path), error.strerror or str(error)) from error


def _aside(path: Path) -> Path:
    return Path(f"{path}.wiping")


def _erase(path: Path) -> None:
    """The keys first; last the name by which it is known that this is not done. Raises OSError."""
    for each in (identity_folder(path), *(Path(f"{path}{suffix}") for suffix in _FILLED)):
        _remove(each)
    _erase_parts(path)
    for suffix in _BARE:
        Path(f"{path}{suffix}").unlink(missing_ok=True)
    _remove(_aside(path))
    sync_folder(path.parent)


def _erase_parts(path: Path) -> None:
    """Under another name, so that a relay which still serves adds nothing to it meanwhile. Raises OSError."""
    parts = parts_folder(path)
    aside = _aside(parts)
    _remove(aside)
    if parts.is_dir():
        parts.rename(aside)
        _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir():
        for each in path.rglob("*"):
            if each.is_file() and not each.is_symlink():
                _overwrite(each)
        shutil.rmtree(path)
    elif path.exists():
        _overwrite(path)
        path.unlink()


def _overwrite(path: Path) -> None:
    with path.open("r+b", buffering=0) as file:
        left = path.stat().st_size
        while left:
            left -= file.write(bytes(min(left, _BLOCK_BYTES)))
        os.fsync(file.fileno())
