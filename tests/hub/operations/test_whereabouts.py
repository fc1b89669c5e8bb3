"""Where a hub runs: found while it runs, and by nobody else than its owner."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from anabranch_hub.errors import DataDirNotWritable, DataDirVersion, NoHubRuns, NotOurs
from anabranch_hub.operations import whereabouts
from anabranch_hub.operations.whereabouts import Whereabouts


def here(pid: int) -> Whereabouts:
    return Whereabouts(pid, "0.1.0", 1, "127.0.0.1:1", "127.0.0.1:2", "", True, "http://127.0.0.1:3", "ab")


def announced(data_dir: Path, pid: int) -> None:
    whereabouts.announce(
        data_dir, here(pid), postgres_dsn="postgresql://x", authority_pem=b"PEM\n", courier_pem=b"KEY\n"
    )


def test_what_is_announced_is_found_until_it_is_withdrawn(tmp_path: Path) -> None:
    announced(tmp_path, os.getpid())

    assert whereabouts.find(tmp_path) == here(os.getpid())
    assert whereabouts.postgres_dsn(tmp_path) == "postgresql://x"
    assert whereabouts.authority_pem(tmp_path) == b"PEM\n"
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "run").iterdir()} == {0o600}
    whereabouts.withdraw(tmp_path)
    whereabouts.withdraw(tmp_path)
    for ask in (whereabouts.find, whereabouts.postgres_dsn):
        with pytest.raises(NoHubRuns):
            ask(tmp_path)


def test_a_hub_that_was_killed_is_not_found(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    announced(tmp_path, gone.pid)

    with pytest.raises(NoHubRuns, match="anabranch-hub serve"):
        whereabouts.find(tmp_path)


def test_what_another_release_wrote_is_refused(tmp_path: Path) -> None:
    announced(tmp_path, os.getpid())
    (tmp_path / "run/hub.json").write_text('{"pid": 1}')
    with pytest.raises(DataDirVersion, match="another release"):
        whereabouts.find(tmp_path)


def test_what_cannot_be_read_belongs_to_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/hub.json").mkdir()  # stops root too
    with pytest.raises(NotOurs, match="run this as the user that runs the hub"):
        whereabouts.find(tmp_path)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("")
    with pytest.raises(DataDirNotWritable, match="run"):
        announced(tmp_path, 1)
