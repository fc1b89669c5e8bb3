"""What everything in one life shares: chance, time, how things fail at present, and what has happened."""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

from anabranch_sync.scope import scope

from anabranch_hub.simulation.disk import UNHARMED, Medium
from anabranch_hub.simulation.histories import Histories
from anabranch_hub.simulation.life import drawn
from anabranch_hub.simulation.network import CALM, Clock, Connection, Line

SCOPE = scope(("acme",))


@dataclass(slots=True)
class Reached:
    """How often a life came to what is hard to come to: lives that never do prove nothing of it."""

    rounds: int = 0  # pushes decided and pulls applied
    resumed_pulls: int = 0
    resumed_pushes: int = 0
    fences: int = 0
    continued: int = 0  # an edge saw the log go on from what it had seen
    refusals: int = 0
    quarantines: int = 0
    repaired: int = 0
    overtaken: int = 0
    parts: int = 0  # of snapshots
    rescoped: int = 0
    outside: int = 0  # changes that were refused, as they were written under another scope
    relayed: int = 0  # streams that a relay passed on
    near: int = 0  # pieces of parts that came from a relay
    shared: int = 0  # and those that it had kept
    subscribed: int = 0  # times an edge was told that it gets less of its grant than before, or more
    looked: int = 0  # check-ins that found nothing new
    saved: int = 0  # attempts that a used-up budget put off
    let_through: int = 0  # and those that were made all the same, for something urgent
    collected: int = 0  # documents out of which tombstones were taken
    wiped: int = 0
    brought: int = 0  # courier files that the hub took
    taken: int = 0  # and those of the hub's that told an edge something
    absorbed: int = 0  # changes for which others stood


class World:
    """One seed's chance and clock; the same seed gives the same life, event for event."""

    def __init__(self, seed: int, changed: Mapping[str, int | float]) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.clock = Clock()
        # Drawn apart: so whoever writes one field again and again changes nothing else in a life.
        bursts = random.Random(f"{seed}: bursts").choice((0, 0, 3, 10))
        subscriptions = random.Random(f"{seed}: subscriptions").choice((0, 0, 0, 2, 5))
        life = replace(drawn(self.chance), bursts=bursts, subscriptions=subscriptions)
        # Files tell no scopes (docs/trust.md).
        self.life = replace(life, carried=0 if subscriptions else life.carried).changed(changed)
        self.faults = CALM
        self.harm = self.hub_harm = UNHARMED
        self.happened: Counter[str] = Counter()
        self.timeline: list[str] = []
        self.reached = Reached()
        self.altered = False  # somewhere a document became another by itself
        self.histories = Histories()
        self.acknowledged: dict[bytes, str] = {}  # by content id: the changes whose author was told, and who

    def note(self, event: str) -> None:
        """A line of the timeline."""
        self.timeline.append(f"{self.clock.now_ms - 1_800_000_000_000:>9} ms  {event}")

    def connection(self, line: Line) -> Connection:
        """A connection over this line, which fails as this life has it."""
        return Connection(self.clock, self.chance, lambda pipe: line.faults(pipe, self.faults), self.happened)

    def new_medium(self) -> Medium:
        """A disk of an edge that fails as this life has it."""
        return Medium(self.chance, lambda: self.harm, self.happened)

    def hub_medium(self) -> Medium:
        """The hub's disk."""
        return Medium(self.chance, lambda: self.hub_harm, self.happened, "hub: ")
