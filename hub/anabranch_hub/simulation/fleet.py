"""A fleet in one process: the production sessions over simulated disks, clocks and links.

`Fleet(seed).run()` is a whole life: edges and the hub write, links and machines fail, everything
heals, and at rest the promises are checked. The same seed gives the same life, event for event.
"""

import hashlib
import random
from collections import Counter, deque
from collections.abc import Callable, Collection, Mapping
from functools import partial
from unittest.mock import patch

from anabranch_sync import backoff, edge_session, hub_session, merge, packing
from anabranch_sync.change import Entry
from anabranch_sync.document import EMPTY, Document, Object, rebuild
from anabranch_sync.edge_session import EdgeSession
from anabranch_sync.errors import Invalid
from anabranch_sync.hub_session import HubSession
from anabranch_sync.ids import DocumentId
from anabranch_sync.leaf_ancestry import EDITS_MAX
from anabranch_sync.pacing import NOTHING_LEARNED
from anabranch_sync.register import Register
from anabranch_sync.scope import scope
from anabranch_sync.snapshot import SLICE_BYTES_MAX

from anabranch_hub.simulation.disk import UNHARMED, DiskFailure, Medium
from anabranch_hub.simulation.hub_restores import HubRestores
from anabranch_hub.simulation.life import DAY_MS, SECOND_MS, drawn
from anabranch_hub.simulation.memory import Fenced, MemoryHub, MemoryReplica, ReplicaState, scope_digest
from anabranch_hub.simulation.network import CALM, SILENCE, Clock, Connection, Faults, Pipe
from anabranch_hub.simulation.promise import Promise, Violation
from anabranch_hub.simulation.promises import (
    Reading,
    check_changes,
    check_converged,
    check_ledger,
    check_logged,
    check_repaired,
    check_written,
)
from anabranch_hub.simulation.validity import ALWAYS, HIGH_MAX, REPAIRED, SCHEMA_DOCUMENT, schema
from anabranch_hub.simulation.writing import DOCUMENTS, Author

