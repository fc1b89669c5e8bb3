"""The bombs of the fault catalogue are refused within 64 MB, and none makes its decoder hang."""

import json
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.fuzz.bombs import bombs

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", bombs())
def test_a_bomb_is_refused_within_bounds(name: str) -> None:
    assert _outcomes()[name] == "refused"


@cache
def _outcomes() -> dict[str, str]:
    """All are lit in one child: a process for each would take longer than they do."""
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.bombs"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, f"ended with {ran.returncode}: {ran.stderr[-2000:]}"
    outcomes: dict[str, str] = json.loads(ran.stdout)
    return outcomes
