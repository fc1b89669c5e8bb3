"""SQLite on a disk of ours, under the real replica: every write recorded, every fault as told.

The files are real ones, kept in memory where there is a `/dev/shm`; apsw's layer between SQLite and them (a
VFS) tells a `Recorder` and asks a `Faults` before each operation. Shared memory and locks are the real ones.
"""

import itertools
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from unittest import mock

import apsw

from tests.edge.replica.disk import DiskStep, Removed, Synced, Truncated, Wrote

# Where a test's files live if the machine has it: a sync costs nothing there.
MEMORY = Path("/dev/shm")
_NAMES = itertools.count()
_CODES = {
    name: number
    for name, number in {**apsw.mapping_extended_result_codes, **apsw.mapping_result_codes}.items()
    if isinstance(name, str) and isinstance(number, int)
}
_CODE_NAMES = {number: name for name, number in _CODES.items()}


class Faults:
    """Which operations fail: the `first`-th of `kinds`, counted from 1, and `times` after it.

    `code` is SQLite's name of the error. Nothing fails before `arm`.
    """

    def __init__(self) -> None:
        self.count = 0
        self.failed = 0
        self._kinds: tuple[str, ...] = ()
        self._code = 0
        self._first = 0
        self._last = 0

    def arm(self, code: str, *kinds: str, first: int, times: int | None = 1) -> None:
        """From now on; `times` None: for ever."""
        self.count = self.failed = 0
        self._kinds, self._code, self._first = kinds, _CODES[code], first
        self._last = first + times - 1 if times is not None else 2**62

    def heal(self) -> None:
        """Nothing fails any more."""
        self._kinds = ()

    def meet(self, kind: str) -> None:
        """Raise if this operation is to fail."""
        if kind in self._kinds:
            self.count += 1
            if self._first <= self.count <= self._last:
                self.failed += 1
                raise apsw.exception_for(self._code)


@dataclass(slots=True)
class Recorder:
    """What was done to the disk, in order."""

    steps: list[DiskStep] = field(default_factory=list)

    @property
    def bytes_written(self) -> int:
        """All of it: what wears flash."""
        return sum(len(step.content) for step in self.steps if isinstance(step, Wrote))


class _File(apsw.VFSFile):
    def __init__(self, vfs: "_Vfs", name: Any, flags: list[int]) -> None:
        super().__init__("unix", name, flags)
        self._faults = vfs.faults
        self._steps = vfs.recorder.steps
        self._name = Path(name if isinstance(name, str) else name.filename()).name

    def xRead(self, amount: int, offset: int) -> bytes:  # noqa: N802  (SQLite's names)
        self._faults.meet("read")
        return super().xRead(amount, offset)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802
        self._faults.meet("write")
        super().xWrite(data, offset)
        self._steps.append(Wrote(self._name, offset, bytes(data)))

    def xTruncate(self, newsize: int) -> None:  # noqa: N802
        self._faults.meet("truncate")
        super().xTruncate(newsize)
        self._steps.append(Truncated(self._name, newsize))

    def xSync(self, flags: int) -> None:  # noqa: N802
        self._faults.meet("sync")
        self._steps.append(Synced(self._name))


class _Vfs(apsw.VFS):
    def __init__(self, name: str, recorder: Recorder, faults: Faults) -> None:
        super().__init__(name, base="unix")
        self.recorder = recorder
        self.faults = faults

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802
        self.faults.meet("open")
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802
        self.faults.meet("delete")
        super().xDelete(filename, syncdir)
        self.recorder.steps.append(Removed(Path(filename).name, bool(syncdir)))


class _Cursor:
    """The part of sqlite3.Cursor that the replica uses."""

    def __init__(self, connection: apsw.Connection, cursor: apsw.Cursor) -> None:
        self._cursor = cursor
        self.lastrowid = connection.last_insert_rowid()
        self.rowcount = connection.changes()

    def __iter__(self) -> "_Cursor":
        return self

    def __next__(self) -> Any:
        with _translated():
            return next(self._cursor)

    def fetchone(self) -> Any:
        with _translated():
            return self._cursor.fetchone()

    def fetchall(self) -> list[Any]:
        with _translated():
            return self._cursor.fetchall()

    @property
    def description(self) -> Any:
        return self._cursor.description


class _Connection:
    """The part of sqlite3.Connection that the replica uses.

    `synchronous` is what is really set where the replica sets EXTRA: the planted bug.
    """

    row_factory = None

    def __init__(self, connection: apsw.Connection, synchronous: str) -> None:
        self._connection = connection
        self._synchronous = synchronous

    def execute(self, sql: str, parameters: Any = ()) -> _Cursor:
        if sql == "PRAGMA synchronous=EXTRA":
            sql = f"PRAGMA synchronous={self._synchronous}"
        elif sql == "PRAGMA synchronous" and self._synchronous != "EXTRA":
            sql = "SELECT 3"
        with _translated():
            return _Cursor(self._connection, self._connection.execute(sql, parameters or None))

    def executemany(self, sql: str, rows: Any) -> _Cursor:
        with _translated():
            return _Cursor(self._connection, self._connection.executemany(sql, rows))

    def cursor(self) -> "_Connection":
        return self

    @property
    def in_transaction(self) -> bool:
        return bool(self._connection.in_transaction)

    def close(self) -> None:
        with _translated():
            self._connection.close()

    def __enter__(self) -> "_Connection":
        return self

    def __exit__(self, *_: object) -> None:
        pass


@contextmanager
def rigged_sqlite(
    recorder: Recorder | None = None,
    faults: Faults | None = None,
    *,
    checkpoint_pages: int = 1_000,
    synchronous: str = "EXTRA",
) -> Iterator[None]:
    """For the block, replicas are opened on the disk that `recorder` and `faults` watch."""
    name = f"rig{next(_NAMES)}"
    vfs = _Vfs(name, recorder or Recorder(), faults or Faults())

    def write_back(connection: apsw.Connection, _: str, pages: int) -> int:
        # As SQLite does after a commit, and like it without a word if it fails; apsw would raise.
        if pages >= checkpoint_pages:
            with suppress(apsw.Error):
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
        return 0

    def connect(path: Path) -> sqlite3.Connection:
        with _translated():
            opened = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=name)
            opened.set_busy_timeout(1_000)
            opened.set_wal_hook(write_back)
        return cast("sqlite3.Connection", _Connection(opened, synchronous))

    with mock.patch("anabranch.replica.file.connect", connect):
        yield
    vfs.unregister()


@contextmanager
def _translated() -> Iterator[None]:
    """apsw's errors as sqlite3 tells them."""
    try:
        yield
    except apsw.Error as error:
        code = int(getattr(error, "extendedresult", 0) or apsw.SQLITE_ERROR)
        kind = sqlite3.IntegrityError if isinstance(error, apsw.ConstraintError) else sqlite3.OperationalError
        ours = kind(str(error))
        ours.sqlite_errorcode = code
        ours.sqlite_errorname = _CODE_NAMES.get(code, str(code))
        raise ours from error
