"""The command `doctor`: looks at everything this edge stands on, and says how to mend what is wrong."""

import os
import shutil
import socket
import ssl
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

import click
from anabranch_cli import terminal
from anabranch_cli.failure import ExitCode
from anabranch_sync.budget import resumes_ms
from anabranch_sync.clock import SKEW_FLAG_MS
from anabranch_sync.errors import AnabranchError
from anabranch_sync.lateness import EdgeFacts, Lateness, Reason, lateness

from anabranch.cli import damaged
from anabranch.cli.invocation import Invocation, command
from anabranch.condition import CLOCK_FLOOR_S, Word, clock_condition
from anabranch.replica.read_only import is_read_only

if TYPE_CHECKING:
    from anabranch.answers import Status
    from anabranch.client import Client
    from anabranch.identity import Identity

# Room for a first pull of a large scope and the WAL beside it.
DISK_FREE_BYTES_MIN = 64 * 1024 * 1024
# A day offline is ordinary; a person should know of more.
UNSENT_S_MAX = 86_400.0
# A person waits for this; a hub behind a bad link is slow, not absent.
HUB_S_MAX = 5.0
# What a person reads of them: any is a reason to look at the disk.
DAMAGES_SHOWN_MAX = 5
# X509_V_ERR_CERT_NOT_YET_VALID and _HAS_EXPIRED, which Python's ssl gives no names.
_CERTIFICATE_TIMES = (9, 10)


class Verdict(StrEnum):
    """What a check came to. A warning is worth knowing and does not fail the command."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at: what was found, and for all but OK what to do about it."""

    name: str
    verdict: Verdict
    found: str
    hint: str = ""
    exit_code: int = ExitCode.OK


@command("doctor")
@click.option("--offline", is_flag=True, help="Do not try to reach the hub.")
@click.option("--forget-loss", is_flag=True, help="You know of the changes that went missing.")
@click.option(
    "--export-damaged",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write what is left of damaged changes to a new file, as JSON.",
)
@click.option("--drop-damaged", is_flag=True, help="You have what there is of the damaged changes.")
def doctor(
    invocation: Invocation, offline: bool, forget_loss: bool, export_damaged: Path | None, drop_damaged: bool
) -> None:
    """Check replica, disk, clock, certificate and hub.

    There is a hint for everything that is wrong. Exits with 8 if anything that is verified turns out
    damaged or false. A hub that cannot be reached is a warning: an edge works without.
    """
    if forget_loss:
        with invocation.open() as client:
            client.replica.forget_loss()
    if export_damaged is not None or drop_damaged:
        with invocation.open() as client:
            if export_damaged is not None:
                damaged.export(client, export_damaged)
            if drop_damaged:
                client.replica.salvage.drop()
    checks = []
    why = _why(invocation.replica)
    if why is not None and not invocation.json:
        terminal.write(why.sentence)
    for check in _checks(invocation.replica, ask_hub=not offline):
        checks.append(check)
        if not invocation.json:
            _tell(check)
    code = exit_code(checks)
    if invocation.json:
        shown = [
            {"name": each.name, "verdict": str(each.verdict), "found": each.found, "hint": each.hint}
            for each in checks
        ]
        said = None if why is None else {"reason": why.reason and str(why.reason), "sentence": why.sentence}
        terminal.write_json({"ok": code == ExitCode.OK, "why": said, "checks": shown})
    if code != ExitCode.OK:
        raise click.exceptions.Exit(code)


