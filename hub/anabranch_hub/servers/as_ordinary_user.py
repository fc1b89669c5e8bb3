"""Become a server: give up root where asked, end with the parent, then exec.

Run as a file, never imported, and standard library only, so that it starts in 20 ms and under `-I -S`:

    python -I -S as_ordinary_user.py PARENT_PID SIGNAL IDENTITY PROGRAM [ARGUMENT...]

IDENTITY is one of
- `same`        keep the user: not root, or a server that does not mind root;
- `namespace`   root only: enter a user namespace that shows root as an ordinary account. Postgres refuses
                uid 0, and this way its files stay root's: no account, no chown, and a 0700 parent folder
                stays passable. Exit status 125 when the kernel or the container forbids it;
- `UID:GID`     root only: become that account for good.

SIGNAL reaches the server when its parent dies, `kill -9` included. Linux ties this to the *thread* that
started it, so start servers from a thread that lives as long as they should. The request is made last,
because the kernel forgets it at every change of credentials.
"""

from __future__ import annotations

import ctypes
import os
import pwd
import sys
from pathlib import Path

NAMESPACE_REFUSED = 125
CANNOT_RUN = 126

CLONE_NEWUSER = 0x10000000
PR_SET_PDEATHSIG = 1

# Any account but root does: files still belong to root outside. `daemon` is in every distribution's file.
ACCOUNTS_PREFERRED = ("daemon", "nobody", "bin")


def main(arguments: list[str]) -> int:
    """Exec the program; return an exit status only when that failed."""
    parent_pid, end_signal, identity, *command = arguments
    libc = ctypes.CDLL(None, use_errno=True)
    try:
        if identity == "namespace":
            enter_namespace(libc)
        elif identity != "same":
            become(identity)
    except OSError as error:
        print(f"cannot give up root: {error}", file=sys.stderr)  # noqa: T201
        return NAMESPACE_REFUSED
    if libc.prctl(PR_SET_PDEATHSIG, int(end_signal), 0, 0, 0) != 0:
        print("cannot tie the server to its parent: prctl failed", file=sys.stderr)  # noqa: T201
        return CANNOT_RUN
    # The parent may have died before the request was in place; then nobody is left to send the signal.
    if os.getppid() != int(parent_pid):
        return CANNOT_RUN
    try:
        os.execv(command[0], command)
    except OSError as error:
        print(f"cannot run {command[0]}: {error.strerror}", file=sys.stderr)  # noqa: T201
    return CANNOT_RUN


def enter_namespace(libc: ctypes.CDLL) -> None:
    """Show root as an ordinary account from here on. Raises OSError where that is not allowed."""
    account = ordinary_account()
    uid, gid = os.geteuid(), os.getegid()  # asked now: inside, an unmapped id reads as 65534
    if libc.unshare(CLONE_NEWUSER) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"unshare: {os.strerror(number)}")
    Path("/proc/self/setgroups").write_text("deny")  # else the kernel refuses gid_map
    Path("/proc/self/uid_map").write_text(f"{account.pw_uid} {uid} 1\n")
    Path("/proc/self/gid_map").write_text(f"{account.pw_gid} {gid} 1\n")


def ordinary_account() -> pwd.struct_passwd:
    """An account of the password file that is not root: initdb looks its own uid up there."""
    accounts = {account.pw_name: account for account in pwd.getpwall() if account.pw_uid != 0}
    for name in ACCOUNTS_PREFERRED:
        if name in accounts:
            return accounts[name]
    for account in accounts.values():
        return account
    raise OSError("the password file holds no account but root")


def become(identity: str) -> None:
    """Become `UID:GID` with no other group."""
    uid, gid = (int(number) for number in identity.split(":"))
    os.setgroups([])
    os.setresgid(gid, gid, gid)
    os.setresuid(uid, uid, uid)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
