"""A replica on a disk that takes no writes: SQLite cannot open one with a WAL there, so it reads a copy."""

import os
from pathlib import Path

from anabranch.errors import ReplicaUnwritable


def is_read_only(path: Path) -> bool:
    """Whether the disk of this file takes no writes."""
    try:
        return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return False


class ReadableCopy:
    """A copy of a replica's file and WAL, its owner's alone, until `close`."""

    def __init__(self, path: Path) -> None:
        """Raises ReplicaUnwritable."""
        from shutil import copyfile  # 5 ms together, which the usual disk need not pay
        from tempfile import TemporaryDirectory

        try:
            self._folder = TemporaryDirectory(prefix="anabranch-read-only-")
            self.path = Path(self._folder.name) / path.name
            for suffix in ("", "-wal"):
                if (source := Path(f"{path}{suffix}")).exists():
                    copyfile(source, f"{self.path}{suffix}")
        except OSError as error:
            raise ReplicaUnwritable(
                str(path), f"its disk is read-only, no room for a copy: {error}"
            ) from error

    def close(self) -> None:
        """Remove it."""
        self._folder.cleanup()
