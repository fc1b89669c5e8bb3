"""Courier files in a simulated fleet: sticks that people carry to the hub and back, late, twice or never.

The letters go without the files and signatures around them. The hub takes and answers them by production's
code, over the store in memory; the edge does what `anabranch.courier` does.
"""

import random
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from anabranch_sync.change import Entry, chained
from anabranch_sync.courier import admitted, export_name, letters_from_edge, presented, pushes
from anabranch_sync.edge_effects import Send
from anabranch_sync.edge_session import EdgeSession
from anabranch_sync.errors import ParcelError
from anabranch_sync.ids import START, Cursor
from anabranch_sync.opening import Answer, Opening
from anabranch_sync.parcel import EXPORT_BYTES, PARCEL_OVERHEAD_BYTES, Letter
from anabranch_sync.pull import Pull
from anabranch_sync.wiping import WipeOrder

from anabranch_hub.courier.answering import answered
from anabranch_hub.courier.taking import take
from anabranch_hub.errors import Fenced
from anabranch_hub.simulation import memory
from anabranch_hub.simulation.disk import DiskFailure
from anabranch_hub.simulation.edge import Edge
from anabranch_hub.simulation.hub_side import HubSide
from anabranch_hub.simulation.memory import MemoryHub, MemoryReplica
from anabranch_hub.simulation.mishaps import Mishaps
from anabranch_hub.simulation.network import Line
from anabranch_hub.simulation.promise import Promise, Violation
from anabranch_hub.simulation.world import World
from anabranch_hub.store.parcels import Parcel

T = TypeVar("T")

TENANT = "acme"
# Of files: some pulls take several, most do not.
FILE_BYTES = (PARCEL_OVERHEAD_BYTES + 10_000, 1_000_000)
LOST = 0.1
TWICE = 0.3


