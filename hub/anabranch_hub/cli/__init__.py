"""The program `anabranch-hub`: data on standard output, everything else on standard error."""

import sys


def main() -> None:
    """The console script."""
    from anabranch_hub.cli.program import run

    sys.exit(run())
