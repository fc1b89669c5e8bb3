"""``python -m benchmarks.report``: write docs/benchmarks.md, its plot and the README's table from records."""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import history, plot
from benchmarks.growth import RECORDED as GROWTH
from benchmarks.peers.table import Column, markdown, short_table, table
from benchmarks.targets import ALONE, BESIDE_PEERS, Row, as_bytes, as_seconds

ROOT = Path(__file__).parents[1]
DOCS, README = ROOT / "docs", ROOT / "README.md"
PEERS = Path(__file__).with_name("peers.json")
PLOT = "benchmarks.svg"
HEAD = """# Benchmarks

Written by `python -m benchmarks.report` from `benchmarks/history.jsonl` (`make bench ARGS=--record`) and
`benchmarks/peers.json` (`make bench-peers ARGS=--record`). What each figure counts says
[the method](../benchmarks/README.md). Bytes, memory and counts hardly vary; seconds depend on the machine and
on what else runs there: compare them within one run alone.
"""


def main() -> int:
    """Write all three; the exit code."""
    releases = history.releases()
    peers, growth = (json.loads(file.read_text()) for file in (PEERS, GROWTH))
    (DOCS / "benchmarks.md").write_text(page(releases, peers, growth))
    README.write_text(with_table(README.read_text(), peers))
    (DOCS / PLOT).write_text(plot.drawn(panels(releases), [_name(each) for each in releases]))
    return 0


def page(releases: Sequence[history.Release], peers: Mapping[str, Any], growth: Mapping[str, Any]) -> str:
    """The page, in Markdown; what peers and growth are is what their benchmarks recorded."""
    newest = releases[-1]
    compared = table(_columns(peers), peers["ours"])
    beside = f"\n## Beside the peers\n\n`make bench-peers`, {peers['when']}\n\n{compared}"
    rows = [row for row in (*BESIDE_PEERS, *ALONE) if row.number is not None]
    held = markdown(
        [["figure", "target", "measured", "of the target"], *(_line(row, newest) for row in rows)]
    )
    return (
        f"{HEAD}{beside}\n## Held against the targets\n\n"
        f"`make bench`, {newest.version} at {newest.commit}, {newest.date}, {newest.machine}\n\n"
        f"{held}{growing(growth)}\n## From release to release\n\n"
        f"![figures by release, targets dashed]({PLOT})\n"
    )


def with_table(readme: str, peers: Mapping[str, Any]) -> str:
    """The README with this table beside its peers. Raises ValueError where it has none to replace."""
    begins = readme.index("| work |")
    ends = readme.index("\n\n", begins) + 1
    return readme[:begins] + short_table(_columns(peers), peers["ours"]) + readme[ends:]


def _columns(peers: Mapping[str, Any]) -> list[Column]:
    return [Column(name, each["figures"], each["missing"]) for name, each in peers["peers"].items()]


def growing(growth: Mapping[str, Any]) -> str:
    """What grows with the documents that there are, and with the edges that are connected."""
    exchanges = [
        [f"{int(count):,}", as_bytes(each["exchange_bytes"]), as_seconds(each["exchange_seconds"])]
        for count, each in growth["documents"].items()
    ]
    held = []
    for count, each in growth["edges"].items():
        if isinstance(each, str):
            held.append([f"{int(count):,}", each, "", "", ""])
            continue
        names = ("hub_resident_bytes", "hub_bytes_per_edge")
        seconds = ("join_seconds", "change_everywhere_seconds")
        cells = [*(as_bytes(each[name]) for name in names), *(as_seconds(each[name]) for name in seconds)]
        held.append([f"{int(count):,}", *cells])
    return (
        f"\n## What grows\n\n`python -m benchmarks.growth`, {growth['when']}\n\n"
        + markdown([["documents", "1,000 offline edits on 200 of them, bytes", "seconds"], *exchanges])
        + "\n"
        + markdown([["idle edges", "hub process", "for each", "to connect them", "a change to all"], *held])
    )


def panels(releases: Sequence[history.Release]) -> list[plot.Panel]:
    """One for each figure that has a target of its own."""
    drawn = []
    for row in (*BESIDE_PEERS, *ALONE):
        values = [row.of(each.figures) for each in releases]
        if row.number and any(values):
            drawn.append(plot.Panel(row.name.replace("_", " "), values, row.number, row.write))
    return drawn


def _line(row: Row, release: history.Release) -> list[str]:
    value = row.of(release.figures)
    if value is None:
        return [row.work, row.aim(row.number), "-", ""]
    of = f"{value / row.number:.2f} x" if row.number else ""
    return [row.work, row.aim(row.number), row.write(value), of]


def _name(release: history.Release) -> str:
    return f"{release.version} {release.commit}"


if __name__ == "__main__":
    sys.exit(main())
