"""One table: every work, what each peer takes for it, what we take, and how far that is from the target."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.targets import BESIDE_PEERS, Row

_RATIOS = ("of the target", "of the best peer")


@dataclass(frozen=True, slots=True)
class Column:
    """One peer's answers; `missing` says of a question why it has no figure."""

    name: str
    figures: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


def table(columns: Sequence[Column], ours: Mapping[str, object]) -> str:
    """Markdown; below it, why cells are empty."""
    notes = [f"- {each.name}: {why}" for each in columns for why in _reasons(each)]
    body = markdown(_lines(columns, ours))
    return body + ("\nNot in that run, or without a figure:\n" + "\n".join(notes) + "\n" if notes else "")


def short_table(columns: Sequence[Column], ours: Mapping[str, object]) -> str:
    """The same without ratios and reasons."""
    return markdown([line[: -len(_RATIOS)] for line in _lines(columns, ours)])


def markdown(lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, whose first line are the heads."""
    heads, *rows = lines
    return "".join(f"| {' | '.join(line)} |\n" for line in (heads, ["---"] * len(heads), *rows))


def _lines(columns: Sequence[Column], ours: Mapping[str, object]) -> list[list[str]]:
    lines = [["work", *(each.name for each in columns), "target", "**anabranch**", *_RATIOS]]
    for row in BESIDE_PEERS:
        lines.append([row.work, *(_cell(row, each) for each in columns), *_ours(row, columns, ours)])
    return lines


def _cell(row: Row, column: Column) -> str:
    return row.write(column.figures[row.name]) if row.name in column.figures else "-"


def _ours(row: Row, columns: Sequence[Column], ours: Mapping[str, object]) -> list[str]:
    """The target, our figure, and how often it holds the target and the best peer."""
    measured = {each.name: each.figures[row.name] for each in columns if row.name in each.figures}
    target = measured.get(row.target) if isinstance(row.target, str) else row.target
    value = row.of(ours)
    if value is None:
        return [row.aim(target), "-", "", ""]
    best = min(measured.values(), default=None)
    return [row.aim(target), f"**{row.write(value)}**", _ratio(value, target), _ratio(value, best)]


def _ratio(value: float, other: float | None) -> str:
    return f"{value / other:.2f} x" if other else ""


def _reasons(column: Column) -> list[str]:
    """The questions that have no answer, those with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for name, why in column.missing.items():
        reasons.setdefault(why, []).append(name.replace("_", " "))
    return [f"{', '.join(names)}: {why}" for why, names in reasons.items()]
