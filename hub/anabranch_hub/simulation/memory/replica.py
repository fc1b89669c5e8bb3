"""An edge's replica in memory, with the durability of a disk: what was not synced is gone after a crash."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from anabranch_sync.acknowledgement import Marks
from anabranch_sync.change import CHAIN_START, Change, Entry, Op, chained, entry
from anabranch_sync.checkpoint import origin_of
from anabranch_sync.clock import Timestamp, tick
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import EMPTY, Document, Object, rebuild, written
from anabranch_sync.ids import START, Cursor, DocumentId, Dot
from anabranch_sync.live import Quarantined, Served, check_written, served
from anabranch_sync.merge import overlay
from anabranch_sync.outbox import next_push
from anabranch_sync.policy import SCHEMA_NAMESPACE
from anabranch_sync.priority import URGENT
from anabranch_sync.pull import Notice, Pull, Result, decided_at, fold, quarantined_after
from anabranch_sync.reoffer import Offers, Reoffer, in_front, offers
from anabranch_sync.repairing import Surveyed
from anabranch_sync.revision import Contents
from anabranch_sync.scope import EVERYTHING, Scope
from anabranch_sync.snapshot import name_of, open_slice
from anabranch_sync.standing import Partial, Standing
from anabranch_sync.witness import Witnessed

from anabranch_hub.simulation.disk import SOUND, Medium
from anabranch_hub.simulation.memory.documents import (
    Documents,
    content_of,
    policies_of,
    scope_digest,
    surveyed,
)
from anabranch_hub.simulation.memory.log import LOG_TENANT


@dataclass(frozen=True)
class ReplicaState:
    """Everything a replica keeps; immutable, so a crash or a backup is an assignment."""

    incarnation: int
    scope: Scope
    cursor: Cursor = START
    push_mark: int = 0
    chain: bytes = CHAIN_START
    stored_mark: int = 0
    last_local: int = 0
    timestamp: Timestamp = 0
    confirmed: Documents = field(default_factory=dict)
    outbox: tuple[Entry, ...] = ()
    partial: Partial | None = None
    notices: tuple[Notice, ...] = ()
    results: tuple[Result, ...] = ()
    witnessed: Witnessed | None = None
    distrusted: tuple[tuple[str, bytes], ...] = ()
    epoch: int = 0
    log_epoch: int = 0
    log_breaks: tuple[str, ...] = ()
    reoffered: tuple[Offers, ...] = ()
    incarnations: frozenset[int] = frozenset()
    exports: frozenset[bytes] = frozenset()  # courier files to which an answer may come
    ended: int = 0  # the incarnation under which nothing more may go
    wanted: Scope = EVERYTHING  # what is asked for of what was granted
    told: Scope = EVERYTHING  # and what the hub was told last of that
    quarantined: Mapping[DocumentId, Quarantined] = field(default_factory=dict)
    staged: Mapping[bytes, bytes] = field(default_factory=dict)
    # Urgent documents that overtook a pull, each with the position at which it is so.
    ahead: Mapping[DocumentId, tuple[Cursor, Document]] = field(default_factory=dict)

    @property
    def readable(self) -> tuple[object, ...]:
        """All that what readers get depends on."""
        return self.confirmed, self.outbox, self.quarantined, self.ahead


class MemoryReplica:
    """A replica whose disk is `disk`: what a method returns from is on it. They raise DiskFailure."""

    def __init__(self, state: ReplicaState, medium: Medium = SOUND) -> None:
        self.disk = state
        self.medium = medium
        self._state = state
        self._summed: tuple[Documents, Scope, ScopeDigest] | None = None
        self._damaged: tuple[DocumentId, ...] = ()  # what some read could not read

    def crash(self) -> None:
        """Power is gone: only the disk is left."""
        self._state = self.disk

    def commit(self, document: DocumentId, content: Object | None, *, now_ms: int) -> Entry | None:
        """Write one document's new content; None when it says nothing new. Raises Invalid."""
        state = self._state
        policies = policies_of(state.confirmed)
        visible = self.visible(document)
        check_written(document, lambda: rebuild(visible.registers), content, policies)
        ops = tuple(
            Op(document, slot, value)
            for slot, value in written(visible.registers, content, lambda path: policies.of(document, path))
        )
        if not ops:
            return None
        timestamp = tick(state.timestamp, now_ms)
        change = Change(timestamp, state.cursor, "ada", "", ops)
        new = entry(Dot(state.incarnation, state.last_local + 1), change)
        new = replace(new, priority=policies.priority(document))
        self._state = replace(
            state, timestamp=timestamp, last_local=state.last_local + 1, outbox=(*state.outbox, new)
        )
        self._sync()
        return new

    def alter(self, document: DocumentId, state: Document) -> None:
        """Nobody wrote this, and nothing tells: what is confirmed is another document, or none (EMPTY)."""
        confirmed = _without_absent({**self._state.confirmed, document: state})
        self._state = replace(self._state, confirmed=confirmed)
        self.disk = replace(self.disk, confirmed=confirmed)

    def rot(self, document: DocumentId) -> None:
        """The bytes of a document are not those that were written, and some read has told."""
        self._damaged = (*self._damaged, document)

    @property
    def state(self) -> ReplicaState:
        """All of it; another object whenever anything has changed."""
        return self._state

    def read(self, document: DocumentId) -> Object | None:
        """What a reader sees."""
        state = self._state
        aside = state.quarantined.get(document)
        head = content_of(self.visible(document))
        match served(
            document,
            lambda: head,
            policies_of(state.confirmed),
            pending=any(document in each.change.documents for each in state.outbox),
            quarantined=aside is not None and document not in state.ahead,
        ):
            case Served.HEAD:
                return head
            case Served.LIVE:
                return None if aside is None else aside.live
            case Served.CONFIRMED:
                return content_of(self._standing(document))

    def visible(self, document: DocumentId) -> Document:
        """The head: what is confirmed or has overtaken that, with the outbox merged into it."""
        state = self._state
        pending = [each for each in state.outbox if document in each.change.documents]
        standing = self._standing(document)
        return overlay(document, standing, pending, policies_of(state.confirmed)) if pending else standing

    def _standing(self, document: DocumentId) -> Document:
        ahead = self._state.ahead.get(document)
        return self._state.confirmed.get(document, EMPTY) if ahead is None else ahead[1]

    def overtake(self, pull: Pull) -> bool:
        """Show readers these documents until an applied pull comes as far; whether some wait for it."""
        state = self._state
        if pull.upto <= state.cursor:
            return False
        waiting = _waiting(state)
        taken = {
            document: (pull.upto, whole)
            for document, whole in pull.documents.items()
            if document not in waiting
            and (document in state.ahead or document not in state.quarantined)
            and document.namespace != SCHEMA_NAMESPACE
        }
        seen = max(
            (r.stamp.timestamp for _, whole in taken.values() for r in whole.registers.values()), default=0
        )
        self._state = replace(state, ahead={**state.ahead, **taken}, timestamp=max(state.timestamp, seen))
        self._sync()
        return len(taken) < len(pull.documents)

    def standing(self) -> Standing:
        """What a session begins with."""
        state = self._state
        return Standing(
            state.incarnation,
            state.cursor,
            state.push_mark,
            state.chain,
            state.last_local,
            self._digest(),
            state.partial,
            log=origin_of(LOG_TENANT),
            witnessed=state.witnessed,
            epoch=state.epoch,
            log_epoch=state.log_epoch,
            staged=tuple(state.staged),
            urgent_upto=self._urgent_upto(),
            must_renew=state.ended == state.incarnation,
        )

    def _urgent_upto(self) -> int:
        """The last urgent change that is not at the hub; 0: there is none."""
        unsent = (each for each in self._state.outbox if each.dot.local_seq > self._state.push_mark)
        return max((each.dot.local_seq for each in unsent if each.priority == URGENT), default=0)

    def _digest(self) -> ScopeDigest:
        """That of what is confirmed: asked more often than it changes."""
        confirmed, scope = self._state.confirmed, self._state.scope
        if self._summed is None or self._summed[0] is not confirmed or self._summed[1] != scope:
            self._summed = (confirmed, scope, scope_digest(confirmed, scope))
        return self._summed[2]

    def pending(self, after: int) -> Sequence[Entry]:
        """The head of the outbox after this mark."""
        return next_push([each for each in self._state.outbox if each.dot.local_seq > after])

    def contents(self, documents: Iterable[DocumentId]) -> Contents:
        """What these documents are, of those that are confirmed."""
        found = ((each, content_of(self._state.confirmed.get(each, EMPTY))) for each in documents)
        return {document: content for document, content in found if content is not None}

    def marks(self) -> Marks:
        """How far own changes have come."""
        state = self._state
        visible = state.outbox[0].dot.local_seq - 1 if state.outbox else state.last_local
        return Marks(state.last_local, max(state.stored_mark, state.push_mark), state.push_mark, visible)

    def exported(self, export: bytes) -> None:
        """Remember a courier file, before anybody can answer it."""
        self._state = replace(self._state, exports=self._state.exports | {export})
        self._sync()

    def ask_renewal(self) -> None:
        """The present incarnation's history is another at the hub."""
        self._state = replace(self._state, ended=self._state.incarnation)
        self._sync()

    def want(self, wanted: Scope) -> None:
        """Ask for this of what was granted, from the next handshake on."""
        self._state = replace(self._state, wanted=wanted)
        self._sync()

    def told(self, asked: Scope) -> None:
        """The hub was told of a subscription."""
        self._state = replace(self._state, told=asked)
        self._sync()

    def note_stored(self, stored_mark: int) -> None:
        """The other side has everything up to here on disk."""
        self._state = replace(self._state, stored_mark=max(stored_mark, self._state.stored_mark))
        self._sync()

    def acknowledge(self, push_mark: int, chain: bytes) -> None:
        """The hub has committed up to here."""
        self._state = replace(self._state, push_mark=push_mark, chain=chain)
        self._sync()

    def store_part(self, batch: bytes, total: int, offset: int, piece: bytes) -> None:
        """Keep a piece of a pull."""
        partial = self._state.partial
        head = partial.received if partial and partial.batch == batch else b""
        assert offset <= len(head), "pieces are stored without gaps"
        new = piece[len(head) - offset :]
        self._state = replace(self._state, partial=Partial(batch, total, head + new))
        self._sync()

    def discard(self) -> None:
        """The pieces that came are not what they were said to be."""
        self._state = replace(self._state, partial=None)
        self._sync()

    def stage(self, names: Sequence[bytes]) -> None:
        """Drop the parts that are not of this snapshot."""
        staged = {name: sealed for name, sealed in self._state.staged.items() if name in names}
        self._state = replace(self._state, staged=staged)
        self._sync()

    def keep(self, name: bytes, sealed: bytes) -> None:
        """Keep a part, in place of its pieces."""
        assert name_of(sealed) == name, "a part is kept under its name"
        self._state = replace(self._state, staged={**self._state.staged, name: sealed}, partial=None)
        self._sync()

    def apply(self, pull: Pull, reoffer: Reoffer | None = None, rescoped: Scope | None = None) -> ScopeDigest:
        """Documents, outbox, what is offered again, scope and cursor in one step."""
        state, here = self._state, _waiting(self._state)
        if rescoped is not None:
            state = self._state = replace(state, scope=rescoped)
            here |= {*state.confirmed, *state.ahead, *(each.case.document for each in state.notices)}
        # Where the scope stays: what is merged after its document had left does not stay here.
        leaving = {document for document in here if not state.scope.reads(document)}
        if not pull.whole:
            pull = replace(pull, replaced=pull.replaced | leaving)
        for cut in [open_slice(state.staged[name]) for name in pull.parts]:
            documents = {**pull.documents, **cut.documents}
            pull = replace(pull, documents=documents, quarantined={**pull.quarantined, **cut.quarantined})
        named = decided_at(pull.runs).keys()
        push_mark, chain = state.push_mark, state.chain
        for each in state.outbox:
            if push_mark < each.dot.local_seq <= max(named, default=0):
                push_mark, chain = each.dot.local_seq, chained(chain, each.body)
        own = [each for each in state.outbox if each.dot.local_seq in named]
        changed = fold(state.confirmed, state.incarnation, own, pull)
        seen = max(
            (s.timestamp for d in pull.documents.values() for r in d.registers.values() for s in r.stamps),
            default=0,
        )
        self._state = replace(
            state,
            confirmed=_without_absent(changed if pull.whole else {**state.confirmed, **changed}),
            quarantined=quarantined_after(state.quarantined, own, pull),
            outbox=tuple(each for each in state.outbox if each.dot.local_seq not in named),
            push_mark=push_mark,
            chain=chain,
            cursor=pull.upto,
            epoch=pull.upto.epoch,
            timestamp=max(state.timestamp, seen),
            partial=None,
            staged={},
            ahead={
                each: kept
                for each, kept in state.ahead.items()
                if kept[0] > pull.upto and each not in leaving
            },
            notices=tuple(
                each for each in (*state.notices, *pull.notices) if each.case.document not in leaving
            ),
            results=(*state.results, *pull.results),
        )
        if reoffer is not None:
            self._offer(state, pull, reoffer)
        self._damaged = tuple(each for each in self._damaged if each not in pull.replaced and not pull.whole)
        self._sync()
        return self._digest()

    def _offer(self, before: ReplicaState, pull: Pull, reoffer: Reoffer) -> None:
        """Put what the restored hub lacks in front of the outbox."""
        own = before.incarnations | {before.incarnation}
        found = offers(
            before.confirmed.items(),
            lambda document: pull.documents.get(document, EMPTY),
            reoffer,
            own,
            before.scope,
        )
        state = self._state
        mark = max([state.push_mark, *(run.first_local + run.count - 1 for run in pull.runs)])
        kept = [each for each in state.outbox if each.dot.local_seq <= mark]
        waiting = [each for each in state.outbox if each.dot.local_seq > mark]
        outbox = (*kept, *in_front(found.changes, waiting, state.incarnation, mark))
        self._state = replace(
            state,
            outbox=outbox,
            last_local=max(state.last_local, *(each.dot.local_seq for each in outbox), mark)
            if outbox
            else state.last_local,
            reoffered=(*state.reoffered, found),
            incarnations=frozenset(),
        )

    def adopt(self, incarnation: int) -> None:
        """Every change in the outbox gets a new dot; its bytes stay."""
        outbox = tuple(
            replace(each, dot=Dot(incarnation, number)) for number, each in enumerate(self._state.outbox, 1)
        )
        self._state = replace(
            self._state,
            incarnations=self._state.incarnations | {self._state.incarnation},
            incarnation=incarnation,
            outbox=outbox,
            last_local=len(outbox),
            push_mark=0,
            chain=CHAIN_START,
            stored_mark=0,
            partial=None,
        )
        self._sync()

    def witness(self, witnessed: Witnessed, hub_seq: int, *, epoch: int = 0, broken: str = "") -> None:
        """The hub's log has come this far, when the hub stood at `hub_seq`; `broken`: or begun anew."""
        breaks = (*self._state.log_breaks, broken) if broken else self._state.log_breaks
        self._state = replace(self._state, witnessed=witnessed, log_epoch=epoch, log_breaks=breaks)
        self._sync()

    def distrust(self, reason: str, checkpoint: bytes) -> None:
        """The hub's log is not the one that was seen."""
        self._state = replace(self._state, distrusted=(*self._state.distrusted, (reason, checkpoint)))
        self._sync()

    def survey(self) -> Surveyed:
        """The digests of the live documents."""
        found = surveyed(self._state.confirmed, self._state.scope)
        digests = {each: digest for each, digest in found.digests.items() if each not in self._damaged}
        return Surveyed(digests, self._damaged)

    def reset(self) -> None:
        """Forget the cursor: the next pull is whole."""
        self._state = replace(self._state, cursor=START, partial=None)
        self._sync()

    @property
    def outbox(self) -> tuple[Entry, ...]:
        """The changes the hub has not confirmed."""
        return self._state.outbox

    @property
    def confirmed(self) -> Documents:
        """What the hub has confirmed."""
        return self._state.confirmed

    def _sync(self) -> None:
        """Write and sync. What failed does not count: the store is opened again over what is on its disk."""
        failure = self.medium.failure()
        if failure is None or failure.reached:
            self.disk = self._state
        else:
            self._state = self.disk
        if failure is not None:
            raise failure


def _waiting(state: ReplicaState) -> set[DocumentId]:
    return {document for each in state.outbox for document in each.change.documents}


def _without_absent(documents: Documents) -> Documents:
    return {document: state for document, state in documents.items() if state != EMPTY}
