"""A disk that is full or reports errors, at whichever operation: nothing half done, and it ends by itself."""

import contextlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from anabranch.errors import DiskFull, ReplicaError, StorageFailed
from anabranch.replica import Replica

from tests.edge.replica.power import recorded_migration, scratch
from tests.edge.replica.rigged_sqlite import Faults, rigged_sqlite
from tests.edge.replica.sqlite_store import create, write
from tests.edge.replica.workload import DOCUMENTS, View, Work, view, working

# Disks take their time: not in an environment where only imports are in question.
pytestmark = pytest.mark.slow

# How an error of SQLite's is told, and which operations of the disk meet it.
ERRORS = [
    ("SQLITE_FULL", ("write",), DiskFull),
    ("SQLITE_IOERR_WRITE", ("write",), DiskFull),
    ("SQLITE_IOERR_FSYNC", ("sync",), StorageFailed),
    ("SQLITE_IOERR_READ", ("read",), StorageFailed),
    ("SQLITE_IOERR_TRUNCATE", ("truncate",), StorageFailed),
]
STEPS = 6
SEEDS = 2


@contextmanager
def _at_work(seed: int, faults: Faults) -> Iterator[Work]:
    """A replica that has worked for a while and writes its WAL back after every few pages."""
    with scratch() as folder:
        path = folder / "replica.db"
        create(path).close()
        with rigged_sqlite(faults=faults, checkpoint_pages=8), working(path, seed) as work:
            for _ in range(10):
                work.step()
            yield work


def _reached(shown: View) -> tuple[int, int]:
    return shown.standing.incarnation, shown.standing.last_local


@pytest.mark.parametrize("times", [1, None])
@pytest.mark.parametrize(("code", "kinds", "error"), ERRORS)
def test_whichever_operation_fails_nothing_is_half_done_and_work_goes_on_when_the_disk_heals(
    code: str, kinds: tuple[str, ...], error: type[ReplicaError], times: int | None
) -> None:
    failed = 0
    for seed in range(SEEDS):
        chance = random.Random(seed)
        for first in {1, 2, 3, 5, 8, 13, chance.randrange(14, 60)}:
            faults = Faults()
            with _at_work(seed, faults) as work:
                before = view(work.replica)
                for _ in range(STEPS):
                    faults.arm(code, *kinds, first=first, times=times)
                    try:
                        work.step()
                        told = False
                    except (error, StorageFailed):
                        told = True
                    failed += faults.failed > 0
                    faults.heal()
                    # then
                    if work.replica._file._closed:  # it was being opened anew
                        work.revive()
                    after = view(work.replica)
                    if told and code == "SQLITE_FULL":
                        assert after == before
                    assert _reached(after) >= _reached(before)
                    assert work.replica.verify() == []
                    before = after
                write(work.replica, DOCUMENTS[0], {"limit": first})
                shown = view(work.replica)
                work.open_again()
                assert view(work.replica) == shown
                assert work.replica.loss is None
    assert failed


def test_while_no_write_goes_through_everything_is_read_and_nothing_is_acknowledged() -> None:
    faults = Faults()
    with _at_work(3, faults) as work:
        before = view(work.replica)
        faults.arm("SQLITE_FULL", "write", first=1, times=None)
        for number in range(5):
            with pytest.raises(DiskFull, match="free some space"):
                write(work.replica, DOCUMENTS[1], {"limit": number})
            assert view(work.replica) == before
        faults.heal()
        write(work.replica, DOCUMENTS[1], {"limit": 9})
        assert work.replica.has_reserve()


def test_after_a_sync_that_failed_the_file_is_opened_anew_and_the_old_handle_never_used_again() -> None:
    faults = Faults()
    with _at_work(4, faults) as work:
        handle, reader = work.replica._file._writer, work.replica._file.reader
        faults.arm("SQLITE_IOERR_FSYNC", "sync", first=1)
        with pytest.raises(StorageFailed, match="SQLITE_IOERR_FSYNC"):
            write(work.replica, DOCUMENTS[1], {"text": "x" * 9})

        write(work.replica, DOCUMENTS[2], {"limit": 1})

        assert faults.failed == 1
        assert work.replica._file._writer is not handle
        assert work.replica.read(DOCUMENTS[2]) is not None
        assert work.replica._file.reader is not reader


@pytest.mark.parametrize("code", ["SQLITE_FULL", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_WRITE"])
def test_a_migration_that_meets_a_failing_disk_goes_on_when_it_heals(code: str, tmp_path: Path) -> None:
    recording = recorded_migration(1, seed=2)
    path = tmp_path / "replica.db"
    kind = "sync" if code.endswith("FSYNC") else "write"
    failed = 0
    for first in range(1, 24):
        for old in tmp_path.iterdir():
            old.unlink()
        path.write_bytes(recording.files["replica.db"])
        faults = Faults()
        faults.arm(code, kind, first=first, times=None)
        with rigged_sqlite(faults=faults):
            with contextlib.suppress(DiskFull, StorageFailed):
                Replica.open(path).close()
            failed += faults.failed > 0
            faults.heal()
            with Replica.open(path) as replica:
                assert view(replica) == recording.shown[0]
                assert replica.verify() == []
    assert failed
