"""A failing life made small: its numbers go down while it still breaks the same promise.

Every number of a life shrinks towards none of its kind. Another number makes another life of the same seed,
which may fail or not; the smaller ones that fail are easier to read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from anabranch_hub.simulation.fleet import Fleet
from anabranch_hub.simulation.running import live

Number = int | float

# Less of these is no life at all.
_LEAST: dict[str, Number] = {"edges": 1, "busy_ms": 1_000, "writes": 1, "faults.delay_ms_max": 1}
# A life takes a tenth of a second, and what this many could not shrink is small enough.
LIVES_MAX = 300
COUNTED_MAX = 50


@dataclass(frozen=True, slots=True)
class Case:
    """One life: that of `seed`, with these of its numbers changed. Written as `SEED NAME=VALUE ...`."""

    seed: int
    changed: Mapping[str, Number] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([str(self.seed), *(f"{name}={value}" for name, value in self.changed.items())])


def parse_case(line: str) -> Case:
    """The case that `str(case)` wrote. Raises ValueError."""
    seed, *changes = line.split()
    pairs = (each.partition("=") for each in changes)
    return Case(int(seed), {name: float(value) if "." in value else int(value) for name, _, value in pairs})


def shrunk(seed: int, breaks: Callable[[Case], str] | None = None) -> Case:
    """The smallest life found of `seed` that breaks what it breaks; `breaks` names that, "" for nothing."""
    found = breaks or _broken
    case, lives = Case(seed), 0
    wanted = found(case)
    shrinks = bool(wanted)
    while shrinks:
        shrinks = False
        for name in Fleet(seed).life.numbers:
            for number in _smaller(name, Fleet(seed, case.changed).life.numbers[name]):
                if lives == LIVES_MAX:
                    return case
                lives += 1
                smaller = Case(seed, {**case.changed, name: number})
                if found(smaller) == wanted:
                    case, shrinks = smaller, True
                    break
    return case


def _broken(case: Case) -> str:
    return live(case.seed, case.changed).broken


def _smaller(name: str, number: Number) -> Iterator[Number]:
    """What to try instead, the least first."""
    least = _LEAST.get(name, 0)
    if number > least:
        yield least
    if isinstance(number, int) and not isinstance(number, bool):
        # One by one only what is counted in a few: milliseconds would take all the lives there are.
        nearer = (number // 2, number - 1) if number <= COUNTED_MAX else (number // 2,)
        yield from (each for each in nearer if least < each < number)
