"""The benchmark of merging runs to its end, on real servers, and answers what it was asked."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATIENCE_S = 280

FIGURES = [
    "decided_per_second",
    "us_per_decided_write",
    "us_per_decided_write_with_conflict",
    "bytes_per_version",
    "proof_bytes",
    "proof_verify_us",
    "log_leaves",
    "log_verify_seconds",
]


def test_a_tiny_run_prints_one_object_with_every_figure() -> None:
    # when
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.merge", "--json", "--tiny"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )

    # then
    assert ran.returncode == 0, ran.stderr
    figures = json.loads(ran.stdout)
    assert [name for name in FIGURES if not figures.get(name)] == []
    # a conflict leaves its ledger row and its leaf behind
    assert figures["bytes_per_version_with_conflict"] > figures["bytes_per_version"] > 0
