"""The file under a replica: how it is opened, locked, written and found damaged. sqlite3 is only here.

Beside ``PATH`` stand ``PATH-wal`` and ``PATH-shm`` (SQLite's), ``PATH.lock`` (held shared while a
process has the replica open), ``PATH.agent.lock`` (held by the agent) and ``PATH.ballast``.

``synchronous=EXTRA`` is set before ``journal_mode=WAL`` and both are read back: with NORMAL,
acknowledged commits were lost in 345 of 400 simulated power cuts, with FULL in 201 of 400 where an
unlink was not durable, with EXTRA in none. SQLite removes the WAL when the last connection closes
cleanly; one that is left behind while nobody holds the lock is the mark of an unclean stop, and the
file is then checked before anything is read from it.
"""

import errno
import fcntl
import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from anabranch.errors import (
    DiskFull,
    ReplicaBusy,
    ReplicaCorrupt,
    ReplicaError,
    ReplicaMissing,
    ReplicaUnwritable,
    StorageFailed,
)
from anabranch.replica import marks
from anabranch.replica.marks import Loss, Marks
from anabranch.replica.queries import SQL
from anabranch.replica.read_only import ReadableCopy, is_read_only

Connection: TypeAlias = sqlite3.Connection
T = TypeVar("T")

# "ANBR": so that `file` and a person can tell a replica from any other SQLite file.
APPLICATION_ID = 0x414E4252
# The longest honest writer applies the first pull of a large scope; ten times what that takes.
BUSY_S = 30.0
# A commit appends some 30 KiB to the WAL; 128 KiB lets several deletes through on a full disk.
BALLAST_BYTES = 128 * 1024
# After a checkpoint the WAL is cut back to this, so that one large pull does not keep its size.
WAL_BYTES_KEPT = 1024 * 1024
# The file is written anew beside itself, and then once more into the WAL.
VACUUM_COPIES = 3
# How long a sweep waits for readers before it is put off: writers wait for it.
_SWEEP_MS = 1_000
_EXTRA = 3
# The smallest page; SQLite takes anything shorter for an empty database.
_FILE_BYTES_MIN = 512
# What one line has room for of what SQLite finds: any of it is enough.
_PROBLEMS_TOLD_MAX = 3

# Primary result codes (https://sqlite.org/rescode.html).
_FULL_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE}


# How the names of tables begin that were put aside because SQLite cannot read them.
UNREADABLE = "unreadable_"
# Of what a salvage makes anew: damage in these alone keeps nobody from the rest of the file.
_SALVAGED = ("outbox", "outbox_documents")


class NoSuchWord(Exception):
    """A column holds a word that nothing here ever wrote; `ReplicaFile.translated` says in which file."""


