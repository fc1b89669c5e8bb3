"""Commands that tell how the replica stands: `status`, `conflicts`."""

import contextlib
from dataclasses import asdict
from typing import TYPE_CHECKING

from anabranch_sync.path import render_pointer
from anabranch_sync.value import Json

from anabranch.cli import terminal
from anabranch.cli.invocation import Invocation, command
from anabranch.errors import IdentityUnusable

if TYPE_CHECKING:
    from pathlib import Path

    from anabranch_sync.pull import Notice

    from anabranch.identity import Identity
    from anabranch.readings import LogReading, Status
    from anabranch.replica import Refused, SetAside

_STATE_COLOURS = {"FRESH": "green", "STALE": "yellow", "OFFLINE": "yellow", "NEVER_SYNCED": "red"}


@command("status")
def status(invocation: Invocation) -> None:
    """Tell how this replica stands: age, link, what waits."""
    with invocation.open() as client:
        now = client.status()
    identity = _identity(invocation.replica)
    if invocation.json:
        facts = {name: value for name, value in asdict(now).items() if name != "cursor"}
        facts["cursor"] = {"epoch": now.cursor.epoch, "hub_seq": now.cursor.hub_seq}
        facts["hub"] = None if identity is None else identity.address
        facts["certificate_until"] = None if identity is None else terminal.time_text(identity.not_after_ms)
        terminal.write_json(facts)
        return
    state = terminal.painted(str(now.state).upper().replace("_", " "), _STATE_COLOURS[now.state])
    terminal.write(f"{now.tenant}/{now.edge}  {state}")
    for line in terminal.columns(_status_rows(now, identity)):
        terminal.write(f"  {line}")


@command("conflicts")
def conflicts(invocation: Invocation) -> None:
    """Show this edge's conflicts, its refused changes, and documents in quarantine.

    Every losing value is in the hub's ledger too, where an operator can restore it. A document is
    quarantined where all that has merged breaks its schema: readers get the last valid version, until
    somebody, here or on the hub, writes what passes.
    """
    with invocation.open() as client:
        notices, refused, quarantined = client.conflicts(), client.refused(), client.quarantined()
    if invocation.json:
        terminal.write_json(
            {
                "conflicts": [_conflict(notice) for notice in notices],
                "refused": [_refused(each) for each in refused],
                "quarantined": [_quarantined(each) for each in quarantined],
            }
        )
        return
    for notice in notices:
        for line in _conflict_lines(notice):
            terminal.write(line)
    for each in refused:
        documents = ", ".join(str(document) for document in each.change.documents)
        terminal.write(
            f"{terminal.painted('refused', 'red')} {each.dot}  {documents}: {terminal.one_line(each.reason)}"
        )
    for each_aside in quarantined:
        for line in _quarantined_lines(each_aside):
            terminal.write(line)
    if not notices and not refused and not quarantined:
        terminal.say("no conflicts, nothing refused, nothing quarantined")


def _status_rows(now: "Status", identity: "Identity | None") -> list[tuple[str, str]]:
    heard = "never heard" if now.age_s is None else f"heard {terminal.duration(now.age_s)} ago"
    agent = "an agent is running" if now.agent_running else "no agent is running (anabranch agent)"
    if now.link == "denied":
        heard += ", the hub says no to this edge (anabranch sync tells why)"
    if now.link == "distrusted":
        heard += ", this edge refuses the hub's log (anabranch audit show has the evidence)"
    outbox = "empty"
    if now.outbox:
        outbox = f"{terminal.count(now.outbox, 'change')} not confirmed, {now.unsent:,} not sent"
    if now.oldest_unsent_s is not None:
        outbox += f", the oldest for {terminal.duration(now.oldest_unsent_s)}"
    size_bytes = now.file_bytes + now.wal_bytes
    rows = [
        ("replica", f"{now.path}, {terminal.size(size_bytes)}"),
        ("writes", ", ".join(now.prefixes) or "nothing"),
        ("hub", "not enrolled" if identity is None else identity.address),
        ("link", f"{heard}, {agent}"),
        ("documents", f"{now.documents:,}"),
        ("outbox", outbox),
    ]
    if now.conflicts or now.refused:
        rows.append(
            (
                "merges",
                f"{terminal.count(now.conflicts, 'conflict')}, {now.refused:,} refused (anabranch conflicts)",
            )
        )
    if now.quarantined:
        count = terminal.count(now.quarantined, "document")
        rows.append(
            ("validity", f"{count} quarantined: the last valid version is read (anabranch conflicts)")
        )
    if not now.reserve:
        rows.append(("disk", "full, or nearly: the reserve for deletes is used up"))
    rows += [("digest", now.digest), ("log", _log_row(now.log))]
    if identity is not None:
        rows.append(("identity", f"certificate until {terminal.time_text(identity.not_after_ms)}"))
    return rows


