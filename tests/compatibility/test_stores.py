"""Files and tables of earlier releases, opened by this one: nothing is lost, and the two go on together."""

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from anabranch.replica import Replica
from anabranch.replica.schema import SCHEMA_VERSION
from anabranch_hub.store import Store
from anabranch_sync.ids import document_id
from anabranch_sync.scope import Scope

from tests.compatibility.recordings import RELEASES, unpacked
from tests.edge.replica.sqlite_store import write

pytestmark = pytest.mark.anyio

ROUTER = document_id("acme/prod/router")
NEW = document_id("acme/prod/new")
NOW_MS = 1_900_000_000_000


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def replica(release: str, tmp_path: Path) -> Iterator[Replica]:
    """The recorded replica of the edge `one`, opened by this release."""
    path = tmp_path / "replica.db"
    path.write_bytes(unpacked(release, "replica.db"))
    with Replica.open(path) as opened:
        yield opened


def test_a_replica_of_an_earlier_release_is_brought_up_and_holds_what_it_held(replica: Replica) -> None:
    # then its file is one of this release, and every byte of it good
    with replica._file.reading() as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert replica.verify() == []
    # and what was written is read, waits, and has its history
    standing = replica.standing()
    router = replica.head(ROUTER)  # of N-1 it is quarantined, and readers see less
    assert router is not None
    assert (router.pending, router.content["used"]) == (3, 100)
    assert [each.dot.local_seq for each in replica.pending(standing.push_mark)] == [
        standing.push_mark + number for number in range(1, 5)
    ]
    assert len(replica.history(ROUTER)) > 5


def test_a_replica_of_an_earlier_release_is_written_to(replica: Replica) -> None:
    before = replica.standing().last_local

    assert write(replica, NEW, {"later": 1}, NOW_MS) is not None
    assert replica.standing().last_local == before + 1
    assert replica.verify() == []


async def test_tables_of_an_earlier_release_are_served_and_take_what_waited_in_its_replica(
    release: str, replica: Replica, dsn: str
) -> None:
    # given the hub's tables as that release left them
    _restore(dsn, unpacked(release, "hub.sql").decode())
    store = await Store.connect(dsn)
    try:
        before = await store.read("acme", ROUTER)
        assert before is not None
        scope = Scope(("acme/prod",))
        assert (await store.digest("acme", scope))[1] == replica.standing().digest

        # when the replica of that release pushes what waited in it, and pulls
        standing = replica.standing()
        opening = await store.open_replica("acme", "one", standing.incarnation)
        assert (opening.push_mark, opening.chain) == (standing.push_mark, standing.chain)
        answer = await store.decide("acme", "one", replica.pending(standing.push_mark), standing.chain)
        replica.acknowledge(answer.push_mark, answer.chain)
        pull = await store.pull("acme", "one", standing.incarnation, standing.cursor, always=True)

        # then it is merged, and both hold the same
        assert pull is not None
        assert replica.apply(pull, NOW_MS) == pull.digest
        assert replica.pending(replica.standing().push_mark) == []
        merged, here = await store.read("acme", ROUTER), replica.read(ROUTER)
        assert merged is not None
        assert here is not None
        assert merged.content == here.content
        assert merged.version > before.version
        assert {each.name for each in await store.edges("acme")} == {"one", "two"}
        assert await store.merges("acme", limit=100)
    finally:
        await store.close()


def _restore(dsn: str, dump: str) -> None:
    # psql's own commands, which begin with a backslash, are no SQL.
    statements = "\n".join(line for line in dump.splitlines() if not line.startswith("\\"))
    with psycopg.connect(dsn) as connection:
        connection.execute(statements.encode())
