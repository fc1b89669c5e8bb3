"""The edge's side of one stream, as a machine: frames and the time go in, effects come out.

::

    GREETING --Welcome--> (LEASING --adopted--> GREETING') --> CHECKING --entries--> OPEN --> CLOSED
                                                                   any state, on error --> CLOSED

The shell carries out effects in their order and waits for each durable one before it goes on, so
that no acknowledgement leaves before what it acknowledges is on disk. After `Load`, `Apply`, `Overtake` and
`Adopt` it reports back (`loaded`, `applied`, `overtook`, `adopted`). A closed session is dropped; the next
attempt is a new session over whatever the store then holds. Nothing here is remembered elsewhere.
"""

import contextlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from anabranch_sync.absorbing import absorbed
from anabranch_sync.asking import Asking
from anabranch_sync.budget import Budget
from anabranch_sync.change import CHAIN_START, Entry, chained
from anabranch_sync.circumstances import UNKNOWN, Circumstances
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.edge_effects import (
    Acknowledge,
    Adopt,
    Apply,
    Close,
    Discard,
    Distrust,
    EdgeEffect,
    Keep,
    Load,
    NoteStored,
    Overtake,
    Report,
    Reset,
    Send,
    Stage,
    StorePart,
    Survey,
    Wanted,
    Wipe,
    Witness,
)
from anabranch_sync.errors import (
    ContentsDiffer,
    EvidenceError,
    InvalidProof,
    LogRefused,
    ProtocolViolation,
    WireError,
)
from anabranch_sync.greeting import granted_by, hello_of, lost_of, reoffer_of, wanted_of
from anabranch_sync.ids import START, Cursor, DocumentId, HubSeq
from anabranch_sync.incident import IncidentKind, Remedy, incident
from anabranch_sync.messages import (
    ABSORBING_PROTOCOL,
    DISTRUST,
    LIVE_PROTOCOL,
    MERGED_CHAIN_BYTES,
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    REPAIR_PROTOCOL,
    WENT_BACK_RETRY_MS,
    Again,
    Ahead,
    Batch,
    CheckedIn,
    CheckIn,
    Chunk,
    Control,
    Equal,
    Hello,
    Logged,
    Merged,
    Message,
    Parts,
    Range,
    SlowDown,
    SnapshotOffer,
    Stored,
    Visible,
    Welcome,
    Whole,
)
from anabranch_sync.offering import Gathering
from anabranch_sync.outbox import Continuity, behind_urgent, extended, is_continued, next_push
from anabranch_sync.pacing import NOTHING_LEARNED, Pacing
from anabranch_sync.packing import Packed, pack, unseal
from anabranch_sync.plan import Means, Plan
from anabranch_sync.pull import Pull
from anabranch_sync.pull_body import decode_pull, wanted_by_pull
from anabranch_sync.push_body import encode_entries
from anabranch_sync.reoffer import Reoffer
from anabranch_sync.repairing import Surveyed
from anabranch_sync.revision import NOTHING_KNOWN, Contents
from anabranch_sync.scope import EVERYTHING, Scope
from anabranch_sync.seeing import Owed, waits
from anabranch_sync.standing import Standing
from anabranch_sync.stream import Stream
from anabranch_sync.transfer import SILENCE_MS_MAX as SILENCE_MS_MAX
from anabranch_sync.transfer import Receiving, Sending
from anabranch_sync.wiping import WIPE, WIPED
from anabranch_sync.witness import begun_again, unpack_presented, witnessed


@dataclass(frozen=True, slots=True)
class Proved:
    """At `at_ms` by the hub's clock, the documents here were equal to the hub's at `cursor`."""

    cursor: Cursor
    at_ms: int


class Phase(Enum):
    """Where the session is."""

    GREETING = auto()
    LEASING = auto()
    CHECKING = auto()
    OPEN = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class _Unread:
    """A pull that waits for the documents to which it is relative."""

    body: bytes
    in_pieces: bool


@dataclass(frozen=True, slots=True)
class _Applying:
    """A pull that the shell applies, and whether its acknowledgement may wait for others."""

    pull: Pull
    may_wait: bool


