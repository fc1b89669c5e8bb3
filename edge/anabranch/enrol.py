"""`anabranch init`: an invitation becomes an identity and an empty replica, or nothing at all.

::

    token -> fetch the hub's chain, unverified, and look for the root of the token's fingerprint in it
          -> connect again, verified with that root; only now does the secret leave
          -> <- certificate, tenant, edge, scope, incarnation
          -> the identity is written, then the replica: without one it is not an identity
"""

import asyncio
import contextlib
import errno
import fcntl
import os
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

from anabranch_protos.invitation import PORT_MAX, InvitationToken, parse_token
from anabranch_sync.errors import InvalidName

from anabranch.errors import (
    DiskFull,
    HubDenied,
    HubUnreachable,
    HubUnverified,
    ReplicaExists,
    ReplicaInUse,
    ReplicaUnwritable,
)
from anabranch.identity import (
    Identity,
    certificate_request,
    coming_folder,
    identity_folder,
    new_key,
    put_in_place,
    write_identity,
)
from anabranch.link import Enrolled, enroll
from anabranch.replica import Replica
from anabranch.wiping import finish_wipe

# A lost reply is asked for again with the same key, which the hub answers with the same edge.
ATTEMPTS_MAX = 4
RETRY_S = 0.5
# What can be resolved: a name of DNS, an IPv4 address, an IPv6 address with its zone.
_HOST = re.compile(r"[A-Za-z0-9_.-]{1,253}|[0-9A-Fa-f:.]{2,45}(%[A-Za-z0-9_.-]{1,32})?")
# An empty replica with its WAL, and the identity: 200 KiB; the reserve for a full disk: 128.
ROOM_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Initialised:
    """A new edge, ready to exchange."""

    replica: Path
    tenant: str
    edge: str
    prefixes: tuple[str, ...]


def init(
    replica: Path, hub: str, token: str, *, author: str = "", enrolment_address: str = ""
) -> Initialised:
    """`initialise` for a program without an event loop."""
    enrolling = initialise(replica, hub, token, author=author, enrolment_address=enrolment_address)
    return asyncio.run(enrolling)


def init_again(replica: Path, hub: str, token: str, *, enrolment_address: str = "") -> Initialised:
    """`identify_again` for a program without an event loop."""
    return asyncio.run(identify_again(replica, hub, token, enrolment_address=enrolment_address))


async def initialise(
    replica: Path, hub: str, token: str, *, author: str = "", enrolment_address: str = ""
) -> Initialised:
    """Enrol this edge at the hub at `hub` (host:port) and make an empty replica.

    `author` is who writes here when nobody says otherwise (default: the edge's name). Where the enrolment
    port is not the one after the hub's, the token or `enrolment_address` says so. Nothing is left behind by
    a failure. Raises InvalidToken, InvalidName, ReplicaExists, ReplicaInUse (another process enrols here),
    ReplicaUnwritable, HubError.
    """
    invitation = parse_token(token)
    address = _enrolment_address(hub, invitation, enrolment_address)
    try:
        is_there = replica.exists()
    except OSError as error:
        raise ReplicaUnwritable(str(replica), error.strerror or str(error)) from error
    if is_there:
        raise ReplicaExists(str(replica), "there is one already")
    finish_wipe(replica)
    folder = identity_folder(replica)
    with _claimed(replica, folder), _all_or_nothing(replica, folder):
        _remove(coming_folder(folder))  # whose replica is gone
        try:
            identity, enrolled = await _identified(hub, address, invitation)
        except HubUnreachable as error:
            raise HubUnreachable(error.address, error.reason, "nothing was made here") from error
        write_identity(folder, identity)
        Replica.create(
            replica,
            tenant=enrolled.tenant,
            edge=enrolled.edge,
            prefixes=enrolled.prefixes,
            incarnation=enrolled.incarnation,
            hub_epoch=enrolled.epoch,
            author=author or enrolled.edge,
        ).close()
    return Initialised(replica, enrolled.tenant, enrolled.edge, enrolled.prefixes)


async def identify_again(replica: Path, hub: str, token: str, *, enrolment_address: str = "") -> Initialised:
    """Give the edge of an existing replica a new identity: its certificate has ended, or the hub moved.

    What waits in the replica waits on. The old identity stays until the new one is whole. Raises
    ReplicaError (ReplicaInUse: stop the agent first), InvalidToken, InvalidName, HubError; HubDenied when
    the token is another edge's, which is used up by that.
    """
    invitation = parse_token(token)
    address = _enrolment_address(hub, invitation, enrolment_address)
    folder = identity_folder(replica)
    coming = coming_folder(folder)
    with Replica.open(replica) as existing, existing.lock_agent():
        with _told(replica):
            put_in_place(folder)  # of an earlier `init` that was killed: its token is used up
        with _all_or_nothing(replica, coming):
            identity, enrolled = await _identified(hub, address, invitation)
            if (enrolled.tenant, enrolled.edge) != (existing.tenant, existing.edge):
                ours = f"{existing.tenant}/{existing.edge}"
                reason = f"the token is for {enrolled.tenant}/{enrolled.edge} and this replica is {ours}'s"
                raise HubDenied(address, reason)
            write_identity(coming, identity)
        with _told(replica):
            put_in_place(folder)
        return Initialised(replica, existing.tenant, existing.edge, existing.scope.prefixes)