def _why(replica: Path) -> Lateness | None:
    """Why this edge is behind, by the same rules as the hub; None where that cannot be read."""
    from anabranch.client import open as open_client
    from anabranch.identity import identity_folder, read_identity

    try:
        with open_client(replica) as client:
            status = client.status()
            now_ms = time.time_ns() // 1_000_000
            carried = client.replica.traffic(now_ms)
        identity = read_identity(identity_folder(replica))
    except AnabranchError:
        return None
    if wrong := _wrong_clock(identity, now_ms / 1000):
        return Lateness(Reason.CLOCK, f"Its clock is wrong: {wrong}.", ())
    if is_read_only(replica):
        return Lateness(Reason.DISK, "Its disk is read-only: nothing can be written here or taken in.", ())
    return lateness(
        EdgeFacts(
            now_ms=now_ms,
            certificate_until_ms=identity.not_after_ms,
            denied=status.link == "denied",
            distrusted=status.link == "distrusted",
            agent_running=status.agent_running,
            heard_ms=None if status.age_s is None else now_ms - int(status.age_s * 1000),
            budget_until_ms=resumes_ms(carried.budget, carried.spent, carried.today) or None,
            disk_free_bytes=shutil.disk_usage(replica.absolute().parent).free,
            clock_offset_ms=status.clock_offset_ms,
            unsent=status.unsent,
            oldest_unsent_ms=(
                None if status.oldest_unsent_s is None else now_ms - int(status.oldest_unsent_s * 1000)
            ),
            refused=status.refused,
            quarantined=status.quarantined,
            proved_ms=None if status.proved_ms is None else status.proved_ms - (status.clock_offset_ms or 0),
            unhealed=status.damaged,
            damaged_changes=status.damaged_changes,
        )
    )


def exit_code(checks: list[Check]) -> int:
    """The code of the whole: failed verification before anything else, then the first failure."""
    codes = [check.exit_code for check in checks if check.verdict is Verdict.FAIL]
    if ExitCode.UNVERIFIED in codes:
        return ExitCode.UNVERIFIED
    return codes[0] if codes else ExitCode.OK


def _checks(replica: Path, *, ask_hub: bool) -> Iterator[Check]:
    from anabranch.client import open as open_client
    from anabranch.identity import identity_folder, read_identity

    status = None
    try:
        with open_client(replica) as client:
            status = client.status()
            yield from _replica_checks(client, status)
    except AnabranchError as error:
        yield _failed("replica", error)
    yield _disk(replica, status)
    yield _clock(status)
    try:
        of = "" if status is None else f"{status.tenant}/{status.edge}"
        identity = read_identity(identity_folder(replica), of=of)
    except AnabranchError as error:
        yield _failed("certificate", error)
        return
    yield _private_files(replica, identity_folder(replica))
    yield _certificate(identity)
    if ask_hub:
        yield _hub(identity, identity_folder(replica))


def _replica_checks(client: "Client", status: "Status") -> Iterator[Check]:
    from anabranch.replica.schema import SCHEMA_VERSION

    yield Check("replica", Verdict.OK, f"{status.path} of {status.tenant}/{status.edge}")
    if not client.replica.is_read_only():
        # Both were read back when the file was opened; it would not have opened otherwise.
        yield Check("storage", Verdict.OK, "journal_mode=WAL, synchronous=EXTRA")
    yield Check("schema", Verdict.OK, f"version {SCHEMA_VERSION}, the newest known here")
    damages = client.replica.verify()
    if damages and client.replica.salvage.run():
        damages = client.replica.verify()
    for damage in damages[:DAMAGES_SHOWN_MAX]:
        yield _failed("integrity", damage)
    if not damages:
        found = (
            f"{terminal.count(status.documents, 'document')} and {terminal.count(status.outbox, 'change')}"
        )
        yield Check("integrity", Verdict.OK, f"{found} in the outbox verified")
    if changes := client.replica.salvage.changes():
        yield Check("outbox", Verdict.FAIL, damaged.sentence(changes), damaged.HINT, ExitCode.UNVERIFIED)
    if client.replica.loss is not None:
        hint = "check the disk; anabranch doctor --forget-loss once you know"
        yield Check("losses", Verdict.FAIL, str(client.replica.loss), hint, ExitCode.UNVERIFIED)
    for name, reason in client.replica.policies().unusable():
        hint = "update anabranch on this machine; until then that schema judges nothing here, only on the hub"
        yield Check("schemas", Verdict.WARN, f"{name} cannot be used: {reason}", hint)
    if status.quarantined:
        found = (
            f"{terminal.count(status.quarantined, 'document')} quarantined: the last valid version is read"
        )
        hint = "anabranch conflicts tells why; write what passes, here or on the hub"
        yield Check("validity", Verdict.WARN, found, hint)
    yield _exchange(status)
    if status.log.refusals and status.link != "distrusted":
        yield Check(
            "log",
            Verdict.WARN,
            f"the hub showed a log that this edge refused: {status.log.refused}",
            "show its operator what anabranch audit show prints; it is kept until anabranch audit forget",
        )
    if status.refused:
        yield Check(
            "refused",
            Verdict.WARN,
            f"{terminal.count(status.refused, 'change')} refused by the hub",
            "anabranch conflicts shows them; nothing of them is lost",
        )


