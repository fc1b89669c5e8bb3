"""What a seed draws, before anything happens: which faults there are in a life, how hard, and for how long.

Swarm testing (Groce et al. 2012): a life with a few kinds of fault reaches states that a life with all of
them never does, so each kind is there or not.
"""

import copy
import random
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from anabranch_hub.simulation.disk import Harm
from anabranch_hub.simulation.network import Faults

SECOND_MS = 1_000
HOUR_MS = 3_600 * SECOND_MS
DAY_MS = 24 * HOUR_MS
# Idle time costs nothing, so a life may last for weeks. Most are short, for what happens close together
# meets more.
BUSY_MS = (30 * SECOND_MS, 300 * SECOND_MS, 3_000 * SECOND_MS, 8 * HOUR_MS, 3 * DAY_MS, 21 * DAY_MS)
_GROUPS = ("faults", "harm", "hub_harm")


@dataclass(frozen=True, slots=True)
class Life:
    """The numbers of one life. They all shrink: see `shrinking`."""

    edges: int
    busy_ms: int
    writes: int
    faults: Faults
    crashes: int
    hub_crashes: int
    restores: int
    clones: int
    offline: float
    large: bool
    partitions: int
    revocations: int
    full_disks: int
    clock_jumps: int
    hub_restores: int
    rots: int
    harm: Harm
    hub_harm: Harm
    rescopes: int
    retirements: int
    collections: int
    deletes: float
    polling: float  # what share of the edges look in now and then
    budgets: float  # and of how many the link may carry little in a day
    urgent: bool
    carried: int  # courier files, each with its answer
    wipes: int
    bursts: int = 0  # how often somebody writes one field again and again
    subscriptions: int = 0  # and how often somebody asks for less of a grant, or for all of it

    @property
    def numbers(self) -> dict[str, int | float]:
        """All of it by name; those of links and disks as `faults.NAME`, `harm.NAME`, `hub_harm.NAME`."""
        numbers: dict[str, int | float] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name in _GROUPS:
                numbers |= {
                    f"{each.name}.{inner.name}": getattr(value, inner.name) for inner in fields(value)
                }
            else:
                numbers[each.name] = value
        return numbers

    def changed(self, numbers: Mapping[str, int | float]) -> "Life":
        """This life with other `numbers`. Raises KeyError for a name that there is not."""
        own: dict[str, Any] = {}
        groups: dict[str, dict[str, int | float]] = {}
        for name, value in numbers.items():
            if name not in self.numbers:
                raise KeyError(name)
            group, _, inner = name.rpartition(".")
            if group:
                groups.setdefault(group, {})[inner] = value
            else:
                own[name] = value
        for group, inners in groups.items():
            own[group] = replace(getattr(self, group), **inners)
        return replace(self, **own)


def drawn(chance: random.Random) -> Life:
    """The life of a seed."""

    def some(high: float) -> float:
        return chance.random() * high if chance.random() < 0.5 else 0.0

    budgets, urgent = chance.choice((0, 0, 0.7)), chance.random() < 0.5
    # What came later is drawn aside: seeds keep the lives that they had.
    aside = copy.copy(chance)
    life = Life(
        edges=chance.randint(2, 6),
        busy_ms=chance.choice(BUSY_MS),
        writes=chance.randint(4, 24),
        faults=Faults(
            some(0.1),
            some(0.2),
            some(0.2),
            some(0.05),
            some(0.1),
            chance.choice((5, 50, 2_000)),
            some(0.02),
        ),
        crashes=chance.randint(0, 4),
        hub_crashes=chance.randint(0, 2),
        restores=chance.choice((0, 0, 0, 1, 2)),
        clones=chance.choice((0, 0, 0, 1)),
        offline=some(0.9),
        large=chance.random() < 0.2,
        partitions=chance.choice((0, 0, 1, 3)),
        revocations=chance.choice((0, 0, 0, 1)),
        full_disks=chance.choice((0, 0, 1, 2)),
        clock_jumps=chance.choice((0, 0, 1, 3)),
        hub_restores=chance.choice((0, 0, 0, 1, 2)),
        rots=chance.choice((0, 0, 0, 0, 0, 1, 3)),
        harm=Harm(some(0.05), some(0.05), some(0.05)),
        hub_harm=Harm(some(0.05), some(0.05), some(0.05)),
        rescopes=chance.choice((0, 0, 0, 1, 3)),
        retirements=chance.choice((0, 0, 1, 2)),
        collections=chance.choice((0, 0, 5, 20)),
        deletes=chance.choice((0.05, 0.05, 0.3)),
        polling=some(0.8),
        budgets=budgets,
        urgent=urgent,
        carried=0,
        wipes=0,
    )
    carried, wipes = aside.choice((0, 0, 2, 6)), aside.choice((0, 0, 0, 1))
    # Files tell no scopes (docs/trust.md).
    return replace(life, carried=0 if life.rescopes else carried, wipes=wipes)
