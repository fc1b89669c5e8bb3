"""What the tests of the house ask of the checkout."""

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).resolve().parents[2]
LOCKS = CHECKOUT / "build" / "locks"


def tracked_files() -> list[Path]:
    """Return what git keeps; [] in a checkout without git, such as an unpacked archive."""
    # safe.directory: a checkout may belong to another user than the one who tests it.
    command = ["git", "-c", "safe.directory=*", "-C", str(CHECKOUT), "ls-files", "-z"]
    try:
        listed = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return []
    names = listed.stdout.decode().split("\0") if listed.returncode == 0 else []
    return [CHECKOUT / name for name in names if name and (CHECKOUT / name).is_file()]


def pyproject() -> dict[str, Any]:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text())


def edge_requirements() -> list[Requirement]:
    return [Requirement(line) for line in pyproject()["project"]["dependencies"]]


def hub_requirements() -> list[Requirement]:
    return [Requirement(line) for line in pyproject()["project"]["optional-dependencies"]["hub"]]


def group_requirements(group: str) -> list[Requirement]:
    """Return a dependency group's requirements, those of included groups among them."""
    found: list[Requirement] = []
    for line in pyproject()["dependency-groups"][group]:
        found += group_requirements(line["include-group"]) if isinstance(line, dict) else [Requirement(line)]
    return found


def pins(lock: str) -> dict[str, tuple[str, frozenset[str]]]:
    """Return a lock's packages by canonical name: version and hashes of its files."""
    text = (LOCKS / lock).read_text().replace("\\\n", " ")
    found: dict[str, tuple[str, frozenset[str]]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            pinned = re.match(r"([A-Za-z0-9._-]+)==([^\s;]+)", line)
            assert pinned, f"{lock}: not a pinned package: {line[:80]}"
            hashes = frozenset(re.findall(r"--hash=(sha256:[0-9a-f]{64})", line))
            found[canonicalize_name(pinned[1])] = (pinned[2], hashes)
    return found


def clean_environment() -> dict[str, str]:
    """Return this process's environment without what would let a child see the checkout's modules."""
    hidden = ("PYTHON", "PYTEST", "COVERAGE", "MAKE", "MFLAGS")
    return {name: text for name, text in os.environ.items() if not name.startswith(hidden)}
