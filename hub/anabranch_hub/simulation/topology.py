"""A fleet that somebody describes, in TOML or JSON, so that what happened to it can be lived again.

::

    lasts = "3d"                              # s, m, h, d
    writes_at_hub = 10

    [link]                                    # how often: drop, duplicate, reorder, corrupt, cut, late;
    drop = 0.02                               # and delay_ms_max
    [disk]                                    # how often, of an edge's transactions: power, error, full
    [hub]
    crashes = ["26h"]
    restored = [["1h", "30h"]]                # to its backup of then, when
    [hub.disk]

    [[edge]]
    name = "store-7"
    writes = 20
    clock = "-1d"                             # how wrong it is
    offline = [["2h", "50h"]]                 # from, until; also silent, disk_full, revoked
    power_cuts = ["51h"]
    cloned = ["60h"]
    restored = [["1h", "55h"]]                # to its disk as it was, when

Everything has a default but the name of an edge. When its writes are made, and which frames are hurt, is
drawn from the seed.
"""

import random
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeAlias

from anabranch_sync.errors import AnabranchError, InvalidInput
from anabranch_sync.ids import check_edge
from anabranch_sync.value import parse_json

from anabranch_hub.simulation.disk import Harm
from anabranch_hub.simulation.life import DAY_MS, HOUR_MS, SECOND_MS, drawn
from anabranch_hub.simulation.network import Faults

Span: TypeAlias = tuple[int, int]

# A process can hold so many; the checks compare every edge with the hub.
EDGES_MAX = 64
WRITES_MAX = 2_000
LASTS_MS_MAX = 366 * DAY_MS
# An edge that tries in vain tries 2,000 times a day.
IN_VAIN_MS_MAX = 2 * DAY_MS
# Of the writes, so many delete their document.
DELETES = 0.05
_UNITS_MS = {"s": SECOND_MS, "m": 60 * SECOND_MS, "h": HOUR_MS, "d": DAY_MS}


class TopologyRefused(AnabranchError):
    """A file describes no fleet; the message names the place in it."""

    exit_code: ClassVar[int] = 2

    def __init__(self, file: str, place: str, reason: str) -> None:
        self.file = file
        self.place = place
        self.reason = reason
        super().__init__(f"{file}: {place}: {reason}" if place else f"{file}: {reason}")

    def __reduce__(self) -> tuple[type["TopologyRefused"], tuple[str, str, str]]:
        return type(self), (self.file, self.place, self.reason)


@dataclass(frozen=True, slots=True)
class EdgePlan:
    """One edge: how much is written there and what happens to it, in milliseconds from the start."""

    name: str
    writes: int
    clock_ms: int
    offline: tuple[Span, ...]
    silent: tuple[Span, ...]
    disk_full: tuple[Span, ...]
    revoked: tuple[Span, ...]
    power_cuts: tuple[int, ...]
    cloned: tuple[int, ...]
    restored: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Topology:
    """A fleet and what happens to it."""

    lasts_ms: int
    writes_at_hub: int
    link: Faults
    disk: Harm
    hub_disk: Harm
    hub_crashes: tuple[int, ...]
    hub_restored: tuple[Span, ...]
    edges: tuple[EdgePlan, ...]

    @property
    def life(self) -> dict[str, int | float]:
        """The numbers of its life; what is planned is not drawn."""
        numbers: dict[str, int | float] = dict.fromkeys(drawn(random.Random(0)).numbers, 0)
        numbers |= {"edges": len(self.edges), "busy_ms": self.lasts_ms, "deletes": DELETES}
        for group, harms in (("faults", self.link), ("harm", self.disk), ("hub_harm", self.hub_disk)):
            numbers |= {f"{group}.{each.name}": getattr(harms, each.name) for each in fields(harms)}
        return numbers


def parse_topology(file: str, text: str) -> Topology:
    """The topology in `text`: JSON where the file is named so, else TOML. Raises TopologyRefused."""
    try:
        parsed: Any = parse_json(text) if file.endswith(".json") else tomllib.loads(text)
    except (InvalidInput, ValueError, RecursionError) as error:
        raise TopologyRefused(
            file, "", f"is not {'JSON' if file.endswith('.json') else 'TOML'}: {error}"
        ) from error
    if not isinstance(parsed, dict):
        raise TopologyRefused(file, "", "is not a table of settings")
    return _Table(file, "", parsed).topology()


