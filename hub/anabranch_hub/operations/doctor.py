"""An examination of a hub from outside: what a person would look at, one after the other.

Each check gives findings and changes nothing, but for what connecting does anyway (migrations of an
older schema). A failure names the way out. What cannot be looked at, because what it stands on failed,
is left out.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from anabranch_cli.terminal import count
from cryptography import x509

from anabranch_hub.audit.anchors import Anchors
from anabranch_hub.errors import AnchorDamaged, HubError, LogTampered
from anabranch_hub.operations import whereabouts
from anabranch_hub.operations.whereabouts import Whereabouts
from anabranch_hub.servers.private_files import read_text
from anabranch_hub.servers.supervise import LAYOUT
from anabranch_hub.settings import parse_address
from anabranch_hub.store import EdgeStatus, Store
from anabranch_hub.store.upkeep import Upkept

# What a checkpoint of Postgres may need at once (max_wal_size) is 1 GB; below that writes are at risk.
DISK_FREE_BYTES_MIN = 256 * 1024 * 1024
DISK_FREE_BYTES_LOW = 2 * 1024 * 1024 * 1024
INODES_FREE_MIN = 10_000
# Nothing was released before: a clock that says so is wrong.
EARLIEST_S = 1_767_225_600  # 2026-01-01
# NTP keeps hosts within 1 s; files a minute ahead of the clock were written before it was put back.
CLOCK_BACK_S = 60.0
# An operator has a month to restart a hub, a fortnight to look for an edge that does not come.
SERVER_EXPIRES_SOON_S = 30 * 86_400
EDGE_EXPIRES_SOON_S = 14 * 86_400
# It is done once a day; a hub may be down for one.
UPKEEP_LATE_S = 3 * 86_400
# A run takes minutes where there is much to fold.
UPKEEP_ENDS_S = 6 * 3_600
# A person waits for the answer, which is some hundred bytes from the same machine.
PROBE_S_MAX = 5.0
REPLY_BYTES_MAX = 64 * 1024

# Whoever reads one of these is the hub.
SECRET_FILES = (
    "run/postgres-dsn",
    "postgres/password",
    "openbao/seal.key",
    "openbao/role-id",
    "openbao/secret-id",
)


class State(StrEnum):
    """How serious a finding is."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the examination. `exit_code` is what the command ends with if it failed."""

    check: str
    state: State
    message: str
    exit_code: int = 1


async def examine(
    data_dir: Path | None, postgres_dsn: Callable[[], str], wall_s: Callable[[], float] = time.time
) -> AsyncIterator[Finding]:
    """Examine the hub on `data_dir`, or only a Postgres when there is none.

    `postgres_dsn` may raise HubError: then there is no Postgres to look at.
    """
    here = None
    if data_dir is not None:
        for finding in (*_folder(data_dir), *_secrets(data_dir), *_disk(data_dir)):
            yield finding
        here, finding = _running(data_dir)
        yield finding
    yield _clock(data_dir, wall_s())
    if here is not None and data_dir is not None:
        async for finding in _health(here):
            yield finding
        yield await _certificate(data_dir, here, wall_s())
    if data_dir is None or here is not None:
        async for finding in _store(data_dir, postgres_dsn, wall_s()):
            yield finding


def _folder(data_dir: Path) -> Iterator[Finding]:
    name = "data directory"
    layout = None
    with suppress(OSError):
        layout = read_text(data_dir / "layout")
    if not data_dir.is_dir():
        found = "is no directory: name another" if data_dir.exists() else "does not exist: start a hub on it"
        yield _failed(name, f"{data_dir} {found}", 5)
    elif not os.access(data_dir, os.R_OK | os.W_OK | os.X_OK):
        yield _failed(
            name,
            f"{data_dir} is not readable and writable: run this as the hub's user, or mend a read-only disk",
            4,
        )
    elif layout is None:
        yield _failed(name, f"{data_dir} holds no hub: start one, or name another --data-dir", 5)
    elif layout != LAYOUT:
        yield _failed(name, f"{data_dir} has layout {layout[:20]}, this release knows {LAYOUT}", 5)
    elif data_dir.stat().st_mode & 0o022:
        yield Finding(name, State.WARNING, f"{data_dir} can be written by others: chmod go-w {data_dir}")
    else:
        yield _ok(name, f"{data_dir}, layout {layout}")


def _secrets(data_dir: Path) -> Iterator[Finding]:
    """Whether the files that hold keys are their owner's alone."""
    there, open_to_others = False, []
    for name in SECRET_FILES:
        with suppress(OSError):
            if (data_dir / name).stat().st_mode & 0o077:
                open_to_others.append(name)
            there = True
    if not there:
        return
    if open_to_others:
        names = " ".join(open_to_others)
        yield _failed("secrets", f"readable by others: {names}; chmod 600 them and change the passwords", 8)
    else:
        yield _ok("secrets", "readable by their owner alone")


