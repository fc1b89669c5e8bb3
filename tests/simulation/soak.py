"""Live seeds that nobody has lived for as long as told, and write what came of it into docs/trust.md.

python -m tests.simulation.soak --minutes 30
"""

import argparse
import re
import subprocess
import sys
import time
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from anabranch_hub.simulation.running import Tally, live_all

ROOT = Path(__file__).parents[2]
TRUST = ROOT / "docs" / "trust.md"
# Those below are for tests, which live them in every run.
FIRST_SEED = 100_000
SEEDS_AT_A_TIME = 200
_ROW = re.compile(
    r"^\| \d{4}-\d\d-\d\d \| \S+ \| (\d+)-(\d+) \| (\d+) \| ([\d.]+) \| (\d+) \| (.+) \|$", re.MULTILINE
)
_TOTALS = re.compile(r"^Totals: .*$", re.MULTILINE)


def main() -> int:
    """Return 1 when a seed breaks a promise."""
    parser = argparse.ArgumentParser(
        prog="make soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (default 10)")
    parser.add_argument("--jobs", type=int, default=2, help="in how many processes (default 2)")
    arguments = parser.parse_args()
    until_s = time.monotonic() + arguments.minutes * 60
    first = next_seed(TRUST.read_text())
    tally = Tally()
    for start in count(first, SEEDS_AT_A_TIME):
        for lived in live_all(range(start, start + SEEDS_AT_A_TIME), arguments.jobs):
            tally.add(lived)
            if lived.broken:
                sys.stderr.write(f"{lived.broken}: {lived.reason}\n")
        sys.stderr.write(f"{tally.seeds} seeds, {len(tally.failed)} failed\n")
        if time.monotonic() >= until_s:
            break
    commit = subprocess.run(
        ("git", "describe", "--always", "--dirty"), cwd=ROOT, capture_output=True, text=True, check=True
    )
    row = row_of(tally, first, f"{datetime.now(UTC):%Y-%m-%d}", commit.stdout.strip())
    TRUST.write_text(with_row(TRUST.read_text(), row))
    sys.stdout.write(row + "\n")
    return 1 if tally.failed else 0


def row_of(tally: Tally, first: int, date: str, commit: str) -> str:
    """The line of a run in the table."""
    years = round(tally.as_json()["device_years"], 1)
    findings = ", ".join(f"{each.seed} ({each.broken})" for each in tally.failed) or "none"
    last = first + tally.seeds - 1
    return f"| {date} | {commit} | {first}-{last} | {tally.seeds} | {years} | {tally.rounds} | {findings} |"


def next_seed(text: str) -> int:
    """The first seed that no run in the table has lived."""
    return max((int(row[2]) + 1 for row in _ROW.finditer(text)), default=FIRST_SEED)


def with_row(text: str, row: str) -> str:
    """The page with one more run at the end of its table, and the totals of all."""
    text = text.rstrip() + f"\n{row}\n"
    rows = list(_ROW.finditer(text))
    seeds, years = sum(int(each[3]) for each in rows), sum(float(each[4]) for each in rows)
    rounds = sum(int(each[5]) for each in rows)
    findings = sum(each[6] != "none" for each in rows)
    totals = f"{seeds} seeds, {years:.1f} device-years, {rounds} rounds, {findings} runs with findings"
    return _TOTALS.sub(f"Totals: {totals}.", text)


if __name__ == "__main__":
    sys.exit(main())
