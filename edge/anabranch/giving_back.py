"""Memory that a large pull took, given back to the system: the agent then waits for days."""

import ctypes
import gc
from contextlib import suppress


def give_back() -> None:
    """Give back what is free, where the C library can: 8 MB of 74 after 1,000 documents. Takes 30 ms."""
    gc.collect()
    with suppress(AttributeError, OSError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)
