"""Run a command as root where user namespaces are refused, as in many containers.

    python -m tests.hub.servers.without_namespaces COMMAND...          (as root)

The command gets a user namespace of its own, with every account mapped onto itself, in which the kernel's
limit on further ones is zero.
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

from anabranch_hub.servers.as_ordinary_user import CLONE_NEWUSER


def main(command: list[str]) -> None:
    inside_ready, inside_is = os.pipe()
    mapped_wait, mapped_is = os.pipe()
    child = os.fork()
    if child == 0:
        assert ctypes.CDLL(None).unshare(CLONE_NEWUSER) == 0
        os.write(inside_is, b"1")
        os.read(mapped_wait, 1)
        Path("/proc/sys/user/max_user_namespaces").write_text("0")
        os.execv(command[0], command)
    os.read(inside_ready, 1)
    for kind in ("uid", "gid"):
        Path(f"/proc/{child}/{kind}_map").write_text("0 0 65536")
    os.write(mapped_is, b"1")
    _, status = os.waitpid(child, 0)
    sys.exit(os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main(sys.argv[1:])
