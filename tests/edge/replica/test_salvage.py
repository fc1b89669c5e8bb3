"""Changes that rot in the outbox are set aside; all others go on, and a person hears of it."""

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from anabranch.acknowledging import Receipt
from anabranch.errors import ChangeDamaged, OutboxSalvaged
from anabranch.replica import Replica
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.acknowledgement import Level
from anabranch_sync.change import Entry
from anabranch_sync.ids import DocumentId
from anabranch_sync.incident import IncidentKind, Remedy

from tests.contracts.replica import NOW_MS, SCOPE, Exchange
from tests.edge.replica.sqlite_store import SqliteStore, create, write

LIMITS = DocumentId("acme/prod/limits", "config")
CHANGES = 5
# What a disk may do to one row of the outbox.
DAMAGES: dict[str, Callable[[sqlite3.Connection, int], object]] = {
    "a bit of its bytes": lambda rows, n: rows.execute(
        "UPDATE outbox SET body = substr(body, 1, 9) || x'ff' || substr(body, 11) WHERE local_seq = ?", (n,)
    ),
    "its checksum": lambda rows, n: rows.execute(
        "UPDATE outbox SET checksum = x'00' WHERE local_seq = ?", (n,)
    ),
    "its type": lambda rows, n: rows.execute("UPDATE outbox SET body = 7 WHERE local_seq = ?", (n,)),
    "its number": lambda rows, n: rows.execute(
        "UPDATE outbox SET local_seq = 4000 + local_seq WHERE local_seq = ?", (n,)
    ),
    "all of it": lambda rows, n: rows.execute("DELETE FROM outbox WHERE local_seq = ?", (n,)),
}


