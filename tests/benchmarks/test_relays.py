"""The benchmark of relays runs to its end, on real processes, and five children cost what one costs."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PATIENCE_S = 300


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 50)
def test_a_tiny_run_prints_one_object_with_every_figure() -> None:
    # when
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.relays", "--json", "--tiny"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    # then
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout)
    assert figures["one_child_bytes_down"] > 10_000
    assert figures["five_children_over_one"] < 2
    assert figures["five_children_over_five_direct"] < 0.5
