"""A fleet in one process: the production sessions over simulated disks, clocks and links.

`Fleet(seed).run()` is a whole life: edges and the hub write, links and machines fail, everything
heals, and at rest the promises are checked. The same seed gives the same life, event for event.
"""

import hashlib
import random
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from operator import is_not
from unittest.mock import patch

from anabranch_sync import leaf_ancestry, merge, packing, snapshot
from anabranch_sync.budget import NO_BUDGET, Budget
from anabranch_sync.document import rebuild
from anabranch_sync.errors import Invalid
from anabranch_sync.ids import DocumentId
from anabranch_sync.leaf_ancestry import EDITS_MAX
from anabranch_sync.scope import ANY, EVERYTHING, scope
from anabranch_sync.snapshot import SLICE_BYTES_MAX
from anabranch_sync.wiping import WipeOrder

from anabranch_hub.simulation.courier import Couriers
from anabranch_hub.simulation.disk import UNHARMED
from anabranch_hub.simulation.edge import SAVING_LOOK_MS, Edge
from anabranch_hub.simulation.hub_side import HubSide
from anabranch_hub.simulation.life import DAY_MS, SECOND_MS, Life
from anabranch_hub.simulation.memory import MemoryReplica, ReplicaState, scope_digest
from anabranch_hub.simulation.meter import Meter
from anabranch_hub.simulation.mishaps import Mishaps
from anabranch_hub.simulation.network import CALM, Line
from anabranch_hub.simulation.operators import Operators
from anabranch_hub.simulation.promise import Promise, Violation
from anabranch_hub.simulation.promises import (
    check_changes,
    check_collected,
    check_converged,
    check_ledger,
    check_logged,
    check_refused,
    check_repaired,
    check_urgent,
    check_written,
)
from anabranch_hub.simulation.validity import (
    ALWAYS,
    HIGH_MAX,
    REPAIRED,
    SCHEMA_DOCUMENT,
    URGENT_DOCUMENT,
    schema,
    urgent_schema,
)
from anabranch_hub.simulation.world import SCOPE, World
from anabranch_hub.simulation.writing import DOCUMENTS, SCALAR_FIELDS, Author