def _exchange(status: "Status") -> Check:
    waiting = f"{terminal.count(status.unsent, 'change')} not sent"
    if status.link == "denied":
        hint = "stop the agent if one runs; anabranch sync asks again and tells why"
        found = f"the hub said no to this edge when it was asked last; {waiting}"
        return Check("agent", Verdict.FAIL, found, hint, ExitCode.DENIED)
    if status.link == "distrusted":
        hint = "keep what anabranch audit show prints and show it to the hub's operator"
        found = f"this edge refuses the hub's log: {status.log.refused}; {waiting}"
        return Check("agent", Verdict.FAIL, found, hint, ExitCode.UNVERIFIED)
    unsent_s = status.oldest_unsent_s
    if unsent_s is not None:
        waiting += f", the oldest for {terminal.duration(unsent_s)}"
    if not status.agent_running:
        hint = "start it with anabranch agent, or exchange once with anabranch sync"
        return Check("agent", Verdict.WARN, f"no agent is running; {waiting}", hint)
    if unsent_s is not None and unsent_s > UNSENT_S_MAX:
        return Check("agent", Verdict.WARN, waiting, "see the agent's log for why it cannot reach the hub")
    return Check("agent", Verdict.OK, f"running; {waiting}")


def _disk(replica: Path, status: "Status | None") -> Check:
    folder = replica.absolute().parent
    while not os.path.exists(folder):  # noqa: PTH110  (that one raises where a folder may not be looked into)
        folder = folder.parent
    free_bytes = shutil.disk_usage(folder).free
    found = f"{terminal.size(free_bytes)} free at {folder}"
    if is_read_only(replica):
        hint = "mount it for writing; reading goes on meanwhile"
        return Check(
            "disk", Verdict.FAIL, f"{folder} is read-only: nothing can be written", hint, ExitCode.OTHER
        )
    if status is not None and not status.reserve:
        hint = "free some space"
        if free_bytes >= DISK_FREE_BYTES_MIN:
            hint = "the next write lays it again, unless a quota or a limit of file sizes is in the way"
        return Check("disk", Verdict.WARN, f"{found}, the replica's reserve is used up", hint)
    if free_bytes < DISK_FREE_BYTES_MIN:
        hint = f"free some space: {terminal.size(DISK_FREE_BYTES_MIN)} are needed to take in a large scope"
        return Check("disk", Verdict.WARN, found, hint)
    return Check("disk", Verdict.OK, found)


def _clock(status: "Status | None") -> Check:
    now_s = time.time()
    found = f"it is {terminal.moment(int(now_s * 1000))} here"
    offset_ms = None if status is None else status.clock_offset_ms
    if offset_ms is not None:
        found += f", {terminal.duration(abs(offset_ms) / 1000)} from the hub's clock when it was last heard"
    if now_s < CLOCK_FLOOR_S:
        hint = "set the clock: no certificate is valid then; writes are kept all the same"
        return Check("clock", Verdict.WARN, found, hint)
    if offset_ms is not None and abs(offset_ms) > SKEW_FLAG_MS:
        hint = "set the clock: of two concurrent writes the one that says it is later wins"
        return Check("clock", Verdict.WARN, found, hint)
    return Check("clock", Verdict.OK, found)


def _private_files(replica: Path, folder: Path) -> Check:
    others = stat.S_IRWXG | stat.S_IRWXO
    paths = (replica, folder, folder / "key.pem")
    loose = [path for path in paths if path.exists() and path.stat().st_mode & others]
    if loose:
        names = " ".join(str(path) for path in loose)
        return Check("permissions", Verdict.WARN, f"others may read {names}", f"chmod go= {names}")
    return Check("permissions", Verdict.OK, "replica and key are their owner's alone")


