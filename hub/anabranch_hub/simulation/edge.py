"""An edge of a simulated fleet: the production session over a disk, a clock and a line."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from anabranch_sync import backoff, edge_effects
from anabranch_sync.budget import NO_BUDGET
from anabranch_sync.check_in import asked, read_answer
from anabranch_sync.document import Object
from anabranch_sync.edge_session import EdgeSession
from anabranch_sync.errors import WireError
from anabranch_sync.ids import START, Cursor, DocumentId
from anabranch_sync.messages import CheckedIn
from anabranch_sync.pacing import NOTHING_LEARNED
from anabranch_sync.revision import changed_by
from anabranch_sync.scope import EVERYTHING, Scope
from anabranch_sync.wiping import WipeOrder

from anabranch_hub.simulation.disk import DiskFailure
from anabranch_hub.simulation.hub_side import HubSide
from anabranch_hub.simulation.memory import MemoryReplica
from anabranch_hub.simulation.meter import Meter
from anabranch_hub.simulation.network import Connection, Line, Pipe
from anabranch_hub.simulation.promise import Promise, Violation
from anabranch_hub.simulation.promises import (
    Reading,
)
from anabranch_hub.simulation.world import World
from anabranch_hub.simulation.writing import DOCUMENTS

# An answer that takes longer is none (`anabranch.link`).
ANSWER_MS_MAX = 30_000
# How often an edge whose budget is used up asks for what is urgent, and how regular looks are, as agents do.
SAVING_LOOK_MS = 60 * 60_000
POLLING_JITTER = 0.1
FINISH_MS_MAX = 2_000


class Edge:
    """An edge's shell: it carries out what its session says, one effect at a time."""

    def __init__(self, line: Line, world: World, hub: HubSide, replica: MemoryReplica, skew_ms: int) -> None:
        self.line = line
        self.outside: set[DocumentId] = set()  # what was ever taken from it
        self.replica = replica
        self.skew_ms = skew_ms
        self.reading = Reading(line.name)
        self.poll_ms = 0  # how often it looks in; 0: it holds a stream
        self.meter = Meter(NO_BUDGET)
        self.wiped = WipeOrder.KEEP  # once everything has left it: how
        self._proved: Cursor | None = None  # between two exchanges: where it was last proved equal
        self._urgent = False  # this exchange is let through, and ends as soon as nothing is on its way
        self._lacks = False  # and carries all else too, as something urgent cannot go without it
        self._overtaken = START  # up to there what is urgent is here
        self._asked = EVERYTHING  # what this exchange asks for of what was granted
        self._asking: edge_effects.Ask | None = None  # the relay, for bytes of a part
        self._steady_skew_ms = skew_ms
        self._world = world
        self._hub = hub
        self._session: EdgeSession | None = None
        self._connection: Connection | None = None
        self._pipe: Pipe | None = None
        self._effects: deque[edge_effects.EdgeEffect] = deque()
        self._attempt = 0
        self._life = 0
        self._learned = NOTHING_LEARNED

    def is_called(self, name: str, skew_ms: int) -> None:
        """Before anything has happened: this name, and a clock as wrong as that."""
        self.line.name = name
        self.skew_ms = self._steady_skew_ms = skew_ms
        self.reading = Reading(name)

    @property
    def name(self) -> str:
        """What it is called in the timeline."""
        return self.line.name

    def connect(self, *, renew: bool = False) -> None:
        """Begin a session, if the budget lets it."""
        if not self.line.online or self._session is not None or self.wiped:
            return
        self._life += 1
        life = self._life
        is_used_up = self.meter.is_used_up(self.steady_ms)
        if is_used_up and not self._urgent and not self._has_urgent:
            self._world.reached.saved += 1
            self._world.clock.after(SAVING_LOOK_MS, partial(self._save, life))
            return
        self._urgent = is_used_up
        self.meter.connected(self.steady_ms)
        state = self.replica.state
        # What leaves the disk is sent first, under what the hub knows already.
        self._asked = state.told if state.last_local > state.push_mark else state.wanted
        session = EdgeSession(
            self.replica.standing(),
            state.scope.fingerprint,
            renew=renew,
            learned=self._learned,
            relayed=self.line.relayed,
            # In lives in which nobody does, edges are of an earlier release.
            subscription=self._asked if self._world.life.subscriptions else None,
            urgent_only=self._urgent and not self._lacks,
        )
        connection, pipe = self._hub.dial(self.line, lambda frame: self._received(life, frame))
        connection.on_cut.append(lambda: self._ended(life, "cut"))
        self._session, self._connection, self._pipe = session, connection, pipe
        self._do(session.start(self.steady_ms))

    def resume(self) -> None:
        """The line is there again: who holds a stream begins one, who looks in does that in its time."""
        if self._session is None and not (self.poll_ms and self._proved is not None):
            self.connect()

    @property
    def wall_ms(self) -> int:
        """This machine's clock, right or wrong."""
        return self._world.clock.now_ms + self.skew_ms

    @property
    def steady_ms(self) -> int:
        """The clock of this process: it has the wall's time as of its start, and never jumps."""
        return self._world.clock.now_ms + self._steady_skew_ms

    @property
    def wake_ms(self) -> int | None:
        """When the session wants to be woken, in true time."""
        wake_ms = None if self._session is None else self._session.wake_ms
        return None if wake_ms is None else wake_ms - self._steady_skew_ms

    @property
    def is_proved(self) -> bool:
        """Whether the digests were compared where it stands."""
        if self._session is None:
            return self._proved == self.replica.state.cursor
        proved = self._session.proved
        return proved is not None and proved.cursor == self._session.cursor

    @property
    def settled(self) -> bool:
        """Whether everything is exchanged."""
        session, hub, state = self._session, self._hub.store, self.replica.state
        if hub.edge(self.line.edge).wipe is not WipeOrder.KEEP:
            return bool(self.wiped)
        is_done = self.is_proved if session is None else session.settled
        is_told = state.scope == hub.edge(self.line.edge).scope and state.told == state.wanted
        if not is_done or not is_told or state.outbox or not hub.knows(state.incarnation):
            return False
        if hub.pull(state.incarnation, state.cursor, always=False) is None:
            return True
        # A clone that idles behind a collection lacks nothing by it: it hears of that when it greets again.
        return state.cursor.epoch == hub.epoch and not hub.concerns(state.incarnation, state.cursor.hub_seq)

    def write(self, document: DocumentId, content: Object | None) -> None:
        """Somebody writes a document here, and hears of it once it is on disk. Raises Invalid."""
        if self.wiped:
            return
        try:
            new = self.replica.commit(document, content, now_ms=self.wall_ms)
        except DiskFailure as failure:
            self.failed(failure)
            return
        if new is None:
            return
        self._world.acknowledged[new.content_id] = self.name
        self.reading.wrote(new.content_id)
        self._world.note(f"{self.name} writes {new.dot}")
        if self._session is not None:
            self._do(self._session.offered(self.steady_ms))
        elif self._has_urgent and self.meter.is_used_up(self.steady_ms):
            self._world.reached.let_through += 1
            self.connect()

    def subscribe(self, wanted: Scope) -> None:
        """Somebody asks for no more than this of what was granted."""
        if self.wiped or wanted == self.replica.state.wanted:
            return
        try:
            self.replica.want(wanted)
        except DiskFailure as failure:
            self.failed(failure)
            return
        self._world.happened["edge subscribed"] += 1
        self._world.note(f"{self.name} asks for {', '.join(wanted.prefixes)}")
        self._do([])

    def tick(self) -> None:
        """Timers."""
        if self._session is not None:
            self._do(self._session.woken(self.steady_ms))

    @property
    def _has_urgent(self) -> bool:
        """Whether something urgent waits in the outbox that the hub does not have."""
        return self.replica.standing().urgent_upto > 0

    # Between two exchanges: as `anabranch.polling` has it.

    def _rest(self) -> None:
        """Nothing is on its way: hang up until something is."""
        assert self._session is not None, "an exchange that is settled"
        proved = self._session.proved
        if not self._session.lacks:
            self._overtaken = max(self._overtaken, self._session.overtaken)
        self._lacks = self._urgent and not self._lacks and self._session.lacks
        self.hang_up()
        self._attempt, self._urgent = 0, self._lacks
        self._proved = proved.cursor if proved is not None else None
        if self.poll_ms and not self._lacks:
            self._look_later()
        else:
            delay_ms = backoff.delay_ms(self._attempt, self._world.chance.random())
            self._world.clock.after(delay_ms, self.connect)

    def _look_later(self) -> None:
        jitter = self._world.chance.uniform(1 - POLLING_JITTER, 1 + POLLING_JITTER)
        self._world.clock.after(int(self.poll_ms * jitter), partial(self._look, self._life))

    def _look(self, life: int) -> None:
        """Ask whether there is anything new, unless there is something to send."""
        if life != self._life or not self.line.online:
            return
        if self.replica.outbox or self.replica.state.wanted != self.replica.state.told:
            self.connect()
            return

        def heard(answer: CheckedIn | None) -> None:
            if answer is None or not answer.equal:
                self.connect()  # what was in the way, that exchange meets again
                return
            self._world.reached.looked += 1
            self._proved = self.replica.state.cursor
            self._look_later()

        self._ask(heard)

    def _save(self, life: int) -> None:
        """The budget was used up: is there something urgent, or another day?"""
        if life != self._life or not self.line.online:
            return
        if not self.meter.is_used_up(self.steady_ms):
            self.connect()
            return

        def heard(answer: CheckedIn | None) -> None:
            self._urgent = answer is not None and bool(answer.urgent)
            self._world.reached.let_through += self._urgent
            self.connect()

        self._ask(heard)

    def _ask(self, heard: Callable[[CheckedIn | None], None]) -> None:
        """Call the hub; `heard` gets its answer, or None when it takes too long."""
        self._life += 1
        life = self._life

        def answered(frame: bytes | None) -> None:
            if life != self._life:
                return
            self._life += 1
            answer = None
            if frame is not None:
                with suppress(WireError):
                    answer = read_answer(frame)
            heard(answer)

        # Where only what is urgent has come, it is what lies behind that which would be news.
        standing = self.replica.standing()
        if self.meter.is_used_up(self.steady_ms):
            standing = replace(standing, cursor=max(standing.cursor, self._overtaken))
        question = asked(standing, self.replica.state.scope)
        self.meter.carried(question, self.steady_ms)
        self._hub.call(self.line, question, answered)
        self._world.clock.after(ANSWER_MS_MAX, partial(answered, None))

    def crash(self) -> None:
        """The process dies; the disk stays."""
        self.hang_up()
        self.replica.crash()
        self._overtaken = START
        self._steady_skew_ms = self.skew_ms
        self._world.clock.after(self._world.chance.randrange(30_000), self.connect)

    def take(self, frames: Sequence[bytes]) -> None:
        """A courier file of the hub's comes instead of a stream: the agent is stopped meanwhile."""
        self.hang_up()
        session = self._session = EdgeSession(self.replica.standing(), self.replica.state.scope.fingerprint)
        self._connection = None
        self._effects += session.start(self.steady_ms)
        waiting = deque(frames)
        try:
            while self._effects or waiting:
                if not self._effects:
                    self._effects += session.received(waiting.popleft(), self.steady_ms)
                    continue
                match self._effects[0]:
                    case edge_effects.Close(_, renew):
                        if renew:
                            self.replica.ask_renewal()
                        break
                    case effect:
                        self._perform(effect)
                self._effects.popleft()
        except DiskFailure as failure:
            self.failed(failure)
        else:
            self.hang_up()
            self.connect()

    def hang_up(self) -> None:
        """The session is gone without a word."""
        self._life += 1
        self._proved = None
        self._session = self._asking = None
        self._effects.clear()
        if self._connection is not None:
            self._connection.cut()

    def failed(self, failure: DiskFailure) -> None:
        """A transaction failed: nobody was told of its success, and the store is opened again."""
        self._world.note(f"{self.name}: {failure}")
        if failure.power:
            self.crash()
        else:
            self._ended(self._life, str(failure))

    def _received(self, life: int, frame: bytes) -> None:
        if life == self._life and self._session is not None:
            self.meter.carried(frame, self.steady_ms)
            effects = self._session.received(frame, self.steady_ms)
            if self._session.clock_offset_ms is not None and self._asked != self.replica.state.told:
                try:
                    self.replica.told(self._asked)
                except DiskFailure as failure:
                    self.failed(failure)
                    return
            self._do(effects)

    def _brought(self, asked: edge_effects.Ask, piece: bytes) -> None:
        if self._asking is asked and self._session is not None:
            self._asking = None
            self._world.reached.near += bool(piece)
            self.meter.carried(piece, self.steady_ms)
            self._do(self._session.brought(piece, self.steady_ms))

    def _ended(self, life: int, reason: str, *, renew: bool = False) -> None:
        if life != self._life:
            return
        self._world.note(f"{self.name} closes: {reason}")
        if self._session is not None:
            self._learned = self._session.broken
        self.hang_up()
        self._attempt = 0 if renew else min(self._attempt + 1, 8)
        delay_ms = backoff.delay_ms(self._attempt, self._world.chance.random())
        self._world.clock.after(delay_ms, lambda: self.connect(renew=renew))

    def _do(self, effects: list[edge_effects.EdgeEffect]) -> None:
        """Queue effects; each runs in an event of its own, so that a crash can fall between any two."""
        idle = not self._effects
        self._effects += effects
        if idle and self._effects:
            self._world.clock.after(0, self._step(self._life))
        elif idle:
            self._done()

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
                        self._world.clock.after(self._world.chance.randint(0, 2), step)
                    else:
                        self._done()

        return step

    def _done(self) -> None:
        """Everything that was to be done is: is this the end of an exchange that is not held?"""
        is_held = not (self.poll_ms or self._urgent)
        session = self._session
        is_untold = self._asked != self.replica.state.wanted
        if session is not None and session.settled and is_untold and not session.is_ahead:
            self._ended(self._life, "another subscription is to be told")
        elif session is not None and session.settled and not is_held:
            self._rest()
        elif session is not None and self.meter.is_used_up(self.steady_ms) and not self._urgent:
            connection, self._connection = self._connection, None
            assert connection is not None, "a session without a connection"
            # What is on its way was paid for, and arrives.
            self._world.clock.after(FINISH_MS_MAX, connection.cut)
            self._ended(self._life, "the byte budget is used up")

    def _perform(self, effect: edge_effects.EdgeEffect) -> None:
        session, replica = self._session, self.replica
        assert session is not None, "an effect without a session"
        match effect:
            case edge_effects.Send(frame):
                if self._connection is None:
                    return  # to a courier's file nobody is answered
                assert self._pipe is not None, "a frame without a pipe"
                self.meter.carried(frame, self.steady_ms)
                self._connection.send(self._pipe, frame)
            case edge_effects.StorePart(batch, total, offset, piece):
                replica.store_part(batch, total, offset, piece)
            case edge_effects.Load(after):
                entries = replica.pending(after)
                self._world.histories.note(replica.state.chain, entries)
                before = replica.contents(changed_by(each.change for each in entries))
                self._effects += session.loaded(entries, before)
            case edge_effects.Wanted(_, documents):
                # Before what came after it: that may be relative to what this pull brings.
                for each in reversed(session.found(replica.contents(documents))):
                    self._effects.insert(1, each)
            case edge_effects.NoteStored(stored_mark):
                replica.note_stored(stored_mark)
            case edge_effects.Acknowledge(push_mark, chain):
                replica.acknowledge(push_mark, chain)
            case edge_effects.Apply(pull, reoffer, rescoped):
                self._world.reached.rounds += 1
                if rescoped is not None:
                    self._world.reached.rescoped += 1
                    self.outside |= {each for each in DOCUMENTS if not rescoped.reads(each)}
                self._effects += session.applied(replica.apply(pull, reoffer, rescoped))
            case edge_effects.Overtake(pull):
                self._world.reached.overtaken += 1
                self._effects += session.overtook(lacks=replica.overtake(pull))
            case edge_effects.Stage(names):
                replica.stage(names)
            case edge_effects.Keep(name, sealed):
                replica.keep(name, sealed)
                self._world.reached.parts += 1
            case edge_effects.Discard():
                replica.discard()
            case edge_effects.Ask():
                self.meter.carried(effect.part.name, self.steady_ms)
                self._asking = effect
                self._hub.relay.ask(self.line, effect, partial(self._brought, effect))
            case edge_effects.Adopt(incarnation):
                self._world.note(f"{self.name} adopts incarnation {incarnation}")
                self._world.reached.fences += 1
                replica.adopt(incarnation)
                self._effects += session.adopted(replica.standing())
            case edge_effects.Reset(reason):
                if not self._world.altered:
                    raise Violation(Promise.CONVERGED, f"{self.name} diverged: {reason}")
                replica.reset()
            case edge_effects.Wipe(at_once):
                if not at_once and any(
                    each.dot.local_seq > replica.state.push_mark for each in replica.outbox
                ):
                    self._effects += session.offered(self.steady_ms)
                    return
                self.wiped = WipeOrder.AT_ONCE if at_once else WipeOrder.WHEN_SENT
                self._world.reached.wiped += 1
                self._world.note(f"{self.name} is wiped")
                self._effects += session.wiped()
            case edge_effects.Survey():
                self._effects += session.surveyed(replica.survey())
            case edge_effects.Report(incident):
                if not self._world.altered:
                    raise Violation(Promise.CONVERGED, f"{self.name} diverged: {incident}")
                self._world.reached.repaired += 1
                self._world.note(f"{self.name} differs in {incident.count} documents: {incident.remedy}")
            case edge_effects.Witness(witnessed, hub_seq, epoch, broken):
                self._world.reached.continued += replica.standing().witnessed is not None
                replica.witness(witnessed, hub_seq, epoch=epoch, broken=broken)
            case edge_effects.Distrust(reason):
                raise Violation(Promise.LOGGED, f"{self.name} distrusts an honest hub: {reason}")
            case edge_effects.Close(reason, renew):
                self._ended(self._life, reason, renew=renew)