class Edge:
    """A replica with some unsent changes of documents of their own, and its hub."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hub = MemoryHub(SCOPE, lambda: NOW_MS)
        self.entries: list[Entry] = []
        with create(path) as replica:
            self.exchange = Exchange(SqliteStore(replica), self.hub)
            for number in range(1, CHANGES + 1):
                entry = write(replica, document(number), {"number": number})
                assert entry is not None
                self.entries.append(entry)

    def damage(self, how: str, *numbers: int) -> None:
        connection = sqlite3.connect(self.path)
        for number in numbers:
            DAMAGES[how](connection, number)
        connection.commit()
        connection.close()

    def renew(self, replica: Replica) -> None:
        """What the next session does first."""
        assert replica.standing().must_renew
        self.exchange.replica = SqliteStore(replica)
        self.exchange.incarnation = self.hub.open_replica(0).incarnation
        replica.adopt(self.exchange.incarnation)


def document(number: int) -> DocumentId:
    return DocumentId(f"acme/prod/n{number}", "config")


@pytest.fixture
def edge(tmp_path: Path) -> Edge:
    return Edge(tmp_path / "replica.db")


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("numbers", [(1,), (3,), (CHANGES,), (1, 2, CHANGES), tuple(range(1, CHANGES + 1))])
def test_what_is_whole_of_a_damaged_outbox_reaches_the_hub(
    edge: Edge, how: str, numbers: tuple[int, ...]
) -> None:
    # given
    edge.damage(how, *numbers)
    lost = () if how == "its number" else numbers
    whole = [number for number in range(1, CHANGES + 1) if number not in lost]

    # when
    with Replica.open(edge.path) as replica:
        assert replica.salvage.run()
        with pytest.raises(OutboxSalvaged):
            replica.pending(0)
        edge.renew(replica)
        edge.exchange.exchange()

        # then
        assert {number for number in range(1, CHANGES + 1) if edge.hub.read(document(number))} == set(whole)
        assert [replica.read(document(number)) is not None for number in range(1, CHANGES + 1)] == [
            number in whole for number in range(1, CHANGES + 1)
        ]
        assert replica.verify() == []
        assert replica.facts().outbox == 0
        assert len(replica.salvage.changes()) == len(lost)
        told = [each.incident for each in replica.equality.incidents()]
        assert [(each.kind, each.remedy) for each in told] == [(IncidentKind.OUTBOX, Remedy.SET_ASIDE)][
            : len(lost)
        ]
        assert {each for incident in told for each in incident.documents} == {document(n) for n in lost}
        assert not replica.salvage.run()


@pytest.mark.parametrize("number", [1, 3, CHANGES])
def test_readers_and_writers_go_on_without_a_hub(edge: Edge, number: int) -> None:
    edge.damage("a bit of its bytes", number)

    with Replica.open(edge.path) as replica:
        assert replica.read(document(number)) is None
        written = write(replica, document(number), {"number": "again"})
        assert written is not None
        assert written.dot.local_seq == CHANGES + 1
        edge.renew(replica)
        edge.exchange.exchange()

    for each in range(1, CHANGES + 1):
        assert edge.hub.read(document(each)) == {"number": "again" if each == number else each}


def test_a_writer_is_not_kept_from_a_document_whose_change_rotted(edge: Edge) -> None:
    edge.damage("a bit of its bytes", 2)

    with Replica.open(edge.path) as replica:
        assert write(replica, document(2), {"number": "again"}) is not None
        visible = replica.read(document(2))

    assert visible is not None
    assert visible.content == {"number": "again"}


def test_what_is_left_of_a_change_is_kept_until_somebody_drops_it(edge: Edge) -> None:
    edge.damage("a bit of its bytes", 2)

    with Replica.open(edge.path) as replica:
        replica.salvage.run()
        [damaged] = replica.salvage.changes()
        assert damaged.dot == edge.entries[1].dot
        assert damaged.documents == (str(document(2)),)
        assert damaged.body is not None
        assert len(damaged.body) == len(edge.entries[1].body)
        assert replica.standing().damaged_changes == 1
        assert replica.salvage.drop() == 1
        assert replica.salvage.changes() == []
        assert replica.standing().damaged_changes == 0


def test_who_waits_for_a_change_that_rotted_hears_of_it(edge: Edge) -> None:
    edge.damage("a bit of its bytes", 2)

    with Replica.open(edge.path) as replica:
        replica.salvage.run()
        with pytest.raises(ChangeDamaged):
            Receipt(replica, edge.entries[1]).wait(Level.MERGED, 0)


def test_a_change_that_the_hub_has_is_no_loss(edge: Edge) -> None:
    # given
    with Replica.open(edge.path) as replica:
        edge.exchange.replica = SqliteStore(replica)
        edge.exchange.push()
        edge.exchange.acknowledge()
    edge.damage("a bit of its bytes", 2)

    # when
    with Replica.open(edge.path) as replica:
        assert replica.read(document(2)) is None
        [damaged] = replica.salvage.changes()
        edge.renew(replica)
        edge.exchange.exchange()

        # then
        assert damaged.merged
        assert replica.standing().damaged_changes == 0
        assert replica.equality.incidents() == []
        visible = replica.read(document(2))
        assert visible is not None
        assert visible.content == {"number": 2}


def test_which_documents_wait_is_mended_from_the_changes_themselves(edge: Edge) -> None:
    connection = sqlite3.connect(edge.path)
    connection.execute("DELETE FROM outbox_documents WHERE local_seq = 2")
    connection.commit()
    connection.close()

    with Replica.open(edge.path) as replica:
        visible = replica.read(document(2))
        assert visible is not None
        assert visible.content == {"number": 2}
        assert replica.salvage.changes() == []
        assert not replica.standing().must_renew


def test_a_page_that_sqlite_cannot_read_keeps_no_other_change_from_the_hub(edge: Edge) -> None:
    # given
    with Replica.open(edge.path) as replica:
        for number in range(40):
            write(replica, LIMITS, {"text": f"{number} " * 100})
    connection = sqlite3.connect(edge.path)
    (page_bytes,) = connection.execute("PRAGMA page_size").fetchone()
    [*_, page] = [
        number
        for number, name, kind in connection.execute("SELECT pageno, name, pagetype FROM dbstat")
        if (name, kind) == ("outbox", "leaf")
    ][:3]
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    content = bytearray(edge.path.read_bytes())
    content[(page - 1) * page_bytes] = 0x4D
    edge.path.write_bytes(content)

    # when
    with Replica.open(edge.path) as replica:
        assert replica.salvage.run()
        edge.renew(replica)
        edge.exchange.exchange()

        # then
        lost = replica.salvage.changes()
        assert 0 < len(lost) < 20
        assert replica.facts().outbox == 0
        visible = replica.read(LIMITS)
        assert visible is not None
        assert visible.content == {"text": "39 " * 100}
        assert edge.hub.read(LIMITS) == visible.content


@pytest.mark.parametrize("column", ["last_local", "push_mark"])
@pytest.mark.parametrize("by", [64, -1])
def test_a_number_of_the_replica_that_rots_makes_nothing_missing(edge: Edge, column: str, by: int) -> None:
    # given
    with Replica.open(edge.path) as replica:
        edge.exchange.replica = SqliteStore(replica)
        edge.exchange.exchange()
        write(replica, LIMITS, {"limit": 1})
        write(replica, LIMITS, {"limit": 2})
    connection = sqlite3.connect(edge.path)
    connection.execute(f"UPDATE replica SET {column} = {column} + ?", (by,))
    connection.commit()
    connection.close()

    # when
    with Replica.open(edge.path) as replica:
        replica.salvage.run()
        if replica.standing().must_renew:
            edge.renew(replica)
            edge.exchange.exchange()

            # then
            assert edge.hub.read(LIMITS) == {"limit": 2}
        assert [each for each in replica.salvage.changes() if not each.merged] == []
