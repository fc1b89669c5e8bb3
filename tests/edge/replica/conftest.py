"""A new replica, and one that exchanges with a hub in memory, as most tests here begin."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from anabranch.replica import Replica
from anabranch_hub.simulation.memory import MemoryHub

from tests.contracts.replica import NOW_MS, SCOPE, Exchange
from tests.edge.replica.sqlite_store import SqliteStore, create


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Replica]:
    with create(tmp_path / "replica.db") as replica:
        yield replica


@pytest.fixture
def edge(replica: Replica) -> Exchange:
    return Exchange(SqliteStore(replica), MemoryHub(SCOPE, lambda: NOW_MS))
