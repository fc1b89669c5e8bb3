"""A crowd of edges holds its exchanges at a real hub, and a change reaches all of them."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_S = 200


def test_a_hub_holds_a_small_crowd() -> None:
    # when
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.growth", "--tiny", "--documents", "0"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    # then
    assert ran.returncode == 0, ran.stderr
    held = json.loads(ran.stdout)["edges"]
    assert list(held) == ["1", "4"]
    assert all(each["hub_resident_bytes"] > 0 and each["join_seconds"] > 0 for each in held.values())
