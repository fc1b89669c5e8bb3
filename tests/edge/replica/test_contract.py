"""The contract of replicas, kept by the SQLite one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from anabranch.replica import Replica

from tests.contracts.overtaking import OvertakingContract
from tests.contracts.reoffer import ReofferContract
from tests.contracts.replica import ReplicaContract, ReplicaStore, ReplicaSuite
from tests.contracts.validity import ValidityContract
from tests.edge.replica.sqlite_store import SqliteStore, create


class _Sqlite(ReplicaSuite):
    """A kill leaves the file as it is: a second replica opens it while the first never closed."""

    @pytest.fixture(autouse=True)
    def _closing(self) -> Iterator[None]:
        self._opened: list[Replica] = []
        yield
        for replica in self._opened:
            assert replica.verify() == []
            replica.close()

    def make(self, folder: Path) -> ReplicaStore:
        return self._store(create(folder / "replica.db"))

    def again(self, replica: ReplicaStore) -> ReplicaStore:
        assert isinstance(replica, SqliteStore)
        return self._store(Replica.open(replica.replica.path))

    def _store(self, replica: Replica) -> SqliteStore:
        self._opened.append(replica)
        return SqliteStore(replica)


class TestSqliteReplica(_Sqlite, ReplicaContract):
    """Everything a replica keeps."""


class TestSqliteValidity(_Sqlite, ValidityContract):
    """What its readers see of what is invalid."""


class TestSqliteOvertaking(_Sqlite, OvertakingContract):
    """What its readers see of what overtakes a pull."""


class TestSqliteReoffer(_Sqlite, ReofferContract):
    """What it does when the hub comes back from a backup."""
