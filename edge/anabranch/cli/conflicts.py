"""The command `conflicts`: what was decided about this edge's writes, and why."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from anabranch_cli import terminal
from anabranch_sync.case import Claim, Look
from anabranch_sync.clock import wall_ms
from anabranch_sync.conflict import Kind
from anabranch_sync.explanation import sentence
from anabranch_sync.path import render_pointer
from anabranch_sync.register import DELETED, Value, json_of
from anabranch_sync.value import Json

from anabranch.cli.arguments import checked_prefix
from anabranch.cli.invocation import Invocation, command
from anabranch.errors import ConflictUnknown

if TYPE_CHECKING:
    from anabranch_sync.ids import DocumentId
    from anabranch_sync.pull import Notice

    from anabranch.replica import Refused, SetAside

IN_THE_LEDGER = "in the hub's ledger"


@command("conflicts")
@click.argument("row", type=click.IntRange(min=1), metavar="[ID]", required=False)
@click.option("--lost", "fate", flag_value="lost", help="Only where another's write stands.")
@click.option("--won", "fate", flag_value="won", help="Only where this edge's write stands.")
@click.option("--namespace", default="", metavar="PREFIX", help="Only this namespace and those below it.")
def conflicts(invocation: Invocation, row: int | None, fate: str | None, namespace: str) -> None:
    """Show this edge's conflicts, its refused changes, and documents in quarantine; explain one conflict.

    Every losing value is in the hub's ledger too, where an operator can restore it. A document is
    quarantined where all that has merged breaks its schema: readers get the last valid version, until
    somebody, here or on the hub, writes what passes.

    \b
    anabranch conflicts --lost
    anabranch conflicts 17
    """
    prefix = checked_prefix(namespace)
    with invocation.open() as client:
        notices = client.conflicts()
        refused, quarantined = client.refused(), client.quarantined()
    if row is not None:
        if fate is not None or prefix:
            raise click.UsageError("one conflict by its ID, or several by filters: not both")
        _explain(invocation, _named(notices, row))
        return
    notices = [
        each
        for each in notices
        if fate in (None, "won" if each.won else "lost") and _lies_below(each.case.document, prefix)
    ]
    # What was refused or waits for repair has neither won nor lost.
    refused = [
        each
        for each in refused
        if fate is None and any(_lies_below(document, prefix) for document in each.change.documents)
    ]
    quarantined = [each for each in quarantined if fate is None and _lies_below(each.document, prefix)]
    if invocation.json:
        terminal.write_json(
            {
                "conflicts": [_conflict(notice) for notice in notices],
                "refused": [_refused(each) for each in refused],
                "quarantined": [_quarantined(each) for each in quarantined],
            }
        )
        return
    for line in _lines(notices, refused, quarantined):
        terminal.write(line)
    if not notices and not refused and not quarantined:
        terminal.say("no conflicts, nothing refused, nothing quarantined")


def _explain(invocation: Invocation, notice: "Notice") -> None:
    explained = sentence(notice.case, kept=IN_THE_LEDGER)
    if invocation.json:
        terminal.write_json({"sentence": explained, "facts": _conflict(notice)})
        return
    terminal.write(terminal.one_line(explained))
    terminal.write()
    for line in _conflict_lines(notice):
        terminal.write(line)


def _named(notices: Sequence["Notice"], row: int) -> "Notice":
    for each in notices:
        if each.ledger == row:
            return each
    raise ConflictUnknown(row)


def _lies_below(document: "DocumentId", prefix: str) -> bool:
    return not prefix or f"{document.namespace}/".startswith(f"{prefix}/")


def _lines(
    notices: Sequence["Notice"], refused: Sequence["Refused"], quarantined: Sequence["SetAside"]
) -> list[str]:
    lines = [line for notice in notices for line in _conflict_lines(notice)]
    for each in refused:
        documents = ", ".join(str(document) for document in each.change.documents)
        reason = terminal.one_line(each.reason)
        lines.append(f"{terminal.painted('refused', 'red')} {each.dot}  {documents}: {reason}")
    return lines + [line for aside in quarantined for line in _quarantined_lines(aside)]


def _conflict(notice: "Notice") -> dict[str, object]:
    case = notice.case
    return {
        "ledger": notice.ledger,
        "hub_seq": notice.hub_seq,
        "namespace": case.document.namespace,
        "key": case.document.key,
        "path": render_pointer(case.claims[0].path),
        "kind": case.kind,
        "policy": case.policy,
        "policy_version": case.policy_version,
        "won": notice.won,
        "waiting": case.waiting,
        "quarantined": case.quarantined,
        "candidates": [_candidate(claim) for claim in case.claims],
        "reviews": [_review(look) for look in case.looks],
    }


def _candidate(claim: Claim) -> dict[str, object]:
    first = claim.hands[0]
    return {
        "author": first.author,
        "path": render_pointer(claim.path),
        **_json_value(claim.value),
        "writes": [
            {
                "author": hand.author,
                "edge": hand.edge,
                "wall_ms": wall_ms(hand.timestamp),
                "skew_ms": hand.skew_ms,
            }
            for hand in claim.hands
        ],
    }


def _review(look: Look) -> dict[str, object]:
    facts: dict[str, object] = {
        "what": "accepted" if look.restored is None else "restored",
        "reviewer": look.reviewer,
        "reviewed_ms": look.reviewed_ms,
        "note": look.note,
    }
    return {**facts, **_json_value(look.restored[0])} if look.restored else facts


def _json_value(value: Value) -> dict[str, object]:
    return {"deleted": True} if value is DELETED else {"value": json_of(value)}


def _conflict_lines(notice: "Notice") -> list[str]:
    case = notice.case
    fate = (
        terminal.painted("yours stands", "green") if notice.won else terminal.painted("yours lost", "yellow")
    )
    if case.waiting:
        fate += ", waiting for an operator"
    where = terminal.one_line(f"{case.document} {render_pointer(case.claims[0].path)}".rstrip())
    lines = [f"#{notice.ledger} {where}: {case.kind}, by {terminal.one_line(case.policy)}, {fate}"]
    other = "read  " if case.kind == Kind.OVERLAP else "lost  "
    for place, claim in enumerate(case.claims):
        hands = ", ".join(terminal.one_line(hand.author or "unknown") for hand in claim.hands)
        lines.append(f"    {other if place else 'stands'}  {_said(claim.value)}  by {hands}")
    for look in case.looks:
        deed = "accepted that"
        if look.restored is not None:
            deed = f"restored {_said(look.restored[0]) if look.restored else 'another value'}"
        note = f": {look.note}" if look.note else ""
        when = terminal.moment(look.reviewed_ms)
        lines.append(terminal.one_line(f"    {when} {look.reviewer} {deed}{note}"))
    return lines


def _said(value: Value) -> str:
    return "deleted" if value is DELETED else terminal.json_text(json_of(value))


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


COMMANDS = {"conflicts": conflicts}
