"""The file: how it is made, opened and refused."""

import os
import shutil
import sqlite3
import stat
from pathlib import Path

import msgpack
import pytest
from anabranch.errors import (
    ReplicaCorrupt,
    ReplicaExists,
    ReplicaInUse,
    ReplicaMissing,
    ReplicaTooNew,
    ReplicaUnwritable,
    StorageFailed,
)
from anabranch.replica import Replica
from anabranch.replica.file import BALLAST_BYTES
from anabranch.replica.schema import MIGRATIONS, SCHEMA_VERSION
from anabranch_sync.document import Object
from anabranch_sync.errors import InvalidName
from anabranch_sync.ids import DocumentId

from tests.edge.replica.sqlite_store import create, write

ROUTER = DocumentId("acme/prod/router", "config")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "replica.db"


def _filled(path: Path, documents: int = 40) -> None:
    with create(path) as replica:
        for number in range(documents):
            write(replica, DocumentId(f"acme/prod/m{number}", "config"), {"text": str(number) * 2_000})


def test_a_new_replica_is_readable_by_its_owner_only(path: Path) -> None:
    create(path).close()

    for name in ("replica.db", "replica.db.lock", "replica.db.ballast"):
        assert stat.S_IMODE((path.parent / name).stat().st_mode) == 0o600
    assert (path.parent / "replica.db.ballast").stat().st_size == BALLAST_BYTES


def test_what_identifies_a_replica_is_there_again_when_it_is_opened(path: Path) -> None:
    create(path).close()

    with Replica.open(path) as replica:
        assert (replica.tenant, replica.edge, replica.author) == ("acme", "one", "ada")
        assert replica.scope.prefixes == ("acme/prod",)


def test_a_replica_is_never_overwritten(path: Path) -> None:
    with create(path) as replica:
        write(replica, ROUTER, {"a": 1})

    with pytest.raises(ReplicaExists):
        create(path)

    with Replica.open(path) as replica:
        assert replica.read(ROUTER) is not None


def test_a_creation_that_fails_leaves_nothing_that_looks_like_a_replica(path: Path) -> None:
    with pytest.raises(InvalidName):
        Replica.create(path, tenant="Acme!", edge="one", prefixes=(), incarnation=1, author="ada")
    assert list(path.parent.iterdir()) == []


def test_what_a_killed_creation_left_is_no_obstacle(path: Path) -> None:
    Path(f"{path}.new").write_bytes(b"half a database")

    create(path).close()

    assert not Path(f"{path}.new").exists()


def test_the_pragmas_that_make_a_commit_durable_are_in_force(path: Path) -> None:
    with create(path) as replica, replica._file.reading() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (3,)


def test_a_path_without_a_file_is_named_with_a_way_out(path: Path) -> None:
    with pytest.raises(ReplicaMissing, match="anabranch init"):
        Replica.open(path)
    assert not path.exists()


def test_a_path_that_cannot_be_looked_at_is_named_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(ReplicaUnwritable, match="File name too long: name another file"):
        Replica.open(tmp_path / ("a" * 300))
    with pytest.raises(ReplicaMissing, match="it is a directory: name the file"):
        Replica.open(tmp_path)


