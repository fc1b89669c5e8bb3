"""The program `anabranch-hub`: data on standard output, everything else on standard error."""

import sys

INTERRUPTED = 130


def main() -> None:
    """The console script."""
    try:
        from anabranch_hub.cli.program import program
    except KeyboardInterrupt:  # while half of it is imported there is nobody yet to say so nicely
        sys.exit(INTERRUPTED)
    sys.exit(program.run())
