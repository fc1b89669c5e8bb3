"""The commands that tell how the replica stands: `status`, `incidents`."""

import time
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from anabranch_cli import terminal

from anabranch.cli.invocation import Invocation, command
from anabranch.cli.link import mode_told, told
from anabranch.errors import IdentityUnusable

if TYPE_CHECKING:
    from pathlib import Path

    from anabranch_sync.acknowledgement import Marks

    from anabranch.answers import Status
    from anabranch.client import Client
    from anabranch.condition import Condition
    from anabranch.identity import Identity

_STATE_COLOURS = {"FRESH": "green", "STALE": "yellow", "OFFLINE": "yellow", "NEVER_SYNCED": "red"}


@command("status")
@click.option("--check", is_flag=True, help="Exit with 0 only if it serves, be it offline.")
def status(invocation: Invocation, check: bool) -> None:
    """Tell how this replica stands: age, link, what waits, and what a person should see to.

    The condition is one of serving, offline, distrusted, denied, expired, clock, disk full, read-only,
    disk failing and damaged; whatever it is, reading goes on. With --check the exit code is 0 for serving
    and offline, 4 for denied, 8 for damaged, distrusted and expired, and 1 for the others.

    \b
    anabranch status
    anabranch status --check --json
    """
    identity, without = _identity(invocation.replica)
    with invocation.open() as client:
        now = client.status()
        budget = told(client.replica.traffic(int(time.time() * 1000)))
        seen = _condition(client, now, identity)
    _show(invocation, now, identity, without, seen, budget)
    if check and seen.exit_code:
        raise click.exceptions.Exit(seen.exit_code)


def _show(
    invocation: Invocation,
    now: "Status",
    identity: "Identity | None",
    without: str,
    seen: "Condition",
    budget: str,
) -> None:
    if invocation.json:
        facts = {name: value for name, value in asdict(now).items() if name != "cursor"}
        facts["cursor"] = {"epoch": now.cursor.epoch, "hub_seq": now.cursor.hub_seq}
        facts["condition"] = {"word": str(seen.word), "sentence": seen.sentence}
        facts["hub"] = None if identity is None else identity.address
        facts["via"] = identity.via or None if identity else None
        facts["certificate_until"] = None if identity is None else terminal.moment(identity.not_after_ms)
        terminal.write_json(facts)
        return
    state = terminal.painted(str(now.state).upper().replace("_", " "), _STATE_COLOURS[now.state])
    terminal.write(f"{now.tenant}/{now.edge}  {state}")
    for line in terminal.columns([("condition", _told(seen)), *_status_rows(now, identity, without)]):
        terminal.write(f"  {line}")
    if budget:
        terminal.write(f"  budget     {budget}")


def _condition(client: "Client", now: "Status", identity: "Identity | None") -> "Condition":
    """What can be seen from here, or what the agent that runs has met, whichever is worse."""
    from anabranch.circumstances import is_full
    from anabranch.condition import clock_condition, condition, condition_told, worse
    from anabranch.replica import Link

    # A link that was up says nothing once nobody holds it; a "no" stands until somebody hears otherwise.
    forgotten = now.link is Link.UP and not (now.agent_running or now.state == "FRESH")
    seen = condition(
        loss=client.replica.loss,
        damaged_changes=now.damaged_changes,
        is_read_only=client.replica.is_read_only(),
        has_reserve=now.reserve,
        is_full=is_full(client.replica.path),
        clock=clock_condition(identity, time.time()),
        link=None if forgotten else now.link,
    )
    return worse(seen, condition_told(client.replica.agent_says()))


def _told(seen: "Condition") -> str:
    colour = {0: "green", 1: "yellow"}.get(seen.exit_code, "red")
    return f"{terminal.painted(str(seen.word), colour)}: {terminal.one_line(seen.sentence)}"


