"""Every release's figures, a line each: what got better, what got worse, and on which machine."""

import json
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

HISTORY = Path(__file__).with_name("history.jsonl")


@dataclass(frozen=True, slots=True)
class Release:
    """One line: `figures` as ``python -m benchmarks`` prints them, numbers alone."""

    version: str
    commit: str
    date: str
    machine: str
    figures: Mapping[str, float]


def record(figures: Mapping[str, object], file: Path = HISTORY) -> None:
    """Append a line for what is checked out now."""
    numbers = {name: value for name, value in figures.items() if isinstance(value, int | float)}
    line = {
        "version": version("anabranch"),
        "commit": _git("rev-parse", "--short", "HEAD") + ("+" if _git("status", "--porcelain") else ""),
        "date": today(),
        "machine": machine(),
        "figures": numbers,
    }
    with file.open("a") as history:
        history.write(json.dumps(line) + "\n")


def releases(file: Path = HISTORY) -> list[Release]:
    """Every line, the oldest first."""
    return [Release(**json.loads(line)) for line in file.read_text().splitlines()]


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def machine() -> str:
    """What the figures in seconds depend on."""
    facts = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in facts if line.startswith("model name")]
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return f"{len(models)} x {models[0]}, {memory_kb / 2**20:.0f} GiB, Python {platform.python_version()}"


def _git(*words: str) -> str:
    ran = subprocess.run(("git", *words), cwd=HISTORY.parent, capture_output=True, text=True, check=True)
    return ran.stdout.strip()
