"""What operators do to a simulated fleet from the hub: scopes, retirement and collection.

Each is a transaction at the hub, which may fail like any other; nobody tries again.
"""

from collections.abc import Callable

from anabranch_sync.scope import Scope, scope
from anabranch_sync.wiping import WipeOrder

from anabranch_hub.simulation.disk import DiskFailure
from anabranch_hub.simulation.edge import Edge
from anabranch_hub.simulation.hub_side import HubSide
from anabranch_hub.simulation.mishaps import Mishaps
from anabranch_hub.simulation.world import SCOPE, World
from anabranch_hub.simulation.writing import DOCUMENTS

# Postgres is gone for a minute, when it restarts on a slow machine.
UNHEARD_MS_MAX = 60_000
EDGES_LEFT = 2
_KEEP = WipeOrder.KEEP


class Operators:
    """Whoever holds the hub's commands."""

    def __init__(self, world: World, hub: HubSide, edges: list[Edge], mishaps: Mishaps) -> None:
        self._world = world
        self._hub = hub
        self._edges = edges
        self._mishaps = mishaps

    def rescope(self, edge: Edge) -> None:
        """Give an edge some of the documents, or all; its open streams hear of it, or find out."""
        chance, name = self._world.chance, edge.line.edge
        given = self._scope()
        self._world.happened["edge rescoped"] += 1
        self._world.note(f"{name} is given {', '.join(given.prefixes)}")
        if not self._done(lambda: self._hub.store.rescope(name, given)):
            return
        for machine in self._edges:
            if machine.line.edge == name:
                # What it knows of a restored hub's past it may not offer any more.
                for document in DOCUMENTS:
                    if not given.reads(document):
                        self._mishaps.hub_restores.forget(machine.name, document)
        # A process that does not listen just now is told when it does again.
        self._world.clock.after(chance.choice((0, 0, chance.randrange(UNHEARD_MS_MAX))), self._hub.heard)

    def retire(self, edge: Edge, away_ms: int) -> None:
        """An edge goes away, for good as everybody thinks, and comes back all the same."""
        self._mishaps.go_offline(edge, away_ms)
        self._world.happened["edge retired"] += 1
        self._world.note(f"{edge.line.edge} is retired")
        self._done(lambda: self._hub.store.retire(edge.line.edge))

    def wipe(self, edge: Edge, order: WipeOrder) -> None:
        """Let everything leave an edge and its clones; two others stay."""
        name = edge.line.edge
        left = {each.line.edge for each in self._edges if self._hub.store.edge(each.line.edge).wipe is _KEEP}
        if len(left - {name}) < EDGES_LEFT:
            return
        self._world.happened["edge ordered to wipe"] += 1
        self._world.note(f"{name} is to wipe: {order.name}")
        if self._done(lambda: self._hub.store.order_wipe(name, order)):
            self._world.clock.after(0, self._hub.heard)

    def collect(self) -> None:
        """Collect the tombstones that everybody has seen who counts."""
        store = self._hub.store
        before = store.collected_seq
        self._done(store.collect)
        if store.collected_seq > before:
            self._world.reached.collected += 1
            self._world.note(f"tombstones are collected up to {store.collected_seq}")

    def _scope(self) -> Scope:
        chance = self._world.chance
        if chance.random() < 0.3:
            return SCOPE
        some = chance.sample(DOCUMENTS, chance.randint(1, len(DOCUMENTS) - 1))
        return scope(tuple(each.namespace for each in some))

    def _done(self, command: Callable[[], None]) -> bool:
        """Whether a command is in force, whatever it said."""
        try:
            command()
        except DiskFailure as failure:
            self._world.note(f"hub: {failure}")
            if failure.power:
                self._hub.crash()
            return failure.reached
        return True
