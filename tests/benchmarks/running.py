"""A benchmark as a person runs it: to its end, for the one JSON object that it prints."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def printed(module: str, *words: str, patience_s: float) -> Any:
    """What ``python -m MODULE WORDS`` prints; only a hang meets `patience_s`."""
    ran = subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=patience_s,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)
