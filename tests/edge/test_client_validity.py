"""What a program sees of rules and of documents that break them."""

from collections.abc import Iterator
from pathlib import Path

import anabranch
import pytest
from anabranch.client import Client
from anabranch.errors import NotFound, VersionMismatch
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.document import Object

from tests.contracts.replica import NOW_MS, ROUTER, SCHEMA, SCOPE, Exchange
from tests.edge.replica.sqlite_store import SqliteStore, create

NAMESPACE = ROUTER.namespace
RULED: Object = {
    "namespaces": ["acme/prod/*"],
    "schema": {"properties": {"max": {"type": "integer", "maximum": 600}}},
    "rules": [{"name": "min below max", "require": ["/min", "<=", "/max"]}],
}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Client(create(tmp_path / "replica.db")) as made:
        yield made


@pytest.fixture
def edge(client: Client) -> Exchange:
    """The client's edge and its hub, with the schema and a valid router."""
    made = Exchange(SqliteStore(client.replica), MemoryHub(SCOPE, lambda: NOW_MS))
    made.hub.write(SCHEMA, RULED)
    made.hub.write(ROUTER, {"min": 1, "max": 9})
    made.exchange()
    return made


@pytest.fixture
def quarantined(client: Client, edge: Exchange) -> Exchange:
    """The client raised min while the hub lowered max."""
    client.set(NAMESPACE, "/min", 8)
    edge.hub.write(ROUTER, {"min": 1, "max": 5})
    edge.exchange()
    return edge


@pytest.mark.usefixtures("edge")
def test_a_refused_write_says_which_rule_where_and_what_would_pass(client: Client) -> None:
    # when
    with pytest.raises(anabranch.Invalid) as caught:
        client.set(NAMESPACE, "/max", 0)
    # then
    error = caught.value
    assert (error.document, error.schema, error.exit_code) == (str(ROUTER), "router@1", 5)
    [violation] = error.violations
    assert (violation.place, violation.rule) == ("/min", "min below max")
    assert violation.passes == "/min at most 0, or /max at least 1"
    assert client.status().outbox == 0


@pytest.mark.usefixtures("edge")
def test_one_invalid_document_refuses_the_whole_change(client: Client) -> None:
    # when
    change = client.change("both")
    change.set("acme/prod/other", "/a", 1)
    change.set(NAMESPACE, "/min", 10)
    with pytest.raises(anabranch.Invalid):
        change.__exit__(None, None, None)
    # then
    with pytest.raises(NotFound):
        client.get("acme/prod/other")


@pytest.mark.usefixtures("edge")
def test_two_fields_that_only_pass_together_are_set_in_one_change(client: Client) -> None:
    # when
    with client.change("both") as change:
        change.set(NAMESPACE, "/min", 50)
        change.set(NAMESPACE, "/max", 60)
    # then
    assert client.get(NAMESPACE).value == {"min": 50, "max": 60}


@pytest.mark.usefixtures("quarantined")
def test_a_reading_says_that_it_is_the_last_valid_version(client: Client) -> None:
    # when
    reading, head = client.get(NAMESPACE), client.head(NAMESPACE)
    # then
    assert (reading.value, reading.version, reading.quarantined) == ({"min": 1, "max": 5}, 2, True)
    assert [each.rule for each in reading.violations] == ["min below max"]
    assert (head.value, head.version, head.quarantined) == ({"min": 8, "max": 5}, 3, False)
    [aside] = client.quarantined()
    assert (aside.document, aside.live_version, aside.version) == (ROUTER, 2, 3)
    assert client.status().quarantined == 1


@pytest.mark.usefixtures("quarantined")
def test_a_write_that_readers_do_not_see_yet_says_so(client: Client) -> None:
    # when
    committed = client.set(NAMESPACE, "/name", "x")
    repaired = client.set(NAMESPACE, "/min", 5)
    # then
    assert committed.quarantined == (ROUTER,)
    assert repaired.quarantined == ()
    assert client.get(NAMESPACE).value == {"min": 5, "max": 5, "name": "x"}


@pytest.mark.usefixtures("quarantined")
def test_a_version_that_is_demanded_is_the_heads(client: Client) -> None:
    # when
    with pytest.raises(VersionMismatch):
        client.set(NAMESPACE, "/min", 5, if_version=client.get(NAMESPACE).version)
    # then
    assert client.set(NAMESPACE, "/min", 5, if_version=client.head(NAMESPACE).version).documents == (ROUTER,)


def test_who_watches_is_told_whenever_readers_see_something_else(client: Client, edge: Exchange) -> None:
    # given
    revisions, changed = [client.replica.changed(-1)[0]], []

    def look() -> None:
        revision, documents = client.replica.changed(revisions[-1])
        revisions.append(revision)
        changed.append([client.get(each.namespace, key=each.key).value for each in documents])

    # when: what the client wrote is set aside, an edit of the head changes nothing, a repair does
    client.set(NAMESPACE, "/min", 8)
    look()
    edge.hub.write(ROUTER, {"min": 1, "max": 5})
    edge.exchange()
    look()
    edge.hub.write(ROUTER, {"min": 8, "max": 5, "name": "x"})
    edge.exchange()
    look()
    edge.hub.write(ROUTER, {"min": 2, "max": 5, "name": "x"})
    edge.exchange()
    look()
    # then
    assert changed == [
        [{"min": 8, "max": 9}],
        [{"min": 1, "max": 5}],
        [],
        [{"min": 2, "max": 5, "name": "x"}],
    ]