class EdgeSession:
    """One stream. Make it over the store's standing, `start` it, then feed it.

    `relayed`: there is a relay on the way, which may have parts of a snapshot.
    `urgent_only`: own changes go up to the last urgent one, and of the hub's documents the urgent ones come,
    ahead of the pull that stays away. `overtaken` is the position up to which they have, and `lacks` says
    that one of them cannot be shown without the pull.
    """

    def __init__(
        self,
        standing: Standing,
        scope_fingerprint: bytes = b"",
        *,
        renew: bool = False,
        learned: Pacing = NOTHING_LEARNED,
        circumstances: Circumstances = UNKNOWN,
        relayed: bool = False,
        subscription: Scope | None = None,
        urgent_only: bool = False,
    ) -> None:
        self.phase = Phase.GREETING
        self.clock_offset_ms: int | None = None
        self.protocol = PROTOCOL_MIN
        self.proved: Proved | None = None
        self.plan: Plan | None = None
        self.overtaken = START
        self.lacks = False
        self._urgent_only = urgent_only
        self._standing = standing
        self._scope = scope_fingerprint
        self._circumstances = circumstances
        self._relayed = relayed
        self._subscription = subscription
        self._renew = renew or standing.must_renew or standing.incarnation == 0
        self._stream = Stream(learned)
        self._welcome: Welcome | None = None
        self._sending: Sending | None = None
        self._in_flight: Sequence[Entry] = ()
        self._receiving: Receiving | None = None
        self._gathering: Gathering | None = None
        self._unread: list[_Unread] = []  # in the order in which they came
        self._applying: list[_Applying] = []
        self._is_plain = False  # changes go in full
        self._compared: Continuity | None = None  # up to where our history is known to be the hub's
        self._loading = False
        self._more = False
        self._held: list[Message] = []
        self._reoffer: Reoffer | None = None
        self._rescoped: Scope | None = None
        self._granted: Scope | None = None
        self._owed = Owed()
        self._heard_ms = 0
        self._idle_ms = 0  # up to when nothing was awaited, so that nobody was silent
        self._visible_mark = 0
        self._repairing = Asking()
        self._is_compared = True  # what is to be compared before a pull comes

    # What the shell asks.

    @property
    def cursor(self) -> Cursor:
        """What has been applied."""
        return self._standing.cursor

    @property
    def ordered(self) -> Budget | None:
        """What the hub's operator lets the link carry; None before the Welcome."""
        if self._welcome is None:
            return None
        return Budget(self._welcome.budget_day_bytes, self._welcome.budget_month_bytes)

    @property
    def granted(self) -> Scope | None:
        """What this replica may ask for, where the hub has named it."""
        return self._granted

    @property
    def is_subscribed(self) -> bool:
        """Whether the hub has taken note of what this replica asks for; an earlier release does not."""
        return self._subscription == EVERYTHING or bool(self._welcome and self._welcome.granted)

    @property
    def settled(self) -> bool:
        """Whether nothing is on its way: all that was written is merged and the hub's state applied.

        The hub's position is that of its Welcome: later news come by themselves. Where only what is urgent
        goes, that nothing of it is.
        """
        is_idle = (
            self.phase is Phase.OPEN
            and not (self._loading or self._more or self._in_flight or self._receiving)
            and not (self._unread or self._applying)
            and not self._repairing.is_under_way
            and self._gathering is None
        )
        if self.is_ahead:
            return is_idle
        return (
            is_idle
            and self._is_compared
            and self._welcome is not None
            and self.cursor >= Cursor(self._welcome.epoch, self._welcome.hub_seq)
            and self._standing.push_mark <= self._visible_mark
        )

    @property
    def is_ahead(self) -> bool:
        """Whether what is urgent has come and the rest stays away, so that nothing is known of that."""
        return self._urgent_only and self.overtaken != START

    @property
    def broken(self) -> Pacing:
        """What is known of the link now that it broke under this session."""
        pacing = self._stream.pacing
        return pacing.broken() if self._in_flight or self._receiving or self._gathering else pacing

    @property
    def wake_ms(self) -> int | None:
        """When to call `woken` if nothing arrives before; None while nothing is awaited."""
        silent_ms = max(self._heard_ms, self._idle_ms) + SILENCE_MS_MAX if self._is_awaiting else None
        return min((each for each in (silent_ms, self._owed.due_ms) if each is not None), default=None)

    @property
    def _is_awaiting(self) -> bool:
        """Whether the hub has to say something."""
        comparing = not self._is_compared or self._repairing.is_under_way
        if self._urgent_only:
            comparing = self._repairing.is_under_way or self.overtaken == START
        under_way = self._in_flight or self._receiving or self._gathering or comparing
        return self.phase in (Phase.GREETING, Phase.LEASING) or bool(under_way)

    # What the shell tells.

    def start(self, now_ms: int) -> list[EdgeEffect]:
        """Open the exchange."""
        self._heard_ms = self._idle_ms = now_ms
        self._visible_mark = self._standing.push_mark
        hello = hello_of(
            self._standing,
            self._stream.learned,
            self._circumstances,
            scope_fingerprint=self._scope,
            subscription=self._subscription,
            renew=self._renew,
            urgent_only=self._urgent_only,
            now_ms=now_ms,
        )
        return [self._send(hello)]

    def received(self, raw: bytes, now_ms: int) -> list[EdgeEffect]:
        """A frame has come. Bytes that are not believed close the stream."""
        if self.phase is Phase.CLOSED:
            return []
        self._heard_ms = now_ms
        try:
            message = self._stream.message(raw)
            if message is None:
                return []
            if self.phase is Phase.CHECKING:
                # The hub may speak for another history than ours (a pull that names changes by
                # numbers we used for others). Nothing of it counts before the histories are compared.
                self._held.append(message)
                return []
            return self._answered(message)
        except WireError as error:
            return self._close(str(error))

    def woken(self, now_ms: int) -> list[EdgeEffect]:
        """The time of `wake_ms` may have come."""
        if self.phase is Phase.CLOSED or self.wake_ms is None or now_ms < self.wake_ms:
            return []
        if self._owed.due_ms == self.wake_ms:
            return self.leaving()
        return self._close(f"no answer for {SILENCE_MS_MAX // 1000} s")

    def leaving(self) -> list[EdgeEffect]:
        """Say what is owed: the shell is about to end the stream."""
        return [self._seen()] if self._owed.is_any and self.phase is Phase.OPEN else []

    def offered(self, now_ms: int) -> list[EdgeEffect]:
        """Something was written to the outbox."""
        self._note_idle(now_ms)
        if self.phase is not Phase.OPEN or self._in_flight or self._loading or self._reoffer:
            self._more = self.phase is not Phase.CLOSED
            return []
        return self._load()

    def loaded(self, entries: Sequence[Entry], before: Contents = NOTHING_KNOWN) -> list[EdgeEffect]:
        """The outbox after the mark that `Load` named; `before` are confirmed documents that it changes."""
        self._loading = False
        if self.phase is Phase.CHECKING:
            try:
                return self._checked(entries, before)
            except WireError as error:
                return self._close(str(error))
        if self.phase is not Phase.OPEN:
            return []
        return self._push(entries, before)

    def found(self, contents: Contents) -> list[EdgeEffect]:
        """The confirmed documents that the oldest unread pull wants."""
        if self.phase is not Phase.OPEN:
            return []
        unread = self._unread.pop(0)
        try:
            pull = decode_pull(unread.body, contents, self._leads_to)
            return self._drawn(pull, in_pieces=unread.in_pieces)
        except ContentsDiffer as error:
            return [Reset(str(error)), *self._close(str(error))]
        except WireError as error:
            return self._unbelieved(error, in_pieces=unread.in_pieces)

    def adopted(self, standing: Standing) -> list[EdgeEffect]:
        """The store goes on under the leased incarnation."""
        self._standing = standing
        self._visible_mark = standing.push_mark
        self.phase = Phase.OPEN
        return self._load()

    def applied(self, digest: ScopeDigest) -> list[EdgeEffect]:
        """The pull is durable and the confirmed documents have this digest."""
        assert self._applying, "applied without Apply"
        applying = self._applying.pop(0)
        pull = applying.pull
        here = replace(self._standing, cursor=pull.upto, digest=digest, partial=None, epoch=pull.upto.epoch)
        self._standing = replace(here, staged=())
        offered, self._reoffer, self._rescoped = self._reoffer, None, None
        for run in pull.runs:
            self._visible_mark = max(self._visible_mark, run.first_local + run.count - 1)
        is_due = self._owed.applied(self._heard_ms, may_wait=applying.may_wait)
        if not pull.proves(digest):
            said = pull.mark.hex() or str(pull.digest)
            reason = f"digest {digest} here, {said} at the hub, at {pull.upto.hub_seq}"
            repairs = self._repairing.begun() if self.protocol >= REPAIR_PROTOCOL else None
            effects = self._repair(repairs, reason)
        else:
            self._repairing.proved(pull)
            self._prove()
            effects = [self._seen()] if is_due else []
        return effects if offered is None or self.phase is Phase.CLOSED else [*effects, *self._load()]

    def brought(self, piece: bytes, now_ms: int) -> list[EdgeEffect]:
        """The relay's answer to `Ask`; empty: it has no more, and the hub is asked for the rest."""
        gathering = self._gathering
        if self.phase is not Phase.OPEN or gathering is None:
            return []
        self._heard_ms = now_ms
        self._stream.learned = self._stream.learned.passed(len(piece))
        came = gathering.brought(piece) if piece else None
        match came:
            case Keep():
                return [self._kept(came), *self._gather(gathering)]
            case StorePart():
                return [came, *self._gather(gathering)]
            case Discard():  # the hub's can be believed
                return [came, *self._request(gathering)]
            case None:
                return self._request(gathering)

    def overtook(self, *, lacks: bool) -> list[EdgeEffect]:
        """Readers see the urgent documents, or some of them wait for a pull."""
        self.lacks = self.lacks or lacks
        return []

    def surveyed(self, surveyed: Surveyed) -> list[EdgeEffect]:
        """The store's answer to `Survey`."""
        if self.phase is Phase.CLOSED:
            return []
        try:
            steps = self._repairing.surveyed(surveyed, self.cursor)
            return self._repair(steps, damaged=surveyed.damaged)
        except WireError as error:
            return self._close(str(error))

    def wiped(self) -> list[EdgeEffect]:
        """Nothing is here any more: the hub hears of it, as the last word."""
        last_word = self._send(Control(WIPED))
        return [last_word, *self._close("wiped, by order of the hub's operator", denied=True)]

    def damaged(self, now_ms: int) -> list[EdgeEffect]:
        """Some read has met bytes that are not those that were written: the hub has what they were."""
        self._note_idle(now_ms)
        if self.phase is not Phase.OPEN or self.protocol < REPAIR_PROTOCOL:
            return []
        if self.cursor == START:
            return []  # everything comes anew
        return self._repair(self._repairing.damaged())

    def _note_idle(self, now_ms: int) -> None:
        """What begins now may have an answer: the hub's silence before it was none."""
        if not self._is_awaiting:
            self._idle_ms = now_ms

    # What the hub says.

    def _answered(self, message: Message) -> list[EdgeEffect]:
        match message:
            case Welcome():
                return self._welcomed(message)
            case Control(order="fence"):
                return self._close("fenced: the hub knows another history of this replica", renew=True)
            case Control(order=order) if order == WIPE:
                return [Wipe(at_once=True)]
            case Control():
                return self._close(f"{message.order}: {message.reason}", denied=True)
            case SlowDown():
                return self._close("the hub is busy", retry_after_ms=message.retry_after_ms)
            case Stored() if self._sending is not None:
                more = self._sending.stored(message.offset, self._stream.pacing)
                pieces = [self._send(piece) for piece in more]
                return [NoteStored(self._sending.last)] if self._sending.is_stored else [*pieces]
            case Again() if self._in_flight:
                self._in_flight, self._sending, self._is_plain = (), None, True
                return self._load()
            case Merged() if self._in_flight:
                return self._merged(message)
            case SnapshotOffer() if self.phase is Phase.OPEN and self._receiving is None:
                self._gathering = Gathering(message, self._standing.staged, self._standing.partial)
                return [Stage(self._gathering.names), *self._gather(self._gathering)]
            case Batch() if self.phase is Phase.OPEN and self._receiving is None:
                name = self._gathering.begun(message) if message.part and self._gathering else b""
                self._receiving = Receiving(message, self._standing.partial, name)
                return self._piece(message.offset, message.piece)
            case Chunk() if self._receiving is not None:
                return self._piece(message.offset, message.piece)
            case Whole() if self.phase is Phase.OPEN and self._receiving is None:
                return self._pulled(self._stream.heard.unseal(message.piece), in_pieces=False)
            case Ahead() if self.phase is Phase.OPEN:
                return self._overtaken(message)
            case Logged() if self.phase is Phase.OPEN:
                return self._logged(message)
            case Equal() if self.phase is Phase.OPEN:
                self._prove()
                return []
            case Range() if self.phase is Phase.OPEN and self._repairing.is_under_way:
                return self._repair(self._repairing.answered(message, self.cursor))
            case Range() if self.phase is Phase.OPEN:
                return self._repair(self._repairing.begun(message))
            case (
                Equal()
                | Range()
                | Hello()
                | Visible()
                | Stored()
                | Merged()
                | Batch()
                | Chunk()
                | Ahead()
                | Logged()
                | CheckIn()
                | CheckedIn()
                | Parts()
                | SnapshotOffer()
                | Whole()
                | Again()
            ):
                raise ProtocolViolation(f"{type(message).__name__} while {self.phase.name}")

    def _welcomed(self, welcome: Welcome) -> list[EdgeEffect]:
        if self.phase is not Phase.GREETING:
            raise ProtocolViolation("a second Welcome")
        if not PROTOCOL_MIN <= welcome.protocol <= PROTOCOL_MAX:
            return self._close(f"protocol {welcome.protocol} is unknown here: update this edge", denied=True)
        self.clock_offset_ms = welcome.clock_offset_ms
        self.protocol = welcome.protocol
        with contextlib.suppress(ValueError):  # what a newer hub plans has no name here
            self.plan = Plan(Means(welcome.plan), welcome.plan_bytes) if welcome.plan else None
        try:
            effects = self._witness(welcome, welcome.hub_seq, welcome.epoch)
        except EvidenceError as error:
            return self._distrust(str(error), welcome.checkpoint)
        self._welcome = welcome
        if reason := lost_of(self._standing, welcome):
            lost = f"the hub lost what it once told ({reason}): its operator must say that it was restored"
            return [*effects, *self._close(lost, denied=True, retry_after_ms=WENT_BACK_RETRY_MS)]
        self._reoffer = reoffer_of(self._standing.epoch, welcome)
        self._rescoped = self._rescoping(welcome)
        is_level = self.cursor == Cursor(welcome.epoch, welcome.hub_seq)
        self._is_compared = not is_level or self.protocol < REPAIR_PROTOCOL
        if welcome.incarnation != self._standing.incarnation:
            self.phase = Phase.LEASING
            return [*effects, Adopt(welcome.incarnation)]
        self.phase = Phase.CHECKING
        self._loading = True
        return [*effects, Load(self._standing.push_mark)]

    def _rescoping(self, welcome: Welcome) -> Scope | None:
        """The scope to hold from now on, where it is another than is held. Raises ProtocolViolation."""
        granted = granted_by(welcome)
        if granted is None:
            return None
        self._granted = granted
        if not welcome.granted or self._subscription is None:
            return granted
        wanted = wanted_of(granted, self._subscription)
        return wanted if wanted.fingerprint != self._scope else None

    def _logged(self, logged: Logged) -> list[EdgeEffect]:
        try:
            return self._witness(logged, self.cursor.hub_seq, self._standing.log_epoch)
        except EvidenceError as error:
            return self._distrust(str(error), logged.checkpoint)

    def _witness(self, shown: Welcome | Logged, hub_seq: HubSeq, epoch: int) -> list[EdgeEffect]:
        """Hold the hub to the log it has shown. Raises EvidenceError."""
        if not shown.checkpoint:
            return []
        origin, before = self._standing.log, self._standing.witnessed
        presented = unpack_presented(origin, shown.checkpoint, shown.consistency, shown.log_key)
        broken = ""
        try:
            now = witnessed(origin, before, presented)
        except (LogRefused, InvalidProof) as error:
            # Once for each epoch: a hub that was restored says so, where all who look can see it.
            if before is None or epoch <= self._standing.log_epoch:
                raise
            now, broken = begun_again(before, presented), str(error)
        self._standing = replace(self._standing, witnessed=now, log_epoch=epoch)
        return [Witness(now, hub_seq, epoch, broken)]

    def _distrust(self, reason: str, checkpoint: bytes) -> list[EdgeEffect]:
        """Nothing more of this hub, and it is told why; what it showed is kept."""
        last_word = Control(DISTRUST, reason)
        return [Distrust(reason, checkpoint), self._send(last_word), *self._close(reason, denied=True)]

    def _checked(self, pending: Sequence[Entry], before: Contents) -> list[EdgeEffect]:
        """Compare histories before anything of ours is sent under a number the hub may know otherwise."""
        welcome = self._greeted
        here = self._compared or Continuity(self._standing.incarnation, self._standing.push_mark, self._chain)
        if pending and pending[-1].dot.local_seq < welcome.push_mark:
            # Files have brought more there than one push holds.
            self._compared = extended(here, pending)
            self._loading = True
            return [Load(self._compared.push_mark)]
        if not is_continued(here, pending, welcome.push_mark, welcome.chain):
            return self._close(
                f"the hub knows this replica up to change {welcome.push_mark} with another history",
                renew=True,
            )
        self.phase = Phase.OPEN
        effects: list[EdgeEffect] = []
        if welcome.push_mark > self._standing.push_mark:
            # What was looked at is as much as one push holds; the outbox may go on behind it.
            if pending and pending[-1].dot.local_seq < self._standing.last_local:
                self._more = True
            effects.append(self._acknowledge(welcome.push_mark, welcome.chain))
        if self._reoffer is None:
            unsent = [each for each in pending if each.dot.local_seq > welcome.push_mark]
            effects += self._push(unsent, before)
        for message in self._held:
            effects += self._answered(message)
        return effects

    def _merged(self, merged: Merged) -> list[EdgeEffect]:
        chain = self._chain
        for each in self._in_flight:
            chain = chained(chain, each.body)
        said = chain if self.protocol < LIVE_PROTOCOL else chain[:MERGED_CHAIN_BYTES]
        if merged.push_mark != self._in_flight[-1].dot.local_seq or merged.chain != said:
            return self._close("the hub merged something other than what was sent", renew=True)
        self._in_flight, self._sending = (), None
        effects: list[EdgeEffect] = [self._acknowledge(merged.push_mark, chain)]
        if merged.pull:
            # First: the pull acknowledges the changes that it names, and then there is nothing left to write.
            effects[:0] = self._pulled(self._stream.heard.unseal(merged.pull), in_pieces=False)
        return effects if self.phase is Phase.CLOSED else [*effects, *self._load()]

    def _piece(self, offset: int, piece: bytes) -> list[EdgeEffect]:
        receiving = self._receiving
        assert receiving is not None, "a piece without its batch"
        receiving.add(offset, piece)
        if not receiving.complete:
            stored = StorePart(receiving.batch, receiving.total, offset, piece)
            return [stored, *map(self._send, receiving.acknowledgement())]
        self._receiving = None
        try:
            sealed = receiving.sealed()
            if receiving.name:
                return self._keep(Keep(receiving.name, sealed))
            return self._pulled(unseal(sealed), in_pieces=True)
        except WireError as error:
            return self._unbelieved(error, in_pieces=True)

    def _pulled(self, body: bytes, *, in_pieces: bool) -> list[EdgeEffect]:
        self._gathering = None  # also one that closes the offer of an earlier stream, or comes in place of it
        places = wanted_by_pull(body)
        if not (places or self._unread):
            return self._drawn(decode_pull(body, after=self._leads_to), in_pieces=in_pieces)
        self._unread.append(_Unread(body, in_pieces))
        return [Wanted(self.cursor.hub_seq, places)]

    def _unbelieved(self, error: WireError, *, in_pieces: bool) -> list[EdgeEffect]:
        """End the stream. Pieces go from the disk, or the next stream would go on behind the same bytes."""
        dropped: list[EdgeEffect] = [Discard()] if in_pieces else []
        return [*dropped, *self._close(str(error))]

    def _drawn(self, pull: Pull, *, in_pieces: bool) -> list[EdgeEffect]:
        if pull.upto.epoch != self._greeted.epoch:
            raise ProtocolViolation(f"a pull of epoch {pull.upto.epoch} in epoch {self._greeted.epoch}")
        if pull.after != self._leads_to and not pull.whole:
            raise ProtocolViolation(f"a pull after {pull.after}, but this replica is at {self._leads_to}")
        if not set(self._standing.staged).issuperset(pull.parts):
            raise ProtocolViolation("a pull names parts of a snapshot that are not here")
        if any(run.first_local + run.count - 1 > self._standing.push_mark for run in pull.runs):
            # The hub acknowledges before it names positions, so a clone of this replica wrote these.
            return self._close("the hub decided changes under our incarnation that are not ours", renew=True)
        may_wait = not (in_pieces or waits(pull) or self._reoffer or self._rescoped)
        self._applying.append(_Applying(pull, may_wait))
        return [Apply(pull, self._reoffer, self._rescoped)]

    def _overtaken(self, ahead: Ahead) -> list[EdgeEffect]:
        """Urgent documents. Before a restored hub is answered, positions say nothing about what is here.

        So nothing of them is shown then, nor counted as here: a later look brings them.
        """
        pull = decode_pull(unseal(ahead.piece))
        if pull.upto.epoch != self._greeted.epoch:
            raise ProtocolViolation(f"a pull of epoch {pull.upto.epoch} in epoch {self._greeted.epoch}")
        if self._reoffer is not None:
            return []
        self.overtaken = max(self.overtaken, pull.upto)
        return [Overtake(pull)] if pull.documents and pull.upto > self.cursor else []

    def _keep(self, part: Keep) -> list[EdgeEffect]:
        """A part is here; that it is on disk asks for the next."""
        assert self._gathering is not None, "a part of an offer"
        self._gathering.kept()
        return [self._kept(part), self._send(Stored(len(part.sealed)))]

    def _kept(self, part: Keep) -> Keep:
        self._standing = replace(self._standing, partial=None, staged=(*self._standing.staged, part.name))
        return part

    def _gather(self, gathering: Gathering) -> list[EdgeEffect]:
        """Ask for the next piece nearby, or the hub for all that is not here."""
        ask = gathering.asking(self._stream.pacing.chunk_bytes) if self._relayed else None
        return [ask] if ask is not None else self._request(gathering)

    def _request(self, gathering: Gathering) -> list[EdgeEffect]:
        self._standing = replace(self._standing, partial=gathering.partial)
        return [self._send(gathering.message)]

    # What this side does.

    def _prove(self) -> None:
        self._is_compared = True
        self.proved = Proved(self.cursor, self._heard_ms + (self.clock_offset_ms or 0))

    def _repair(
        self,
        steps: Sequence[Range | Survey | Report] | None,
        reason: str = "what differs is too much to name",
        damaged: Collection[DocumentId] = (),
    ) -> list[EdgeEffect]:
        if steps is None:
            kind = IncidentKind.DAMAGED if damaged else IncidentKind.DIVERGED
            report = Report(incident(kind, Remedy.RESET, self.cursor.hub_seq, damaged))
            closing = self._close(f"documents differ from the hub's: {reason}")
            return [report, Reset(reason), *closing]
        self._is_compared = True
        return [self._send(self._telling(each)) if isinstance(each, Range) else each for each in steps]

    def _telling(self, step: Range) -> Range:
        """A step of a repair says by itself that what came before is applied; it proves nothing."""
        applied = int(self._owed.is_any)
        self._owed.said()
        return replace(step, applied=applied)

    def _seen(self) -> Send:
        self._owed.said()
        return self._send(Visible(self.cursor))

    def _push(self, entries: Sequence[Entry], before: Contents) -> list[EdgeEffect]:
        welcome = self._greeted
        if self._urgent_only and not welcome.wipe:
            entries = [each for each in entries if each.dot.local_seq <= self._standing.urgent_upto]
        if not entries:
            done: list[EdgeEffect] = [Wipe(at_once=False)] if welcome.wipe else []
            return self._load() if self._more else done
        resumed = [each for each in entries if each.dot.local_seq <= welcome.upload_last]
        push = resumed or next_push(entries)
        sent = absorbed(push, self._chain) if self.protocol >= ABSORBING_PROTOCOL else push
        is_here = self.protocol >= LIVE_PROTOCOL and self.cursor.epoch == welcome.epoch
        known = before if is_here and not self._is_plain else NOTHING_KNOWN
        packed, sending = self._packed(sent, known)
        if resumed and known and sending.batch != welcome.upload:
            # The cursor has moved since it was begun, and may in each stream. In full it is always the same
            # bytes: where the hub has none of those yet, it will from here on.
            packed, sending = self._packed(sent, NOTHING_KNOWN)
        if resumed and sending.batch == welcome.upload:
            sending = self._batch(sent, packed.sealed, welcome.upload_bytes)
        self._welcome = replace(welcome, upload_last=0)
        self._more = True  # look again after this push: it may not have been all
        self._in_flight = push
        if self.protocol >= LIVE_PROTOCOL and not resumed and sending.is_small(self._stream.pacing):
            piece = self._stream.said.seal(packed.body)
            return [self._send(Whole(piece, behind_urgent(sent)))]
        self._sending = sending
        return [self._send(piece) for piece in sending.pieces(self._stream.pacing)]

    def _packed(self, push: Sequence[Entry], known: Contents) -> tuple[Packed, Sending]:
        """A push relative to what is known, and its way from the first byte on."""
        relative_to = known if self.protocol >= LIVE_PROTOCOL else None
        packed = pack(encode_entries(push, self.cursor.hub_seq, relative_to))
        return packed, self._batch(push, packed.sealed, 0)

    def _batch(self, push: Sequence[Entry], sealed: bytes, offset: int) -> Sending:
        return Sending(
            sealed,
            offset=offset,
            last=push[-1].dot.local_seq,
            urgent=behind_urgent(push),
            chain=self._chain,
            chunk_bytes_max=self._greeted.chunk_bytes_max,
            window_bytes_max=self._greeted.window_bytes,
        )

    def _load(self) -> list[EdgeEffect]:
        """Look what there is to push: nothing before what is offered again stands in front of it."""
        if self._reoffer is not None:
            return []
        self._more = False
        self._loading = True
        return [Load(self._standing.push_mark)]

    def _acknowledge(self, push_mark: int, chain: bytes) -> Acknowledge:
        self._standing = replace(self._standing, push_mark=push_mark, chain=chain)
        return Acknowledge(push_mark, chain)

    @property
    def _leads_to(self) -> Cursor:
        """Where the pulls lead that have come."""
        return self._applying[-1].pull.upto if self._applying else self.cursor

    @property
    def _chain(self) -> bytes:
        return self._standing.chain or CHAIN_START

    @property
    def _greeted(self) -> Welcome:
        assert self._welcome is not None, "no Welcome yet"
        return self._welcome

    def _send(self, message: Message) -> Send:
        return Send(self._stream.frame(message))

    def _close(
        self, reason: str, *, renew: bool = False, denied: bool = False, retry_after_ms: int = 0
    ) -> list[EdgeEffect]:
        self.phase = Phase.CLOSED
        return [Close(reason, renew, denied, retry_after_ms)]
