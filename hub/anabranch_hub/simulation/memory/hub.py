"""One tenant at its hub, in memory: Postgres' contract with the same pure functions."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from anabranch_sync.case import Case, Claim, Hand
from anabranch_sync.change import CHAIN_START, Change, Entry, Op, chained, entry
from anabranch_sync.clock import Timestamp, clamped
from anabranch_sync.conflict import Conflict
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import EMPTY, Document, Object, rebuild, written
from anabranch_sync.epochs import Ended, Epochs
from anabranch_sync.explanation import HANDS_SHOWN_MAX
from anabranch_sync.ids import HUB_INCARNATION, START, Cursor, DocumentId, Dot
from anabranch_sync.live import Quarantined, check_written, judged
from anabranch_sync.merge import decide
from anabranch_sync.messages import PROTOCOL_MAX
from anabranch_sync.opening import Answer, Opening
from anabranch_sync.policy import Policies
from anabranch_sync.pull import (
    Decided,
    Notice,
    Outcome,
    Pull,
    Result,
    Run,
    difference,
    touched_in_order,
    urgent,
)
from anabranch_sync.register import DELETED, Operand, Slot, json_of
from anabranch_sync.repairing import Surveyed
from anabranch_sync.scope import Scope
from anabranch_sync.snapshot import Cutter, Offer, Part, Slice, Snapshot, name_of, seal_slice
from anabranch_sync.standing import Partial

from anabranch_hub.simulation.disk import SOUND, Medium
from anabranch_hub.simulation.memory.documents import content_of, policies_of, scope_digest, surveyed
from anabranch_hub.simulation.memory.log import MemoryLog


class Fenced(Exception):
    """The incarnation's history is another one at the hub."""


@dataclass
class _Mark:
    push_mark: int = 0
    chain: bytes = CHAIN_START
    upload: Partial | None = None
    spool: dict[bytes, bytes] = field(default_factory=dict)


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