SCOPE = scope(("acme",))
# Longer than the longest back-off and silence together, several times: after it nothing may be stuck.
HEALED_MS = 10 * 60_000
# An edge that is switched off costs nothing for weeks; one that tries in vain tries 2,000 times a day, and
# the tenth attempt shows nothing that the thousandth does.
RETRIED_MS_MAX = 5 * 60_000
# A frame's best compression takes a quarter of a life and changes nothing of what is simulated.
COMPRESSION_LEVEL = 1
# Wrong from the start, and jumps: a day, a year or ten, either way, or to 1970.
SKEWS_MS = (0, 0, 0, -DAY_MS, DAY_MS // 24, 3_650 * DAY_MS, -1_700_000_000 * SECOND_MS)
JUMPS_MS = (-DAY_MS, DAY_MS, -365 * DAY_MS, 365 * DAY_MS, 3_650 * DAY_MS, -1_800_000_000 * SECOND_MS)


class Edge:
    """An edge's shell: it carries out what its session says, one effect at a time."""

    def __init__(self, name: str, fleet: "Fleet", replica: MemoryReplica, skew_ms: int) -> None:
        self.name = name
        self.replica = replica
        self.skew_ms = skew_ms
        self.online = True
        self.silenced = ""
        self.revoked = False
        self.reading = Reading(name)
        self._steady_skew_ms = skew_ms
        self._fleet = fleet
        self._session: EdgeSession | None = None
        self._connection: Connection | None = None
        self._pipe: Pipe | None = None
        self._effects: deque[edge_session.EdgeEffect] = deque()
        self._attempt = 0
        self._life = 0
        self._learned = NOTHING_LEARNED

    def is_called(self, name: str, skew_ms: int) -> None:
        """Before anything has happened: this name, and a clock as wrong as that."""
        self.name = name
        self.skew_ms = self._steady_skew_ms = skew_ms
        self.reading = Reading(name)

    def connect(self, *, renew: bool = False) -> None:
        """Begin a session."""
        if not self.online or self._session is not None:
            return
        self._life += 1
        life = self._life
        fingerprint = SCOPE.fingerprint
        session = EdgeSession(self.replica.standing(), fingerprint, renew=renew, learned=self._learned)
        connection, pipe = self._fleet.dial(self, lambda frame: self._received(life, frame))
        connection.on_cut.append(lambda: self._ended(life, "cut"))
        self._session, self._connection, self._pipe = session, connection, pipe
        self._do(session.start(self.steady_ms))

    @property
    def wall_ms(self) -> int:
        """This machine's clock, right or wrong."""
        return self._fleet.clock.now_ms + self.skew_ms

    @property
    def steady_ms(self) -> int:
        """The clock of this process: it has the wall's time as of its start, and never jumps."""
        return self._fleet.clock.now_ms + self._steady_skew_ms

    @property
    def wake_ms(self) -> int | None:
        """When the session wants to be woken, in true time."""
        wake_ms = None if self._session is None else self._session.wake_ms
        return None if wake_ms is None else wake_ms - self._steady_skew_ms

    @property
    def is_proved(self) -> bool:
        """Whether the digests were compared where it stands."""
        session = self._session
        return session is not None and session.proved is not None and session.proved.cursor == session.cursor

    @property
    def settled(self) -> bool:
        """Whether everything is exchanged."""
        session, hub = self._session, self._fleet.hub
        if session is None or not session.settled or self.replica.outbox:
            return False
        return hub.pull(self.replica.disk.incarnation, session.cursor, always=False) is None

    def wrote(self) -> None:
        """Something new is in the outbox."""
        if self._session is not None:
            self._do(self._session.offered())

    def tick(self) -> None:
        """Timers."""
        if self._session is not None:
            self._do(self._session.woken(self.steady_ms))

    def crash(self) -> None:
        """The process dies; the disk stays."""
        self.hang_up()
        self.replica.crash()
        self._steady_skew_ms = self.skew_ms
        self._fleet.clock.after(self._fleet.chance.randrange(30_000), self.connect)

    def hang_up(self) -> None:
        """The session is gone without a word."""
        self._life += 1
        self._session = None
        self._effects.clear()
        if self._connection is not None:
            self._connection.cut()

    def failed(self, failure: DiskFailure) -> None:
        """A transaction failed: nobody was told of its success, and the store is opened again."""
        self._fleet.note(f"{self.name}: {failure}")
        if failure.power:
            self.crash()
        else:
            self._ended(self._life, str(failure))

    def _received(self, life: int, frame: bytes) -> None:
        if life == self._life and self._session is not None:
            self._do(self._session.received(frame, self.steady_ms))

    def _ended(self, life: int, reason: str, *, renew: bool = False) -> None:
        if life != self._life:
            return
        self._fleet.note(f"{self.name} closes: {reason}")
        if self._session is not None:
            self._learned = self._session.broken
        self.hang_up()
        self._attempt = 0 if renew else min(self._attempt + 1, 8)
        delay_ms = backoff.delay_ms(self._attempt, self._fleet.chance.random())
        self._fleet.clock.after(delay_ms, lambda: self.connect(renew=renew))

    def _do(self, effects: list[edge_session.EdgeEffect]) -> None:
        """Queue effects; each runs in an event of its own, so that a crash can fall between any two."""
        idle = not self._effects
        self._effects += effects
        if idle and self._effects:
            self._fleet.clock.after(0, self._step(self._life))

    def _step(self, life: int) -> Callable[[], None]:
        def step() -> None:
            if life == self._life and self._effects:
                try:
                    self._perform(self._effects[0])
                except DiskFailure as failure:
                    self.failed(failure)
                if life == self._life:
                    self._effects.popleft()
                    if self._effects:
                        self._fleet.clock.after(self._fleet.chance.randint(0, 2), step)

        return step

    def _perform(self, effect: edge_session.EdgeEffect) -> None:
        session, replica = self._session, self.replica
        assert session is not None, "an effect without a session"
        match effect:
            case edge_session.Send(frame):
                assert self._connection is not None, "a frame without a connection"
                assert self._pipe is not None, "a frame without a pipe"
                self._connection.send(self._pipe, frame)
            case edge_session.StorePart(batch, total, offset, piece):
                replica.store_part(batch, total, offset, piece)
            case edge_session.Load(after):
                self._effects += session.loaded(replica.pending(after))
            case edge_session.NoteStored(stored_mark):
                replica.note_stored(stored_mark)
            case edge_session.Acknowledge(push_mark, chain):
                replica.acknowledge(push_mark, chain)
            case edge_session.Apply(pull, reoffer):
                self._fleet.rounds += 1
                self._effects += session.applied(replica.apply(pull, reoffer))
            case edge_session.Overtake(pull):
                self._fleet.overtaken += 1
                replica.overtake(pull)
            case edge_session.Stage(names):
                replica.stage(names)
            case edge_session.Keep(name, sealed):
                replica.keep(name, sealed)
                self._fleet.parts += 1
            case edge_session.Adopt(incarnation):
                self._fleet.note(f"{self.name} adopts incarnation {incarnation}")
                self._fleet.fences += 1
                replica.adopt(incarnation)
                self._effects += session.adopted(replica.standing())
            case edge_session.Reset(reason):
                if not self._fleet.altered:
                    raise Violation(Promise.CONVERGED, f"{self.name} diverged: {reason}")
                replica.reset()
            case edge_session.Survey():
                self._effects += session.surveyed(replica.survey())
            case edge_session.Report(incident):
                if not self._fleet.altered:
                    raise Violation(Promise.CONVERGED, f"{self.name} diverged: {incident}")
                self._fleet.repaired += 1
                self._fleet.note(f"{self.name} differs in {incident.count} documents: {incident.remedy}")
            case edge_session.Witness(witnessed, hub_seq, epoch, broken):
                self._fleet.continued += replica.standing().witnessed is not None
                replica.witness(witnessed, hub_seq, epoch=epoch, broken=broken)
            case edge_session.Distrust(reason):
                raise Violation(Promise.LOGGED, f"{self.name} distrusts an honest hub: {reason}")
            case edge_session.Close(reason, renew):
                self._ended(self._life, reason, renew=renew)


class HubShell:
    """The hub's end of one stream."""

    def __init__(self, fleet: "Fleet", edge: Edge, connection: Connection, pipe: Pipe) -> None:
        self.edge = edge
        self.session = HubSession()
        self._fleet = fleet
        self._connection = connection
        self._pipe = pipe
        self.session.start(fleet.clock.now_ms)

    def received(self, frame: bytes) -> None:
        """A frame from the edge."""
        self._do(self.session.received(frame, self._fleet.clock.now_ms))

    def notified(self, hub_seq: int) -> None:
        """Something was decided."""
        self._do(self.session.notified(hub_seq))

    def tick(self) -> None:
        """Timers."""
        self._do(self.session.woken(self._fleet.clock.now_ms))

    def _do(self, effects: list[hub_session.HubEffect]) -> None:
        queue = deque(effects)
        while queue and self in self._fleet.streams:
            try:
                queue += self._perform(queue.popleft())
            except DiskFailure as failure:
                self._fleet.note(f"hub: {failure}")
                if failure.power:
                    self._fleet.crash_hub()
                else:
                    self._fleet.fan_out()  # it may be committed all the same, and commits are always told
                    queue = deque(self.session.busy(SECOND_MS))

    def revoked(self) -> None:
        """The edge may not go on."""
        self._do(self.session.ended("revoked", "an operator said so"))

    def cut(self) -> None:
        """The process is gone."""
        self._connection.cut()

    def _perform(self, effect: hub_session.HubEffect) -> list[hub_session.HubEffect]:
        hub, session = self._fleet.hub, self.session
        match effect:
            case hub_session.Open() if self.edge.revoked:
                return session.ended("revoked", "an operator said so")
            case hub_session.Open(hello):
                opening = hub.open_replica(hello.incarnation, hello.checkpoint)
                self._fleet.resumed_pushes += opening.upload is not None
                return session.opened(opening, self._fleet.clock.now_ms)
            case hub_session.Send(frame):
                self._connection.send(self._pipe, frame)
            case hub_session.StorePart(batch, total, offset, piece):
                hub.store_upload(session.incarnation, batch, total, offset, piece)
            case hub_session.Decide(entries, chain):
                try:
                    answer = hub.decide(entries, chain)
                except Fenced:
                    return session.fenced("another history")
                self._fleet.rounds += 1
                self._fleet.fan_out()
                return session.decided(answer)
            case hub_session.Draw(after, always, replaced):
                drawn = hub.draw(
                    session.incarnation, after, always=always, replaced=replaced, protocol=session.protocol
                )
                return session.drawn(drawn)
            case hub_session.DrawUrgent(after):
                return session.drawn_urgent(hub.urgent(session.incarnation, after))
            case hub_session.Compare():
                return session.compared(*hub.compared())
            case hub_session.Survey():
                return session.surveyed(hub.survey())
            case hub_session.Report():
                pass  # the edge notes it too
            case hub_session.Fetch(name):
                return session.fetched(hub.part(name))
            case hub_session.Spool(batch, sealed):
                hub.spool(session.incarnation, batch, sealed)
            case hub_session.Recall(batch):
                spooled = hub.spooled(session.incarnation, batch)
                self._fleet.resumed_pulls += spooled is not None
                return session.recalled(spooled)
            case hub_session.Seen():
                hub.seen(session.incarnation)
            case hub_session.Present(mark):
                return session.presented(hub.tree.presented(mark))
            case hub_session.Accused(reason) | hub_session.WentBack(reason):
                raise Violation(Promise.LOGGED, f"an honest hub is accused: {reason}")
            case hub_session.Close(reason):
                self._fleet.note(f"hub closes: {reason}")
                self._fleet.streams.pop(self, None)
                self._connection.cut()
        return []


class Fleet:
    """One seed's life, with some of its numbers changed if need be."""

    def __init__(self, seed: int, changed: Mapping[str, int | float] | None = None) -> None:
        self.seed = seed
        self.chance = random.Random(seed)
        self.clock = Clock()
        self.life = drawn(self.chance).changed(changed or {})
        self.happened: Counter[str] = Counter()
        self._faults = CALM
        self._harm = self._hub_harm = UNHARMED
        medium = Medium(self.chance, lambda: self._hub_harm, self.happened, "hub: ")
        self.hub = MemoryHub(SCOPE, lambda: self.clock.now_ms, medium)
        self.hub.write(SCHEMA_DOCUMENT, schema(HIGH_MAX))
        self.streams: dict[HubShell, None] = {}  # in order of connection: sets would make seeds differ
        self.timeline: list[str] = []
        self.began_ms = self.clock.now_ms
        self.rounds = 0
        self.resumed_pulls = 0
        self.resumed_pushes = 0
        self.fences = 0
        self.continued = 0
        self.refusals = 0
        self.quarantines = 0
        self._author = Author(self.chance, large=self.life.large)
        self.altered = False  # somewhere a document became another by itself
        self.repaired = 0
        self.overtaken = 0
        self.parts = 0
        self._acknowledged: dict[bytes, str] = {}
        self.hub_restores = HubRestores()
        self._read: dict[str, ReplicaState] = {}
        self.edges = [self._new_edge(f"edge{number}") for number in range(self.life.edges)]
        self._backups: list[tuple[Edge, ReplicaState]] = []
        self._cut_and_trim(random.Random(f"{seed}: snapshots"))

    def run(self) -> "Fleet":
        """Live, heal, check. Raises Violation.

        In most lives the hub folds a leaf with more than a few members, so that many edits come late.
        """
        few = random.Random(f"{self.seed}: folding").choice((1, 3, EDITS_MAX))
        with (
            patch.object(merge, "EDITS_MAX", few),
            patch.object(merge, "PARTS_MAX", few),
            patch.object(packing, "LEVEL_SMALL", COMPRESSION_LEVEL),
            patch.object(packing, "LEVEL_LARGE", COMPRESSION_LEVEL),
        ):
            self._live()
        return self

    @property
    def trace(self) -> bytes:
        """A hash of all that happened, and of what stood in the end."""
        digest = scope_digest(self.hub.documents, SCOPE)
        lines = (*self.timeline, f"{self.clock.now_ms} {self.clock.events} {self.rounds} {digest}")
        return hashlib.sha256("\n".join(lines).encode()).digest()

    def _live(self) -> None:
        end_ms = self.clock.now_ms + self.life.busy_ms
        self._faults, self._harm, self._hub_harm = self.life.faults, self.life.harm, self.life.hub_harm
        self._plan()
        self._run_with_timers(end_ms)
        self._faults = CALM
        self._harm = self._hub_harm = UNHARMED
        self.note("everything heals")
        for edge in self.edges:
            edge.online, edge.silenced, edge.revoked = True, "", False
            edge.replica.medium.is_full = False
            if self.altered:
                edge.hang_up()  # where nothing else is to be said, a handshake tells
            edge.connect()
        self._settle()
        self._check()
        self._repair()

    def _settle(self) -> None:
        limit_ms = self.clock.now_ms + HEALED_MS
        while not all(edge.settled for edge in self.edges):
            if self.clock.now_ms > limit_ms:
                stuck = [edge.name for edge in self.edges if not edge.settled]
                minutes = HEALED_MS // 60_000
                raise Violation(Promise.FLOWING, f"not settled {minutes} minutes after healing: {stuck}")
            self._run_with_timers(self.clock.now_ms + 10 * SECOND_MS)

    def _repair(self) -> None:
        """An operator repairs whatever is quarantined, and everybody reads what has merged again."""
        quarantined = sorted(self.hub.quarantined)
        self.quarantines = len(quarantined)
        for document in quarantined:
            self.hub.write(document, REPAIRED)
        self.fan_out()
        self._run_with_timers(self.clock.now_ms + SECOND_MS)
        self._settle()
        self._check()
        check_repaired(self.hub, self.edges)

    def note(self, event: str) -> None:
        """A line of the timeline."""
        self.timeline.append(f"{self.clock.now_ms - 1_800_000_000_000:>9} ms  {event}")

    def dial(self, edge: Edge, deliver: Callable[[bytes], None]) -> tuple[Connection, Pipe]:
        """A connection from an edge to the hub."""

        def faults(pipe: Pipe) -> Faults:
            is_silent = edge.silenced in ("both", "up" if pipe.is_up else "down")
            return SILENCE if edge.silenced and is_silent else self._faults

        connection = Connection(self.clock, self.chance, faults, self.happened)
        down = Pipe(deliver)
        shell = HubShell(self, edge, connection, down)
        self.streams[shell] = None
        connection.on_cut.append(lambda: self._forget(shell))
        self.note(f"{edge.name} connects")
        up = Pipe(lambda frame: shell.received(frame) if shell in self.streams else None, is_up=True)
        return connection, up

    def fan_out(self) -> None:
        """Tell every stream that the tenant's order went on."""
        hub_seq = self.hub.hub_seq
        for shell in list(self.streams):
            self.clock.after(1, self._notice(shell, hub_seq))

    def _notice(self, shell: HubShell, hub_seq: int) -> Callable[[], None]:
        return lambda: shell.notified(hub_seq) if shell in self.streams else None

    def _forget(self, shell: HubShell) -> None:
        self.streams.pop(shell, None)

    # What happens.

    def _new_edge(self, name: str) -> Edge:
        opening = self.hub.open_replica(0)
        replica = self.new_replica(ReplicaState(opening.incarnation, SCOPE))
        edge = Edge(name, self, replica, self.chance.choice(SKEWS_MS))
        self.clock.after(self.chance.randrange(1_000), edge.connect)
        return edge

    def new_replica(self, state: ReplicaState) -> MemoryReplica:
        """A replica that begins with this, on a disk of its own."""
        return MemoryReplica(state, self.new_medium())

    def new_medium(self) -> Medium:
        """A disk that fails as this life has it."""
        return Medium(self.chance, lambda: self._harm, self.happened)

    def _plan(self) -> None:
        life, chance = self.life, self.chance
        for _ in range(life.rots):
            self._at_some_time(partial(self._at_some_edge, self._alter))
        for _ in range(life.writes):
            self._at_some_time(self._write_at_edges)
            if chance.random() < 0.3:
                self._at_some_time(self._write_at_hub)
        at_an_edge: tuple[tuple[int, Callable[[Edge], None]], ...] = (
            (life.crashes, self.cut_power),
            (life.clones, self.clone),
            (life.partitions, lambda edge: self.silence(edge, self._while_retried_ms())),
            (life.revocations, lambda edge: self.revoke(edge, self._while_retried_ms())),
            (life.full_disks, lambda edge: self.fill_disk(edge, self._while_retried_ms())),
            (life.clock_jumps, self._jump_clock),
        )
        for times, event in at_an_edge:
            for _ in range(times):
                self._at_some_time(partial(self._at_some_edge, event))
        for _ in range(life.hub_crashes):
            self._at_some_time(self.crash_hub)
        for _ in range(life.restores):
            self._at_some_time(partial(self._at_some_edge, self.back_up))
            self._at_some_time(self._restore)
        for _ in range(life.hub_restores):
            self._at_some_time(lambda: self.hub_restores.back_up(self.hub))
            self._at_some_time(self._restore_hub)
        for edge in self.edges:
            if chance.random() < life.offline:
                away_ms = chance.randrange(life.busy_ms)
                self._at_some_time(partial(self.go_offline, edge, away_ms))

    def _at_some_edge(self, event: Callable[[Edge], None]) -> None:
        event(self.chance.choice(self.edges))

    def _cut_and_trim(self, chance: random.Random) -> None:
        """How often a delta gives way to a snapshot, in how many parts, and when the hub forgets its log."""
        share = chance.choice((0, 0.2, 1))
        self.hub.offers = lambda: chance.random() < share
        self.hub.cut_bytes = chance.choice((1, SLICE_BYTES_MAX))
        for _ in range(chance.choice((0, 1, 5))):
            self.clock.after(chance.randrange(self.life.busy_ms), self.hub.trim)

    def _at_some_time(self, event: Callable[[], None]) -> None:
        self.clock.after(self.chance.randrange(self.life.busy_ms), event)

    def _run_with_timers(self, until_ms: int) -> None:
        while self.clock.now_ms < until_ms:
            self.clock.run(min(until_ms, max(self.clock.now_ms + 5 * SECOND_MS, self._next_ms(until_ms))))
            for edge in self.edges:
                edge.tick()
            for shell in list(self.streams):
                shell.tick()
            self._check_readers()

    def _next_ms(self, until_ms: int) -> int:
        """When something happens next: weeks in which nothing does cost nothing."""
        wakes = [edge.wake_ms for edge in self.edges] + [shell.session.wake_ms for shell in self.streams]
        return min((at for at in (*wakes, self.clock.next_ms) if at is not None), default=until_ms)

    def _write_at_edges(self) -> None:
        """One edge writes, or several in the same millisecond."""
        for _ in range(self.chance.choice((1, 1, 1, 2, 3))):
            self._write_at_edge(self.chance.choice(self.edges))

    def _write_at_edge(self, edge: Edge) -> None:
        document = self.chance.choice(DOCUMENTS)
        before = rebuild(edge.replica.visible(document).registers)
        try:
            new = edge.replica.commit(document, self._author.edited(before), now_ms=edge.wall_ms)
        except Invalid:
            self.refusals += 1
            return
        except DiskFailure as failure:
            edge.failed(failure)
            return
        if new is not None:
            self._acknowledged[new.content_id] = edge.name
            edge.reading.wrote(new.content_id)
            self.note(f"{edge.name} writes {new.dot}")
            edge.wrote()

    def _write_at_hub(self) -> None:
        document = self.chance.choice(DOCUMENTS)
        state = self.hub.documents.get(document)
        try:
            if self.chance.random() < 0.1:
                self.hub.write(SCHEMA_DOCUMENT, schema(self.chance.randint(4, HIGH_MAX)))
            else:
                self.hub.write(document, self._author.edited(rebuild(state.registers) if state else None))
        except Invalid:
            self.refusals += 1
        except DiskFailure as failure:
            self.note(f"hub: {failure}")
            if failure.power:
                self.crash_hub()
        self.fan_out()

    def cut_power(self, edge: Edge) -> None:
        """An edge loses power, and has it again."""
        self.happened["power cut"] += 1
        self.note(f"{edge.name} loses power")
        edge.crash()

    def crash_hub(self) -> None:
        """The hub's process ends, and the next one starts."""
        self.happened["hub crash"] += 1
        self.note("the hub process dies")
        # Its successor may be without the log's key for a while, or have it again.
        self.hub.tree.away = not self.hub.tree.away
        self._cut_all()

    def _cut_all(self) -> None:
        streams, self.streams = self.streams, {}
        for shell in streams:
            shell.cut()

    def _restore_hub(self) -> None:
        """The hub comes back as its backup was. What no edge has, in its outbox or confirmed, is lost."""
        states = [(edge.name, edge.replica.disk) for edge in self.edges]
        self.hub = self.hub_restores.restore(self.hub, states)
        self._cut_all()
        self.happened["hub restored"] += 1
        self.note(f"the hub is at {self.hub.hub_seq} of epoch {self.hub.epoch}")
        kept = {each.content_id for _, state in states for each in state.outbox} | set(self.hub.merged)
        self._acknowledged = {each: name for each, name in self._acknowledged.items() if each in kept}
        for edge in self.edges:
            edge.reading = Reading(edge.name)

    def back_up(self, edge: Edge) -> None:
        """Somebody keeps an image of an edge's disk."""
        self._backups.append((edge, edge.replica.disk))

    def _restore(self) -> None:
        if self._backups:
            self.restore(*self.chance.choice(self._backups))

    def restore(self, edge: Edge, state: ReplicaState) -> None:
        """A disk image of earlier comes back. What was only on the lost disk, and no more, is lost."""
        kept = {each.content_id for each in state.outbox}
        for lost in edge.replica.disk.outbox:
            if lost.content_id not in kept and not self._at_hub(lost):
                self._acknowledged.pop(lost.content_id, None)
        self.hub_restores.forget(edge.name)
        edge.hang_up()
        edge.replica = MemoryReplica(state, edge.replica.medium)
        edge.reading = Reading(edge.name)
        self.happened["edge restored"] += 1
        self.note(f"{edge.name} is restored from a backup")
        self.clock.after(self.chance.randrange(30_000), edge.connect)

    def clone(self, source: Edge) -> None:
        """A second machine starts with a copy of a disk."""
        replica = self.new_replica(source.replica.disk)
        clone = Edge(f"{source.name}'", self, replica, source.skew_ms)
        self.edges.append(clone)
        self.happened["edge cloned"] += 1
        self.note(f"{source.name} is cloned")
        clone.connect()

    def go_offline(self, edge: Edge, away_ms: int) -> None:
        """An edge has no link for a while, and knows it."""
        self.happened["edge offline"] += 1
        self.note(f"{edge.name} goes offline")
        edge.online = False
        edge.hang_up()

        def back() -> None:
            edge.online = True
            edge.connect()

        self.clock.after(away_ms, back)

    def silence(self, edge: Edge, away_ms: int) -> None:
        """Frames go nowhere, in one direction or both, and nobody is told."""
        self.happened["partition"] += 1
        edge.silenced = self.chance.choice(("up", "down", "both"))
        self.note(f"{edge.name} is silenced: {edge.silenced}")
        self.clock.after(away_ms, lambda: setattr(edge, "silenced", ""))

    def revoke(self, edge: Edge, away_ms: int) -> None:
        """An operator revokes an edge and, after a while, lets it in again."""
        self.happened["edge revoked"] += 1
        self.note(f"{edge.name} is revoked")
        edge.revoked = True
        for shell in [each for each in self.streams if each.edge is edge]:
            shell.revoked()
        self.clock.after(away_ms, lambda: setattr(edge, "revoked", False))

    def fill_disk(self, edge: Edge, away_ms: int) -> None:
        """Nothing can be written at an edge for a while."""
        self.happened["disk full for a time"] += 1
        self.note(f"{edge.name}'s disk is full")
        medium = edge.replica.medium
        medium.is_full = True
        self.clock.after(away_ms, lambda: setattr(medium, "is_full", False))

    def _while_retried_ms(self) -> int:
        return self.chance.randrange(min(self.life.busy_ms, RETRIED_MS_MAX))

    def _alter(self, edge: Edge) -> None:
        """A confirmed document is another one, or gone, and nothing says so.

        Not a deleted one: without its registers it has the same content, which is all that digests tell.
        """
        confirmed = edge.replica.confirmed
        documents = [each for each in DOCUMENTS if each in confirmed and rebuild(confirmed[each].registers)]
        if not documents:
            return
        document = self.chance.choice(documents)
        state = confirmed[document]
        plain = {
            slot: each for slot, each in state.registers.items() if slot.path == ("plain",) and each.live
        }
        registers = {slot: Register("rotten", each.stamps) for slot, each in plain.items()}
        self.altered = True
        self.hub_restores.forget(edge.name, document)
        self.note(f"{document} rots at {edge.name}")
        edge.replica.alter(
            document, Document({**state.registers, **registers}, state.version) if plain else EMPTY
        )

    def _jump_clock(self, edge: Edge) -> None:
        self.happened["clock jump"] += 1
        edge.skew_ms += self.chance.choice(JUMPS_MS)
        self.note(f"{edge.name}'s clock jumps")

    # What must hold.

    def _check(self) -> None:
        check_converged(self.hub, self.edges)
        check_changes(self.hub, self._acknowledged)
        self.hub_restores.check(self.hub)
        check_logged(self.hub, self.edges)
        check_written(self.hub)
        check_ledger(self.hub, self.edges)

    def _check_readers(self) -> None:
        """Whatever is written at once, whoever reads gets a valid document or none."""
        changed = {edge.name: edge.replica.state for edge in self.edges}
        unchanged = {name for name, state in changed.items() if self._read.get(name) is state}
        self._read = changed
        for edge in self.edges:
            if edge.name not in unchanged:
                edge.reading.check(edge.replica, self.hub.merged)
        for document in DOCUMENTS:
            for name, content in self._readers(document, unchanged):
                if ALWAYS.violations(document, content):
                    raise Violation(Promise.VALID, f"{name} reads an invalid {document}: {content}")

    def _readers(self, document: DocumentId, but: Collection[str] = ()) -> list[tuple[str, Object | None]]:
        """What is read on the hub and on every edge that has heard of the schema, but on some."""
        edges = [
            edge for edge in self.edges if edge.name not in but and SCHEMA_DOCUMENT in edge.replica.confirmed
        ]
        return [("the hub", self.hub.read(document)), *((e.name, e.replica.read(document)) for e in edges)]

    def _at_hub(self, entry: Entry) -> bool:
        return any(each.content_id == entry.content_id for _, each, _ in self.hub.log)