# Longer than the longest back-off and silence together, several times: after it nothing may be stuck.
HEALED_MS = 10 * 60_000
# An edge whose budget is used up asks once an hour for what is urgent.
URGENT_MS_MAX = 2 * SAVING_LOOK_MS
# All writes of a life, and each day something of them.
BUDGETED_MS_MAX = 40 * DAY_MS
# An edge that is switched off costs nothing for weeks; one that tries in vain tries 2,000 times a day, and
# the tenth attempt shows nothing that the thousandth does.
RETRIED_MS_MAX = 5 * 60_000
# Of a life in which an edge looks in now and then, so many looks at most: days of them cost nothing then.
POLL_MS_MIN = 10 * SECOND_MS
LOOKS_EACH = 20
# What a few exchanges use up in a day.
BUDGETS_BYTES = (20_000, 60_000, 200_000)
# The busiest lives have some 100,000: more is a queue that goes round in circles.
EVENTS_MAX = 200_000
# A frame's best compression takes a quarter of a life and changes nothing of what is simulated.
COMPRESSION_LEVEL = 1
# Who turns a knob, or a program that measures; none of them is much to be seen by itself.
BURST_MAX = 12
GAPS_MS = (0, 0, 1, 700)
# Clocks are wrong from the start, some by years.
SKEWS_MS = (0, 0, 0, -DAY_MS, DAY_MS // 24, 3_650 * DAY_MS, -1_700_000_000 * SECOND_MS)


class Fleet:
    """One seed's life, with some of its numbers changed if need be."""

    def __init__(self, seed: int, changed: Mapping[str, int | float] | None = None) -> None:
        world = self.world = World(seed, changed or {})
        self.seed = seed
        self.hub = HubSide(world)
        self.hub.store.write(SCHEMA_DOCUMENT, schema(HIGH_MAX))
        if world.life.urgent:
            self.hub.store.write(URGENT_DOCUMENT, urgent_schema(HIGH_MAX))
        self.began_ms = world.clock.now_ms
        self._author = Author(world.chance, large=world.life.large, deletes=world.life.deletes)
        self._read: dict[str, ReplicaState] = {}
        self._read_at_hub = (0, 0)
        self.edges = [self._new_edge(f"edge{number}") for number in range(world.life.edges)]
        self.mishaps = Mishaps(world, self.hub, self.edges)
        self.couriers = Couriers(world, self.hub, self.edges, self.mishaps)
        self.operators = Operators(world, self.hub, self.edges, self.mishaps)
        self._cut_and_trim(random.Random(f"{seed}: snapshots"))

    def run(self) -> "Fleet":
        """Live, heal, check. Raises Violation.

        In most lives the hub folds a leaf with more than a few members, so that many edits come late.
        """
        few = random.Random(f"{self.seed}: folding").choice((1, 3, EDITS_MAX))
        with (
            patch.object(leaf_ancestry, "EDITS_MAX", few),
            patch.object(merge, "PARTS_MAX", few),
            patch.object(packing, "LEVEL_SMALL", COMPRESSION_LEVEL),
            patch.object(packing, "LEVEL_LARGE", COMPRESSION_LEVEL),
            patch.object(packing, "LEVEL_PREFIXED", COMPRESSION_LEVEL),
            patch.object(snapshot, "LEVEL_KEPT", COMPRESSION_LEVEL),
        ):
            self._live()
        return self

    @property
    def life(self) -> Life:
        """What it drew."""
        return self.world.life

    @property
    def timeline(self) -> list[str]:
        """What has happened, a line each."""
        return self.world.timeline

    @property
    def trace(self) -> bytes:
        """A hash of all that happened, and of what stood in the end."""
        digest, clock = scope_digest(self.hub.store.documents, SCOPE), self.world.clock
        end = f"{clock.now_ms} {clock.events} {self.world.reached.rounds} {digest}"
        return hashlib.sha256("\n".join((*self.timeline, end)).encode()).digest()

    def _live(self) -> None:
        world = self.world
        end_ms = world.clock.now_ms + world.life.busy_ms
        world.faults, world.harm, world.hub_harm = world.life.faults, world.life.harm, world.life.hub_harm
        self._plan()
        self._run_with_timers(end_ms)
        world.faults = CALM
        world.harm = world.hub_harm = UNHARMED
        world.note("everything heals")
        for edge in self.edges:
            edge.line.heal()
            edge.replica.medium.is_full = False
            if world.altered:
                edge.hang_up()  # where nothing else is to be said, a handshake tells
            edge.resume()
        self._agree()
        self._settle()
        self._check()
        self._repair()

    def _settle(self) -> None:
        clock, began_ms = self.world.clock, self.world.clock.now_ms
        limit_ms = began_ms + HEALED_MS + 3 * max(edge.poll_ms for edge in self.edges)
        is_saving = any(edge.meter.budget != NO_BUDGET for edge in self.edges)
        urgent_ms = limit_ms + URGENT_MS_MAX
        hub_seq, followed_ms = self.hub.store.hub_seq, limit_ms
        while stuck := [edge for edge in self.edges if not edge.settled]:
            if self.hub.store.hub_seq != hub_seq:  # whoever looks in daily by then hears of it the day after
                hub_seq, followed_ms = self.hub.store.hub_seq, clock.now_ms + 3 * DAY_MS
                urgent_ms = max(urgent_ms, clock.now_ms + URGENT_MS_MAX)
            if is_saving and clock.now_ms > urgent_ms:
                # Who only looks in hears of it then, and what rotted is found by a handshake.
                saving = [e for e in self.edges if not e.poll_ms and e.meter.is_used_up(e.steady_ms)]
                check_urgent(self.hub.store, [] if self.world.altered else saving)
                urgent_ms = clock.now_ms + URGENT_MS_MAX
            # Or waits for a clone that does and last asked for something else.
            savers = {edge.line.edge for edge in self.edges if edge.meter.budget != NO_BUDGET}
            only_saving = all(edge.line.edge in savers for edge in stuck)
            late_ms = BUDGETED_MS_MAX if only_saving else 0
            if clock.now_ms > limit_ms + late_ms and not (is_saving and clock.now_ms <= followed_ms):
                minutes, names = (clock.now_ms - began_ms) // 60_000, [edge.name for edge in stuck]
                raise Violation(Promise.FLOWING, f"not settled {minutes} minutes after healing: {names}")
            if clock.now_ms >= limit_ms:  # days may pass now, with nothing new in most looks
                for edge in self.edges:
                    edge.poll_ms = min(24 * edge.poll_ms, DAY_MS)
            is_soon = clock.now_ms < began_ms + HEALED_MS  # later only looks and budgets are waited for
            self._run_with_timers(clock.now_ms + (10 * SECOND_MS if is_soon else SAVING_LOOK_MS))

    def _repair(self) -> None:
        """An operator repairs whatever is quarantined, and everybody reads what has merged again."""
        store = self.hub.store
        quarantined = sorted(store.quarantined)
        self.world.reached.quarantines = len(quarantined)
        self.world.reached.outside = len(store.refused)
        for document in quarantined:
            store.write(document, REPAIRED)
        self.hub.fan_out()
        self._run_with_timers(self.world.clock.now_ms + SECOND_MS)
        self._settle()
        self._check()
        check_repaired(store, self.edges)

    # What happens.

    def _new_edge(self, name: str) -> Edge:
        world = self.world
        opening = self.hub.store.open_replica(0, edge=name)
        replica = self.new_replica(ReplicaState(opening.incarnation, SCOPE))
        edge = Edge(Line(name, name), world, self.hub, replica, world.chance.choice(SKEWS_MS))
        if world.chance.random() < world.life.polling:
            edge.poll_ms = max(POLL_MS_MIN, world.life.busy_ms // LOOKS_EACH)
        if world.chance.random() < world.life.budgets:
            edge.meter = Meter(Budget(world.chance.choice(BUDGETS_BYTES)))
        world.clock.after(world.chance.randrange(1_000), edge.connect)
        return edge

    def new_replica(self, state: ReplicaState) -> MemoryReplica:
        """A replica that begins with this, on a disk of its own."""
        return MemoryReplica(state, self.world.new_medium())

    def _plan(self) -> None:
        self._relay(random.Random(f"{self.seed}: relays"))
        self.couriers.plan()
        self._burst(random.Random(f"{self.seed}: what is overwritten"))
        self._subscribe(random.Random(f"{self.seed}: who subscribes"))
        life, chance, mishaps = self.world.life, self.world.chance, self.mishaps
        for _ in range(life.rots):
            self._at_some_time(partial(self._at_some_edge, mishaps.rot))
        for _ in range(life.writes):
            self._at_some_time(self._write_at_edges)
            if chance.random() < 0.3:
                self._at_some_time(self._write_at_hub)
        at_an_edge: tuple[tuple[int, Callable[[Edge], None]], ...] = (
            (life.crashes, mishaps.cut_power),
            (life.clones, mishaps.clone),
            (life.partitions, lambda edge: mishaps.silence(edge, self._while_retried_ms())),
            (life.revocations, lambda edge: mishaps.revoke(edge, self._while_retried_ms())),
            (life.full_disks, lambda edge: mishaps.fill_disk(edge, self._while_retried_ms())),
            (life.clock_jumps, mishaps.jump_clock),
            (life.rescopes, self.operators.rescope),
            (life.retirements, lambda edge: self.operators.retire(edge, chance.randrange(life.busy_ms))),
        )
        for times, event in at_an_edge:
            for _ in range(times):
                self._at_some_time(partial(self._at_some_edge, event))
        for _ in range(life.wipes):
            order = chance.choice((WipeOrder.WHEN_SENT, WipeOrder.WHEN_SENT, WipeOrder.AT_ONCE))
            self._at_some_time(partial(self._at_some_edge, partial(self.operators.wipe, order=order)))
        for _ in range(life.hub_crashes):
            self._at_some_time(self.hub.crash)
        for _ in range(life.collections):
            self._at_some_time(self.operators.collect)
        for _ in range(life.restores):
            self._at_some_time(partial(self._at_some_edge, mishaps.back_up))
            self._at_some_time(mishaps.restore_some)
        for _ in range(life.hub_restores):
            self._at_some_time(mishaps.back_up_hub)
            self._at_some_time(mishaps.restore_hub)
        for edge in self.edges:
            if chance.random() < life.offline:
                away_ms = chance.randrange(life.busy_ms)
                self._at_some_time(partial(mishaps.go_offline, edge, away_ms))

    def _at_some_edge(self, event: Callable[[Edge], None]) -> None:
        event(self.world.chance.choice(self.edges))

    def _cut_and_trim(self, chance: random.Random) -> None:
        """How often a delta gives way to a snapshot, in how many parts, and when the hub forgets its log."""
        share = chance.choice((0, 0.2, 1))
        self.hub.store.offers = lambda: chance.random() < share
        self.hub.store.cut_bytes = chance.choice((1, SLICE_BYTES_MAX))
        for _ in range(chance.choice((0, 1, 5))):
            self.world.clock.after(chance.randrange(self.life.busy_ms), lambda: self.hub.store.trim())

    def _relay(self, chance: random.Random) -> None:
        """In some lives most edges stand at a site with a relay, which may die or lose what it keeps."""
        if chance.random() < 0.25:
            for edge in self.edges:
                edge.line.relayed = chance.random() < 0.7
            for _ in range(chance.choice((0, 2, 6))):
                self.world.clock.after(chance.randrange(self.life.busy_ms), self.hub.relay.crash)
            for _ in range(chance.choice((0, 3, 9))):
                harm = partial(self.hub.relay.harm, chance)
                self.world.clock.after(chance.randrange(self.life.busy_ms), harm)

    def _burst(self, chance: random.Random) -> None:
        """Somebody writes one field again and again."""

        def begin() -> None:
            edge, field, gap_ms = (
                chance.choice(self.edges),
                chance.choice(SCALAR_FIELDS),
                chance.choice(GAPS_MS),
            )
            document = chance.choice(DOCUMENTS)
            for turn in range(chance.randint(2, BURST_MAX)):
                self.world.clock.after(turn * gap_ms, partial(write, edge, document, field))

        def write(edge: Edge, document: DocumentId, field: str) -> None:
            if not edge.replica.state.scope.writes(document):
                return
            before = rebuild(edge.replica.visible(document).registers) or {}
            with suppress(Invalid):
                edge.write(document, {**before, field: chance.randrange(100)})

        for _ in range(self.life.bursts):
            self.world.clock.after(chance.randrange(self.life.busy_ms), begin)

    def _subscribe(self, chance: random.Random) -> None:
        """Somebody asks for some of what was granted to an edge, or for all of it."""

        def ask() -> None:
            named = [each.namespace for each in chance.sample(DOCUMENTS, chance.randint(1, len(DOCUMENTS)))]
            starred = [each.replace("prod", ANY) if chance.random() < 0.3 else each for each in named]
            wanted = EVERYTHING if chance.random() < 0.3 else scope(tuple(starred))
            chance.choice(self.edges).subscribe(wanted)

        for _ in range(self.life.subscriptions):
            self.world.clock.after(chance.randrange(self.life.busy_ms), ask)

    def _agree(self) -> None:
        """Clones of an edge that ask for different things take turns for ever, until somebody ends it."""
        first = {each.line.edge: each.replica.state.wanted for each in reversed(self.edges)}
        for edge in self.edges:
            edge.subscribe(first[edge.line.edge])

    def _at_some_time(self, event: Callable[[], None]) -> None:
        self.world.clock.after(self.world.chance.randrange(self.life.busy_ms), event)

    def _run_with_timers(self, until_ms: int) -> None:
        clock = self.world.clock
        while clock.now_ms < until_ms:
            clock.run(min(until_ms, max(clock.now_ms + 5 * SECOND_MS, self._next_ms(until_ms))))
            for edge in self.edges:
                edge.tick()
            self.hub.tick()
            self.mishaps.remove_wiped()
            self._check_readers()
            if clock.events > EVENTS_MAX:
                raise Violation(Promise.FLOWING, f"still busy after {clock.events} events")

    def _next_ms(self, until_ms: int) -> int:
        """When something happens next: weeks in which nothing does cost nothing."""
        wakes = [edge.wake_ms for edge in self.edges] + [each.session.wake_ms for each in self.hub.streams]
        return min((at for at in (*wakes, self.world.clock.next_ms) if at is not None), default=until_ms)

    def _write_at_edges(self) -> None:
        """One edge writes, or several in the same millisecond."""
        for _ in range(self.world.chance.choice((1, 1, 1, 2, 3))):
            self._write_at_edge(self.world.chance.choice(self.edges))

    def _write_at_edge(self, edge: Edge) -> None:
        writable = [each for each in DOCUMENTS if edge.replica.state.scope.writes(each)]
        if not writable:
            return
        document = self.world.chance.choice(writable)
        before = rebuild(edge.replica.visible(document).registers)
        try:
            edge.write(document, self._author.edited(before))
        except Invalid:
            self.world.reached.refusals += 1

    def _write_at_hub(self) -> None:
        document = self.world.chance.choice(DOCUMENTS)
        state = self.hub.store.documents.get(document)
        try:
            if self.world.chance.random() < 0.1:
                self.hub.write(SCHEMA_DOCUMENT, schema(self.world.chance.randint(4, HIGH_MAX)))
            else:
                self.hub.write(document, self._author.edited(rebuild(state.registers) if state else None))
        except Invalid:
            self.world.reached.refusals += 1

    def _while_retried_ms(self) -> int:
        return self.world.chance.randrange(min(self.life.busy_ms, RETRIED_MS_MAX))

    # What must hold.

    def _check(self) -> None:
        store = self.hub.store
        check_converged(store, self.edges)
        check_changes(store, self.world.acknowledged)
        self.mishaps.hub_restores.check(store)
        check_logged(store, self.edges)
        check_written(store)
        check_ledger(store, self.edges)
        check_refused(store)
        check_collected(store)

    def _check_readers(self) -> None:
        """Whatever is written at once, whoever reads gets a valid document or none."""
        store = self.hub.store
        readers = []
        for edge in self.edges:
            state, before = edge.replica.state, self._read.get(edge.name)
            if state is before:
                continue
            self._read[edge.name] = state
            edge.reading.check(edge.replica, store.merged, store.refused, store.absorbed)
            is_other = before is None or any(map(is_not, state.readable, before.readable))
            if is_other and SCHEMA_DOCUMENT in state.confirmed:
                readers.append((edge.name, edge.replica.read))
        if (store.epoch, store.hub_seq) != self._read_at_hub:
            self._read_at_hub = (store.epoch, store.hub_seq)
            readers.append(("the hub", store.read))
        for name, read in readers:
            for document in DOCUMENTS:
                content = read(document)
                if ALWAYS.violations(document, content):
                    raise Violation(Promise.VALID, f"{name} reads an invalid {document}: {content}")
