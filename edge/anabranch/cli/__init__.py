"""The command line of the edge: `anabranch`.

Data goes to standard output, everything else to standard error. Only this function may stand
between the interpreter and the user, so it imports nothing before it can catch Ctrl-C.
"""

import gc
import signal
from collections.abc import Sequence
from types import FrameType


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `anabranch` with `arguments` (those of the process by default); return its exit code."""
    is_process = arguments is None
    if is_process:
        gc.disable()  # until the command begins: of what is imported nothing is garbage
    try:
        signal.signal(signal.SIGINT, _interrupt_once)
        from anabranch.cli.program import program

        return program.run(arguments)
    except KeyboardInterrupt:  # while modules were still being imported: nothing has begun
        return 130
    finally:
        if is_process:
            gc.freeze()  # Python's last look through everything takes a tenth of a `get`


def _interrupt_once(_number: int, _frame: FrameType | None) -> None:
    """Ctrl-C is heard once: a second one would break off the clean way out of the first."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
