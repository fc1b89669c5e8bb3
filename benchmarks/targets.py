"""The targets: for every figure what it is called, how it is written, and what it must hold."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Row:
    """A figure: `name` as the peers answer it, in our own benchmark the sum of `ours`.

    `target` is what it must not exceed (or be at least): a number, or the name of a peer, whose figure of the
    same run it is.
    """

    work: str
    name: str
    ours: Sequence[str]
    write: Callable[[float], str]
    target: float | str | None = None
    at_least: bool = False

    def of(self, ours: Mapping[str, object]) -> float | None:
        """Our figure; None: not measured."""
        parts = [each for name in self.ours if isinstance(each := ours.get(name), int | float)]
        return float(sum(parts)) if len(parts) == len(self.ours) else None

    @property
    def number(self) -> float | None:
        """The target where it is a number."""
        return None if isinstance(self.target, str) else self.target

    def aim(self, target: float | None) -> str:
        """The target as it is written, given its number where that is known."""
        if self.target is None:
            return ""
        return f"{'>=' if self.at_least else '<='} {self.target if target is None else self.write(target)}"


def as_bytes(value: float) -> str:
    """Three digits and a unit of a thousand."""
    for unit, size in (("MB", 1e6), ("kB", 1e3)):
        if value >= size:
            return f"{_three(value / size)} {unit}"
    return f"{value:.0f} B"


def as_bytes_each(value: float) -> str:
    return f"{_three(value)} B"


def as_seconds(value: float) -> str:
    return f"{_three(value)} s"


def as_milliseconds(value: float) -> str:
    return f"{_three(value)} ms"


def as_microseconds(value: float) -> str:
    return f"{_three(value)} us"


def as_times(value: float) -> str:
    return f"{_three(value)} x"


def as_count(value: float) -> str:
    return f"{value:,.0f}"


def _three(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


ETCD, NATS, PYCRDT, ONE_DOC = "etcd 3.4", "NATS KV leaf", "raw pycrdt over TCP", "Hocuspocus 4, one Y.Doc"

BESIDE_PEERS = [
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


def _alone(
    work: str, name: str, write: Callable[[float], str], target: float, *, at_least: bool = False
) -> Row:
    return Row(work, name, [name], write, target, at_least)


ALONE = [
    _alone("local read by the SDK, warm, p50", "read_p50_us", as_microseconds, 5),
    _alone("the same, p99", "read_p99_us", as_microseconds, 50),
    _alone("local write, durable, over a plain SQLite commit", "edge_commit_ratio", as_times, 1.5),
    _alone("frame of one change", "frame_bytes_per_change_1", as_bytes_each, 20),
    _alone("frame of 10 changes, for each", "frame_bytes_per_change_10", as_bytes_each, 10),
    _alone("frame of 100 changes, for each", "frame_bytes_per_change_100", as_bytes_each, 7),
    _alone("frame of 1,000 changes, for each", "frame_bytes_per_change_1000", as_bytes_each, 6),
    _alone("prove 5,000 documents equal", "verify_5000_bytes", as_bytes, 20),
    _alone("find and replace one of them", "repair_1_of_5000_bytes", as_bytes, 1_000),
    _alone(
        "hub, decided changes a second, in batches", "hub_decided_per_second", as_count, 5_000, at_least=True
    ),
    _alone("hub, a single write, p99", "hub_write_p99_ms", as_milliseconds, 50),
    _alone("idle connected agent, resident", "edge_idle_resident_bytes", as_bytes, 75e6),
    _alone("idle connected agent, private", "edge_idle_private_bytes", as_bytes, 30e6),
]
