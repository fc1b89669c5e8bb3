"""The hub's side of one stream, as a machine: frames and the time go in, effects come out.

::

    GREETING --Hello--> OPENING --opened--> OPEN --> CLOSED
                                --wipe--> WIPING --> CLOSED

The shell carries out effects in their order; `Open`, `Decide`, `Weigh`, `Draw`, `DrawUrgent`, `Recall`,
`Fetch` and `Present` report back (`opened`, `decided` or `fenced`, `weighed`, `drawn`, `drawn_urgent`,
`recalled`, `fetched`, `presented`). Who the edge is comes from its certificate and never from a message:
the shell binds tenant and edge to every effect by itself.

One large pull is on its way at a time, or a few small ones (`seeing`). What is decided meanwhile is folded
into the next one, so a slow link gets fewer and larger pulls instead of a growing queue. Only what is urgent
overtakes a pull that is cut into pieces, before its first one and between two of them (`Ahead`). To an edge
on a metered link the next pull begins once what is new has waited as long as its priority lets it
(`priority.patience_ms`); to one that wants what is urgent only (URGENT_ONLY) none does.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from anabranch_sync.answering import Answering
from anabranch_sync.change import CHAIN_START
from anabranch_sync.circumstances import LinkClass, link_class
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.errors import ContentsDiffer, ProtocolViolation, WireError
from anabranch_sync.greeting import lost_of, subscription_of, welcome_of
from anabranch_sync.hub_effects import (
    Accused,
    Close,
    Compare,
    Decide,
    Draw,
    DrawUrgent,
    Fetch,
    HubEffect,
    Open,
    Present,
    Recall,
    Report,
    Seen,
    Send,
    Spool,
    StorePart,
    Survey,
    Weigh,
    WentBack,
    Wiped,
)
from anabranch_sync.ids import START, Cursor
from anabranch_sync.messages import (
    AHEAD_PROTOCOL,
    CHUNK_BYTES_MAX,
    DISTRUST,
    LIVE_PROTOCOL,
    MERGED_CHAIN_BYTES,
    PROTOCOL_MAX,
    PROTOCOL_MIN,
    REPAIR_PROTOCOL,
    RESCOPE_PROTOCOL,
    URGENT_ONLY,
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
from anabranch_sync.offering import Offering
from anabranch_sync.opening import Answer, Opening
from anabranch_sync.outbox import marked
from anabranch_sync.pacing import Pacing
from anabranch_sync.packing import seal, unseal
from anabranch_sync.priority import patience_ms
from anabranch_sync.pull import Pull, Urgent
from anabranch_sync.pull_body import brief, encode_pull, packed_pull
from anabranch_sync.push_body import decode_entries, wanted_by_push
from anabranch_sync.repairing import Surveyed
from anabranch_sync.revision import NOTHING_KNOWN, Contents
from anabranch_sync.seeing import Unseen, waits
from anabranch_sync.snapshot import Offer
from anabranch_sync.stream import Stream
from anabranch_sync.transfer import SILENCE_MS_MAX as SILENCE_MS_MAX
from anabranch_sync.transfer import Receiving, Sending, batch_id, upload_name
from anabranch_sync.wiping import WIPE, WIPED, WipeOrder
from anabranch_sync.witness import Presented, mark_of, size_of

# A stream may last for weeks, and an edge should not be weeks behind as a witness. A checkpoint and its
# proof are some 300 bytes, and travel only behind a pull that was applied.
PRESENT_EVERY_MS = 10 * 60_000
# Parts of a snapshot may come from near the edge, over a link that is slow. Or the offer was lost: who is cut
# off for nothing goes on behind the parts and pieces that it has.
GATHERING_MS_MAX = 4 * SILENCE_MS_MAX


class Phase(Enum):
    """Where the session is."""

    GREETING = auto()
    OPENING = auto()
    OPEN = auto()
    WIPING = auto()
    CLOSED = auto()


@dataclass(frozen=True, slots=True)
class _Unread:
    """A push that waits for the documents to which it is relative.

    `chain` is that before it, `last` its last change where its batch names one, `urgent` as there.
    """

    body: bytes
    chain: bytes
    last: int | None
    urgent: Sequence[int]


class HubSession:
    """One stream with one edge. Feed it what arrives; it says what to do."""

    def __init__(self) -> None:
        self.phase = Phase.GREETING
        self.incarnation = 0
        self.protocol = PROTOCOL_MIN
        self._stream = Stream()
        self._hello: Hello | None = None
        self._opening: Opening | None = None
        self._cursor = START
        self._chain = CHAIN_START
        self._hub_seq = 0
        self._drawing = False
        self._drawn_to = -1  # the position up to which the replica's scope was looked through
        self._overtaken_to = -1  # the position up to which a pull under way was overtaken
        self._weighed_to = -1  # the position up to which it is known how pressing what is new is
        self._link = LinkClass.UNKNOWN
        self._due_ms: int | None = None  # when the next pull begins; None: nothing waits for it
        self._is_due = True
        self._is_urgent_only = False
        self._sending: Sending | None = None
        self._offering: Offering | None = None
        self._held = b""  # the fingerprint of a former scope, until what it lacks of the present one was seen
        self._is_served = True
        self._unseen = Unseen()
        self._merged: Merged | None = None  # waits for the pull that names the positions
        self._repairing = Answering()
        self._receiving: Receiving | None = None
        self._unread: _Unread | None = None
        self._deciding = False
        self._heard_ms = 0
        self._idle_ms = 0  # up to when nothing was awaited, so that nobody was silent
        self._mark = b""  # of the newest tree that the replica has been shown
        self._presented_ms = 0

    @property
    def wake_ms(self) -> int | None:
        """When to call `woken` if nothing arrives before; None while nothing is awaited."""
        if self.phase is Phase.CLOSED:
            return None
        is_gathering = self._offering is not None and not self._offering.is_asked
        silence_ms = GATHERING_MS_MAX if is_gathering else SILENCE_MS_MAX
        silent_ms = self._silent_since_ms + silence_ms if self._is_awaiting else None
        return min((at for at in (silent_ms, self._due_ms) if at is not None), default=None)

    @property
    def _is_awaiting(self) -> bool:
        """Whether the edge has to say something."""
        under_way = self._sending or self._receiving or self._unseen.is_any or self._repairing.is_under_way
        return self.phase in (Phase.GREETING, Phase.WIPING) or bool(under_way)

    @property
    def _silent_since_ms(self) -> int:
        return max(self._heard_ms, self._idle_ms)

    # What the shell tells.

    def start(self, now_ms: int) -> None:
        """The stream is open; the edge speaks first."""
        self._heard_ms = self._idle_ms = now_ms

    def received(self, raw: bytes, now_ms: int) -> list[HubEffect]:
        """A frame has come. Bytes that are not believed close the stream."""
        if self.phase is Phase.CLOSED:
            return []
        self._heard_ms = now_ms
        try:
            message = self._stream.message(raw)
            return [] if message is None else self._answered(message)
        except WireError as error:
            return self._close(str(error))

    def woken(self, now_ms: int) -> list[HubEffect]:
        """The time of `wake_ms` may have come."""
        if self.wake_ms is None or now_ms < self.wake_ms:
            return []
        if self._due_ms is not None and now_ms >= self._due_ms:
            self._note_idle(now_ms)
            return self._come_due()
        return self._close(f"no answer for {(now_ms - self._silent_since_ms) // 1000} s")

    def opened(self, opening: Opening, now_ms: int) -> list[HubEffect]:
        """The store's answer to `Open`."""
        hello = self._hello
        assert hello is not None, "opened without Open"
        if opening.wipe is WipeOrder.AT_ONCE:
            return self.wipe()
        self.phase = Phase.OPEN
        self._opening = opening
        self.incarnation = opening.incarnation
        self._cursor = hello.cursor if hello.cursor.epoch == opening.epoch else START
        self._hub_seq = opening.hub_seq
        self._chain = opening.chain
        log = opening.log
        self._mark = mark_of(log.checkpoint.tree) if log else hello.checkpoint
        self._presented_ms = now_ms
        is_older = hello.cursor.epoch != opening.epoch
        if hello.scope != opening.scope.fingerprint and self.protocol >= RESCOPE_PROTOCOL:
            self._held = hello.scope
        welcome = welcome_of(hello, opening, self.protocol, now_ms, is_rescoped=bool(self._held))
        effects: list[HubEffect] = [self._send(welcome)]
        if reason := lost_of(hello, opening):
            # Served as if nothing had happened, it would be told positions that mean something else to it.
            # The Welcome is for the witness in it.
            return [WentBack(reason), *effects, *self.busy(WENT_BACK_RETRY_MS)]
        # Nothing more for who is to remove it, but for what tells it which changes it has to send again.
        self._is_served = opening.wipe is WipeOrder.KEEP or is_older
        if self._is_served and URGENT_ONLY in hello.capabilities and self._cursor != START:
            self._is_urgent_only = True
            return [*effects, DrawUrgent(self._cursor)]
        if self._is_served and hello.partial and hello.incarnation == opening.incarnation:
            self._drawing = True
            return [*effects, Recall(hello.partial)]
        return effects + self._first()

    def compared(self, cursor: Cursor, digest: ScopeDigest) -> list[HubEffect]:
        """The store's answer to `Compare`."""
        self._drawing = False
        assert self._hello is not None, "compared without Hello"
        if self.phase is not Phase.OPEN:
            return []
        if cursor != self._cursor:  # the tenant went on meanwhile: the pull compares
            self._hub_seq = max(self._hub_seq, cursor.hub_seq)
            return self._draw()
        self._drawn_to = cursor.hub_seq
        if digest != self._hello.digest:
            return self._repair(self._repairing.begun())
        return [self._send(Equal()), Seen(cursor), *self._moved(self._hub_seq)]

    def surveyed(self, surveyed: Surveyed) -> list[HubEffect]:
        """The store's answer to `Survey`."""
        return self._repair(self._repairing.surveyed(surveyed)) if self.phase is Phase.OPEN else []

    def recalled(self, sealed: bytes | None) -> list[HubEffect]:
        """The store's answer to `Recall`: the spooled pull, if it is still there."""
        self._drawing = False
        assert self._hello is not None, "recalled without Hello"
        if self.phase is not Phase.OPEN:
            return []
        if sealed is None or batch_id(sealed) != self._hello.partial:
            return self._first()
        self._unseen.sent_large()
        return self._begin(sealed, self._hello.partial_bytes)

    def drawn(self, pull: Pull | Offer | None) -> list[HubEffect]:
        """The store's answer to `Draw`: what the replica lacks, a snapshot that has it, or nothing."""
        self._drawing = False
        if self.phase is not Phase.OPEN:
            return []
        if pull is None:
            return [*self._acknowledged(), *self._moved(self._hub_seq)]
        if isinstance(pull, Offer):
            self._drawn_to = pull.snapshot.upto.hub_seq
            self._hub_seq = max(self._hub_seq, self._drawn_to)
            self._offering = Offering(pull)
            self._unseen.sent_large(pull.snapshot.upto)
            return [*self._acknowledged(), *self._foremost(), self._send(self._offering.message)]
        # The store may be further than the last notice said.
        self._hub_seq = self._drawn_to = max(self._hub_seq, pull.upto.hub_seq)
        return self._pulled(pull)

    def weighed(self, priority: int | None, now_ms: int) -> list[HubEffect]:
        """The store's answer to `Weigh`: of what is most pressing; None: nothing concerns the replica."""
        if self.phase is not Phase.OPEN or priority is None:
            return []
        due_ms = now_ms + patience_ms(self._link, priority)
        self._due_ms = due_ms if self._due_ms is None else min(self._due_ms, due_ms)
        return self._come_due() if now_ms >= self._due_ms else []

    def drawn_urgent(self, urgent: Urgent) -> list[HubEffect]:
        """The store's answer to `DrawUrgent`: whole states, or nothing.

        They go in one piece, no larger than those under way, or wait their turn. Where nothing else is
        wanted they take one piece as large as any, or come by a pull as everything does.
        """
        pull = urgent.pull
        if self.phase is not Phase.OPEN:
            return []
        if self._is_urgent_only:
            return self._only_urgent(urgent)
        ahead: list[HubEffect] = []
        if pull is not None and self._is_long:
            self._overtaken_to = max(self._overtaken_to, pull.upto.hub_seq)
            sealed = seal(encode_pull(pull))
            if len(sealed) <= self._stream.pacing.chunk_bytes:
                ahead.append(self._send(Ahead(sealed)))
        return [*ahead, *self._pieces()]

    def fetched(self, sealed: bytes | None) -> list[HubEffect]:
        """The store's answer to `Fetch`: the part, if the snapshot is still kept."""
        offering = self._offering
        assert offering is not None, "fetched without Fetch"
        if self.phase is not Phase.OPEN:
            return []
        if sealed is None:  # another snapshot took its place; parts that are in both do not travel again
            self._offering = None
            self._unseen.withdrawn()
            self._is_due = True  # it waits for what was begun
            return self._draw()
        assert offering.next is not None, "fetched without Fetch"
        number, part = offering.next
        self._sending = Sending(
            sealed,
            offset=offering.offset,
            part=number,
            name=part.name,
        )
        return self._pieces()

    def found(self, contents: Contents) -> list[HubEffect]:
        """The store's answer to `Wanted`: those that it still knows."""
        unread, self._unread = self._unread, None
        assert unread is not None, "found without Wanted"
        if self.phase is not Phase.OPEN:
            return []
        try:
            return self._pushed(unread, contents)
        except ContentsDiffer:
            self._deciding = False
            return [self._send(Again())]
        except WireError as error:
            return self._close(str(error))

    def decided(self, answer: Answer) -> list[HubEffect]:
        """The store's answer to `Decide`: committed."""
        self._deciding = False
        self._is_due = True  # its author waits for it to be visible
        if self.phase is not Phase.OPEN:
            return []
        self._chain = answer.chain
        if self.protocol < LIVE_PROTOCOL:
            return [self._send(Merged(answer.push_mark, answer.chain)), *self._moved(answer.hub_seq)]
        self._merged = Merged(answer.push_mark, answer.chain[:MERGED_CHAIN_BYTES])
        drawing = self._moved(answer.hub_seq)
        return drawing if self._drawing else [*self._acknowledged(), *drawing]

    def presented(self, log: Presented | None) -> list[HubEffect]:
        """The store's answer to `Present`: what is new of the log, or nothing."""
        if self.phase is not Phase.OPEN or log is None:
            return []
        self._mark = mark_of(log.checkpoint.tree)
        return [self._send(Logged(log.checkpoint.packed, b"".join(log.consistency), log.public_key))]

    def wipe(self) -> list[HubEffect]:
        """The edge is to remove everything, at once and whatever is unsent. It says when that is done."""
        self.phase = Phase.WIPING
        return [self._send(Control(WIPE, "everything is to leave this edge, by order of the hub's operator"))]

    def fenced(self, reason: str) -> list[HubEffect]:
        """The incarnation's history differs from the hub's: nothing was merged."""
        return self._end(Control("fence", reason))

    def ended(self, order: str, reason: str) -> list[HubEffect]:
        """The edge may not go on: `revoked`, or `refused` for a request it had no right to make."""
        return self._end(Control(order, reason))

    def busy(self, retry_after_ms: int) -> list[HubEffect]:
        """The hub cannot serve this edge now."""
        return self._end(SlowDown(retry_after_ms))

    def notified(self, hub_seq: int, now_ms: int) -> list[HubEffect]:
        """The tenant's order has come to `hub_seq`."""
        self._note_idle(now_ms)
        return self._moved(hub_seq)

    def _note_idle(self, now_ms: int) -> None:
        """What begins now may have an answer: the edge's silence before it was none."""
        if not self._is_awaiting:
            self._idle_ms = now_ms

    def _moved(self, hub_seq: int) -> list[HubEffect]:
        self._hub_seq = max(self._hub_seq, hub_seq)
        if self.phase is not Phase.OPEN or (self._hub_seq <= self._drawn_to and not self._repairing.wanted):
            return []
        return self._draw()

    # What the edge says.

    def _answered(self, message: Message) -> list[HubEffect]:
        match message:
            case Hello() if self.phase is Phase.GREETING:
                return self._greeted(message)
            case Batch() if self.phase is Phase.OPEN and not (self._receiving or self._deciding):
                self._receiving = self._upload(message)
                return self._piece(message.offset, message.piece)
            case Chunk() if self._receiving is not None:
                return self._piece(message.offset, message.piece)
            case Whole() if self.phase is Phase.OPEN and not (self._receiving or self._deciding):
                body = self._stream.heard.unseal(message.piece)
                return self._read(_Unread(body, self._chain, None, message.urgent))
            case Stored() if self._sending is not None:
                pieces = self._sending.stored(message.offset, self._stream.pacing)
                if self._offering is not None and self._sending.is_stored:
                    self._offering.stored()
                    return self._next_part(self._offering)
                return [self._send(piece) for piece in pieces]
            case Parts() if self._offering is not None:
                self._offering.asked(message)
                return self._next_part(self._offering)
            case Visible() if self._unseen.is_any:
                return self._seen(message.cursor)
            case Range() if self.phase is Phase.OPEN and self.protocol >= REPAIR_PROTOCOL:
                return self._ranged(message)
            case Control(order=order) if order == WIPED:
                return [Wiped(), *self._close(WIPED)]
            case Control(order=order, reason=reason):
                accused: list[HubEffect] = [Accused(reason)] if order == DISTRUST else []
                return accused + self._close(f"{order}: {reason}")
            case (
                Hello()
                | Welcome()
                | Batch()
                | Chunk()
                | Stored()
                | Merged()
                | Visible()
                | SlowDown()
                | Logged()
                | CheckIn()
                | CheckedIn()
                | Range()
                | Equal()
                | SnapshotOffer()
                | Parts()
                | Ahead()
                | Whole()
                | Again()
            ):
                raise ProtocolViolation(f"{type(message).__name__} while {self.phase.name}")

    def _greeted(self, hello: Hello) -> list[HubEffect]:
        if hello.protocol_max < PROTOCOL_MIN or hello.protocol_min > PROTOCOL_MAX:
            spoken = f"{hello.protocol_min} to {hello.protocol_max}"
            return self.ended(
                "refused", f"protocol {spoken} is not spoken here: {PROTOCOL_MIN} to {PROTOCOL_MAX}"
            )
        size_of(hello.checkpoint)  # a malformed mark ends the stream here
        subscription_of(hello)
        self.phase = Phase.OPENING
        self.protocol = min(hello.protocol_max, PROTOCOL_MAX)
        self._hello = hello
        self._link = link_class(hello.link_class)
        self._is_due = self._link is not LinkClass.METERED
        self._stream.learned = Pacing(hello.passed_bytes, hello.breaks)
        return [Open(hello)]

    def _upload(self, first: Batch) -> Receiving:
        upload = self._opening.upload if self._opening else None
        if upload is not None and upload.batch == upload_name(first.batch, first.last):
            # A break left the head of this very batch on disk.
            return Receiving(first, replace(upload, batch=first.batch))
        return Receiving(first, None)

    def _piece(self, offset: int, piece: bytes) -> list[HubEffect]:
        receiving = self._receiving
        assert receiving is not None, "a piece without its batch"
        receiving.add(offset, piece)
        if not receiving.complete:
            name = upload_name(receiving.batch, receiving.last)
            stored = StorePart(name, receiving.total, offset, piece)
            return [stored, *map(self._send, receiving.acknowledgement())]
        self._receiving = None
        return self._read(
            _Unread(unseal(receiving.sealed()), receiving.chain, receiving.last, receiving.urgent)
        )

    def _read(self, unread: _Unread) -> list[HubEffect]:
        wanted = wanted_by_push(unread.body)
        self._deciding = True
        if not wanted.documents:
            return self._pushed(unread, NOTHING_KNOWN)
        self._unread = unread
        return [wanted]

    def _pushed(self, unread: _Unread, before: Contents) -> list[HubEffect]:
        entries = decode_entries(unread.body, before)
        if any(each.dot.incarnation != self.incarnation for each in entries):
            raise ProtocolViolation(f"changes of another incarnation than {self.incarnation}")
        if unread.last not in (None, entries[-1].dot.local_seq):
            raise ProtocolViolation("the batch ends with another change than it says")
        return [Decide(marked(entries, unread.urgent), unread.chain)]

    def _seen(self, cursor: Cursor) -> list[HubEffect]:
        self._applied(cursor)
        return [Seen(cursor), *self._present(), *self._moved(self._hub_seq)]

    def _ranged(self, asked: Range) -> list[HubEffect]:
        if asked.applied and self._unseen.is_any:
            self._applied(asked.cursor)
        steps = self._repairing.asked(asked, self._cursor)
        return [*self._repair(steps), *self._moved(self._hub_seq)]

    def _applied(self, cursor: Cursor) -> None:
        if cursor < self._cursor or cursor.hub_seq > self._hub_seq:
            raise ProtocolViolation(
                f"replica says {cursor}, it was sent between {self._cursor} and {self._hub_seq}"
            )
        self._unseen.seen(cursor)
        self._cursor = cursor
        if not self._unseen.is_large:
            self._sending = self._offering = None
            self._held = b""

    # What this side does.

    def _present(self) -> list[HubEffect]:
        """Look whether there is more of the log to show, now and then."""
        if self._heard_ms - self._presented_ms < PRESENT_EVERY_MS:
            return []
        self._presented_ms = self._heard_ms
        return [Present(self._mark)]

    def _first(self) -> list[HubEffect]:
        """Compare where there is nothing to draw, and draw where there is."""
        is_level = self._cursor != START and self._cursor.hub_seq == self._hub_seq
        if not self._is_served:
            return []
        if not is_level or self._held or self.protocol < REPAIR_PROTOCOL:
            return self._draw()
        self._drawing = True
        return [Compare()]

    def _repair(self, steps: Sequence[Range | Survey | Report]) -> list[HubEffect]:
        return [self._send(each) if isinstance(each, Range) else each for each in steps]

    def _draw(self) -> list[HubEffect]:
        """Start a pull, unless one is on its way: then the next begins when it has been seen."""
        assert self._opening is not None, "draw before open"
        if self._drawing or self._repairing.is_under_way or not self._is_served:
            return []
        if self._unseen.is_full or self._is_urgent_only:
            return self._overtake()
        if self._repairing.wanted and self._unseen.is_any:
            return []  # it may lead to the same position as they do: which of them was seen?
        first = self._drawn_to < 0
        if not (self._is_due or first or self._held or self._repairing.wanted):
            return self._weigh()
        self._is_due, self._due_ms = self._link is not LinkClass.METERED, None
        self._drawing = True
        self._drawn_to = self._hub_seq
        replaced = self._repairing.taken()
        wanted = replaced or self._held
        after = self._unseen.last or self._cursor
        if after != START and after.hub_seq >= self._hub_seq and not wanted:
            self._drawing = False
            return []
        return [Draw(after, always=first, replaced=replaced, held=self._held)]

    @property
    def _is_long(self) -> bool:
        """Whether more than one piece is under way, so that there is something to overtake."""
        sending = self._sending
        is_cut = sending is not None and sending.total > self._stream.pacing.chunk_bytes
        return self._unseen.is_large and (is_cut or self._offering is not None)

    def _overtake(self) -> list[HubEffect]:
        """Look for what is urgent in what was decided since the pull under way was drawn."""
        assert self._opening is not None, "overtaking before open"
        drawn_to = -1 if self._is_urgent_only else self._drawn_to
        after = max(drawn_to, self._cursor.hub_seq, self._overtaken_to)
        may = self.protocol >= AHEAD_PROTOCOL and (self._is_long or self._is_urgent_only)
        if not may or self._hub_seq <= after:
            return []
        self._overtaken_to = self._hub_seq
        return [DrawUrgent(Cursor(self._opening.epoch, after))]

    def _only_urgent(self, urgent: Urgent) -> list[HubEffect]:
        """Send it, at first also where there is nothing: that tells the edge so. Or all else too."""
        assert self._opening is not None, "drawn before open"
        pull, is_first = urgent.pull, self._overtaken_to < 0
        upto = Cursor(self._opening.epoch, self._hub_seq) if pull is None else pull.upto
        self._overtaken_to = max(self._overtaken_to, upto.hub_seq)
        if urgent.is_all and pull is None and not is_first:
            return []
        sealed = seal(encode_pull(pull or Pull(self._cursor, upto, ScopeDigest(), {})))
        if urgent.is_all and len(sealed) <= CHUNK_BYTES_MAX:
            return [self._send(Ahead(sealed))]
        self._is_urgent_only = False
        return self._draw()

    def _weigh(self) -> list[HubEffect]:
        """Look how pressing what is new is, where that is not known."""
        assert self._opening is not None, "weighed before open"
        after = max(self._drawn_to, self._cursor.hub_seq, self._weighed_to)
        if self._hub_seq <= after:
            return []
        self._weighed_to = self._hub_seq
        return [Weigh(Cursor(self._opening.epoch, after))]

    def _come_due(self) -> list[HubEffect]:
        """What waited has waited long enough; where a pull is under way, for its end."""
        self._is_due, self._due_ms = True, None
        return self._draw()

    def _next_part(self, offering: Offering) -> list[HubEffect]:
        """The next part that was asked for, and after all of them the pull that swaps them in."""
        self._sending = None
        if offering.next is not None:
            return [Fetch(offering.next[1].name)]
        self._offering = None
        return self._pulled(offering.closing)

    def _pulled(self, pull: Pull) -> list[HubEffect]:
        """Send a pull: in one message, with the acknowledgement that waits for it, or in pieces."""
        packed = packed_pull(pull, self.protocol)
        if self.protocol < LIVE_PROTOCOL or len(packed.sealed) > self._stream.pacing.chunk_bytes:
            self._unseen.sent_large(pull.upto)
            return [*self._acknowledged(), *self._begin(packed.sealed, 0)]
        if waits(pull) or self._held:
            self._unseen.sent_large(pull.upto)
        else:
            self._unseen.sent(pull.upto)
        piece = self._stream.said.seal(packed.body if pull.whole else brief(packed.body))
        return self._acknowledged(piece) or [self._send(Whole(piece))]

    def _acknowledged(self, pull: bytes = b"") -> list[HubEffect]:
        """The acknowledgement that waited to take a pull with it; nothing where none does."""
        merged, self._merged = self._merged, None
        return [] if merged is None else [self._send(replace(merged, pull=pull))]

    def _begin(self, sealed: bytes, offset: int) -> list[HubEffect]:
        self._sending = Sending(sealed, offset=offset)
        spool: list[HubEffect] = []
        if self._sending.total > self._stream.pacing.chunk_bytes and not offset:
            spool = [Spool(self._sending.batch, sealed)]
        return [*spool, *(self._foremost() or self._pieces())]

    def _foremost(self) -> list[HubEffect]:
        """Before the first piece of something long: what is urgent of all that the replica lacks."""
        assert self._opening is not None, "drawn before open"
        after = max(self._cursor.hub_seq, self._overtaken_to)
        if self.protocol < AHEAD_PROTOCOL or not self._is_long or self._drawn_to <= after:
            return []
        self._overtaken_to = self._drawn_to
        return [DrawUrgent(Cursor(self._opening.epoch, after))]

    def _pieces(self) -> list[HubEffect]:
        """What may go now of what is under way."""
        sending = self._sending
        return [] if sending is None else [self._send(each) for each in sending.pieces(self._stream.pacing)]

    def _send(self, message: Message) -> Send:
        return Send(self._stream.frame(message))

    def _end(self, last: Message) -> list[HubEffect]:
        if self.phase is Phase.CLOSED:
            return []
        return [self._send(last), *self._close(type(last).__name__.lower())]

    def _close(self, reason: str) -> list[HubEffect]:
        self.phase = Phase.CLOSED
        return [Close(reason)]
