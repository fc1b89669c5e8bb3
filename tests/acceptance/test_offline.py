"""An edge whose hub is away for good: everything local goes on, and says how old it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from anabranch.enrol import init

from tests.running_hub import running_hub, surroundings

ROUTER = "acme/prod/router"


@pytest.fixture
def replica(tmp_path: Path) -> Path:
    """The replica of an edge that exchanged once and then lost its hub."""
    path = tmp_path / "edge.db"
    with running_hub(tmp_path / "hub") as hub:
        hub.ok("tenant", "create", "acme")
        hub.ok("set", "acme", ROUTER, "", "-", stdin='{"model": "gpt-4o", "limits": {"requests": 600}}')
        init(path, hub.listen, hub.invite("acme", "edge-1"))
        ran = _edge(path, "sync")
        assert ran.returncode == 0, ran.stderr
    return path


def _edge(replica: Path, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        (sys.executable, "-m", "anabranch.cli", "--replica", str(replica), *words),
        input=stdin,
        capture_output=True,
        text=True,
        env={**surroundings(), "HOME": str(replica.parent), "PATH": os.environ["PATH"]},
        timeout=120,
        check=False,
    )


def test_reads_and_writes_go_on_without_the_hub(replica: Path) -> None:
    read = _edge(replica, "get", ROUTER, "/model", "--json")
    wrote = _edge(replica, "set", ROUTER, "/limits/requests", "300")
    patched = _edge(
        replica, "patch", ROUTER, "-", stdin='[{"op": "add", "path": "/teams", "value": ["platform"]}]'
    )
    exported = _edge(replica, "export")

    assert (read.returncode, wrote.returncode, patched.returncode) == (0, 0, 0), patched.stderr
    assert json.loads(read.stdout)["value"] == "gpt-4o"
    assert json.loads(exported.stdout)[f"{ROUTER}/config"] == {
        "model": "gpt-4o",
        "limits": {"requests": 300},
        "teams": ["platform"],
    }


def test_an_exchange_without_a_hub_says_so_and_changes_nothing(replica: Path) -> None:
    _edge(replica, "set", ROUTER, "/model", "gpt-4o-mini")

    synced = _edge(replica, "sync", "--json")
    status = json.loads(_edge(replica, "status", "--json").stdout)
    read = json.loads(_edge(replica, "get", ROUTER, "/model", "--json").stdout)

    assert synced.returncode == 7
    assert json.loads(synced.stderr.strip().splitlines()[-1])["error"]["exit_code"] == 7
    assert (status["outbox"], status["state"]) == (1, "OFFLINE")
    assert (read["value"], read["source"], read["state"]) == ("gpt-4o-mini", "local", "OFFLINE")
