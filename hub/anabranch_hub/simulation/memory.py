"""Stores in memory with the durability of disks: what was not fsynced is gone after a crash.

They keep the contracts of the SQLite replica and of the Postgres store (tests/contracts) with the
same pure functions, so that the simulator runs the production code from the session inwards.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from anabranch_sync.acknowledgement import Marks
from anabranch_sync.case import Case, Claim, Hand
from anabranch_sync.change import CHAIN_START, Change, Entry, Op, chained, entry
from anabranch_sync.checkpoint import SignedCheckpoint, origin_of
from anabranch_sync.clock import Timestamp, clamped, tick
from anabranch_sync.conflict import Conflict
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import EMPTY, Document, Object, digest, rebuild, written
from anabranch_sync.epochs import Ended, Epochs
from anabranch_sync.explanation import HANDS_SHOWN_MAX
from anabranch_sync.ids import HUB_INCARNATION, START, Cursor, DocumentId, Dot
from anabranch_sync.live import Quarantined, Served, check_written, judged, served
from anabranch_sync.merge import decide
from anabranch_sync.merkle import Frontier, Subtree, TreeHead, frontier_at, leaf_hash
from anabranch_sync.messages import PROTOCOL_MAX
from anabranch_sync.opening import Answer, Opening
from anabranch_sync.outbox import next_push
from anabranch_sync.policy import SCHEMA_NAMESPACE, Policies, policies_from
from anabranch_sync.pull import (
    Decided,
    Notice,
    Outcome,
    Pull,
    Result,
    Run,
    difference,
    fold,
    overlay,
    quarantined_after,
    touched_in_order,
    urgent,
)
from anabranch_sync.register import DELETED, Operand, Slot, json_of
from anabranch_sync.reoffer import Offers, Reoffer, in_front, offers
from anabranch_sync.repairing import Surveyed
from anabranch_sync.scope import Scope
from anabranch_sync.snapshot import Cutter, Offer, Part, Slice, Snapshot, name_of, open_slice, seal_slice
from anabranch_sync.standing import Partial, Standing
from anabranch_sync.witness import Presented, Witnessed, needed, presented

from anabranch_hub.simulation.disk import SOUND, Medium
from anabranch_hub.simulation.log_key import LogKey

Documents = Mapping[DocumentId, Document]

LOG_TENANT = "acme"


def policies_of(documents: Documents) -> Policies:
    """The policies in force among `documents`."""
    schemas = {each: state for each, state in documents.items() if each.namespace == SCHEMA_NAMESPACE}
    key = tuple(id(state) for state in schemas.values())
    known = _POLICIES.get(key)
    if known is None:
        if len(_POLICIES) > 1_000:
            _POLICIES.clear()
        found = ((each, state.version, rebuild(state.registers)) for each, state in schemas.items())
        known = _POLICIES[key] = (schemas, policies_from(found))
    return known[1]


# By the identity of the schema documents, which are kept beside so that it stays theirs.
_POLICIES: dict[tuple[int, ...], tuple[Documents, Policies]] = {}


def scope_digest(documents: Documents, scope: Scope) -> ScopeDigest:
    """The digest of `documents`, from the content of each."""
    total = ScopeDigest()
    for document, state in documents.items():
        if scope.reads(document):
            total = total.replaced(0, _document_digest(document, state))
    return total


def content_of(state: Document) -> Object | None:
    """The content of a document, computed once; not to be changed."""
    known = _CONTENTS.get(id(state))
    if known is None or known[0] is not state:
        if len(_CONTENTS) > 10_000:
            _CONTENTS.clear()
        known = _CONTENTS[id(state)] = (state, rebuild(state.registers))
    return known[1]


_CONTENTS: dict[int, tuple[Document, Object | None]] = {}


def surveyed(documents: Documents, scope: Scope) -> Surveyed:
    """The digest of each live one of `documents`."""
    digests = {each: _document_digest(each, state) for each, state in documents.items() if scope.reads(each)}
    return Surveyed({document: digest for document, digest in digests.items() if digest})


def _document_digest(document: DocumentId, state: Document) -> int:
    """Documents are immutable, so the digest of one is computed once: a third of the run time."""
    known = _DIGESTS.get(id(state))
    if known is None or known[0] is not state:
        if len(_DIGESTS) > 10_000:
            _DIGESTS.clear()
        known = _DIGESTS[id(state)] = (state, digest(document, content_of(state)))
    return known[1]


_DIGESTS: dict[int, tuple[Document, int]] = {}


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
    quarantined: Mapping[DocumentId, Quarantined] = field(default_factory=dict)
    staged: Mapping[bytes, bytes] = field(default_factory=dict)
    # Urgent documents that overtook a pull, each with the position at which it is so.
    ahead: Mapping[DocumentId, tuple[Cursor, Document]] = field(default_factory=dict)


class MemoryReplica:
    """A replica whose disk is `disk`: what a method returns from is on it. They raise DiskFailure."""

    def __init__(self, state: ReplicaState, medium: Medium = SOUND) -> None:
        self.disk = state
        self.medium = medium
        self._state = state
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
        return overlay(document, self._standing(document), pending, policies_of(state.confirmed))

    def _standing(self, document: DocumentId) -> Document:
        ahead = self._state.ahead.get(document)
        return self._state.confirmed.get(document, EMPTY) if ahead is None else ahead[1]

    def overtake(self, pull: Pull) -> None:
        """Show readers these documents until an applied pull comes as far."""
        state = self._state
        if pull.upto <= state.cursor:
            return
        waiting = {document for each in state.outbox for document in each.change.documents}
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

    def standing(self) -> Standing:
        """What a session begins with."""
        state = self._state
        return Standing(
            state.incarnation,
            state.cursor,
            state.push_mark,
            state.chain,
            state.last_local,
            scope_digest(state.confirmed, state.scope),
            state.partial,
            log=origin_of(LOG_TENANT),
            witnessed=state.witnessed,
            epoch=state.epoch,
            log_epoch=state.log_epoch,
            staged=tuple(state.staged),
        )

    def pending(self, after: int) -> Sequence[Entry]:
        """The head of the outbox after this mark."""
        return next_push([each for each in self._state.outbox if each.dot.local_seq > after])

    def marks(self) -> Marks:
        """How far own changes have come."""
        state = self._state
        visible = state.outbox[0].dot.local_seq - 1 if state.outbox else state.last_local
        return Marks(state.last_local, max(state.stored_mark, state.push_mark), state.push_mark, visible)

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
        head = partial.received[:offset] if partial and partial.batch == batch else b""
        assert len(head) == offset, "pieces are stored without gaps"
        self._state = replace(self._state, partial=Partial(batch, total, head + piece))
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

    def apply(self, pull: Pull, reoffer: Reoffer | None = None) -> ScopeDigest:
        """Documents, outbox, what is offered again, and cursor in one step."""
        state = self._state
        for cut in [open_slice(state.staged[name]) for name in pull.parts]:
            documents = {**pull.documents, **cut.documents}
            pull = replace(pull, documents=documents, quarantined={**pull.quarantined, **cut.quarantined})
        named = {run.first_local + offset for run in pull.runs for offset in range(run.count)}
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
            cursor=pull.upto,
            epoch=pull.upto.epoch,
            timestamp=max(state.timestamp, seen),
            partial=None,
            staged={},
            ahead={each: kept for each, kept in state.ahead.items() if kept[0] > pull.upto},
            notices=(*state.notices, *pull.notices),
            results=(*state.results, *pull.results),
        )
        if reoffer is not None:
            self._offer(state, pull, reoffer)
        self._damaged = tuple(each for each in self._damaged if each not in pull.replaced and not pull.whole)
        self._sync()
        return scope_digest(self._state.confirmed, state.scope)

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
            Entry(Dot(incarnation, number), each.change, each.body)
            for number, each in enumerate(self._state.outbox, 1)
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


def _without_absent(documents: Documents) -> Documents:
    return {document: state for document, state in documents.items() if state != EMPTY}


class Fenced(Exception):
    """The incarnation's history is another one at the hub."""