class _Table:
    """One table of the file: what is taken from it by name, until nothing is left that nobody knows."""

    def __init__(self, file: str, place: str, values: Mapping[str, Any]) -> None:
        self._file = file
        self._place = place
        self._left = dict(values)

    def topology(self) -> Topology:
        lasts_ms = self.duration("lasts", "1h", LASTS_MS_MAX)
        if lasts_ms < SECOND_MS:
            raise self._refused("lasts", "a fleet lives for 1s at least")
        hub = self._table("hub")
        topology = Topology(
            lasts_ms,
            self._count("writes_at_hub"),
            Faults(**self._table("link").rates(Faults)),
            Harm(**self._table("disk").rates(Harm)),
            Harm(**hub._table("disk").rates(Harm)),
            hub.moments("crashes", lasts_ms),
            hub.spans("restored", lasts_ms, lasts_ms),
            tuple(each.edge(lasts_ms) for each in self._tables("edge")),
        )
        hub.end()
        self.end()
        names = [each.name for each in topology.edges]
        if not names or len(names) > EDGES_MAX:
            raise self._refused("edge", f"{len(names)} edges: name 1 to {EDGES_MAX}")
        if len(set(names)) < len(names):
            raise self._refused("edge", "two edges have the same name")
        return topology

    def edge(self, lasts_ms: int) -> EdgePlan:
        try:
            name = check_edge(self._left.pop("name", ""))
        except (AnabranchError, TypeError) as error:
            raise self._refused("name", f"every edge has one: {error}") from error
        plan = EdgePlan(
            name,
            self._count("writes", 10),
            self.duration("clock", "0s", 100 * LASTS_MS_MAX, signed=True),
            self.spans("offline", lasts_ms, lasts_ms),
            self.spans("silent", lasts_ms, IN_VAIN_MS_MAX),
            self.spans("disk_full", lasts_ms, IN_VAIN_MS_MAX),
            self.spans("revoked", lasts_ms, IN_VAIN_MS_MAX),
            self.moments("power_cuts", lasts_ms),
            self.moments("cloned", lasts_ms),
            self.spans("restored", lasts_ms, lasts_ms),
        )
        self.end()
        return plan

    def rates(self, kind: type[Faults] | type[Harm]) -> dict[str, Any]:
        """The numbers of `kind` that are there: shares from 0 to 1, and milliseconds."""
        found = {each.name: self._left.pop(each.name) for each in fields(kind) if each.name in self._left}
        for name, value in found.items():
            if name.endswith("_ms_max"):
                if type(value) is not int or not 1 <= value <= HOUR_MS:
                    raise self._refused(name, f"{value!r} is no number of milliseconds from 1 to {HOUR_MS}")
            elif isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise self._refused(name, f"{value!r} is no share from 0 to 1")
        self.end()
        return found

    def end(self) -> None:
        for name in self._left:
            raise self._refused(name, "there is no such setting")

    def moments(self, name: str, lasts_ms: int) -> tuple[int, ...]:
        return tuple(self._parsed(name, each, lasts_ms) for each in self._list(name))

    def spans(self, name: str, lasts_ms: int, length_ms_max: int) -> tuple[Span, ...]:
        return tuple(self._span(name, each, lasts_ms, length_ms_max) for each in self._list(name))

    def duration(self, name: str, default: str, at_most_ms: int, *, signed: bool = False) -> int:
        text = self._left.pop(name, default)
        if signed and isinstance(text, str) and text.startswith("-"):
            return -self._parsed(name, text[1:], at_most_ms)
        return self._parsed(name, text, at_most_ms)

    def _span(self, name: str, pair: Any, lasts_ms: int, length_ms_max: int) -> Span:
        if not isinstance(pair, list) or len(pair) != 2:
            raise self._refused(name, f'{pair!r} is no pair of moments, like ["2h", "5h"]')
        start, end = (self._parsed(name, each, lasts_ms) for each in pair)
        if start >= end:
            raise self._refused(name, f"{pair[1]} is not after {pair[0]}")
        if end - start > length_ms_max:
            raise self._refused(name, f"longer than {length_ms_max // HOUR_MS}h: make it shorter")
        return start, end

    def _parsed(self, name: str, text: Any, at_most_ms: int) -> int:
        number, unit = (text[:-1], text[-1:]) if isinstance(text, str) else ("", "")
        if not (number.isascii() and number.isdigit() and len(number) < 12 and unit in _UNITS_MS):
            raise self._refused(name, f'{text!r} is no time, like "90s", "15m", "2h", "3d"')
        value_ms = int(number) * _UNITS_MS[unit]
        if value_ms > at_most_ms:
            raise self._refused(name, f"{text} is more than {at_most_ms // SECOND_MS}s")
        return value_ms

    def _count(self, name: str, default: int = 0) -> int:
        value = self._left.pop(name, default)
        if type(value) is not int or not 0 <= value <= WRITES_MAX:
            raise self._refused(name, f"{value!r} is no number from 0 to {WRITES_MAX}")
        return value

    def _list(self, name: str) -> list[Any]:
        value = self._left.pop(name, [])
        if not isinstance(value, list):
            raise self._refused(name, f"{value!r} is no list")
        return value

    def _table(self, name: str) -> "_Table":
        value = self._left.pop(name, {})
        if not isinstance(value, dict):
            raise self._refused(name, f"{value!r} is no table")
        return _Table(self._file, self._at(name), value)

    def _tables(self, name: str) -> "list[_Table]":
        tables = self._left.pop(name, [])
        if not isinstance(tables, list) or not all(isinstance(each, dict) for each in tables):
            raise self._refused(name, "edges are tables: [[edge]]")
        return [
            _Table(self._file, f"{self._at(name)} {number}", each) for number, each in enumerate(tables, 1)
        ]

    def _at(self, name: str) -> str:
        return f"{self._place}.{name}" if self._place else name

    def _refused(self, name: str, reason: str) -> TopologyRefused:
        return TopologyRefused(self._file, self._at(name), reason)
