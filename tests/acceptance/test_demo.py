"""The demonstration, in small, as a person runs it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.hub.servers.processes import descendants, wait_until_gone

PATIENCE_S = 400.0
RIG = f"'{sys.executable}' -m tests.edge.replica.lose_power"
FEW = ("--edges", "3", "--documents", "60", "--seed", "7", "--power-rig", RIG)
DEMO = (sys.executable, "-m", "anabranch_hub", "demo", *FEW)


@pytest.mark.timeout(600)
def test_the_demo_converges_and_loses_nothing() -> None:
    ran = subprocess.run((*DEMO, "--json"), capture_output=True, text=True, timeout=PATIENCE_S, check=False)

    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    assert report["converged"] is True
    assert report["documents"] >= 60
    assert report["edges"] == 3
    assert report["conflicts"] > 0
    assert report["cuts"] > 0
    assert report["lost_acknowledged_writes"] == 0
    assert {edge["digest"] for edge in report["fleet"]} == {report["hub_digest"]}
    assert set(report["conflicts_by_policy"]) == {"latest", "hub", "edge", "min", "max", "manual"}
    assert report["bytes_up"] > 0
    assert report["bytes_down"] > 0
    assert report["edits"] > 0
    assert report["seconds"] > 0
    assert report["edits_together"] == 8
    assert report["restored"]["stands_on"] == 3
    assert report["restored"]["value"] != report["restored"]["instead_of"]
    mishaps = report["mishaps"]
    assert mishaps["power_cuts"] == 1
    assert mishaps["acknowledged_before_power_cuts"] > 0
    assert mishaps["offered_again"] >= mishaps["hub_went_back"] > 0
    assert mishaps["restored"] != mishaps["cloned"]
    assert report["audit"]["verified"] == report["audit"]["leaves"] > report["conflicts"]
    assert report["audit"]["tampering_detected"] is True
    assert report["audit"]["tamperings"] >= 9


@pytest.mark.timeout(600)
@pytest.mark.parametrize("phase", ["starting a hub", "importing", "cold start", "offline"])
def test_ctrl_c_leaves_no_process_behind(phase: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as stderr:
        demo = subprocess.Popen(DEMO, stdout=subprocess.DEVNULL, stderr=stderr, start_new_session=True)
    started: set[int] = set()
    deadline = time.monotonic() + PATIENCE_S
    while phase not in log.read_text():
        assert demo.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    time.sleep(0.3)
    started.update(descendants(demo.pid))

    os.killpg(demo.pid, signal.SIGINT)
    code = demo.wait(PATIENCE_S)

    assert code == 130, log.read_text()
    assert "Traceback" not in log.read_text()
    wait_until_gone(sorted(started))