def _status_rows(now: "Status", identity: "Identity | None", without: str) -> list[tuple[str, str]]:
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
        ("hub", without if identity is None else _way(identity)),
        ("link", f"{heard}, {agent}{_mode(now)}"),
        ("documents", f"{now.documents:,}"),
        ("outbox", outbox),
        ("changes", _marks_row(now.marks)),
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
    for each in now.hub_restores[-1:]:
        row = f"from a backup, at {terminal.moment(each.noted_ms)}: "
        row += f"{terminal.count(each.changes, 'change')} offered again"
        if each.withheld:
            row += f", {terminal.count(len(each.withheld), 'document')} withheld (status --json names them)"
        rows.append(("restored", row))
    rows += [("digest", now.digest), ("equal", _proof_row(now)), ("log", _log_row(now))]
    if identity is not None:
        rows.append(("identity", f"certificate until {terminal.moment(identity.not_after_ms)}"))
    return rows


def _mode(now: "Status") -> str:
    return f", {mode_told(now.mode)}" if now.mode.poll_ms or now.mode.metered else ""


def _way(identity: "Identity") -> str:
    return f"{identity.address}, through the relay at {identity.via}" if identity.via else identity.address


def _marks_row(marks: "Marks") -> str:
    """How many of the changes written under this incarnation have come how far."""
    names = ("written", "stored", "merged", "visible")
    return ", ".join(f"{getattr(marks, name):,} {name}" for name in names)


def _proof_row(now: "Status") -> str:
    row = "not proved yet"
    if now.proved_ms is not None and now.proved_hub_seq is not None:
        row = f"proved at {terminal.moment(now.proved_ms)}, position {now.proved_hub_seq:,}"
    if now.damaged:
        row += f"; {terminal.count(now.damaged, 'document')} damaged, asked for at the next exchange"
    if now.damaged_changes:
        row += f"; {terminal.count(now.damaged_changes, 'change')} damaged and set aside (anabranch doctor)"
    if now.incidents:
        row += f"; {terminal.count(now.incidents, 'incident')} (anabranch incidents)"
    return row


@command("incidents")
def incidents(invocation: Invocation) -> None:
    """Tell where this replica was not what the hub has, oldest first.

    \b
    anabranch incidents
    anabranch incidents --json
    """
    with invocation.open() as client:
        found = client.replica.equality.incidents()
    if invocation.json:
        terminal.write_json([{"at_ms": each.at_ms, **each.incident.as_json()} for each in found])
        return
    for each in found:
        named = ", ".join(str(document) for document in each.incident.documents)
        if each.incident.count > len(each.incident.documents) > 0:
            named += " and others"
        what = f"{each.incident.kind} at {each.incident.hub_seq:,}, {each.incident.remedy}"
        terminal.write(f"{terminal.moment(each.at_ms)}  {what}  {named}".rstrip())
    if not found:
        terminal.write("none: whenever it was compared, this replica was what the hub has")


def _log_row(now: "Status") -> str:
    log = now.log
    row = "no checkpoint seen yet"
    if log.leaves is not None and log.age_s is not None:
        leaves = "1 leaf" if log.leaves == 1 else f"{log.leaves:,} leaves"
        row = f"{leaves}, seen {terminal.duration(log.age_s)} ago"
        if log.decided_since:
            row += f", {terminal.count(log.decided_since, 'change')} decided since"
    if log.refused_since_s is None or log.refused_age_s is None:
        return row
    if now.link == "distrusted":
        refused = f"{terminal.painted('REFUSED', 'red')} for {terminal.duration(log.refused_since_s)}"
    else:
        refused = f"refused {terminal.count(log.refusals, 'time')}"
        refused += f", the last {terminal.duration(log.refused_age_s)} ago"
    return f"{row}; {refused}: {terminal.one_line(log.refused)}"


def _identity(replica: "Path") -> "tuple[Identity | None, str]":
    """Who this edge is to its hub; where it is nobody, why."""
    from anabranch.identity import identity_folder, read_identity

    folder = identity_folder(replica)
    try:
        return read_identity(folder), ""
    except IdentityUnusable as error:
        return None, str(error) if folder.exists() else "not enrolled"


COMMANDS = {"status": status, "incidents": incidents}