@dataclass
class _Mark:
    push_mark: int = 0
    chain: bytes = CHAIN_START
    upload: Partial | None = None
    spool: dict[bytes, bytes] = field(default_factory=dict)


class MemoryLog:
    """A real Merkle tree with a leaf for each decision, and a fixed key. `away`: the key is, for a while."""

    def __init__(self, leaves: Sequence[bytes] = (), key: LogKey | None = None) -> None:
        self.away = False
        self.leaves: list[bytes] = []
        self._key = key or LogKey(LOG_TENANT)
        self._frontier = Frontier()
        self._store: dict[Subtree, bytes] = {}
        for leaf in leaves:
            self.append(leaf)

    def append(self, leaf: bytes) -> None:
        """One more leaf."""
        self.leaves.append(leaf)
        self._frontier, completed = self._frontier.appended([leaf_hash(leaf)])
        self._store.update(completed)

    def head_at(self, size: int) -> TreeHead:
        """The tree as it was at `size`."""
        return frontier_at(size, self._store).head

    @property
    def newest(self) -> SignedCheckpoint:
        """The tree as it is, signed."""
        return self._key.signed(self._frontier.head)

    def presented(self, mark: bytes) -> Presented | None:
        """What to show a replica that has seen this."""
        if self.away or needed(mark, self._frontier.head) is None:
            return None
        return presented(mark, self.newest, self._key.verifier, self._store)