def _disk(data_dir: Path) -> Iterator[Finding]:
    try:
        free_bytes = shutil.disk_usage(data_dir).free
        inodes = os.statvfs(data_dir)
    except OSError:
        return
    free = f"{free_bytes / 1024**3:.1f} GiB free"
    if free_bytes < DISK_FREE_BYTES_MIN:
        yield _failed("disk", f"{free}, at least {DISK_FREE_BYTES_MIN // 1024**2} MiB needed: make room", 5)
    elif inodes.f_files and inodes.f_favail < INODES_FREE_MIN:
        yield _failed("disk", f"{inodes.f_favail} files free, at least {INODES_FREE_MIN} needed", 5)
    elif free_bytes < DISK_FREE_BYTES_LOW:
        yield Finding("disk", State.WARNING, f"{free}: make room soon")
    else:
        yield _ok("disk", free)


def _clock(data_dir: Path | None, now_s: float) -> Finding:
    """Whether the clock can be right. Files written lately by the hub must not lie in the future."""
    shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now_s))
    if now_s < EARLIEST_S:
        return _failed("clock", f"{shown} lies before this software: set the clock", 5)
    latest_s = max(_written_s(data_dir), default=0.0) if data_dir is not None else 0.0
    if latest_s > now_s + CLOCK_BACK_S:
        ahead = f"{latest_s - now_s:.0f} s"
        return _failed("clock", f"{shown} is {ahead} before the hub's last files: set the clock", 5)
    return _ok("clock", shown)


def _written_s(data_dir: Path) -> Iterable[float]:
    for name in ("lock", "layout", "run/hub.json", "postgres/log", "openbao/log"):
        with suppress(OSError):
            yield (data_dir / name).stat().st_mtime


def _running(data_dir: Path) -> tuple[Whereabouts | None, Finding]:
    try:
        here = whereabouts.find(data_dir)
    except HubError as error:
        return None, _failed("hub", str(error), error.exit_code)
    kind = "embedded servers" if here.embedded else "servers of its own operator"
    return here, _ok("hub", f"pid {here.pid}, release {here.release}, edges at {here.listen}, {kind}")


async def _health(here: Whereabouts) -> AsyncIterator[Finding]:
    if not here.health:
        return
    try:
        parts = json.loads(await _get(here.health, "/health/ready"))["parts"]
    except (OSError, ValueError, KeyError, TimeoutError) as error:
        reason = str(error) or type(error).__name__
        yield _failed("health", f"http://{here.health}/health/ready does not answer ({reason})", 7)
        return
    for name, part in parts.items():
        restarts = f", restarted {part['restarts']} times" if part["restarts"] else ""
        if part.get("warning"):
            yield _failed(f"health {name}", part["warning"], 8)
        elif part["reason"] is None:
            state = State.WARNING if restarts else State.OK
            yield Finding(f"health {name}", state, f"ready{restarts}")
        else:
            yield _failed(f"health {name}", f"{part['reason']}{restarts}", 7)


async def _get(address: str, path: str) -> bytes:
    """The body of a plain HTTP answer."""
    place = parse_address(address)
    async with asyncio.timeout(PROBE_S_MAX):
        reader, writer = await asyncio.open_connection(place.host, place.port)
        try:
            writer.write(
                f"GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n".encode("ascii")
            )
            reply = await reader.read(REPLY_BYTES_MAX)
            while more := await reader.read(REPLY_BYTES_MAX - len(reply)):
                reply += more
        finally:
            writer.close()
    return reply.partition(b"\r\n\r\n")[2]


async def _certificate(data_dir: Path, here: Whereabouts, now_s: float) -> Finding:
    """Whether the hub's certificate is the authority's and will last."""
    try:
        context = ssl.create_default_context(cadata=whereabouts.authority_pem(data_dir).decode("ascii"))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False  # the hub may listen on every address; edges check the name they use
        context.set_alpn_protocols(["h2"])
        der = await asyncio.to_thread(_served_certificate, here.enrol, context)
    except (OSError, HubError, ValueError) as error:
        return _failed("certificate", f"TLS with {here.enrol} fails ({error})", 8)
    certificate = x509.load_der_x509_certificate(der)
    left_s = certificate.not_valid_after_utc.timestamp() - now_s
    until = f"valid until {certificate.not_valid_after_utc:%Y-%m-%d}"
    if left_s <= 0:
        return _failed("certificate", f"{until}: restart the hub, it gets a new one at every start", 8)
    if left_s < SERVER_EXPIRES_SOON_S:
        return Finding("certificate", State.WARNING, f"{until}: restart the hub, it gets a new one then")
    return _ok("certificate", until)


