"""One table: every work, what each peer takes for it, what we take, and how far that is from the target."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Column:
    """One peer's answers; `missing` says of a question why it has no figure."""

    name: str
    figures: Mapping[str, float] = field(default_factory=dict)
    missing: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Row:
    """A figure: its unit, the names that add up to it in our own benchmark, and its target.

    `target` is a number, or the name of the peer whose figure of the same run is not to be exceeded.
    """

    work: str
    name: str
    ours: Sequence[str]
    write: Callable[[float], str]
    target: float | str | None = None


def as_bytes(value: float) -> str:
    """Three digits and a unit of a thousand."""
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{_three(value / size)} {unit}"
    return f"{value:.0f} B"


def as_seconds(value: float) -> str:
    return f"{_three(value)} s"


def as_milliseconds(value: float) -> str:
    return f"{_three(value)} ms"


def as_count(value: float) -> str:
    return f"{value:.0f}"


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


ETCD, NATS, PYCRDT, ONE_DOC = "etcd 3.4", "NATS KV leaf", "raw pycrdt over TCP", "Hocuspocus 4, one Y.Doc"

ROWS = [
    Row(
        "one live edit, all bytes",
        "live_edit_bytes",
        ["live_edit_bytes_up", "live_edit_bytes_down"],
        as_bytes,
        170,
    ),
    Row("one live edit, edge to hub to edge", "live_edit_ms", ["live_edit_ms"], as_milliseconds, ETCD),
    Row("cold start, bytes down", "cold_start_bytes_down", ["cold_start_bytes_down"], as_bytes, 400_000),
    Row("cold start, seconds", "cold_start_link_seconds", ["cold_start_link_seconds"], as_seconds, NATS),
    Row(
        "edge, peak resident in it", "edge_peak_resident_bytes", ["edge_peak_resident_bytes"], as_bytes, 60e6
    ),
    Row("replica on disk", "replica_bytes", ["replica_bytes"], as_bytes, 1e6),
    Row(
        "1,000 offline edits on 200 documents, the writer's link",
        "offline_edits_bytes_writer",
        ["offline_edits_bytes_up", "offline_edits_bytes_down"],
        as_bytes,
        10_000,
    ),
    Row(
        "the same, all links with a second edge",
        "offline_edits_bytes_all_links",
        ["offline_edits_bytes_all_links"],
        as_bytes,
        20_000,
    ),
    Row(
        "the same, until the second edge has all",
        "offline_edits_second_edge_seconds",
        ["offline_edits_second_edge_seconds"],
        as_seconds,
        PYCRDT,
    ),
    Row(
        "one field changed 1,000 times offline, all bytes",
        "one_field_bytes_all_links",
        ["one_field_bytes_all_links"],
        as_bytes,
        250,
    ),
    Row(
        "ten edges, 100 offline changes each on 100 documents, all bytes",
        "ten_edges_bytes",
        ["ten_edges_bytes_up", "ten_edges_bytes_down"],
        as_bytes,
        120_000,
    ),
    Row("the same, until all hold the same", "ten_edges_seconds", ["ten_edges_seconds"], as_seconds, ONE_DOC),
    Row("writes of that run lost without a trace", "ten_edges_lost", ["ten_edges_lost"], as_count, 0),
    Row("writes that lost and are found beside what won", "ten_edges_found", ["ten_edges_found"], as_count),
    Row(
        "of both, to fields that no one else wrote", "ten_edges_innocent", ["ten_edges_innocent"], as_count, 0
    ),
    Row(
        "idle, bytes a minute",
        "idle_minute_bytes",
        ["idle_minute_bytes_up", "idle_minute_bytes_down"],
        as_bytes,
        60,
    ),
]


def table(columns: Sequence[Column], ours: Mapping[str, object]) -> str:
    """Markdown; below it, why cells are empty."""
    heads = [
        "work",
        *(each.name for each in columns),
        "target",
        "**anabranch**",
        "of the target",
        "of the best peer",
    ]
    lines = [heads, ["---"] * len(heads)]
    lines += [[row.work, *(_cell(row, each) for each in columns), *_ours(row, columns, ours)] for row in ROWS]
    notes = [f"- {each.name}: {why}" for each in columns for why in _reasons(each)]
    body = "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return body + ("\nWithout a figure:\n" + "\n".join(notes) + "\n" if notes else "")


def _cell(row: Row, column: Column) -> str:
    return row.write(column.figures[row.name]) if row.name in column.figures else "-"


def _ours(row: Row, columns: Sequence[Column], ours: Mapping[str, object]) -> list[str]:
    """The target, our figure, and how often it holds the target and the best peer."""
    measured = {each.name: each.figures[row.name] for each in columns if row.name in each.figures}
    target = measured.get(row.target) if isinstance(row.target, str) else row.target
    aim = row.write(target) if target is not None else row.target
    parts = [ours.get(name) for name in row.ours]
    numbers = [each for each in parts if isinstance(each, int | float)]
    if not numbers or len(numbers) < len(parts):
        return [f"<= {aim}" if aim else "", "-", "", ""]
    value = float(sum(numbers))
    best = min(measured.values(), default=None)
    return [f"<= {aim}" if aim else "", f"**{row.write(value)}**", _ratio(value, target), _ratio(value, best)]


def _ratio(value: float, other: float | None) -> str:
    return f"{value / other:.2f} x" if other else ""


def _reasons(column: Column) -> list[str]:
    """The questions that have no answer, those with the same reason together."""
    reasons: dict[str, list[str]] = {}
    for name, why in column.missing.items():
        reasons.setdefault(why, []).append(name.replace("_", " "))
    return [f"{', '.join(names)}: {why}" for why, names in reasons.items()]