class MemoryHub:
    """One tenant's store. Every method is one transaction; a crash of the hub process loses none.

    `decide`, `write` and `store_upload` raise DiskFailure: see `disk`.
    """

    def __init__(self, scope: Scope, now_ms: Callable[[], int], medium: Medium = SOUND) -> None:
        self.epochs = Epochs(1)
        self.scope = scope
        self.medium = medium
        self.documents: dict[DocumentId, Document] = {}
        self.quarantined: dict[DocumentId, Quarantined] = {}
        self.hub_seq = 0
        self.log: list[tuple[int, Entry, Outcome]] = []
        self.ledger: list[tuple[int, Conflict]] = []
        self.tree = MemoryLog()
        self.trimmed_seq = 0
        # Whether a pull that could be a delta travels as a snapshot, and how large each document counts.
        self.offers: Callable[[], bool] = lambda: False
        self.cut_bytes = 1_000
        self._parts: dict[bytes, bytes] = {}
        self._now_ms = now_ms
        self._marks: dict[int, _Mark] = {HUB_INCARNATION: _Mark()}
        self._merged: set[bytes] = set()
        self._leased = HUB_INCARNATION

    @property
    def epoch(self) -> int:
        """The one it is in."""
        return self.epochs.current

    def backup(self) -> "MemoryHub":
        """A copy of everything that is stored. What was spooled is of no use later."""
        copied = MemoryHub(self.scope, self._now_ms, self.medium)
        copied.epochs = self.epochs
        copied.documents, copied.quarantined = dict(self.documents), dict(self.quarantined)
        copied.hub_seq, copied.log, copied.ledger = self.hub_seq, list(self.log), list(self.ledger)
        copied.tree = MemoryLog(self.tree.leaves)
        copied._merged = set(self._merged)
        copied._marks = {number: replace(mark, spool={}) for number, mark in self._marks.items()}
        return copied

    def restored(self, backup: "MemoryHub") -> "MemoryHub":
        """The hub in place of this one, as `backup` had it, in another epoch.

        No incarnation is given out twice: the real hub knows whose each is, and refuses anybody else.
        """
        again = backup.backup()
        ended = Ended(backup.epoch, backup.hub_seq)
        again.epochs = Epochs(max(self.epoch, backup.epoch) + 1, (*backup.epochs.ended, ended))
        again._leased = self._leased
        return again

    def open_replica(self, incarnation: int, mark: bytes = b"") -> Opening:
        """Find an incarnation or lease the next; `mark` is what the replica has seen of the log."""
        if incarnation == HUB_INCARNATION or incarnation not in self._marks:
            incarnation = self._leased = self._leased + 1
            self._marks[incarnation] = _Mark()
        standing = self._marks[incarnation]
        return Opening(
            self.epoch,
            incarnation,
            standing.push_mark,
            standing.chain,
            self.hub_seq,
            self.scope,
            standing.upload,
            self.tree.presented(mark),
            self.epochs.ended,
        )

    def decide(self, entries: Sequence[Entry], chain: bytes) -> Answer:
        """Merge a push, all or nothing. Raises Fenced."""
        mark = self._marks[entries[0].dot.incarnation]
        if entries[0].dot.local_seq != mark.push_mark + 1 or chain != mark.chain:
            raise Fenced
        with self._committed():
            self._decide_all(entries, mark)
        return Answer(mark.push_mark, mark.chain, self.hub_seq)

    @contextmanager
    def _committed(self) -> Iterator[None]:
        """One transaction: all of it, or nothing, whatever its author hears."""
        failure = self.medium.failure()
        if failure is not None and not failure.reached:
            raise failure
        yield
        if failure is not None:
            raise failure

    def _decide_all(self, entries: Sequence[Entry], mark: _Mark) -> None:
        for each in entries:
            self._decide_one(each)
            mark.chain = chained(mark.chain, each.body)
        mark.push_mark = entries[-1].dot.local_seq
        mark.upload = None

    def _decide_one(self, each: Entry) -> None:
        self.hub_seq += 1
        self.tree.append(each.body)
        if each.content_id in self._merged:
            self.log.append((self.hub_seq, each, Outcome.DUPLICATE))
            return
        if not all(self.scope.writes(document) for document in each.change.documents):
            self.log.append((self.hub_seq, each, Outcome.REFUSED))
            return
        timestamp = clamped(each.change.timestamp, self._now_ms())
        base = Cursor(self.epoch, self.epochs.seen(each.change.base))
        self._merge(replace(each, change=replace(each.change, base=base)), timestamp)

    def _merge(self, each: Entry, timestamp: Timestamp) -> None:
        policies = policies_of(self.documents)
        decision = decide(
            self.documents, each.change, each.dot.incarnation, self.hub_seq, timestamp, policies
        )
        for document, state in decision.documents.items():
            self._judge(document, state, policies)
        self.documents.update(decision.documents)
        self.ledger += [(self.hub_seq, conflict) for conflict in decision.conflicts]
        self._merged.add(each.content_id)
        self.log.append((self.hub_seq, each, Outcome.MERGED))

    def _judge(self, document: DocumentId, state: Document, policies: Policies) -> None:
        before = self.documents.get(document, EMPTY)
        standing = self.quarantined.pop(document, None)
        content, replaced = rebuild(state.registers), (rebuild(before.registers), before.version)
        quarantined = judged(document, content, replaced, standing, policies)
        if quarantined is not None:
            self.quarantined[document] = quarantined

    @property
    def merged(self) -> Collection[bytes]:
        """The changes that count, by content id."""
        return self._merged

    def read(self, document: DocumentId) -> Object | None:
        """What a reader gets."""
        aside = self.quarantined.get(document)
        return content_of(self.documents.get(document, EMPTY)) if aside is None else aside.live

    def write(self, document: DocumentId, content: Object | None) -> None:
        """The hub's own change: it has seen everything. Raises Invalid."""
        policies = policies_of(self.documents)
        registers = self.documents.get(document, EMPTY).registers
        check_written(document, lambda: rebuild(registers), content, policies)
        leaves = written(registers, content, lambda path: policies.of(document, path))
        if not leaves:
            return
        with self._committed():
            self._write(document, leaves)

    def _write(self, document: DocumentId, leaves: Sequence[tuple[Slot, Operand]]) -> None:
        mark = self._marks[HUB_INCARNATION]
        mark.push_mark += 1
        ops = tuple(Op(document, slot, value) for slot, value in leaves)
        timestamp = self._now_ms() << 16
        change = Change(timestamp, Cursor(self.epoch, self.hub_seq), "operator", "", ops)
        self.hub_seq += 1
        own = entry(Dot(HUB_INCARNATION, mark.push_mark), change)
        self.tree.append(own.body)
        self._merge(own, timestamp)

    def draw(
        self,
        incarnation: int,
        after: Cursor,
        *,
        always: bool,
        replaced: frozenset[DocumentId] = frozenset(),
        protocol: int = PROTOCOL_MAX,
    ) -> Pull | Offer | None:
        """What the replica lacks; a snapshot where that is everything, or `offers` says so."""
        pull = self.pull(incarnation, after, always=always, replaced=replaced)
        if pull is None or protocol < 2 or not (pull.whole or self.offers()):
            return pull
        cutter, slices = Cutter(), list[Slice | None]()
        for document, state in sorted(self.documents.items()):
            if self.scope.reads(document):
                slices.append(cutter.add(document, state, self.cut_bytes, self.quarantined.get(document)))
        parts = [seal_slice(cut) for cut in [*slices, cutter.rest()] if cut is not None]
        self._parts = {name_of(sealed): sealed for sealed in parts}
        named = tuple(Part(name, len(sealed)) for name, sealed in self._parts.items())
        names = tuple(self._parts)
        closing = replace(
            pull, documents={}, versions=(), whole=True, quarantined={}, replaced=frozenset(), parts=names
        )
        return Offer(Snapshot(pull.upto, pull.digest, named), closing)

    def urgent(self, incarnation: int, after: Cursor) -> Pull | None:
        """The urgent documents that others changed after a position, whole."""
        policies = policies_of(self.documents)
        changed = {
            document: state
            for document, state in self.documents.items()
            if self.scope.reads(document)
            and state.hub_seq > after.hub_seq
            and document not in self.quarantined
        }
        upto = Cursor(self.epoch, self.hub_seq)
        return urgent(changed, policies, incarnation, after, upto)

    def part(self, name: bytes) -> bytes | None:
        """A part of the last snapshot."""
        return self._parts.get(name)

    def trim(self) -> None:
        """Forget of the log what only a delta needs: of changes everything but what became of them."""
        self.trimmed_seq = self.hub_seq

    def pull(
        self,
        incarnation: int,
        after: Cursor,
        *,
        always: bool,
        replaced: frozenset[DocumentId] = frozenset(),
    ) -> Pull | None:
        """What the replica lacks, and these documents whole."""
        start = after.hub_seq if after.epoch == self.epoch else 0
        own = [
            Decided(hub_seq, each.dot.local_seq, each.change, outcome)
            for hub_seq, each, outcome in self.log
            if hub_seq > start and each.dot.incarnation == incarnation
        ]
        whole = after.epoch != self.epoch or any(each.hub_seq <= self.trimmed_seq for each in own)
        merged = [each.change for each in own if each.outcome is Outcome.MERGED]
        touched = {document for each in own for document in each.change.documents}
        documents = {
            document: state
            for document, state in self.documents.items()
            if self.scope.reads(document)
            and (whole or state.hub_seq > start or document in touched or document in replaced)
        }
        notices = tuple(
            _notice(hub_seq, conflict, incarnation)
            for hub_seq, conflict in self.ledger
            if hub_seq > start and any(s.actor == incarnation for c in conflict.candidates for s in c.stamps)
        )
        if not (documents or own or notices or always or whole or replaced):
            return None
        return Pull(
            after if after.epoch == self.epoch else START,
            Cursor(self.epoch, self.hub_seq),
            scope_digest(self.documents, self.scope),
            documents if whole else difference(documents, start, incarnation, own, replaced),
            tuple(Run(each.local_seq, each.hub_seq, 1) for each in own),
            tuple(
                Result(each.local_seq, each.outcome, "") for each in own if each.outcome is not Outcome.MERGED
            ),
            notices,
            ()
            if whole
            else tuple(self.documents.get(document, EMPTY).version for document in touched_in_order(merged)),
            whole,
            {document: aside for document, aside in self.quarantined.items() if document in documents},
            frozenset() if whole else replaced,
        )

    def compared(self) -> tuple[Cursor, ScopeDigest]:
        """Where it stands, and what equals that."""
        return Cursor(self.epoch, self.hub_seq), scope_digest(self.documents, self.scope)

    def survey(self) -> Surveyed:
        """The digests of the live documents."""
        return surveyed(self.documents, self.scope)

    def store_upload(self, incarnation: int, batch: bytes, total: int, offset: int, piece: bytes) -> None:
        """Keep a piece of a push."""
        mark = self._marks[incarnation]
        head = mark.upload.received[:offset] if mark.upload and mark.upload.batch == batch else b""
        with self._committed():
            mark.upload = Partial(batch, total, head + piece)

    def spool(self, incarnation: int, batch: bytes, sealed: bytes) -> None:
        """Keep the bytes of a pull."""
        self._marks[incarnation].spool = {batch: sealed}

    def spooled(self, incarnation: int, batch: bytes) -> bytes | None:
        """Find them again."""
        return self._marks[incarnation].spool.get(batch)

    def seen(self, incarnation: int) -> None:
        """The replica has applied what it was sent."""
        self._marks[incarnation].spool = {}


def _notice(hub_seq: int, conflict: Conflict, incarnation: int) -> Notice:
    claims = tuple(
        Claim(
            each.slot.path,
            each.slot.element,
            each.value if each.value is DELETED else json_of(each.value),
            tuple(Hand("", str(stamp.actor), stamp.timestamp) for stamp in each.stamps[:HANDS_SHOWN_MAX]),
        )
        for each in conflict.candidates
    )
    won = any(stamp.actor == incarnation for stamp in conflict.winner.stamps)
    policy, version = str(conflict.policy), conflict.policy_version
    return Notice(0, hub_seq, won, Case(conflict.document, conflict.kind, policy, version, claims))
