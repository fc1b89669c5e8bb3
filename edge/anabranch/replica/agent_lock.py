"""One agent for one replica: a lock that the kernel drops with the process, however it ends."""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from anabranch.errors import ReplicaInUse, ReplicaUnwritable

# `agent_running` holds the lock for some microseconds; an agent that starts just then tries again.
_TRIES = 5
_PAUSE_S = 0.02


@contextmanager
def agent_lock(replica: Path) -> Iterator[None]:
    """Be the agent of this replica. Raises ReplicaInUse naming the process that already is."""
    descriptor = _opened(replica)
    try:
        for attempt in range(_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if attempt == _TRIES - 1:
                    holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
                    raise ReplicaInUse(str(replica), f"process {holder} is its agent") from error
                time.sleep(_PAUSE_S)
        with suppress(OSError):  # on a full disk the lock works without the number
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)


def agent_running(replica: Path) -> bool:
    """Whether some process is the agent of this replica now."""
    descriptor = _opened(replica)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def _opened(replica: Path) -> int:
    try:
        return os.open(f"{replica}.agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ReplicaUnwritable(str(replica), f"{error.filename}: {error.strerror}") from error
