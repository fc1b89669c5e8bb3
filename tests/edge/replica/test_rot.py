"""Bits rot: SQLite serves them as they are, the replica does not."""

import sqlite3
from pathlib import Path

import pytest
from anabranch.errors import ReplicaCorrupt
from anabranch.replica import Replica
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId
from anabranch_sync.value import Json

from tests.contracts.replica import NOW_MS, SCOPE, Exchange
from tests.edge.replica.sqlite_store import SqliteStore, create, write

ROUTER = DocumentId("acme/prod/router", "config")
LIMITS = DocumentId("acme/prod/limits", "config")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A replica with one confirmed document, and another that 20 changes wait for."""
    path = tmp_path / "replica.db"
    with create(path) as replica:
        edge = Exchange(SqliteStore(replica), MemoryHub(SCOPE, lambda: NOW_MS))
        edge.hub.write(ROUTER, {"text": "confirmed", "numbers": list(range(50))})
        edge.exchange()
        for number in range(20):
            write(replica, LIMITS, {"limit": number})
    return path


def _flip(path: Path, table: str, column: str, position: int) -> None:
    connection = sqlite3.connect(path)
    row, value = connection.execute(f"SELECT rowid, {column} FROM {table} LIMIT 1").fetchone()
    damaged = bytearray(value)
    damaged[position % len(damaged)] ^= 0x10
    connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (bytes(damaged), row))
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("table", "column", "document"),
    [
        ("confirmed", "body", ROUTER),
        ("confirmed", "digest", ROUTER),
        ("confirmed", "checksum", ROUTER),
        ("visible", "body", LIMITS),
    ],
)
def test_a_flipped_bit_is_found_before_it_is_served(
    path: Path, table: str, column: str, document: DocumentId
) -> None:
    for position in (0, 3, 7, 31, 60):
        _flip(path, table, column, position)
        with Replica.open(path) as replica:
            with pytest.raises(ReplicaCorrupt, match=str(document)):
                replica.read(document)
            assert replica.verify() != []
            other = LIMITS if document == ROUTER else ROUTER
            assert replica.read(other) is not None, "damage to one document is damage to no other"
        _flip(path, table, column, position)


def test_a_flipped_bit_in_the_outbox_is_found_before_it_is_sent(path: Path) -> None:
    _flip(path, "outbox", "body", 20)

    with Replica.open(path) as replica:
        with pytest.raises(ReplicaCorrupt, match="outbox"):
            replica.pending(0)
        assert replica.verify() != []


def test_a_whole_pull_heals_what_the_hub_has(path: Path) -> None:
    hub = MemoryHub(SCOPE, lambda: NOW_MS)
    hub.write(ROUTER, {"text": "from the hub"})
    _flip(path, "confirmed", "body", 5)

    with Replica.open(path) as replica:
        replica.reset()
        pull = hub.pull(hub.open_replica(0).incarnation, replica.standing().cursor, always=True)
        assert pull is not None
        assert replica.apply(pull, NOW_MS) == pull.digest

        visible = replica.read(ROUTER)
        assert visible is not None
        assert visible.content == {"text": "from the hub"}
        assert replica.verify() == []


@pytest.mark.parametrize("column", ["body", "digest", "checksum"])
def test_a_pull_that_replaces_a_damaged_document_heals_it_and_no_other(path: Path, column: str) -> None:
    with Replica.open(path) as replica:
        edge = Exchange(SqliteStore(replica), MemoryHub(SCOPE, lambda: NOW_MS))
        replica.reset()
        edge.hub.write(ROUTER, {"text": "first"})
        edge.exchange()
        edge.hub.write(ROUTER, {"text": "from the hub"})
        edge.exchange()
        write(replica, ROUTER, {"text": "from the hub", "mine": 1})
    _flip(path, "confirmed", column, 5)

    with Replica.open(path) as replica:
        edge.replica = SqliteStore(replica)
        pull = edge.pull(frozenset({ROUTER}))
        assert replica.apply(pull, NOW_MS) == pull.digest

        visible = replica.read(ROUTER)
        assert visible is not None
        assert visible.content == {"text": "from the hub", "mine": 1}
        assert replica.verify() == []


def test_a_flipped_bit_in_what_is_live_is_found_before_it_is_served(path: Path) -> None:
    rule: Json = {"name": "min below max", "require": ["/min", "<=", "/max"]}
    with Replica.open(path) as replica:
        edge = Exchange(SqliteStore(replica), MemoryHub(SCOPE, lambda: NOW_MS))
        replica.reset()
        schema: Object = {"namespaces": ["acme/prod/*"], "schema": {}, "rules": [rule]}
        edge.hub.write(DocumentId("system/schemas", "router"), schema)
        edge.hub.write(ROUTER, {"min": 1, "max": 9})
        edge.exchange()
        write(replica, ROUTER, {"min": 8, "max": 9})
        edge.hub.write(ROUTER, {"min": 1, "max": 5})
        edge.exchange()
        assert [each.document for each in replica.quarantined()] == [ROUTER]
    for position in (0, 3, 30):
        _flip(path, "quarantined", "body", position)
        with Replica.open(path) as replica:
            with pytest.raises(ReplicaCorrupt, match=str(ROUTER)):
                replica.read(ROUTER)
            assert replica.verify() != []
            assert replica.head(LIMITS) is not None, "damage to one document is damage to no other"
        _flip(path, "quarantined", "body", position)


def test_a_lost_row_is_found_by_a_full_check(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DELETE FROM confirmed")
    connection.commit()
    connection.close()

    with Replica.open(path) as replica:
        assert replica.verify() != []
