"""An edge reads back, offline, every content it has passed through, and says which ones it has not."""

import sqlite3
from pathlib import Path

import pytest
from anabranch.errors import ReplicaCorrupt, StateUnknown
from anabranch.replica import Past, Replica
from anabranch.replica import past as past_module
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.document import EMPTY, Object
from anabranch_sync.ids import DocumentId
from anabranch_sync.reference import AtPosition, AtTime, AtVersion, Reference
from anabranch_sync.value import canonical
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.contracts.replica import NOW_MS, SCOPE, Exchange
from tests.edge.replica.sqlite_store import SqliteStore, create, write
from tests.sync.strategies import contents

ROUTER = DocumentId("acme/prod/router", "config")
LIMITS = DocumentId("acme/prod/limits", "config")


def pulled(edge: Exchange, replica: Replica, content: Object | None, now_ms: int = NOW_MS) -> None:
    edge.hub.write(ROUTER, content)
    replica.apply(edge.pull(), now_ms)


def steps(path: Path) -> int:
    connection = sqlite3.connect(path)
    (count,) = connection.execute("SELECT count(*) FROM steps").fetchone()
    connection.close()
    return int(count)


def test_what_is_received_for_the_first_time_leaves_no_step(replica: Replica, edge: Exchange) -> None:
    edge.hub.write(ROUTER, {"a": 1})
    edge.hub.write(LIMITS, {"b": 1})
    edge.exchange()

    assert steps(replica.path) == 0
    assert replica.read_at(ROUTER, AtVersion(1)) == Past({"a": 1}, 1, 1)


def test_every_content_that_was_confirmed_here_can_be_read_back(replica: Replica, edge: Exchange) -> None:
    history: list[Object | None] = [{"a": 1}, {"a": 1.0, "l": [1, 2]}, None, {"l": [2]}]
    for content in history:
        pulled(edge, replica, content)

    for version, content in enumerate(history, 1):
        assert replica.read_at(ROUTER, AtVersion(version)) == Past(content, version, version)
    assert [each.version for each in replica.known(ROUTER)] == [1, 2, 3, 4]
    assert replica.verify() == []


def test_versions_that_came_in_one_pull_were_never_here_and_the_near_ones_are_named(
    replica: Replica, edge: Exchange
) -> None:
    pulled(edge, replica, {"a": 1})
    for number in (2, 3, 4):
        edge.hub.write(ROUTER, {"a": number})
    pulled(edge, replica, {"a": 5})

    with pytest.raises(StateUnknown, match=r"version 3 of .* \(it has version 1, version 5\)") as unknown:
        replica.read_at(ROUTER, AtVersion(3))

    assert unknown.value.exit_code == 3
    assert [each.version for each in replica.known(ROUTER)] == [1, 5]


@pytest.mark.parametrize(
    ("hub_seq", "content"),
    [
        *(
            (0, None),
            (1, {"a": 1}),
            (2, {"a": 1}),
            (3, "unknown"),
            (4, {"a": 3}),
            (5, {"a": 3}),
            (6, {"a": 6}),
        ),
        (7, "unknown"),
    ],
)
def test_a_position_is_known_where_nothing_can_lie_between(
    replica: Replica, edge: Exchange, hub_seq: int, content: Object | str | None
) -> None:
    """1: a=1. 2: another document. 3 and 4, in one pull: a=2, a=3. 5 and 6, in one: another, a=6."""
    pulled(edge, replica, {"a": 1})
    edge.hub.write(LIMITS, {"x": 1})
    replica.apply(edge.pull(), NOW_MS)
    edge.hub.write(ROUTER, {"a": 2})
    pulled(edge, replica, {"a": 3})
    edge.hub.write(LIMITS, {"x": 2})
    pulled(edge, replica, {"a": 6})

    if content == "unknown":
        with pytest.raises(StateUnknown, match=f"position {hub_seq}"):
            replica.read_at(ROUTER, AtPosition(hub_seq))
    else:
        stood = replica.read_at(ROUTER, AtPosition(hub_seq))
        assert (None if stood is None else stood.content) == content


