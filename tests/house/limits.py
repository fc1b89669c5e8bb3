"""Every limit of the product that has a name: ``python -m tests.house.limits`` writes docs/limits.md.

A limit is a constant of a module whose name says so (``_MAX``, its unit before or after); its reason is the
comment above it, or above the constants it stands with.
"""

import ast
import importlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.house.checkout import CHECKOUT

DOCUMENT = CHECKOUT / "docs/limits.md"
PACKAGES = {
    "sync/anabranch_sync": "The core, on both sides",
    "protos/anabranch_protos": "The protocol",
    "cli/anabranch_cli": "The command lines",
    "edge/anabranch": "The edge",
    "hub/anabranch_hub": "The hub",
}
# No limits of the product: fleets that are simulated, and the demonstration.
LEFT_OUT = ("demo", "simulation")
_HEAD = """\
# Limits

Everything has a limit, and each has one name in one module. What is beyond one is refused with an error that
says the value, the limit and the way out; units are the end of a name. This page is written by `python -m
tests.house.limits` from the constants and the comments above them, and a test compares the two.
"""


@dataclass(frozen=True, slots=True)
class Limit:
    """One named limit and why it is what it is."""

    module: str
    name: str
    value: int | float
    reason: str


def document() -> str:
    """The page."""
    lines = [_HEAD]
    for package, title in PACKAGES.items():
        lines += [f"## {title}: `{Path(package).name}`", "", "| limit | value | why |", "|---|---|---|"]
        for each in limits(CHECKOUT / package):
            module = each.module.partition(".")[2]
            lines.append(f"| `{module}.{each.name}` | {each.value:,} | {each.reason} |")
        lines.append("")
    return "\n".join(lines)


def limits(package: Path) -> Iterator[Limit]:
    """The limits of a package, by module and place."""
    for path in sorted(package.rglob("*.py")):
        inside = path.relative_to(package.parent).with_suffix("")
        if "_pb2" in path.name or any(part in LEFT_OUT for part in inside.parts):
            continue
        source = path.read_text("utf-8")
        if "_MAX" not in source:
            continue
        name = ".".join(inside.parts).removesuffix(".__init__")
        yield from _limits_of(name, source)


def _limits_of(module: str, source: str) -> Iterator[Limit]:
    lines = source.splitlines()
    for statement in ast.parse(source).body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
                value = getattr(importlib.import_module(module), name) if "_MAX" in name else None
                if isinstance(value, int | float):
                    yield Limit(module, name, value, _reason(lines, statement.lineno - 1))
            case _:
                pass


def _reason(lines: list[str], start: int) -> str:
    """The comment above the block of constants in which line `start` stands."""
    place = start - 1
    while place >= 0 and lines[place] and lines[place][0] not in "# )":
        place -= 1
    comment: list[str] = []
    while place >= 0 and lines[place].startswith("#"):
        comment.insert(0, lines[place].removeprefix("#").strip())
        place -= 1
    return " ".join(comment).replace("|", "\\|")


if __name__ == "__main__":
    DOCUMENT.write_text(document(), "utf-8")
    sys.stdout.write(f"{DOCUMENT}\n")
