"""The command line of the edge: `anabranch`.

Data goes to standard output, everything else to standard error. Only this function may stand
between the interpreter and the user, so it imports nothing before it can catch Ctrl-C.
"""

from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `anabranch` with `arguments` (those of the process by default); return its exit code."""
    try:
        from anabranch.cli.program import run

        return run(arguments)
    except KeyboardInterrupt:  # while modules were still being imported: nothing has begun
        return 130
