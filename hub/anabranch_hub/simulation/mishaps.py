"""What befalls the machines, disks and lines of a simulated fleet."""

from collections.abc import Callable

from anabranch_sync.change import Entry
from anabranch_sync.document import EMPTY, Document, rebuild
from anabranch_sync.register import Register
from anabranch_sync.wiping import WipeOrder

from anabranch_hub.simulation.edge import Edge
from anabranch_hub.simulation.hub_restores import HubRestores
from anabranch_hub.simulation.hub_side import HubSide
from anabranch_hub.simulation.life import DAY_MS, SECOND_MS
from anabranch_hub.simulation.memory import MemoryReplica, ReplicaState
from anabranch_hub.simulation.network import Line
from anabranch_hub.simulation.promises import Reading
from anabranch_hub.simulation.world import World
from anabranch_hub.simulation.writing import DOCUMENTS

# A clock jumps by a day, a year or ten, either way, or to 1970.
JUMPS_MS = (-DAY_MS, DAY_MS, -365 * DAY_MS, 365 * DAY_MS, 3_650 * DAY_MS, -1_800_000_000 * SECOND_MS)


class Mishaps:
    """All that can happen to a fleet, one method each, with an account of what may be lost by it."""

    def __init__(self, world: World, hub: HubSide, edges: list[Edge]) -> None:
        self.hub_restores = HubRestores()
        self._world = world
        self._hub = hub
        self._edges = edges  # the fleet's: clones join it
        self._backups: list[tuple[Edge, ReplicaState]] = []

    def cut_power(self, edge: Edge) -> None:
        """An edge loses power, and has it again."""
        self._world.happened["power cut"] += 1
        self._world.note(f"{edge.name} loses power")
        edge.crash()

    def back_up_hub(self) -> None:
        """Somebody keeps a backup of the hub."""
        self.hub_restores.back_up(self._hub.store)

    def restore_hub(self) -> None:
        """The hub comes back as its backup was. What no edge has, in its outbox or confirmed, is lost."""
        self.remove_wiped()
        world, hub = self._world, self._hub
        states = [(edge.line, edge.replica.disk) for edge in self._edges]
        hub.store = self.hub_restores.restore(hub.store, states)
        hub.cut_all()
        world.happened["hub restored"] += 1
        world.note(f"the hub is at {hub.store.hub_seq} of epoch {hub.store.epoch}")
        kept = {each.content_id for _, state in states for each in state.outbox}
        kept |= hub.store.known
        world.acknowledged = {each: name for each, name in world.acknowledged.items() if each in kept}
        for edge in self._edges:
            edge.reading = Reading(edge.name)

    def back_up(self, edge: Edge) -> None:
        """Somebody keeps an image of an edge's disk."""
        self._backups.append((edge, edge.replica.disk))

    def restore_some(self) -> None:
        """One of those images comes back."""
        if backups := [each for each in self._backups if not each[0].wiped]:
            self.restore(*self._world.chance.choice(backups))

    def restore(self, edge: Edge, state: ReplicaState) -> None:
        """A disk image of earlier comes back. What was only on the lost disk, and no more, is lost."""
        world = self._world
        kept = {each.content_id for each in state.outbox}
        for lost in edge.replica.disk.outbox:
            if lost.content_id not in kept and not self._is_at_hub(lost):
                world.acknowledged.pop(lost.content_id, None)
        self.hub_restores.forget(edge.name)
        world.happened["edge restored"] += 1
        world.note(f"{edge.name} is restored from a backup")
        edge.replica = MemoryReplica(state, edge.replica.medium)
        edge.reading = Reading(edge.name)
        edge.crash()

    def clone(self, source: Edge) -> None:
        """A second machine starts with a copy of a disk."""
        world = self._world
        replica = MemoryReplica(source.replica.disk, world.new_medium())
        line = Line(f"{source.name}'", source.line.edge)
        clone = Edge(line, world, self._hub, replica, source.skew_ms)
        clone.outside |= source.outside
        self._edges.append(clone)
        world.happened["edge cloned"] += 1
        world.note(f"{source.name} is cloned")
        clone.connect()

    def remove_wiped(self) -> None:
        """Machines that were wiped are none of the fleet's; what was only there is lost if it was to be."""
        world = self._world
        for edge in [each for each in self._edges if each.wiped]:
            self._edges.remove(edge)
            if edge.wiped is WipeOrder.AT_ONCE:
                self.hub_restores.forget(edge.name)
                for lost in [each for each in edge.replica.outbox if not self._is_at_hub(each)]:
                    world.acknowledged.pop(lost.content_id, None)

    def go_offline(self, edge: Edge, away_ms: int) -> None:
        """An edge has no link for a while, and knows it."""
        self._world.happened["edge offline"] += 1
        self._world.note(f"{edge.name} goes offline")
        edge.line.online = False
        edge.hang_up()

        def back() -> None:
            edge.line.online = True
            edge.connect()

        self._world.clock.after(away_ms, back)

    def silence(self, edge: Edge, away_ms: int) -> None:
        """Frames go nowhere, in one direction or both, and nobody is told."""
        self._world.happened["partition"] += 1
        edge.line.silenced = self._world.chance.choice(("up", "down", "both"))
        self._world.note(f"{edge.name} is silenced: {edge.line.silenced}")
        self._after(away_ms, lambda: setattr(edge.line, "silenced", ""))

    def revoke(self, edge: Edge, away_ms: int) -> None:
        """An operator revokes an edge and, after a while, lets it in again."""
        self._world.happened["edge revoked"] += 1
        self._world.note(f"{edge.name} is revoked")
        edge.line.revoked = True
        for stream in [each for each in self._hub.streams if each.line is edge.line]:
            stream.revoked()
        self._after(away_ms, lambda: setattr(edge.line, "revoked", False))

    def fill_disk(self, edge: Edge, away_ms: int) -> None:
        """Nothing can be written at an edge for a while."""
        self._world.happened["disk full for a time"] += 1
        self._world.note(f"{edge.name}'s disk is full")
        medium = edge.replica.medium
        medium.is_full = True
        self._after(away_ms, lambda: setattr(medium, "is_full", False))

    def jump_clock(self, edge: Edge) -> None:
        """An edge's clock is another one from now on."""
        self._world.happened["clock jump"] += 1
        edge.skew_ms += self._world.chance.choice(JUMPS_MS)
        self._world.note(f"{edge.name}'s clock jumps")

    def rot(self, edge: Edge) -> None:
        """A confirmed document is another one, or gone, and nothing says so.

        Not a deleted one: without its registers it has the same content, which is all that digests tell.
        """
        confirmed = edge.replica.confirmed
        documents = [each for each in DOCUMENTS if each in confirmed and rebuild(confirmed[each].registers)]
        if not documents:
            return
        document = self._world.chance.choice(documents)
        state = confirmed[document]
        plain = {
            slot: each for slot, each in state.registers.items() if slot.path == ("plain",) and each.live
        }
        registers = {slot: Register("rotten", each.stamps) for slot, each in plain.items()}
        self._world.altered = True
        self.hub_restores.forget(edge.name, document)
        self._world.note(f"{document} rots at {edge.name}")
        edge.replica.alter(
            document, Document({**state.registers, **registers}, state.version) if plain else EMPTY
        )

    def _after(self, delay_ms: int, event: Callable[[], None]) -> None:
        self._world.clock.after(delay_ms, event)

    def _is_at_hub(self, entry: Entry) -> bool:
        store = self._hub.store
        return entry.content_id in store.absorbed or any(
            each.content_id == entry.content_id for _, each, _ in store.log
        )
