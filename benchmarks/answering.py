"""What the benchmarks have in common: a folder for a run, what ends it, and how figures are printed."""

import asyncio
import sys
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TypeVar

from anabranch_hub.demo.processes import DemoFailed

from benchmarks.fleet import PhaseStuck

T = TypeVar("T")


def answered(run: Callable[[Path], Coroutine[None, None, T]], within: Path | None = None) -> T | None:
    """What `run` answers, given a folder that goes afterwards (made in `within`); None: it said why not."""
    with tempfile.TemporaryDirectory(prefix="anabranch-bench-", dir=within) as folder:
        try:
            return asyncio.run(run(Path(folder)))
        except (DemoFailed, PhaseStuck) as error:
            sys.stderr.write(f"benchmarks: {error}\n")
            return None


def rounded(value: object) -> object:
    """Four significant digits are more than any of these figures has; those inside objects too."""
    if isinstance(value, dict):
        return {name: rounded(inner) for name, inner in value.items()}
    return float(f"{value:.4g}") if isinstance(value, float) else value
