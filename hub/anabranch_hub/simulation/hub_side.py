"""The hub of a simulated fleet: its store, and the production session at this end of each stream."""

from collections import deque
from collections.abc import Callable
from contextlib import suppress

from anabranch_sync import hub_effects
from anabranch_sync.change import Entry
from anabranch_sync.check_in import read_question
from anabranch_sync.errors import WireError
from anabranch_sync.greeting import subscription_of
from anabranch_sync.hub_session import HubSession
from anabranch_sync.ids import DocumentId
from anabranch_sync.scope import Scope
from anabranch_sync.value import Object
from anabranch_sync.wiping import WipeOrder

from anabranch_hub.simulation.disk import DiskFailure
from anabranch_hub.simulation.life import SECOND_MS
from anabranch_hub.simulation.memory import Fenced, MemoryHub, ScopeChanged
from anabranch_hub.simulation.network import Connection, Line, Pipe
from anabranch_hub.simulation.promise import Promise, Violation
from anabranch_hub.simulation.relay import Relay
from anabranch_hub.simulation.world import SCOPE, World


class HubSide:
    """The hub's process. Its store outlives it."""

    def __init__(self, world: World) -> None:
        self.store = MemoryHub(SCOPE, lambda: world.clock.now_ms, world.hub_medium())
        self.store.named = self._named
        self.streams: dict[HubStream, None] = {}  # in order of connection: sets would make seeds differ
        self.relay = Relay(world, self._part)
        self._world = world

    def _named(self, each: Entry, before: bytes) -> set[bytes]:
        found = self._world.histories.absorbed(each, before)
        self._world.reached.absorbed += len(found)
        return found

    def dial(self, line: Line, deliver: Callable[[bytes], None]) -> tuple[Connection, Pipe]:
        """A connection from an edge, and its way up."""
        near = self._world.connection(line)
        far, down = near, Pipe(deliver)
        if line.relayed:
            far, down = self.relay.passed_on(line, near, down)
        stream = HubStream(self._world, self, line, far, down)
        self.streams[stream] = None
        far.on_cut.append(lambda: self.forget(stream))
        self._world.note(f"{line.name} connects")
        up = Pipe(lambda frame: stream.received(frame) if stream in self.streams else None, is_up=True)
        if line.relayed:
            return near, Pipe(lambda frame: far.send(up, frame), is_up=True)
        return near, up

    def _part(self, line: Line, name: bytes, offset: int, bytes_max: int) -> bytes:
        """Bytes of a part for an edge; empty where it may not have it, or it is not kept any more."""
        sealed = None if line.revoked else self.store.part_for(line.edge, name)
        return (sealed or b"")[offset : offset + bytes_max]

    def call(self, line: Line, question: bytes, answered: Callable[[bytes], None]) -> None:
        """A check-in: one frame and its answer, if both arrive."""
        connection, down = self._world.connection(line), Pipe(answered)

        def asked(frame: bytes) -> None:
            with suppress(WireError):
                answer = None if line.revoked else self.store.check_in(read_question(frame))
                if answer is not None:
                    connection.send(down, answer)

        connection.send(Pipe(asked, is_up=True), question)

    def write(self, document: DocumentId, content: Object | None) -> None:
        """A change of the hub's own. Raises Invalid."""
        try:
            self.store.write(document, content)
        except DiskFailure as failure:
            self._world.note(f"hub: {failure}")
            if failure.power:
                self.crash()
        finally:
            self.fan_out()

    def fan_out(self) -> None:
        """Tell every stream that the tenant's order went on."""
        hub_seq = self.store.hub_seq
        for stream in list(self.streams):
            self._world.clock.after(1, self._notice(stream, hub_seq))

    def heard(self) -> None:
        """News of what operators did: whoever is concerned begins anew."""
        for stream in list(self.streams):
            stream.heard()

    def crash(self) -> None:
        """The process ends, and the next one starts."""
        self._world.happened["hub crash"] += 1
        self._world.note("the hub process dies")
        # Its successor may be without the log's key for a while, or have it again.
        self.store.tree.away = not self.store.tree.away
        self.cut_all()

    def cut_all(self) -> None:
        """Every stream ends without a word."""
        streams, self.streams = self.streams, {}
        for stream in streams:
            stream.cut()

    def forget(self, stream: "HubStream") -> None:
        """A stream has ended."""
        self.streams.pop(stream, None)

    def tick(self) -> None:
        """Timers."""
        for stream in list(self.streams):
            stream.tick()

    def _notice(self, stream: "HubStream", hub_seq: int) -> Callable[[], None]:
        return lambda: stream.notified(hub_seq) if stream in self.streams else None