def test_a_truncated_file_is_refused_at_open_wherever_it_was_cut(path: Path) -> None:
    _filled(path)
    whole = path.read_bytes()

    for length in (0, 1, 100, 4096, len(whole) // 2, len(whole) - 4096, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(ReplicaCorrupt, match="anabranch init"):
            Replica.open(path)
        assert path.stat().st_size == length, "nothing is repaired silently"


def test_a_file_of_garbage_is_refused(path: Path) -> None:
    path.write_bytes(os.urandom(8192))

    with pytest.raises(ReplicaCorrupt):
        Replica.open(path)


def test_another_programs_database_is_refused(path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE notes (text)")
    other.commit()
    other.close()
    before = path.read_bytes()

    with pytest.raises(ReplicaCorrupt, match="is not a replica"):
        Replica.open(path)

    assert path.read_bytes() == before


def test_a_file_of_a_newer_schema_is_refused_and_left_alone(path: Path) -> None:
    _filled(path, 1)
    newer = sqlite3.connect(path)
    newer.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    newer.close()
    before = path.read_bytes()

    with pytest.raises(ReplicaTooNew, match="update anabranch"):
        Replica.open(path)

    assert path.read_bytes() == before


def test_the_schema_is_the_sum_of_its_migrations(path: Path) -> None:
    create(path).close()

    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert connection.execute("SELECT count(*) FROM _sqlite_migrations").fetchone() == (SCHEMA_VERSION,)
    connection.close()


def test_notices_of_the_first_release_do_not_stand_in_the_way(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: a file as the first release left it, with a notice in its form
    monkeypatch.setattr("anabranch.replica.schema.MIGRATIONS", MIGRATIONS[:1])
    monkeypatch.setattr("anabranch.replica.schema.SCHEMA_VERSION", 1)
    create(path).close()
    old = [
        1,
        3,
        "acme/prod/router",
        "config",
        ["limit"],
        "value",
        "latest",
        False,
        [[900], [300]],
        ["a", "b"],
    ]
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO notices (ledger, body) VALUES (1, ?)", (msgpack.packb(old),))
    connection.commit()
    connection.close()
    monkeypatch.undo()
    # when
    with Replica.open(path) as replica:
        # then
        assert replica.notices() == []
        write(replica, ROUTER, {"a": 1})


def test_an_unclean_stop_has_the_whole_file_checked_at_the_next_start(path: Path, tmp_path: Path) -> None:
    # A copy of the files of a replica that is open is what a power cut leaves.
    with create(path) as replica:
        write(replica, ROUTER, {"a": 1})
        cut = tmp_path / "cut"
        cut.mkdir()
        for name in ("replica.db", "replica.db-wal"):
            shutil.copy(tmp_path / name, cut / name)

    replica = Replica.open(cut / "replica.db")
    assert replica._file.was_unclean
    visible = replica.read(ROUTER)
    assert visible is not None
    assert visible.content == {"a": 1}
    replica.close()

    with Replica.open(cut / "replica.db") as replica:
        assert not replica._file.was_unclean


def test_another_process_that_is_alive_is_no_unclean_stop(path: Path) -> None:
    with create(path) as one:
        write(one, ROUTER, {"a": 1})
        with Replica.open(path) as two:
            assert not two._file.was_unclean


def test_a_second_agent_is_refused_and_told_who_the_first_is(path: Path) -> None:
    with create(path) as replica, Replica.open(path) as other:
        assert not replica.agent_running()
        with replica.lock_agent():
            assert other.agent_running()
            with pytest.raises(ReplicaInUse, match=str(os.getpid())), other.lock_agent():
                pass
        with other.lock_agent():
            pass


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(ReplicaUnwritable, match="file"):
        create(tmp_path / "file" / "replica.db")


def test_a_cloned_file_opens_and_writes_under_the_same_dots_which_the_hub_will_tell_apart(
    path: Path, tmp_path: Path
) -> None:
    _filled(path, 1)
    shutil.copy(path, tmp_path / "clone.db")

    with Replica.open(path) as one, Replica.open(tmp_path / "clone.db") as two:
        first = write(one, ROUTER, {"a": 1})
        second = write(two, ROUTER, {"a": 2})

        assert first is not None
        assert second is not None
        assert first.dot == second.dot
        assert first.content_id != second.content_id


def test_after_an_error_of_the_disk_the_file_is_opened_anew_instead_of_trusted(path: Path) -> None:
    with create(path) as replica:
        write(replica, ROUTER, {"a": 1})
        replica.read(ROUTER)
        before = replica._file.reader

        def fail(_: sqlite3.Connection) -> None:
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
            error.sqlite_errorname = "SQLITE_IOERR_FSYNC"
            raise error

        with pytest.raises(StorageFailed, match="SQLITE_IOERR_FSYNC"):
            replica._file.write(fail)

        write(replica, ROUTER, {"a": 2})
        visible = replica.read(ROUTER)
        assert visible is not None
        assert visible.content == {"a": 2}
        assert replica._file.reader is not before


def test_what_was_deleted_before_it_was_overwritten_leaves_an_old_file_at_once(path: Path) -> None:
    # given: a file of before, in whose free pages something is left
    create(path).close()
    secret = b"what was deleted long ago " * 1_000
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA secure_delete=OFF")
    connection.execute("CREATE TABLE gone (body BLOB)")
    connection.execute("INSERT INTO gone VALUES (?)", (secret,))
    connection.execute("DROP TABLE gone")
    connection.execute("INSERT INTO vacuum_due VALUES (1)")
    connection.close()
    assert b"deleted long ago" in path.read_bytes()

    # when
    with Replica.open(path) as replica:
        replica.vacuum()

        # then
        assert b"deleted long ago" not in path.read_bytes() + Path(f"{path}-wal").read_bytes()
        assert replica.verify() == []
    connection = sqlite3.connect(path)
    assert connection.execute("SELECT count(*) FROM vacuum_due").fetchone() == (0,)
    connection.close()


def test_an_old_file_is_written_anew_beside_itself_and_not_on_another_disk(tmp_path: Path) -> None:
    # given a folder whose name SQL would take for two words, and more than SQLite keeps in memory
    folder = tmp_path / "ada's"
    folder.mkdir()
    path = folder / "replica.db"
    create(path).close()
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("CREATE TABLE much AS SELECT randomblob(8000000) AS body")
    connection.execute("INSERT INTO vacuum_due VALUES (1)")
    connection.close()
    copies: set[Path] = set()

    def look() -> int:
        named = [each.readlink() for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
        copies.update(each.parent for each in named if each.name.startswith("etilqs_"))
        return 0

    # when
    with Replica.open(path) as replica:
        writer = replica._file._writer
        assert writer is not None
        writer.set_progress_handler(look, 1)
        replica.vacuum()

    # then
    assert copies == {folder}


def test_a_program_that_only_writes_reads_a_document_again_only_if_somebody_else_wrote(path: Path) -> None:
    create(path).close()
    with Replica.open(path) as replica, Replica.open(path) as other:
        write(replica, ROUTER, {"mine": 1, "theirs": 1})
        assert replica._file._writer is not None
        said: list[str] = []
        replica._file._writer.set_trace_callback(said.append)

        def reads(content: Object) -> int:
            said.clear()
            write(replica, ROUTER, content)
            return sum("FROM documents WHERE namespace = 'acme" in statement for statement in said)

        alone = reads({"mine": 2, "theirs": 1})
        write(other, ROUTER, {"mine": 2, "theirs": 2})
        after_another = reads({"mine": 3, "theirs": 2})

        assert (alone, after_another) == (0, 1)
        visible = replica.read(ROUTER)
        assert visible is not None
        assert (visible.content, visible.version) == ({"mine": 3, "theirs": 2}, 4)
