"""What commands say of a document whose head is not what readers get."""

import sys
from collections.abc import Sequence

from anabranch_cli import terminal
from anabranch_sync.violation import Violation, summary

from anabranch_hub.store import Quarantine, Stored


def quarantine_facts(stored: Stored) -> dict[str, object] | None:
    """Why the head is not live, for programs; None where it is."""
    quarantine = stored.quarantine
    if quarantine is None:
        return None
    return {
        "head_version": stored.version,
        "live_version": quarantine.live_version,
        "since": quarantine.since,
        "violations": [each.facts() for each in quarantine.violations],
    }


def quarantine_line(stored: Stored, quarantine: Quarantine, *, of_head: bool) -> str:
    """The same as a warning on one line, beside the head or beside what is live."""
    shown = "this head is not what readers get"
    if not of_head:
        shown = f"its head is version {stored.version}, see --head"
    why = terminal.one_line(summary(quarantine.violations))
    return f"{terminal.painted('quarantined', 'yellow', sys.stderr)} {stored.document}: {why} ({shown})"


def violation_lines(violations: Sequence[Violation]) -> list[str]:
    """Violations for a person: where and what, then the way out."""
    lines = []
    for each in violations:
        lines.append(terminal.one_line(f"  {each.place or '/'}: {each.reason}  (rule {each.rule})"))
        lines.append(terminal.one_line(f"    what passes: {each.passes}"))
    return lines
