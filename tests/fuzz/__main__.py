"""The command: ``python -m tests.fuzz --frames N [--seed S] [--only CASE]``."""

import argparse
import sys

from tests.fuzz.run import fuzz, play


def main() -> int:
    """Return 0 when every case was decoded or refused, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--frames", type=int, default=200_000, help="how many mutated encodings to try")
    parser.add_argument("--seed", type=int, default=1, help="another seed is another set of cases")
    parser.add_argument("--only", type=int, help="play this case alone, and show what it does")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.only is not None:
        return play(wanted.seed, wanted.only)
    return fuzz(wanted.frames, wanted.seed, wanted.child)


if __name__ == "__main__":
    sys.exit(main())