def _served_certificate(address: str, context: ssl.SSLContext) -> bytes:
    import socket

    place = parse_address(address)
    with (
        socket.create_connection((place.host, place.port), timeout=PROBE_S_MAX) as link,
        closing(context.wrap_socket(link, server_hostname=place.host)) as tls,
    ):
        der = tls.getpeercert(binary_form=True)
    assert der is not None, "a verified peer has a certificate"
    return der


async def _store(
    data_dir: Path | None, postgres_dsn: Callable[[], str], now_s: float
) -> AsyncIterator[Finding]:
    try:
        store = await Store.connect(postgres_dsn())
    except HubError as error:
        yield _failed("postgres", str(error), error.exit_code)
        return
    try:
        yield _ok("postgres", "answers; fsync and synchronous_commit are on; every schema is migrated")
        tenants = [tenant.name for tenant in await store.tenants()]
        edges = [edge for tenant in tenants for edge in await store.edges(tenant)]
        yield _ok("tenants", f"{len(tenants)}, with {count(len(edges), 'edge')}")
        soon = [
            f"{edge.tenant}/{edge.name}"
            for edge in edges
            if edge.status is EdgeStatus.ENROLLED and edge.not_after_ms / 1000 - now_s < EDGE_EXPIRES_SOON_S
        ]
        counts = {tenant: len(await store.quarantined(tenant)) for tenant in tenants}
        if any(counts.values()):
            shown = ", ".join(f"{tenant} {count}" for tenant, count in counts.items() if count)
            message = f"documents whose merged head is invalid: {shown}; see anabranch-hub quarantine list"
            yield Finding("validity", State.WARNING, message)
        if soon:
            shown = ", ".join(soon[:10]) + (f" and {len(soon) - 10} more" if len(soon) > 10 else "")
            yield Finding("edges", State.WARNING, f"certificates end soon or have ended: {shown}")
        yield await _upkeep(store, now_s)
        async for finding in _logs(store, data_dir, tenants):
            yield finding
    except HubError as error:
        yield _failed("postgres", str(error), error.exit_code)
    finally:
        await store.close()


async def _upkeep(store: Store, now_s: float) -> Finding:
    """Whether some hub folds, collects and trims once a day."""

    def ago(run: Upkept) -> float:
        return now_s - run.begun_ms / 1000

    newest = await store.upkeep.newest()
    failed = [f"{each.tenant}: {reason}" for each in newest for reason in each.failed]
    late = [each.tenant for each in newest if ago(each) > UPKEEP_LATE_S]
    if failed:
        return Finding("upkeep", State.WARNING, f"{failed[0]}; the hub's log tells all {len(failed)}")
    if late:
        days = UPKEEP_LATE_S // 86_400
        return Finding("upkeep", State.WARNING, f"none in {days} days of {' '.join(late)}: does a hub serve?")
    broken = [each.tenant for each in newest if each.ended_ms is None and ago(each) > UPKEEP_ENDS_S]
    if broken:
        return Finding("upkeep", State.WARNING, f"of {' '.join(broken)} did not end: did a hub die in it?")
    if not newest:
        return _ok("upkeep", "none yet: a hub begins ten minutes after its start")
    done = Counter[str]()
    for each in newest:
        done.update(each.done)
    told = ", ".join(f"{name.replace('_', ' ')} {done[name]}" for name in sorted(done))
    return _ok("upkeep", f"{len(newest)} tenants; last {told}")


async def _logs(store: Store, data_dir: Path | None, tenants: Sequence[str]) -> AsyncIterator[Finding]:
    """Whether each log goes on from what was signed of it; its leaves are for `audit verify`."""
    sound = 0
    for tenant in tenants:
        try:
            anchor = Anchors(data_dir).read(tenant) if data_dir is not None else None
            newest = (await store.log(tenant)).newest
            await store.proven_head(tenant, [each.tree for each in (anchor, newest) if each is not None])
            sound += 1
        except (LogTampered, AnchorDamaged) as error:
            yield _failed("log", str(error), error.exit_code)
    if sound:
        yield _ok("log", f"{sound} of {len(tenants)} go on from what was signed of them")


def _ok(check: str, message: str) -> Finding:
    return Finding(check, State.OK, message)


def _failed(check: str, message: str, exit_code: int) -> Finding:
    return Finding(check, State.FAILED, message, exit_code)
