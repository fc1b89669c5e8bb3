"""Two sessions face to face over stores in memory: no network, no failure but those a test makes."""

from collections.abc import Callable
from dataclasses import replace

from anabranch_hub.simulation.memory import Fenced, MemoryHub, MemoryReplica, ReplicaState
from anabranch_sync import edge_effects, hub_effects
from anabranch_sync.circumstances import UNKNOWN, Circumstances
from anabranch_sync.edge_session import EdgeSession
from anabranch_sync.hub_session import HubSession
from anabranch_sync.incident import Incident
from anabranch_sync.pacing import NOTHING_LEARNED, Pacing
from anabranch_sync.revision import changed_by
from anabranch_sync.scope import scope
from anabranch_sync.wiping import WipeOrder

SCOPE = scope(("acme",))
NOW_MS = 1_800_000_000_000


def new_hub() -> MemoryHub:
    return MemoryHub(SCOPE, lambda: NOW_MS)


def new_replica(hub: MemoryHub) -> MemoryReplica:
    return MemoryReplica(ReplicaState(hub.open_replica(0).incarnation, SCOPE))


class Pair:
    """One stream. `lose` says which frames never arrive, by direction (``up``, ``down``) and number; `near`
    answers for a relay.
    """

    def __init__(
        self,
        replica: MemoryReplica,
        hub: MemoryHub,
        *,
        lose: Callable[[str, int], bool] = lambda direction, number: False,
        renew: bool = False,
        learned: Pacing = NOTHING_LEARNED,
        order: WipeOrder = WipeOrder.KEEP,
        near: Callable[[bytes, int, int], bytes] | None = None,
        circumstances: Circumstances = UNKNOWN,
        urgent_only: bool = False,
    ) -> None:
        self.replica = replica
        self.hub = hub
        self.edge = EdgeSession(
            replica.standing(),
            SCOPE.fingerprint,
            renew=renew,
            learned=learned,
            circumstances=circumstances,
            relayed=near is not None,
            urgent_only=urgent_only,
        )
        self._near = near or (lambda name, offset, bytes_max: b"")
        self.brought_bytes = 0
        self.far = HubSession()
        self.now_ms = NOW_MS
        self.far.start(NOW_MS)
        self.closed: edge_effects.Close | None = None
        self.hub_closed = ""
        self.accusations: list[str] = []
        self.incidents: list[Incident] = []
        self.hub_incidents: list[Incident] = []
        self.seen: list[int] = []  # the positions that the hub knows to be applied
        self.frames = {"up": 0, "down": 0}
        self.sent_bytes = {"up": 0, "down": 0}
        self.is_wiped = self.hub_knows_of_wipe = False
        self._order = order
        self._lose = lose
        self._on_the_way: list[tuple[str, bytes]] = []
        self._at_edge(self.edge.start(NOW_MS))

    def run(self) -> "Pair":
        """Carry frames until nothing is on its way."""
        while self.step():
            pass
        return self

    def step(self) -> bool:
        """Carry one frame; False: there is none."""
        if not self._on_the_way:
            return False
        direction, frame = self._on_the_way.pop(0)
        if direction == "up":
            self._at_hub(self.far.received(frame, self.now_ms))
        else:
            self._at_edge(self.edge.received(frame, self.now_ms))
        return True

    def offered(self) -> "Pair":
        """The edge wrote something."""
        self._at_edge(self.edge.offered(self.now_ms))
        return self.run()

    def notified(self) -> "Pair":
        """The hub decided something elsewhere."""
        self.notice()
        return self.run()

    def notice(self) -> None:
        """Tell the hub's end, and carry nothing yet."""
        self._at_hub(self.far.notified(self.hub.hub_seq, self.now_ms))

    def woken(self) -> "Pair":
        """The hub's end is woken now."""
        self._at_hub(self.far.woken(self.now_ms))
        return self.run()

    def damaged(self) -> "Pair":
        """A read has met damage."""
        self._at_edge(self.edge.damaged(self.now_ms))
        return self.run()

    def later(self, after_ms: int) -> "Pair":
        """Time passes."""
        self.now_ms += after_ms
        self._at_edge(self.edge.woken(self.now_ms))
        return self.run()

    def leave(self) -> "Pair":
        """The edge is about to end the stream."""
        self._at_edge(self.edge.leaving())
        return self.run()

    def _put(self, direction: str, frame: bytes) -> None:
        self.frames[direction] += 1
        self.sent_bytes[direction] += len(frame)
        if not self._lose(direction, self.frames[direction]):
            self._on_the_way.append((direction, frame))

    def _at_edge(self, effects: list[edge_effects.EdgeEffect]) -> None:
        queue = list(effects)
        while queue:
            match queue.pop(0):
                case edge_effects.Send(frame):
                    self._put("up", frame)
                case edge_effects.StorePart(batch, total, offset, piece):
                    self.replica.store_part(batch, total, offset, piece)
                case edge_effects.Load(after):
                    entries = self.replica.pending(after)
                    before = self.replica.contents(changed_by(each.change for each in entries))
                    queue += self.edge.loaded(entries, before)
                case edge_effects.Wanted(_, documents):
                    queue = self.edge.found(self.replica.contents(documents)) + queue
                case edge_effects.NoteStored(stored_mark):
                    self.replica.note_stored(stored_mark)
                case edge_effects.Acknowledge(push_mark, chain):
                    self.replica.acknowledge(push_mark, chain)
                case edge_effects.Apply(pull, reoffer):
                    queue += self.edge.applied(self.replica.apply(pull, reoffer))
                case edge_effects.Overtake(pull):
                    queue += self.edge.overtook(lacks=self.replica.overtake(pull))
                case edge_effects.Stage(names):
                    self.replica.stage(names)
                case edge_effects.Keep(name, sealed):
                    self.replica.keep(name, sealed)
                case edge_effects.Ask(part, offset, bytes_max):
                    piece = self._near(part.name, offset, bytes_max)
                    self.brought_bytes += len(piece)
                    queue += self.edge.brought(piece, self.now_ms)
                case edge_effects.Discard():
                    self.replica.discard()
                case edge_effects.Adopt(incarnation):
                    self.replica.adopt(incarnation)
                    queue += self.edge.adopted(self.replica.standing())
                case edge_effects.Reset():
                    self.replica.reset()
                case edge_effects.Survey():
                    queue += self.edge.surveyed(self.replica.survey())
                case edge_effects.Report(incident):
                    self.incidents.append(incident)
                case edge_effects.Witness(witnessed, hub_seq, epoch, broken):
                    self.replica.witness(witnessed, hub_seq, epoch=epoch, broken=broken)
                case edge_effects.Distrust(reason, checkpoint):
                    self.replica.distrust(reason, checkpoint)
                case edge_effects.Wipe(at_once):
                    unsent = self.replica.standing().last_local > self.replica.standing().push_mark
                    self.is_wiped = at_once or not unsent
                    queue += self.edge.wiped() if self.is_wiped else self.edge.offered(self.now_ms)
                case edge_effects.Close() as close:
                    self.closed = close

    def _at_hub(self, effects: list[hub_effects.HubEffect]) -> None:
        queue = list(effects)
        while queue:
            queue += self._hub_effect(queue.pop(0))

    def _hub_effect(self, effect: hub_effects.HubEffect) -> list[hub_effects.HubEffect]:
        match effect:
            case hub_effects.Open(hello):
                opening = self.hub.open_replica(hello.incarnation, hello.checkpoint)
                return self.far.opened(replace(opening, wipe=self._order), NOW_MS)
            case hub_effects.Send(frame):
                self._put("down", frame)
            case hub_effects.StorePart(batch, total, offset, piece):
                self.hub.store_upload(self.far.incarnation, batch, total, offset, piece)
            case hub_effects.Wanted() as wanted:
                return self.far.found(self.hub.contents(SCOPE, wanted))
            case hub_effects.Decide(entries, chain):
                try:
                    return self.far.decided(self.hub.decide(entries, chain))
                except Fenced:
                    return self.far.fenced("another history")
            case hub_effects.Draw(after, always, replaced):
                drawn = self.hub.draw(
                    self.far.incarnation, after, always=always, replaced=replaced, protocol=self.far.protocol
                )
                return self.far.drawn(drawn)
            case hub_effects.Weigh(after):
                return self.far.weighed(self.hub.weighed(self.far.incarnation, after), self.now_ms)
            case hub_effects.DrawUrgent(after):
                return self.far.drawn_urgent(self.hub.urgent(self.far.incarnation, after))
            case hub_effects.Compare():
                return self.far.compared(*self.hub.compared(self.far.incarnation))
            case hub_effects.Survey():
                return self.far.surveyed(self.hub.survey(self.far.incarnation))
            case hub_effects.Report(incident):
                self.hub_incidents.append(incident)
            case hub_effects.Fetch(name):
                return self.far.fetched(self.hub.part(name))
            case hub_effects.Spool(batch, sealed):
                self.hub.spool(self.far.incarnation, batch, sealed)
            case hub_effects.Recall(batch):
                return self.far.recalled(self.hub.spooled(self.far.incarnation, batch))
            case hub_effects.Seen(cursor):
                self.seen.append(cursor.hub_seq)
                self.hub.seen(self.far.incarnation, cursor)
            case hub_effects.Wiped():
                self.hub_knows_of_wipe = True
            case hub_effects.Present(mark):
                return self.far.presented(self.hub.tree.presented(mark))
            case hub_effects.Accused(reason) | hub_effects.WentBack(reason):
                self.accusations.append(reason)
            case hub_effects.Close(reason):
                self.hub_closed = reason
        return []
