"""The SDK on the past: read as it stood, compared, brought back."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anabranch
import pytest
from anabranch.client import Client
from anabranch.errors import Denied, NotFound, StateUnknown
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.errors import ChangeTooLarge, InvalidReference
from anabranch_sync.ids import DocumentId

from tests.contracts.replica import NOW_MS, SCOPE, Exchange
from tests.edge.replica.sqlite_store import SqliteStore, create

ROUTER = "acme/prod/router"
LIMITS = "acme/prod/limits"


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A router with a confirmed version and a change that waits, and limits that were deleted."""
    create(tmp_path / "replica.db").close()
    with anabranch.open(tmp_path / "replica.db") as client:
        edge = Exchange(SqliteStore(client.replica), MemoryHub(SCOPE, lambda: NOW_MS))
        edge.hub.write(DocumentId(ROUTER, "config"), {"limits": {"requests": 100}})
        edge.hub.write(DocumentId(LIMITS, "config"), {"x": 1})
        edge.exchange()
        edge.hub.write(DocumentId(LIMITS, "config"), None)
        edge.exchange()
        client.set(ROUTER, "/limits/requests", 200)
        yield client


def test_a_value_is_read_as_it_stood(client: Client) -> None:
    moment = datetime.fromtimestamp(NOW_MS / 1000, UTC)

    readings = [client.get(ROUTER, "/limits/requests", at=at) for at in (1, "1", "@1", moment, 2, "0s")]

    assert [(each.value, each.pending) for each in readings] == [*[(100, False)] * 4, *[(200, True)] * 2]
    assert client.get(LIMITS, at="@2").value == {"x": 1}
    with pytest.raises(NotFound, match="it was deleted"):
        client.get(LIMITS, at="@3")
    with pytest.raises(NotFound, match="it was not there yet"):
        client.get(ROUTER, at=moment - timedelta(days=1))
    with pytest.raises(NotFound, match="/limits/tokens"):
        client.get(ROUTER, "/limits/tokens", at=1)
    with pytest.raises(StateUnknown, match="version 7"):
        client.get(ROUTER, at=7)
    with pytest.raises(InvalidReference):
        client.get(ROUTER, at="yesterday")


def test_what_was_read_from_the_past_is_the_callers_own(client: Client) -> None:
    first = client.get(ROUTER, at=1).value
    assert isinstance(first, dict)
    first["limits"] = None

    assert client.get(ROUTER, at=1).value == {"limits": {"requests": 100}}
    assert client.get(ROUTER).value == {"limits": {"requests": 200}}


def test_two_states_are_compared_both_ways(client: Client) -> None:
    last, since, gone = client.diff(ROUTER), client.diff(ROUTER, "@1"), client.diff(LIMITS)

    assert last == since
    assert last.patch == [{"op": "replace", "path": "/limits/requests", "value": 200}]
    assert last.inverse == [{"op": "replace", "path": "/limits/requests", "value": 100}]
    assert (gone.before, gone.after) == ({"x": 1}, None)


def test_a_rollback_is_a_change_and_is_undone_by_another(client: Client) -> None:
    committed = client.rollback(ROUTER, 1, message="too many")

    assert client.get(ROUTER, "/limits/requests").value == 100
    assert [str(each) for each in committed.documents] == [f"{ROUTER}/config"]
    assert client.log(ROUTER)[-1].message == "rollback to version 1: too many"
    assert client.rollback(ROUTER, 1).documents == ()

    client.rollback(ROUTER, 2)
    assert client.get(ROUTER, "/limits/requests").value == 200


def test_a_deleted_document_comes_back(client: Client) -> None:
    client.rollback(LIMITS, 1)
    assert client.get(LIMITS).value == {"x": 1}

    client.rollback(LIMITS, 2)
    with pytest.raises(NotFound):
        client.get(LIMITS)


def test_a_namespace_comes_back_whole_or_not_at_all(client: Client) -> None:
    client.set("acme/prod/new", "/y", 1)

    committed = client.rollback_below("acme/prod", "@2")

    assert sorted(str(each) for each in committed.documents) == [
        "acme/prod/limits/config",
        "acme/prod/new/config",
        "acme/prod/router/config",
    ]
    assert [str(each.document) for each in client.list()] == [f"{LIMITS}/config", f"{ROUTER}/config"]
    assert len({line.dot for name in (LIMITS, ROUTER) for line in client.log(name)[-1:]}) == 1


def test_a_namespace_too_large_for_one_change_is_left_as_it_is(client: Client) -> None:
    for number in range(6):
        client.set(f"acme/prod/n{number}", "/text", "x" * 250_000)
    for number in range(6):
        client.delete(f"acme/prod/n{number}")
        moment = client.replica.known(DocumentId(f"acme/prod/n{number}", "config"))[0].since_ms
    at = datetime.fromtimestamp((moment + 1) / 1000, UTC)
    before = client.status().outbox

    with pytest.raises(ChangeTooLarge, match="limit 1048576"):
        client.rollback_below("acme/prod", at)

    assert client.status().outbox == before


def test_a_rollback_outside_the_scope_is_denied(client: Client) -> None:
    edge = Exchange(SqliteStore(client.replica), MemoryHub(SCOPE, lambda: NOW_MS))
    client.replica.reset()
    for number in (1, 2):
        edge.hub.write(DocumentId("global/limits", "config"), {"x": number})
        client.replica.apply(edge.pull(), NOW_MS)

    with pytest.raises(Denied):
        client.rollback("global/limits", 1)