class ReplicaFile:
    """Two connections to one file: one that writes, one that reads and never waits for the other.

    Safe to use from several threads: each connection has its lock. Not across `os.fork`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.write_lock = threading.RLock()
        self.read_lock = threading.RLock()
        self.reader: Connection | None = None
        self._writer: Connection | None = None
        self._open_lock: int | None = None
        self._closed = False
        self._growing = False
        self._suspect: set[Connection] = set()
        self._ballast = f"{path}.ballast"
        self.was_unclean = False
        self.loss: Loss | None = None
        self._copy: ReadableCopy | None = None
        self._files: tuple[tuple[int, int] | None, ...] = ()

    def write(self, work: Callable[[Connection], T]) -> T:
        """Do `work` in one durable transaction, and nothing of it if it raises. Safe to repeat in itself.

        On a full disk, work that did not ask `require_room` is done once more in the reserve: deletes,
        and the notes of an exchange, go on.
        """
        with self.write_lock:
            self._growing = False
            try:
                return self._transact(work)
            except DiskFull:
                if self._growing or not self.ballast.exists():
                    raise
                self.free_ballast()
                return self._transact(work)

    def require_room(self) -> None:
        """Refuse work that adds something while the reserve is gone and cannot be laid again.

        So that what deletes, and the notes of an exchange, do not find it eaten up. Raises DiskFull.
        """
        self._growing = True
        if not os.path.exists(self._ballast):  # noqa: PTH110  (asked in every write)
            self.lay_ballast()

    def _transact(self, work: Callable[[Connection], T]) -> T:
        with self.translated():
            assert not self._closed, "the replica is closed"
            self._refuse_if_read_only()
            connection = self._writer = self._usable(self._writer)
            connection.execute("BEGIN IMMEDIATE")
            self.check_files()
            try:
                done = work(connection)
                reached = _marks(connection)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                raise
            if self._open_lock is not None and reached is not None:
                marks.note(self._open_lock, reached)
            return done

    def sweep(self) -> bool:
        """Move the WAL into the file and cut it off: what was deleted is in neither.

        False: a reader kept it from that.
        """
        with self.write_lock, self.read_lock, self.translated():
            connection = self._writer = self._usable(self._writer)
            connection.execute(f"PRAGMA busy_timeout={_SWEEP_MS}")
            try:
                (is_busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
            finally:
                connection.execute(f"PRAGMA busy_timeout={int(BUSY_S * 1000)}")
            return not is_busy

    def vacuum(self) -> None:
        """Write the file anew, if its free pages may hold what was deleted; that is so once at most.

        Put off where there is no room for a second copy, somebody else writes, or the disk fails.
        """
        if self._copy is not None:
            return
        with self.write_lock, suppress(ReplicaError), self.translated():
            connection = self._writer = self._usable(self._writer)
            if connection.execute(SQL["vacuum_due"]).fetchone() is None:
                return
            from shutil import disk_usage  # 3 ms that others need not pay

            folder = self.path.absolute().parent
            if disk_usage(folder).free < VACUUM_COPIES * self.path.stat().st_size:
                return
            # SQLite would copy it to /var/tmp, which may be another disk, and one that is not encrypted.
            connection.execute("PRAGMA temp_store_directory='{}'".format(str(folder).replace("'", "''")))
            try:
                connection.execute("VACUUM")
            finally:
                connection.execute("PRAGMA temp_store_directory=''")
            if self.sweep():
                connection.execute(SQL["vacuumed"])

    def _refuse_if_read_only(self) -> None:
        if self._copy is not None:
            raise ReplicaUnwritable(
                str(self.path), "its disk is read-only", "mount it for writing, open again"
            )

    def look_for_losses(self) -> None:
        """Compare what is here with what was noted as acknowledged: `loss` says what is missing."""
        if self._open_lock is None:
            return
        noted = marks.noted(self._open_lock)
        with self.reading() as connection:
            here = _marks(connection)
        found = here.lost_since(noted) if here and noted else None
        if here is not None and found is not None:
            marks.remember(self._open_lock, found)
            marks.note(self._open_lock, here)
        self.loss = marks.remembered(self._open_lock) or found

    def forget_loss(self) -> None:
        """Somebody has read of it."""
        if self._open_lock is not None:
            marks.forget_loss(self._open_lock)
        self.loss = None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """The reading connection, for this thread alone; each statement sees its own snapshot."""
        with self.read_lock, self.translated():
            assert not self._closed, "the replica is closed"
            self.reader = self._usable(self.reader)
            yield self.reader

    @contextmanager
    def snapshot(self) -> Iterator[Connection]:
        """The reading connection with one snapshot for all statements of the block."""
        with self.reading() as connection:
            connection.execute("BEGIN")
            try:
                yield connection
            finally:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Turn SQLite's errors into ours.

        After an I/O error the connections are opened anew: what such a handle believes to be on disk
        may not be there.
        """
        try:
            yield
        except NoSuchWord as error:
            raise ReplicaCorrupt(str(self.path), f"{str(error)!r} in it was never written") from error
        except UnicodeDecodeError as error:  # sqlite3 decodes text, and messages that quote damaged names
            raise ReplicaCorrupt(str(self.path), "text in it is no text any more") from error
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            if code & 0xFF in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL):
                self._suspect = {connection for connection in (self.reader, self._writer) if connection}
            if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                self.check_files()  # a wipe leaves zeros to whoever has them open: that is no damage
            raise self._ours(error, code) from error

    def open(self) -> None:
        """Connect, and check the whole file after an unclean stop. Raises ReplicaError."""
        try:
            is_file = self.path.is_file()
        except OSError as error:
            way_out = "" if error.errno == errno.EACCES else "name another file"
            raise ReplicaUnwritable(str(self.path), error.strerror or str(error), way_out) from error
        if not is_file and self.path.is_dir():
            raise ReplicaMissing(str(self.path), "it is a directory", "name the file of the replica")
        if not is_file:
            raise ReplicaMissing(str(self.path), f"there is no such file{self._gone()}")
        if is_read_only(self.path):
            self._copy = ReadableCopy(self.path)
            with self.translated():
                self.reader = connected(self._copy.path)
            self.quick_check()
            return
        if (size_bytes := self.path.stat().st_size) < _FILE_BYTES_MIN:
            raise ReplicaCorrupt(str(self.path), f"{size_bytes} bytes are no database{self._gone()}")
        self.was_unclean = self._hold_open()
        try:
            self._connect_both()
        except DiskFull:
            # SQLite needs 32 KiB beside the file even to read it.
            self.free_ballast()
            self._connect_both()
        if self.was_unclean:
            self.quick_check()
        else:
            self._check_length(size_bytes)

    def _gone(self) -> str:
        """What went with a file that is not there any more, as far as it was noted."""
        try:
            descriptor = os.open(f"{self.path}.lock", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return ""
        try:
            last = marks.noted(descriptor)
        finally:
            os.close(descriptor)
        if last is None or last.last_local <= last.push_mark:
            return ""
        return f", and {last.last_local - last.push_mark} changes that had not reached the hub went with it"

    def _check_length(self, size_bytes: int) -> None:
        """SQLite refuses a file that lacks whole pages, but fills up a part of one with zeros."""
        with self.reading() as connection:
            (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
        if size_bytes % page_bytes:
            reason = f"{size_bytes} bytes are no whole number of pages: it was cut off"
            raise ReplicaCorrupt(str(self.path), reason)

    def quick_check(self) -> None:
        """Let SQLite look through the whole file. Raises ReplicaCorrupt, unless a salvage mends it."""
        with self.reading() as connection:
            found = problems(connection)
        if found:
            raise ReplicaCorrupt(str(self.path), "; ".join(found[:_PROBLEMS_TOLD_MAX]))

    def close(self) -> None:
        """Close both connections; the last process to do so merges the WAL into the file."""
        self._closed = True
        self._disconnect()
        if self._open_lock is not None:
            os.close(self._open_lock)
            self._open_lock = None
        if self._copy is not None:
            self._copy.close()

    # The reserve for a full disk.

    @property
    def ballast(self) -> Path:
        """A file of BALLAST_BYTES that is removed when the disk is full, so that deletes still work."""
        return Path(self._ballast)

    def free_ballast(self) -> None:
        """Give the reserve back to the disk."""
        self.ballast.unlink(missing_ok=True)

    def lay_ballast(self) -> None:
        """Reserve BALLAST_BYTES. Raises DiskFull."""
        try:
            descriptor = os.open(self.ballast, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, BALLAST_BYTES)
            finally:
                os.close(descriptor)
        except OSError as error:
            self.ballast.unlink(missing_ok=True)
            if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
                raise DiskFull(str(self.path), f"no room for its reserve of {BALLAST_BYTES} bytes") from error
            raise ReplicaUnwritable(str(self.path), error.strerror or str(error)) from error

    # Connections and their errors.

    def check_files(self) -> None:
        """Refuse to go on with files that are not at their names any more: nobody would find what is written.

        SQLite takes no notice of that. Raises ReplicaMissing.
        """
        here = (_identity(str(self.path)), _identity(f"{self.path}-wal"))
        if not self._files and here[0] is not None:
            self._files = here
        if here != self._files:
            self._suspect = {connection for connection in (self.reader, self._writer) if connection}
            raise ReplicaMissing(
                str(self.path), f"the file was removed or replaced while it was in use{self._gone()}"
            )

    def _connect_both(self) -> None:
        with self.translated():
            self.reader = connected(self.path)
            self._writer = connected(self.path)

    def _usable(self, connection: Connection | None) -> Connection:
        """`connection`, or a new one for one that does not exist or has met an I/O error."""
        if connection is not None and connection not in self._suspect:
            return connection
        try:
            fresh = connected(self.path)
        except (sqlite3.Error, ReplicaUnwritable):
            if connection is None or connection is not self.reader:
                raise
            return connection  # on a disk that went read-only under us the old one still reads
        self._files = ()
        if connection is not None:
            self._suspect = self._suspect - {connection}
            with suppress(sqlite3.Error):
                connection.close()
        return fresh

    def _disconnect(self) -> None:
        with self.write_lock, self.read_lock:
            for connection in (self.reader, self._writer):
                if connection is not None:
                    with suppress(sqlite3.Error):
                        connection.close()
            self.reader = self._writer = None

    def _hold_open(self) -> bool:
        """Hold the shared lock; returns whether nobody else held it and yet a WAL is there."""
        try:
            descriptor = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ReplicaUnwritable(str(self.path), f"{error.filename}: {error.strerror}") from error
        self._open_lock = descriptor
        wal = Path(f"{self.path}-wal")
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unclean = wal.exists() and wal.stat().st_size > 0
        except BlockingIOError:
            unclean = False
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        return unclean

    def _ours(self, error: sqlite3.Error, code: int) -> ReplicaError:
        path = str(self.path)
        if code in _FULL_CODES and is_read_only(self.path):
            return ReplicaUnwritable(path, "its disk is read-only", "mount it for writing; reading goes on")
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        primary = code & 0xFF
        if code in _FULL_CODES:
            return DiskFull(path, f"the disk or a file size limit is full ({name})")
        if primary == sqlite3.SQLITE_IOERR:
            return StorageFailed(path, f"the disk reported an error ({name})")
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return ReplicaCorrupt(path, f"the file is damaged ({error})")
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return ReplicaBusy(path, f"another process has been writing for {BUSY_S:.0f} s")
        if primary in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM):
            reason = f"this user may not write it and its directory, which even reading needs ({error})"
            return ReplicaUnwritable(path, reason)
        return ReplicaCorrupt(path, f"{error} ({name})")


def problems(connection: Connection) -> list[str]:
    """What SQLite finds wrong with the file; nothing where a salvage makes that anew, or has put it aside."""
    found = problems_of(connection)
    if not found or any("freelist" in line.lower() for line in found):
        return found
    tables = [name for (name,) in connection.execute(SQL["tables"])]
    damaged = {name for name in tables if problems_of(connection, name)}
    mended = {name for name in damaged if name in _SALVAGED or name.startswith(UNREADABLE)}
    return [] if mended and mended == damaged else found


def problems_of(connection: Connection, table: str = "") -> list[str]:
    """What SQLite finds wrong with one table; without a name, with the whole file."""
    of = f"('{table}')" if table else ""
    rows = readable(connection, f"PRAGMA quick_check{of}")
    lines = ["SQLite cannot read it"] if rows is None else [str(line) for (line,) in rows]
    return [] if lines == ["ok"] else lines


def readable(connection: Connection, statement: str, *parameters: object) -> list[Any] | None:
    """The rows of a query; None where SQLite cannot read them all."""
    try:
        return connection.execute(statement, parameters).fetchall()
    except UnicodeDecodeError:  # a message that quotes damaged text
        return None
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CORRUPT:
            raise
        return None


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116  (asked in every write)
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _marks(connection: Connection) -> Marks | None:
    row = connection.execute(SQL["marks"]).fetchone()
    return None if row is None else Marks(*row)


def connect(path: Path) -> Connection:
    """A connection to a file that is there, and nothing set on it yet.

    The fault rigs of the tests put a SQLite of their own here, whose disk is modelled.
    """
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )


def connected(path: Path, *, new: bool = False) -> Connection:
    """A connection whose commits are durable. Raises ReplicaCorrupt, ReplicaUnwritable, sqlite3.Error."""
    connection = connect(path)
    try:
        (application,) = connection.execute("PRAGMA application_id").fetchone()
        if not new and application != APPLICATION_ID:  # before anything is written into it
            raise ReplicaCorrupt(
                str(path), "this database is not a replica of anabranch", "name another file"
            )
        connection.execute("PRAGMA synchronous=EXTRA")
        (mode,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
        (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
        if (mode, synchronous) != ("wal", _EXTRA):
            raise ReplicaUnwritable(
                str(path),
                f"SQLite runs with journal_mode={mode}, synchronous={synchronous} here, not wal and {_EXTRA}",
                "put the replica on a local disk",
            )
        connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES_KEPT}")
        connection.execute("PRAGMA trusted_schema=OFF")
        # What is deleted is overwritten with zeros: a scope that an edge had leaves its disk.
        connection.execute("PRAGMA secure_delete=ON")
        return connection
    except BaseException:
        connection.close()
        raise
