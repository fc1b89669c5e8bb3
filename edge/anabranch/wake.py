"""Hearing of a write at once, whatever process makes it: Linux tells who watches where commits are noted.

That is ``PATH.lock`` (`replica.marks`), written once for each commit when it is durable and visible. The WAL
is written many times for each, and before it is either.

Where it does not tell (another system, no watches left) the agent only looks, a few times a second.
"""

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_IN_MODIFY = 0x2
_EVENTS_BYTES = 4096


@contextmanager
def woken_by_writes(replica: Path, wake: Callable[[], None]) -> Iterator[bool]:
    """Call `wake` in the event loop after each commit to the replica, the loop's own included.

    Yields whether that works here.
    """
    descriptor = _watching(Path(f"{replica}.lock"))
    if descriptor is None:
        yield False
        return

    def drain() -> None:
        with suppress(BlockingIOError):
            os.read(descriptor, _EVENTS_BYTES)
        wake()

    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, drain)
    try:
        yield True
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def _watching(path: Path) -> int | None:
    """An inotify descriptor on `path`, or None."""
    if not sys.platform.startswith("linux"):
        return None
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    if descriptor < 0:
        return None
    if libc.inotify_add_watch(descriptor, os.fsencode(path), _IN_MODIFY) < 0:
        os.close(descriptor)
        return None
    return descriptor