def _wrong_clock(identity: "Identity", now_s: float) -> str:
    """Why this machine's clock cannot be right; empty where it may be."""
    seen = clock_condition(identity, now_s)
    return seen.sentence if seen is not None and seen.word is Word.CLOCK else ""


def _certificate(identity: "Identity") -> Check:
    now_ms = time.time() * 1000
    found = f"{identity.tenant}/{identity.edge}, valid until {terminal.moment(identity.not_after_ms)}"
    if wrong := _wrong_clock(identity, now_ms / 1000):
        return Check("certificate", Verdict.WARN, f"{found}: {wrong}", "set the clock, then look again")
    if now_ms > identity.not_after_ms:
        hint = "get an invitation (anabranch-hub edge invite), then run anabranch init --keep-replica"
        return Check("certificate", Verdict.FAIL, f"{found}: it has ended", hint, ExitCode.UNVERIFIED)
    if now_ms > identity.renew_at_ms:
        hint = "the agent renews it at its next exchange: anabranch sync"
        return Check("certificate", Verdict.WARN, f"{found}: due for renewal", hint)
    return Check("certificate", Verdict.OK, found)


def _hub(identity: "Identity", folder: Path) -> Check:
    """Shake hands with the hub as the agent would, and wait for its first words."""
    from anabranch.enrol import split_address

    name = f"relay {identity.via}" if identity.via else f"hub {identity.address}"
    meant = "a relay of this edge's hub" if identity.via else "the hub that is meant"
    began_s = time.monotonic()
    try:
        context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.set_alpn_protocols(["h2"])
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        host, port = split_address(identity.called)
        with (
            socket.create_connection((host, port), timeout=HUB_S_MAX) as plain,
            context.wrap_socket(plain, server_hostname=identity.server_name or host) as secured,
        ):
            # A TLS 1.3 server judges our certificate after the handshake: only its first frame tells.
            if not secured.recv(1):
                raise ConnectionResetError("it closed the connection")
            millis = (time.monotonic() - began_s) * 1000
            return Check(name, Verdict.OK, f"{secured.version()}, both sides verified, in {millis:.0f} ms")
    except ssl.SSLCertVerificationError as error:
        hint = "check the address; if it is right, somebody stands between"
        if error.verify_code in _CERTIFICATE_TIMES:
            hint = "set this machine's clock; if it is right, restart the hub: that renews its certificate"
        found = f"whoever answers is not {meant} ({error.verify_message})"
        return Check(name, Verdict.FAIL, found, hint, ExitCode.UNVERIFIED)
    except ssl.SSLError as error:
        if "ALERT" not in (error.reason or ""):  # an alert is TLS's word of a server that refuses us
            hint = "check the address: another program answers there"
            found = f"no TLS 1.3 there ({error.reason or 'it broke off'})"
            return Check(name, Verdict.FAIL, found, hint, ExitCode.UNVERIFIED)
        hint = "ask an operator whether this edge was revoked (anabranch-hub edge list)"
        return Check(name, Verdict.FAIL, f"it does not accept us ({error.reason})", hint, ExitCode.DENIED)
    except OSError as error:
        hint = "check the address and the network; reading and writing here go on meanwhile"
        if identity.via:
            hint = "check whether its agent runs; without it: anabranch relay leave"
        return Check(name, Verdict.WARN, f"not reachable ({error.strerror or error})", hint)


def _failed(name: str, error: AnabranchError) -> Check:
    message, _, way_out = str(error).rpartition(": ")
    return Check(name, Verdict.FAIL, message or way_out, way_out if message else "", error.exit_code)


_COLOURS = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "red"}


def _tell(check: Check) -> None:
    verdict = terminal.painted(f"{check.verdict:<4}", _COLOURS[check.verdict])
    terminal.write(f"{verdict}  {check.name:<11}  {terminal.one_line(check.found)}")
    if check.hint:
        terminal.write(f"{'':<19}{terminal.painted('-> ' + terminal.one_line(check.hint), 'dim')}")
    terminal.flush()


COMMANDS = {"doctor": doctor}
