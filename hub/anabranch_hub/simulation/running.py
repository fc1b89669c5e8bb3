"""Many lives, side by side, and what they come to.

Each seed is one life (`fleet.Fleet`), independent of all others, so the order and the processes in which
they run change nothing of what is found: the same seeds give the same `trace_hash`.
"""

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any

from anabranch_hub.simulation.fleet import Fleet
from anabranch_hub.simulation.promise import Promise, Violation
from anabranch_hub.simulation.world import Reached

DAY_MS = 86_400_000
YEAR_DAYS = 365.25
# Lives a process takes at a time: a fraction of a second's work, so that progress can be told.
SEEDS_AT_A_TIME = 10


@dataclass(frozen=True, slots=True)
class Lived:
    """One life that was lived, and the promise that it broke, if any.

    `broken` is "" where none was; a bug of the simulated code itself counts as broken too.
    """

    seed: int
    edges: int
    days: float
    events: int
    seconds: float
    trace: bytes
    faults: Mapping[str, int]
    reached: Reached
    broken: str = ""
    reason: str = ""


def live(seed: int, changed: Mapping[str, int | float] | None = None) -> Lived:
    """Live the life of `seed`, with some of its numbers changed if need be."""
    return lived(Fleet(seed, changed))


def lived(fleet: Fleet) -> Lived:
    """Live this one."""
    seed, world = fleet.seed, fleet.world
    began_s = time.perf_counter()
    broken = reason = ""
    try:
        fleet.run()
    except Violation as violation:
        broken, reason = violation.promise.name, f"seed {seed}: {violation}"
    except Exception as error:  # noqa: BLE001 - any failure is a finding, and the other lives go on
        broken, reason = type(error).__name__, f"seed {seed}: {error}"
    return Lived(
        seed,
        len(fleet.edges),
        (world.clock.now_ms - fleet.began_ms) / DAY_MS,
        world.clock.events,
        time.perf_counter() - began_s,
        fleet.trace,
        dict(world.happened),
        world.reached,
        broken,
        reason,
    )


def live_all(seeds: Sequence[int], jobs: int) -> Iterator[Lived]:
    """Live all of them, in `jobs` processes; in the order of `seeds`."""
    if jobs <= 1:
        yield from map(live, seeds)
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        yield from pool.map(live, seeds, chunksize=SEEDS_AT_A_TIME)


@dataclass(slots=True)
class Tally:
    """What many lives come to."""

    seeds: int = 0
    fleet_days: float = 0.0
    device_days: float = 0.0
    events: int = 0
    rounds: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    broken: Counter[str] = field(default_factory=Counter)
    failed: list[Lived] = field(default_factory=list)
    traces: list[bytes] = field(default_factory=list)

    def add(self, lived: Lived) -> None:
        """Count one more life, in the order of seeds."""
        self.seeds += 1
        self.fleet_days += lived.days
        self.device_days += lived.days * lived.edges
        self.events += lived.events
        self.rounds += lived.reached.rounds
        self.seconds += lived.seconds
        self.faults.update(lived.faults)
        self.traces.append(lived.trace)
        if lived.broken:
            self.broken[lived.broken] += 1
            self.failed.append(lived)

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints. `events_per_second` is that of one process."""
        counted = (Promise.CONVERGED, Promise.KEPT, Promise.FLOWING)
        other = sum(self.broken.values()) - sum(self.broken[each.name] for each in counted)
        return {
            "seeds": self.seeds,
            "fleet_days": round(self.fleet_days, 1),
            "device_years": round(self.device_days / YEAR_DAYS, 1),
            "rounds": self.rounds,
            "events": self.events,
            "events_per_second": round(self.events / self.seconds) if self.seconds else 0,
            "faults": dict(sorted(self.faults.items())),
            "divergences": self.broken[Promise.CONVERGED.name],
            "lost_acknowledged_writes": self.broken[Promise.KEPT.name],
            "stuck_queues": self.broken[Promise.FLOWING.name],
            "other_violations": other,
            "failed_seeds": [each.seed for each in self.failed],
            "trace_hash": hashlib.sha256(b"".join(self.traces)).hexdigest(),
        }
