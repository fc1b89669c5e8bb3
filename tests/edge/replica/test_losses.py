"""A file that goes back in time, or away, under its replica: told, whatever SQLite thinks of it."""

import shutil
import sqlite3
from pathlib import Path

import pytest
from anabranch.errors import ReplicaCorrupt, ReplicaError, ReplicaMissing
from anabranch.replica import Replica
from anabranch.replica.marks import Loss, Marks

from tests.edge.replica.rot import flip, run, run_waiting
from tests.edge.replica.sqlite_store import create, write
from tests.edge.replica.workload import DOCUMENTS

FLIPS = 2_000
OUTBOX_FLIPS = 150
SECONDS_MAX = 20.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A replica with one change that no hub has seen."""
    path = tmp_path / "replica.db"
    with create(path) as replica:
        write(replica, DOCUMENTS[0], {"limit": 1})
    return path


def test_every_flipped_bit_is_found_before_it_is_served() -> None:
    tally = run(FLIPS, seconds_max=SECONDS_MAX)

    assert tally.wrong == []
    assert tally.outcomes["told a loss"] > 0
    assert tally.outcomes["refused a document"] > 0
    assert tally.outcomes["refused to open"] > 0


def test_whatever_bit_rots_in_an_outbox_all_other_changes_are_sent_and_it_is_told() -> None:
    tally = run_waiting(OUTBOX_FLIPS)

    assert tally.wrong == []
    assert tally.outcomes["set aside"] > 0
    assert tally.outcomes["sent all"] > 0


def test_a_flipped_bit_in_the_wal_takes_acknowledged_changes_with_it_and_that_is_told(path: Path) -> None:
    # given: three changes in the WAL of a replica that was killed
    with Replica.open(path) as replica:
        for number in range(3):
            write(replica, DOCUMENTS[1], {"limit": number})
        names = [each.name for each in path.parent.iterdir() if each.name != "replica.db-shm"]
        files = {name: (path.parent / name).read_bytes() for name in names}
    for name, content in flip(files, "replica.db-wal", 3_000).items():
        (path.parent / name).write_bytes(content)
    # when, then
    with Replica.open(path) as replica:
        assert replica.loss == Loss(3, 3)
        assert "3 of them had not reached the hub" in str(replica.loss)
        assert replica.read(DOCUMENTS[0]) is not None, "what is whole is served"
        write(replica, DOCUMENTS[1], {"limit": 9})
    # then: it is told until somebody says that he has read it
    with Replica.open(path) as replica:
        assert replica.loss == Loss(3, 3)
        replica.forget_loss()
    with Replica.open(path) as replica:
        assert replica.loss is None


def test_an_older_copy_put_back_is_told(path: Path, tmp_path: Path) -> None:
    shutil.copy(path, tmp_path / "backup")
    with Replica.open(path) as replica:
        write(replica, DOCUMENTS[1], {"limit": 1})
    shutil.copy(tmp_path / "backup", path)

    with Replica.open(path) as replica:
        assert replica.loss == Loss(1, 1)


def test_a_file_that_is_gone_takes_its_outbox_with_it_and_says_how_much(path: Path) -> None:
    path.unlink()

    with pytest.raises(ReplicaMissing, match="1 changes that had not reached the hub went with it"):
        Replica.open(path)
    with create(path) as replica:
        assert replica.loss is None, "a new replica starts anew"


@pytest.mark.parametrize("name", ["replica.db", "replica.db-wal"])
def test_nothing_is_acknowledged_into_a_file_that_was_removed_under_it(path: Path, name: str) -> None:
    with Replica.open(path) as replica:
        write(replica, DOCUMENTS[0], {"limit": 2})
        path.with_name(name).unlink()

        with pytest.raises(ReplicaMissing, match="removed or replaced"):
            write(replica, DOCUMENTS[0], {"limit": 3})


@pytest.mark.parametrize("size", [0, 100, 4_096, 20_000])
def test_a_file_that_is_cut_short_under_it_is_never_served_as_something_else(path: Path, size: int) -> None:
    with Replica.open(path) as replica:
        for document in DOCUMENTS:
            write(replica, document, {"text": document.namespace * 50})
    with Replica.open(path) as replica:
        whole = path.read_bytes()
        with path.open("r+b") as file:
            file.truncate(size)
        refused = 0
        for document in DOCUMENTS:
            try:
                seen = replica.read(document)
                assert seen is not None
                assert seen.content == {"text": document.namespace * 50}
            except ReplicaError:
                refused += 1
        assert refused
    with pytest.raises(ReplicaCorrupt):
        Replica.open(path)
    path.write_bytes(whole)


def test_zeros_in_the_place_of_a_file_are_refused(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))

    with pytest.raises(ReplicaCorrupt):
        Replica.open(path)


def test_marks_of_two_incarnations_are_compared_by_what_readers_saw() -> None:
    noted = Marks(1, 9, 4, 20)

    assert Marks(1, 9, 4, 20).lost_since(noted) is None
    assert Marks(1, 6, 4, 17).lost_since(noted) == Loss(3, 3)
    assert Marks(1, 3, 2, 14).lost_since(noted) == Loss(6, 5)
    assert Marks(2, 5, 0, 21).lost_since(noted) is None
    assert Marks(2, 5, 0, 19).lost_since(noted) == Loss(0, 0)


@pytest.mark.parametrize(("table", "column"), [("replica", "link"), ("documents", "served")])
def test_a_word_that_nothing_here_ever_wrote_is_damage(path: Path, table: str, column: str) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"UPDATE {table} SET {column} = 'di{{trusted'")
    connection.commit()
    connection.close()

    with Replica.open(path) as replica, pytest.raises(ReplicaCorrupt, match="was never written"):
        replica.read(DOCUMENTS[0])
