"""What the demo ends with: one JSON object, or the same as a table that is pleasant to read."""

from dataclasses import asdict, dataclass
from typing import Any

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
class Report:
    """The whole run. `converged` also means that nothing acknowledged is missing."""

    converged: bool
    documents: int
    edges: int
    edits: int
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
    verdict = "[bold green]converged[/]" if report.converged else "[bold red]NOT converged[/]"
    console.print(
        f"{verdict}: {report.documents} documents, {report.edits} offline edits, "
        f"{report.conflicts} conflicts in the ledger, "
        f"{report.lost_acknowledged_writes} acknowledged writes lost, "
        f"{report.cuts} cuts survived, {report.seconds:.0f} s"
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