class HubStream:
    """The hub's end of one stream."""

    def __init__(self, world: World, hub: HubSide, line: Line, connection: Connection, pipe: Pipe) -> None:
        self.line = line
        self.session = HubSession()
        self._told: Scope | None = None
        self._world = world
        self._hub = hub
        self._connection = connection
        self._pipe = pipe
        self.session.start(world.clock.now_ms)

    def received(self, frame: bytes) -> None:
        """A frame from the edge."""
        self._do(self.session.received(frame, self._world.clock.now_ms))

    def notified(self, hub_seq: int) -> None:
        """Something was decided."""
        self._do(self.session.notified(hub_seq, self._world.clock.now_ms))

    def tick(self) -> None:
        """Timers."""
        self._do(self.session.woken(self._world.clock.now_ms))

    def _do(self, effects: list[hub_effects.HubEffect]) -> None:
        queue = deque(effects)
        while queue and self in self._hub.streams:
            try:
                queue += self._perform(queue.popleft())
            except DiskFailure as failure:
                self._world.note(f"hub: {failure}")
                if failure.power:
                    self._hub.crash()
                else:
                    self._hub.fan_out()  # it may be committed all the same, and commits are always told
                    queue = deque(self.session.busy(SECOND_MS))

    def revoked(self) -> None:
        """The edge may not go on."""
        self._do(self.session.ended("revoked", "an operator said so"))

    def heard(self) -> None:
        """If the edge was given another scope than it was told, or is to wipe, it comes back and is told."""
        if self._told is not None and self._hub.store.edge(self.line.edge).wipe is not WipeOrder.KEEP:
            self._do(self.session.busy(SECOND_MS))
        if self._told not in (None, self._hub.store.edge(self.line.edge).scope):
            self._do(self.session.busy(SECOND_MS))

    def cut(self) -> None:
        """The process is gone."""
        self._connection.cut()

    def _perform(self, effect: hub_effects.HubEffect) -> list[hub_effects.HubEffect]:
        hub, session = self._hub.store, self.session
        match effect:
            case hub_effects.Open() if self.line.revoked:
                return session.ended("revoked", "an operator said so")
            case hub_effects.Open(hello):
                wanted, before = subscription_of(hello), hub.edge(self.line.edge).scope
                opening = hub.open_replica(hello.incarnation, hello.checkpoint, self.line.edge, wanted)
                self._world.reached.subscribed += opening.scope != before
                self._told = opening.scope
                self._world.reached.resumed_pushes += opening.upload is not None
                return session.opened(opening, self._world.clock.now_ms)
            case hub_effects.Send(frame):
                self._connection.send(self._pipe, frame)
            case hub_effects.StorePart(batch, total, offset, piece):
                hub.store_upload(session.incarnation, batch, total, offset, piece)
            case hub_effects.Wanted() as wanted:
                return session.found(hub.contents(hub.scope_of(session.incarnation), wanted))
            case hub_effects.Decide(entries, chain):
                try:
                    answer = hub.decide(entries, chain)
                except Fenced:
                    return session.fenced("another history")
                self._world.reached.rounds += 1
                self._hub.fan_out()
                return session.decided(answer)
            case hub_effects.Draw(after, always, replaced, held):
                try:
                    drawn = hub.draw(
                        session.incarnation,
                        after,
                        always=always,
                        replaced=replaced,
                        protocol=session.protocol,
                        held=held,
                        told=self._told,
                    )
                except ScopeChanged:
                    return session.busy(SECOND_MS)
                return session.drawn(drawn)
            case hub_effects.Weigh(after):
                priority = hub.weighed(session.incarnation, after)
                return session.weighed(priority, self._world.clock.now_ms)
            case hub_effects.DrawUrgent(after):
                return session.drawn_urgent(hub.urgent(session.incarnation, after))
            case hub_effects.Compare():
                return session.compared(*hub.compared(session.incarnation))
            case hub_effects.Survey():
                return session.surveyed(hub.survey(session.incarnation))
            case hub_effects.Report():
                pass  # the edge notes it too
            case hub_effects.Fetch(name):
                return session.fetched(hub.part(name))
            case hub_effects.Spool(batch, sealed):
                hub.spool(session.incarnation, batch, sealed)
            case hub_effects.Recall(batch):
                spooled = hub.spooled(session.incarnation, batch)
                self._world.reached.resumed_pulls += spooled is not None
                return session.recalled(spooled)
            case hub_effects.Seen(cursor):
                hub.seen(session.incarnation, cursor)
            case hub_effects.Wiped():
                self._world.note(f"the hub knows that {self.line.name} is wiped")
            case hub_effects.Present(mark):
                return session.presented(hub.tree.presented(mark))
            case hub_effects.Accused(reason) | hub_effects.WentBack(reason):
                raise Violation(Promise.LOGGED, f"an honest hub is accused: {reason}")
            case hub_effects.Close(reason):
                self._world.note(f"hub closes: {reason}")
                self._hub.forget(self)
                self._connection.cut()
        return []
