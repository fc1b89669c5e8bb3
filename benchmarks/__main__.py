"""``python -m benchmarks``: measure, and print one JSON object; how it goes is told on standard error."""

import argparse
import json
import sys
from functools import partial
from pathlib import Path

from benchmarks import history
from benchmarks.answering import answered
from benchmarks.run import run
from benchmarks.sizes import FULL, TINY


def main() -> int:
    """Run the benchmarks; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--tiny", action="store_true", help="a few of everything: shows that it works")
    parser.add_argument(
        "--folder", type=Path, help="where databases are laid for the run: the disk to measure"
    )
    parser.add_argument(
        "--record", action="store_true", help="append the figures to history.jsonl, for the release at hand"
    )
    arguments = parser.parse_args()
    figures = answered(partial(run, TINY if arguments.tiny else FULL), arguments.folder)
    if figures is None:
        return 1
    if arguments.record:
        history.record(figures)
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