def _log_row(log: "LogReading") -> str:
    row = "no checkpoint seen yet"
    if log.leaves is not None and log.age_s is not None:
        leaves = "1 leaf" if log.leaves == 1 else f"{log.leaves:,} leaves"
        row = f"{leaves}, seen {terminal.duration(log.age_s)} ago"
        if log.decided_since:
            row += f", {terminal.count(log.decided_since, 'change')} decided since"
    if log.refused_since_s is not None:
        ago = terminal.duration(log.refused_since_s)
        row += f"; {terminal.painted('REFUSED', 'red')} since {ago}: {terminal.one_line(log.refused)}"
    return row


def _identity(replica: "Path") -> "Identity | None":
    from anabranch.identity import identity_folder, read_identity

    with contextlib.suppress(IdentityUnusable):
        return read_identity(identity_folder(replica))
    return None


def _conflict(notice: "Notice") -> dict[str, object]:
    return {
        "ledger": notice.ledger,
        "hub_seq": notice.hub_seq,
        "namespace": notice.document.namespace,
        "key": notice.document.key,
        "path": render_pointer(notice.path),
        "kind": notice.kind,
        "policy": notice.policy,
        "won": notice.won,
        "candidates": [
            {"author": author, **({"value": value[0]} if value else {"deleted": True})}
            for author, value in zip(notice.authors, notice.values, strict=True)
        ],
    }


def _conflict_lines(notice: "Notice") -> list[str]:
    fate = (
        terminal.painted("yours stands", "green") if notice.won else terminal.painted("yours lost", "yellow")
    )
    where = terminal.one_line(f"{notice.document} {render_pointer(notice.path)}".rstrip())
    lines = [f"#{notice.ledger} {where}: {notice.kind}, by {terminal.one_line(notice.policy)}, {fate}"]
    for place, (author, value) in enumerate(zip(notice.authors, notice.values, strict=True)):
        said = terminal.json_text(value[0], indent=None) if value else "deleted"
        lines.append(f"    {'stands' if place == 0 else 'lost  '}  {said}  by {terminal.one_line(author)}")
    return lines


def _quarantined(each: "SetAside") -> dict[str, object]:
    return {
        "namespace": each.document.namespace,
        "key": each.document.key,
        "live_version": each.live_version,
        "head_version": each.version,
        "pending": each.pending,
        "violations": [violation.facts() for violation in each.violations],
    }


def _quarantined_lines(each: "SetAside") -> list[str]:
    read = f"version {each.live_version} is read" if each.live_version else "nothing is read"
    lines = [f"{terminal.painted('quarantined', 'yellow')} {each.document}: {read}, head is {each.version}"]
    for violation in each.violations:
        lines.append(
            terminal.one_line(f"    {violation.place or '/'}: {violation.reason} (rule {violation.rule})")
        )
        lines.append(terminal.one_line(f"      what passes: {violation.passes}"))
    return lines


def _refused(each: "Refused") -> dict[str, Json]:
    return {
        "dot": str(each.dot),
        "reason": each.reason,
        "decided_ms": each.decided_ms,
        "author": each.change.author,
        "message": each.change.message,
        "documents": [str(document) for document in each.change.documents],
        "operations": len(each.change.ops),
    }


COMMANDS = {"status": status, "conflicts": conflicts}
