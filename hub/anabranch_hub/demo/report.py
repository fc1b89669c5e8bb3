"""What the demo ends with: one JSON object, or the same as a table that is pleasant to read."""

from dataclasses import asdict, dataclass
from typing import Any

from anabranch_sync.value import Json

from anabranch_hub.demo.mishaps import Mishaps

# A log has no width of its own; the table needs this to stay one line a row.
LOG_COLUMNS = 120


@dataclass(frozen=True, slots=True)
class EdgeReport:
    """One edge: bytes are TCP payload with TLS, counted by the proxy in front of it."""

    edge: str
    edits: int
    bytes_up: int
    bytes_down: int
    cuts: int
    conflicts: int
    digest: str


@dataclass(frozen=True, slots=True)
class Restored:
    """A losing value that the operator brought back through the ledger, and on how many edges it stands."""

    ledger: int
    document: str
    path: str
    instead_of: Json
    value: Json
    stands_on: int


@dataclass(frozen=True, slots=True)
class Audit:
    """The log, exported and verified where there is no hub, and a drill on a copy of it.

    `verified` counts the leaves that the export proved; `tampering_detected` is true when every one of
    the drill's `tamperings` was found.
    """

    leaves: int
    verified: int
    tampering_detected: bool
    tamperings: int


@dataclass(frozen=True, slots=True)
class Report:
    """The whole run. `converged` also means that nothing acknowledged is missing.

    `edits_together` are those of one prompt and one count by everyone at once: kept together, none lost.
    """

    converged: bool
    documents: int
    edges: int
    edits: int
    edits_together: int
    conflicts: int
    lost_acknowledged_writes: int
    bytes_up: int
    bytes_down: int
    cuts: int
    seconds: float
    hub_digest: str
    conflicts_by_policy: dict[str, int]
    examples: list[dict[str, Any]]
    fleet: list[EdgeReport]
    restored: Restored
    mishaps: Mishaps
    audit: Audit

    @property
    def is_proved(self) -> bool:
        """Whether everything that the run was to show was shown."""
        audit = self.audit
        return (
            self.converged
            and self.restored.stands_on == self.edges
            and self.mishaps.offered_again >= self.mishaps.hub_went_back > 0
            and audit.verified == audit.leaves
            and audit.tampering_detected
        )

    def as_json(self) -> dict[str, Any]:
        """The object that ``anabranch-hub demo --json`` prints."""
        return asdict(self)


def example(row: dict[str, Any]) -> dict[str, Any]:
    """A ledger row (as `merges list --json` prints it) as the report shows it: who won, who lost, why."""
    winner, *losers = row["candidates"]
    return {
        "ledger": row["id"],
        "document": f"{row['namespace']}/{row['key']}",
        "path": row["path"],
        "policy": row["policy"],
        "winner": _side(winner),
        "losers": [_side(each) for each in losers],
    }


def print_report(report: Report) -> None:
    """The table."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = LOG_COLUMNS
    fleet = Table(title="the fleet", title_justify="left", show_edge=False, pad_edge=False)
    for heading in ("edge", "offline edits", "kB up", "kB down", "cuts survived", "conflicts", "digest"):
        fleet.add_column(heading, justify="left" if heading in ("edge", "digest") else "right")
    for edge in report.fleet:
        mark = "[green]=[/] " if edge.digest == report.hub_digest else "[red]≠[/] "
        fleet.add_row(
            edge.edge,
            str(edge.edits),
            f"{edge.bytes_up / 1000:,.1f}",
            f"{edge.bytes_down / 1000:,.1f}",
            str(edge.cuts),
            str(edge.conflicts),
            mark + _short(edge.digest),
        )
    fleet.add_row("hub", "", "", "", "", "", f"  {_short(report.hub_digest)}", style="bold")
    console.print(fleet)
    console.print()
    console.print(_merges(report))
    console.print()
    if not report.lost_acknowledged_writes:
        console.print(
            f"one prompt and one count, changed by everyone at once: "
            f"all {report.edits_together} edits are in them"
        )
    restored, audit = report.restored, report.audit
    console.print(
        f"restored from the ledger: row {restored.ledger}, {restored.document} {restored.path}: "
        f"{restored.value} instead of {restored.instead_of}, on {restored.stands_on} of {report.edges} edges"
    )
    console.print(_told(report.mishaps))
    found = "every one" if audit.tampering_detected else "NOT every one"
    console.print(
        f"log verified offline: {audit.verified:,} of {audit.leaves:,} leaves lead to the signed root; of "
        f"{audit.tamperings} ways of tampering with a copy {found} was found"
    )
    console.print()
    verdict = "[bold green]converged[/]" if report.converged else "[bold red]NOT converged[/]"
    console.print(
        f"{verdict}: {report.documents} documents, {report.edits} offline edits, "
        f"{report.conflicts} conflicts in the ledger, "
        f"{report.lost_acknowledged_writes} acknowledged writes lost, "
        f"{report.cuts} cuts survived, {report.seconds:.0f} s"
    )


def _told(mishaps: Mishaps) -> str:
    power = "no power was cut (no rig was given)"
    if mishaps.power_cuts:
        power = (
            f"power cut in the middle of writes, {mishaps.acknowledged_before_power_cuts} acknowledged before"
        )
    return (
        f"mishaps survived: {mishaps.restored} came back with an old disk; {mishaps.cloned} was cloned, "
        f"and both went on; {power}; the hub came back from a backup, with "
        f"{mishaps.hub_went_back} changes lost, and its edges brought them back in {mishaps.offered_again}"
    )


def _merges(report: Report) -> Any:
    from rich.table import Table

    total = ", ".join(f"{policy} {count}" for policy, count in sorted(report.conflicts_by_policy.items()))
    merges = Table(
        title=f"merges: {report.conflicts} ({total}); three of them",
        title_justify="left",
        show_edge=False,
        pad_edge=False,
    )
    for heading in ("policy", "document and field", "won", "lost, and kept in the ledger"):
        merges.add_column(heading, overflow="fold")
    for row in report.examples:
        winner = row["winner"]
        merges.add_row(
            row["policy"],
            f"{row['document']} {row['path']}",
            f"[green]{winner['author']}[/] {winner['value']}",
            "\n".join(f"[yellow]{each['author']}[/] {each['value']}" for each in row["losers"]),
        )
    return merges


def _side(candidate: dict[str, Any]) -> dict[str, Any]:
    value = "(deleted)" if candidate["deleted"] else candidate["value"]
    return {"author": ", ".join(each["author"] for each in candidate["writes"]), "value": value}


def _short(digest: str) -> str:
    return f"{digest[:13]}…"