async def _identified(hub: str, address: str, invitation: InvitationToken) -> tuple[Identity, Enrolled]:
    """Redeem the invitation for a new key. Raises HubError."""
    root_pem = await _root_in_a_thread(address, invitation.root_fingerprint)
    key_pem = new_key()
    enrolled = await _enrolled(address, root_pem, invitation.secret, certificate_request(key_pem))
    renewed = enrolled.renewed
    identity = Identity(
        hub,
        enrolled.tenant,
        enrolled.edge,
        key_pem,
        renewed.chain_pem,
        renewed.root_pem,
        renewed.renew_at_ms,
    )
    return identity, enrolled


def _enrolment_address(hub: str, invitation: InvitationToken, given: str) -> str:
    host, port = split_address(hub)
    return given or _joined(host, invitation.enrolment_port or port + 1)


def split_address(address: str) -> tuple[str, int]:
    """Host and port of ``host:port`` or ``[address]:port``. Raises InvalidName."""
    host, _, port = address.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    bare = host[1:-1] if bracketed else host
    if not bare or (":" in bare) != bracketed:
        raise InvalidName("hub", address, "write host:port, an IPv6 address in brackets")
    if not _HOST.fullmatch(bare):
        raise InvalidName(
            "hub", address, "a host is an IP address, or a name of at most 253 of a-z, A-Z, 0-9, . - and _"
        )
    if not (port.isascii() and port.isdecimal() and 0 < int(port) <= PORT_MAX):
        raise InvalidName("hub", address, f"the port is a number from 1 to {PORT_MAX}")
    return bare, int(port)


@contextlib.contextmanager
def _claimed(replica: Path, folder: Path) -> Iterator[None]:
    """The folder is held against another `init` for the block: the one that failed would empty it.

    Raises ReplicaInUse, ReplicaExists, ReplicaUnwritable.
    """
    with _told(replica):
        replica.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ReplicaInUse(str(replica), "another `anabranch init` is at work", "wait for it") from error
        if replica.exists():
            raise ReplicaExists(str(replica), "another `anabranch init` has just made it")
        if not (folder.exists() and os.path.samestat(os.fstat(descriptor), folder.stat())):
            raise ReplicaInUse(str(replica), "another `anabranch init` has just failed", "try again")
        yield
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _all_or_nothing(replica: Path, folder: Path) -> Iterator[None]:
    """The folder is there at the end of the block, with the replica; or it is not, if the block raises.

    What is in it before is what an `init` left that was killed: nobody can use it.
    """
    with _told(replica):
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            for each in folder.iterdir():
                _remove(each)
            # The token works once: find out before it is sent whether anything can be written here.
            _try_room(folder / "room")
            yield
        except BaseException:
            _remove(folder)
            raise


@contextlib.contextmanager
def _told(replica: Path) -> Iterator[None]:
    """Turn what the disk refuses into our errors."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            reason = f"the disk has no room for it and its identity ({ROOM_BYTES} bytes)"
            raise DiskFull(
                str(replica), reason, "nothing was made here; free some space, try again"
            ) from error
        raise ReplicaUnwritable.after(str(replica), error) from error


def _try_room(path: Path) -> None:
    """Take ROOM_BYTES and give them back. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, ROOM_BYTES)
    finally:
        os.close(descriptor)
        path.unlink()


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


async def _enrolled(address: str, root_pem: bytes, secret: bytes, csr_pem: bytes) -> Enrolled:
    for attempt in range(ATTEMPTS_MAX):
        try:
            return await enroll(address, root_pem, secret, csr_pem)
        except HubUnreachable:
            if attempt == ATTEMPTS_MAX - 1:
                raise
            await asyncio.sleep(RETRY_S)
    raise AssertionError("the last attempt returns or raises")


async def _root_in_a_thread(address: str, fingerprint: bytes) -> bytes:
    """`_root_of`, in a thread that nobody waits for: whoever breaks it off is not held until it times out."""
    found: Future[bytes] = Future()
    found.set_running_or_notify_cancel()

    def look() -> None:
        try:
            found.set_result(_root_of(address, fingerprint))
        except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
            found.set_exception(error)

    Thread(target=look, daemon=True).start()
    return await asyncio.wrap_future(found)


def _root_of(address: str, fingerprint: bytes) -> bytes:
    """The root of that fingerprint, in PEM. Raises HubUnreachable, HubUnverified."""
    import ssl  # which an agent, where this module is loaded too, has no use for

    from anabranch_protos.introduction import CONNECT_S_MAX, root_shown

    try:
        root_pem = root_shown(*split_address(address), fingerprint)
    except ssl.SSLError as error:
        raise HubUnverified(address, f"no TLS 1.3 there ({error.reason or 'it broke off'})") from error
    except TimeoutError as error:
        raise HubUnreachable(address, f"no answer within {CONNECT_S_MAX:.0f} s") from error
    except OSError as error:
        raise HubUnreachable(address, error.strerror or str(error)) from error
    if root_pem is None:
        raise HubUnverified(address, "its chain does not end in the root that the token names")
    return root_pem


def _joined(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