def test_a_time_means_what_readers_here_saw_then(replica: Replica, edge: Exchange) -> None:
    hour_ms = 3_600_000
    pulled(edge, replica, {"a": 1}, NOW_MS)
    pulled(edge, replica, {"a": 2}, NOW_MS + hour_ms)
    pulled(edge, replica, {"a": 3}, NOW_MS + 2 * hour_ms)
    write(replica, ROUTER, {"a": 4}, NOW_MS + 3 * hour_ms)

    seen = [replica.read_at(ROUTER, AtTime(NOW_MS + n * hour_ms // 2)) for n in (-1, 0, 1, 2, 3, 4, 6)]

    assert [None if each is None else each.content for each in seen] == [
        None,  # version 1 was the first, so nothing was there before it
        *({"a": 1}, {"a": 1}, {"a": 2}, {"a": 2}, {"a": 3}, {"a": 4}),
    ]
    assert seen[-1] == Past({"a": 4}, 4, None)


def test_own_changes_that_wait_are_states_too(replica: Replica, edge: Exchange) -> None:
    pulled(edge, replica, {"a": 1})
    write(replica, ROUTER, {"a": 2})
    write(replica, ROUTER, {"a": 3})

    assert replica.read_at(ROUTER, AtVersion(2)) == Past({"a": 2}, 2, None)
    assert replica.read_at(ROUTER, AtVersion(3)) == Past({"a": 3}, 3, None)
    assert replica.read_at(ROUTER, AtPosition(1)) == Past({"a": 1}, 1, 1)

    edge.exchange()
    assert [(each.version, each.hub_seq) for each in replica.known(ROUTER)] == [(1, 1), (3, 3)]
    with pytest.raises(StateUnknown):
        replica.read_at(ROUTER, AtVersion(2))


def test_after_a_whole_pull_the_past_begins_anew(replica: Replica, edge: Exchange) -> None:
    pulled(edge, replica, {"a": 1})
    pulled(edge, replica, {"a": 2})
    replica.reset()
    replica.apply(edge.pull(), NOW_MS)

    assert [each.version for each in replica.known(ROUTER)] == [2]
    for reference in (AtVersion(1), AtPosition(1), AtTime(NOW_MS - 1)):
        with pytest.raises(StateUnknown, match=r"it has version 2"):
            replica.read_at(ROUTER, reference)


def test_the_past_is_bounded_in_bytes_and_its_oldest_part_goes_first(
    replica: Replica, edge: Exchange, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("anabranch.replica.apply.STEPS_BYTES_MAX", 2_000)
    for number in range(100):
        pulled(edge, replica, {"a": number})

    known = [each.version for each in replica.known(ROUTER)]

    assert known == list(range(known[0], 101))
    assert 5 < len(known) < 2_000 // past_module._ROW_BYTES
    oldest = replica.read_at(ROUTER, AtVersion(known[0]))
    assert oldest is not None
    assert oldest.content == {"a": known[0] - 1}
    assert replica.verify() == []


@pytest.mark.parametrize("column", ["body", "checksum"])
def test_a_flipped_bit_in_the_past_is_found_before_it_is_served(
    replica: Replica, edge: Exchange, column: str
) -> None:
    pulled(edge, replica, {"a": 1})
    pulled(edge, replica, {"a": 2})
    connection = sqlite3.connect(replica.path)
    (value,) = connection.execute(f"SELECT {column} FROM steps").fetchone()
    for position in range(len(value)):
        damaged = bytearray(value)
        damaged[position] ^= 0x04
        connection.execute(f"UPDATE steps SET {column} = ?", (bytes(damaged),))
        connection.commit()
        with pytest.raises(ReplicaCorrupt, match="the history of acme/prod/router/config"):
            replica.read_at(ROUTER, AtVersion(1))
        assert replica.verify() != []
        visible = replica.read(ROUTER)
        assert visible is not None
        assert visible.content == {"a": 2}
    connection.close()


def test_a_step_that_is_lost_is_found_where_the_past_would_be_another(
    replica: Replica, edge: Exchange
) -> None:
    for number in (1, 2, 3):
        pulled(edge, replica, {"a": number})
    connection = sqlite3.connect(replica.path)
    connection.execute("DELETE FROM steps WHERE id = (SELECT max(id) FROM steps)")
    connection.commit()
    connection.close()

    with pytest.raises((ReplicaCorrupt, StateUnknown)):
        replica.read_at(ROUTER, AtVersion(2))


REFERENCES: list[Reference] = [AtVersion(1), AtPosition(0), AtTime(NOW_MS)]


@pytest.mark.parametrize("reference", REFERENCES)
def test_of_a_document_that_was_never_here_nothing_is_known(replica: Replica, reference: Reference) -> None:
    if isinstance(reference, AtVersion):
        with pytest.raises(StateUnknown, match="it has none"):
            replica.read_at(ROUTER, reference)
    else:
        assert replica.read_at(ROUTER, reference) is None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None)
@given(history=st.lists(st.none() | contents, min_size=1, max_size=5))
def test_contents_of_every_kind_are_read_back_exactly(
    history: list[Object | None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with create(tmp_path_factory.mktemp("past") / "replica.db") as replica:
        edge = Exchange(SqliteStore(replica), MemoryHub(SCOPE, lambda: NOW_MS))
        confirmed: dict[int, Object | None] = {}
        for content in history:
            edge.hub.write(ROUTER, content)
            edge.exchange()
            known = replica.known(ROUTER)
            if known:
                confirmed[known[-1].version] = content
        for version, content in confirmed.items():
            stood = replica.read_at(ROUTER, AtVersion(version))
            assert stood is not None
            assert canonical(stood.content) == canonical(content)
        assert replica.verify() == []


class World:
    """A hub whose every state is remembered, and one edge of it."""

    def __init__(self, replica: Replica) -> None:
        self.replica = replica
        self.edge = Exchange(SqliteStore(replica), MemoryHub(SCOPE, lambda: NOW_MS))
        self.at_position: dict[int, Object | None] = {0: None}
        self.at_version: dict[int, Object | None] = {}

    def act(self, action: str, number: int) -> None:
        """One thing that may happen, and what the hub holds after it."""
        match action:
            case "hub":
                self.edge.hub.write(ROUTER, {"a": number})
            case "delete":
                self.edge.hub.write(ROUTER, None)
            case "elsewhere":
                self.edge.hub.write(LIMITS, {"x": number})
            case "own":
                write(self.replica, ROUTER, {"a": number, "own": number})
            case "push":
                self.edge.push()
                self.edge.acknowledge()
            case "pull":
                self.replica.apply(self.edge.pull(), NOW_MS)
            case "reset":
                self.replica.reset()
        content = self.edge.hub.read(ROUTER)
        self.at_position[self.edge.hub.hub_seq] = content
        self.at_version[self.edge.hub.documents.get(ROUTER, EMPTY).version] = content


ACTIONS = ["hub", "delete", "elsewhere", "own", "push", "pull", "pull", "reset"]


@settings(max_examples=60, deadline=None)
@given(actions=st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 3)), min_size=3, max_size=14))
def test_what_an_edge_says_of_the_past_is_what_the_hub_held(
    actions: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    with create(tmp_path_factory.mktemp("past") / "replica.db") as replica:
        world = World(replica)
        for action, number in actions:
            world.act(action, number)
            for each in replica.known(ROUTER):
                if each.hub_seq is not None and each.version in world.at_version:
                    stood = replica.read_at(ROUTER, AtVersion(each.version))
                    assert stood is not None
                    assert stood.content == world.at_version[each.version]
            for position, content in world.at_position.items():
                try:
                    stood = replica.read_at(ROUTER, AtPosition(position))
                except StateUnknown:
                    continue
                assert (None if stood is None else stood.content) == content
        assert replica.verify() == []
