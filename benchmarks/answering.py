"""What the benchmarks have in common: a folder for a run, what ends it, and how figures are printed."""

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import TypeVar

from anabranch_hub.demo.processes import DemoFailed

from benchmarks.fleet import PhaseStuck

T = TypeVar("T")
S = TypeVar("S")


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


def benchmark(
    name: str, about: str | None, run: Callable[[S, Path], Coroutine[None, None, object]], full: S, tiny: S
) -> int:
    """``python -m benchmarks.NAME``: print what `run` answers of `full`, or of `tiny`; the exit code."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.add_argument("--json", action="store_true", help="print one JSON object (there is no other form)")
    parser.add_argument("--tiny", action="store_true", help="a few of everything: shows that it works")
    parser.add_argument("--folder", type=Path, help="where databases are laid for the run")
    arguments = parser.parse_args()
    figures = answered(partial(run, tiny if arguments.tiny else full), arguments.folder)
    if figures is None:
        return 1
    sys.stdout.write(json.dumps(rounded(figures), indent=2) + "\n")
    return 0
