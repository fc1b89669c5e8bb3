"""One agent for one replica: a lock that the kernel drops with the process, however it ends."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from anabranch.errors import ReplicaInUse, ReplicaUnwritable

# `agent_running` holds the lock for some microseconds; an agent that starts just then tries again.
_TRIES = 5
_PAUSE_S = 0.02


@contextmanager
def agent_lock(replica: Path) -> Iterator[Callable[[str], None]]:
    """Be the agent of this replica, and say how it is. Raises ReplicaInUse naming the one that already is."""
    descriptor = _opened(replica)
    try:
        for attempt in range(_TRIES):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if attempt == _TRIES - 1:
                    holder = (
                        os.pread(descriptor, 20, 0).decode("ascii", "replace").split("\n")[0] or "unknown"
                    )
                    raise ReplicaInUse(str(replica), f"process {holder} is its agent") from error
                time.sleep(_PAUSE_S)

        def tell(condition: str) -> None:
            with suppress(OSError):  # on a full disk the lock works without the words
                os.ftruncate(descriptor, 0)
                told = f"{os.getpid()}\n{condition}\n"
                os.pwrite(descriptor, told.encode(errors="backslashreplace"), 0)

        tell("")
        yield tell
    finally:
        os.close(descriptor)


def agent_running(replica: Path) -> bool:
    """Whether some process is the agent of this replica now."""
    try:
        descriptor = os.open(f"{replica}.agent.lock", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False  # no agent was ever here, or it cannot be known
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)


def agent_says(replica: Path) -> str:
    """How the agent that runs said last that it is; "" if it said nothing, or none runs."""
    if not agent_running(replica):
        return ""
    try:
        lines = Path(f"{replica}.agent.lock").read_text("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return lines[1] if len(lines) > 1 else ""


def _opened(replica: Path) -> int:
    try:
        return os.open(f"{replica}.agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ReplicaUnwritable.after(str(replica), error, f"{error.filename}: {error.strerror}") from error
