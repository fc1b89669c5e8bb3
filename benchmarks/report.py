"""``python -m benchmarks.report``: write docs/benchmarks.md and its plot from what was recorded."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import history, plot
from benchmarks.peers.table import Column, table
from benchmarks.targets import ALONE, BESIDE_PEERS, Row

DOCS = Path(__file__).parents[1] / "docs"
PEERS = Path(__file__).with_name("peers.json")
PLOT = "benchmarks.svg"
HEAD = """# Benchmarks

Written by `python -m benchmarks.report` from `benchmarks/history.jsonl` (`make bench ARGS=--record`) and
`benchmarks/peers.json` (`make bench-peers ARGS=--record`). What each figure counts says
[the method](../benchmarks/README.md). Bytes, memory and counts hardly vary; seconds depend on the machine and
on what else runs there: compare them within one run alone.
"""


def main() -> int:
    """Write both files; the exit code."""
    releases = history.releases()
    (DOCS / "benchmarks.md").write_text(page(releases, *_peers()))
    (DOCS / PLOT).write_text(plot.drawn(panels(releases), [_name(each) for each in releases]))
    return 0


def page(
    releases: Sequence[history.Release], columns: Sequence[Column], ours: dict[str, object], when: str
) -> str:
    """The page, in Markdown."""
    newest = releases[-1]
    beside = f"\n## Beside the peers\n\n`make bench-peers`, {when}\n\n{table(columns, ours)}"
    rows = [row for row in (*BESIDE_PEERS, *ALONE) if row.number is not None]
    lines = "".join(f"| {' | '.join(_line(row, newest))} |\n" for row in rows)
    return (
        f"{HEAD}{beside}\n## What only we measure, and all targets\n\n"
        f"`make bench`, {newest.version} at {newest.commit}, {newest.date}, {newest.machine}\n\n"
        "| figure | target | measured | of the target |\n| --- | --- | --- | --- |\n"
        f"{lines}\n## From release to release\n\n![figures by release, targets dashed]({PLOT})\n"
    )


def panels(releases: Sequence[history.Release]) -> list[plot.Panel]:
    """One for each figure that has a target of its own."""
    drawn = []
    for row in (*BESIDE_PEERS, *ALONE):
        if row.number:
            values = [row.of(each.figures) for each in releases]
            drawn.append(plot.Panel(row.work, values, row.number, row.write))
    return drawn


def _line(row: Row, release: history.Release) -> list[str]:
    value = row.of(release.figures)
    if value is None:
        return [row.work, row.aim(row.number), "-", ""]
    of = f"{value / row.number:.2f} x" if row.number else ""
    return [row.work, row.aim(row.number), row.write(value), of]


def _name(release: history.Release) -> str:
    return f"{release.version} {release.commit} {release.date}"


def _peers() -> tuple[list[Column], dict[str, object], str]:
    recorded = json.loads(PEERS.read_text())
    columns = [
        Column(name, answers["figures"], answers["missing"]) for name, answers in recorded["peers"].items()
    ]
    return columns, recorded["ours"], recorded["when"]


if __name__ == "__main__":
    sys.exit(main())