class Couriers:
    """Whoever carries sticks between the machines of a fleet and its hub."""

    def __init__(self, world: World, hub: HubSide, edges: Sequence[Edge], mishaps: Mishaps) -> None:
        self._world = world
        self._hub = hub
        self._edges = edges  # the fleet's: clones join it
        self._mishaps = mishaps
        # Its own, so that lives without couriers stay as they are.
        self._chance = random.Random(f"{world.seed}: couriers")

    def plan(self) -> None:
        """Some edges' sticks go at some time."""
        for _ in range(self._world.life.carried):
            self._later(lambda: self._carry(self._chance.choice(self._edges)))

    def _carry(self, edge: Edge) -> None:
        """Bring the hub what an edge has for it, and some time later an answer to whatever came last."""
        if edge.wiped:
            return
        drawn, now_ms = self._chance.randbytes(EXPORT_BYTES), max(0, edge.wall_ms)
        try:
            letters = exported(edge.replica, edge.line.edge, drawn, now_ms, self._chance.choice(FILE_BYTES))
        except DiskFailure as failure:
            edge.failed(failure)
            return
        self._world.note(f"{edge.name} exports {len(letters)} files")
        self._on_its_way(letters, lambda letter: self._at_hub(edge.line, letter))
        self._later(lambda: self._answer(edge.line))

    def _on_its_way(self, letters: Sequence[Letter], arrived: Callable[[Letter], None]) -> None:
        """A stick arrives with most of its files, in their order, and may be put in once more."""

        def put_in() -> None:
            for letter in letters:
                if self._chance.random() >= LOST:
                    arrived(letter)

        for _ in range(2 if self._chance.random() < TWICE else 1):
            self._later(put_in)

    def _later(self, event: Callable[[], None]) -> None:
        self._world.clock.after(self._chance.randrange(self._world.life.busy_ms // 2), event)

    def _at_hub(self, line: Line, letter: Letter) -> None:
        if line.revoked:
            return
        try:
            taken = at_once(take(CarriedStore(self._hub.store), letter, self._world.clock.now_ms))
            self._world.reached.brought += 1
            if taken.accused:
                raise Violation(Promise.LOGGED, f"an honest hub is accused: {taken.accused}")
        except ParcelError as refused:
            self._world.note(f"the hub refuses a file of {line.edge}: {refused}")
        except DiskFailure as failure:
            self._world.note(f"hub: {failure}")
            if failure.power:
                self._hub.crash()
        self._hub.fan_out()

    def _answer(self, line: Line) -> None:
        """What is on the stick goes to one of the edge's machines: nobody tells clones apart."""
        parcel = self._hub.store.parcels.get(line.edge)
        machines = [each for each in self._edges if each.line.edge == line.edge]
        if parcel is None or line.revoked or not machines:
            return
        now_ms, bytes_max = self._world.clock.now_ms, self._chance.choice(FILE_BYTES)
        letters = at_once(
            answered(CarriedStore(self._hub.store), TENANT, line.edge, parcel, now_ms, bytes_max)
        )
        machine = self._chance.choice(machines)
        self._on_its_way(letters, lambda letter: self._at_edge(machine, letter))

    def _at_edge(self, edge: Edge, letter: Letter) -> None:
        if edge.wiped:
            return
        try:
            frames = admitted(letter, edge.replica.standing(), edge.replica.state.exports)
        except ParcelError as refused:
            self._world.note(f"{edge.name} refuses a file: {refused}")
            return
        self._world.reached.taken += bool(frames)
        self._world.note(f"{edge.name} takes a file")
        outbox, confirmed = edge.replica.outbox, edge.replica.state.confirmed
        edge.take(frames)
        if letter.upto.epoch != self._hub.store.epoch:
            # Decided before the hub was restored: it is confirmed here, and offered again by its values.
            for each in {each.content_id for each in outbox} - {e.content_id for e in edge.replica.outbox}:
                self._world.acknowledged.pop(each, None)
            now = edge.replica.state.confirmed
            for document in {*confirmed, *now}:
                if now.get(document) != confirmed.get(document):  # it would have offered another value before
                    self._mishaps.hub_restores.forget(edge.name, document)


def exported(
    replica: MemoryReplica, edge: str, drawn: bytes, now_ms: int, bytes_max: int
) -> Sequence[Letter]:
    """The letters that an edge sends, and remembers. Raises DiskFailure."""
    standing = replica.standing()
    session = EdgeSession(standing, replica.state.scope.fingerprint)
    (hello,) = (each.frame for each in session.start(now_ms) if isinstance(each, Send))
    unsent = [each for each in replica.outbox if each.dot.local_seq > standing.push_mark]
    sent = pushes([] if standing.must_renew else unsent, standing.chain, bytes_max)
    shown = presented(hello)
    letters = letters_from_edge(shown, sent, bytes_max)
    export = export_name(drawn, shown)
    replica.exported(export)
    return [
        Letter(False, TENANT, edge, export, b"", now_ms, part, len(letters), START, START, frames)
        for part, frames in enumerate(letters, 1)
    ]


class CarriedStore:
    """The hub's store as couriers need it: `anabranch_hub.courier.keeping`."""

    def __init__(self, hub: MemoryHub) -> None:
        self._hub = hub

    async def parcel(self, tenant: str, edge: str) -> Parcel | None:
        return self._hub.parcels.get(edge)

    async def put_parcel(self, tenant: str, edge: str, taken: Parcel) -> None:
        self._hub.put_parcel(edge, taken)

    async def open_replica(self, tenant: str, edge: str, incarnation: int, mark: bytes = b"") -> Opening:
        if incarnation and not self._hub.knows(incarnation):
            raise Fenced(edge, incarnation, "it was never leased to this edge")
        return replace(self._hub.open_replica(incarnation, mark, edge), wipe=WipeOrder.KEEP)

    async def decide(self, tenant: str, edge: str, entries: Sequence[Entry], chain_before: bytes) -> Answer:
        """As the real one, it skips those that it has decided."""
        hub, incarnation = self._hub, entries[0].dot.incarnation
        mark, chain = hub.acknowledged(incarnation)
        known = [each for each in entries if each.dot.local_seq <= mark]
        for each in known:
            chain_before = chained(chain_before, each.body)
        if len(known) == len(entries):
            return Answer(mark, chain, hub.hub_seq)
        try:
            return hub.decide(entries[len(known) :], chain_before)
        except memory.Fenced as error:
            raise Fenced(edge, incarnation, "its history is another one here") from error

    async def seen(self, tenant: str, incarnation: int, cursor: Cursor) -> None:
        self._hub.seen(incarnation, cursor)

    async def pull(
        self, tenant: str, edge: str, incarnation: int, after: Cursor, *, always: bool = False
    ) -> Pull | None:
        return self._hub.pull(incarnation, after, always=always)

    async def spool(self, tenant: str, incarnation: int, batch: bytes, body: bytes) -> None:
        self._hub.spool(incarnation, batch, body)

    async def spooled(self, tenant: str, incarnation: int, batch: bytes) -> bytes | None:
        return self._hub.spooled(incarnation, batch)


def at_once(work: Coroutine[Any, Any, T]) -> T:
    """The result of what waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    raise AssertionError("a store in memory lets nobody wait")
