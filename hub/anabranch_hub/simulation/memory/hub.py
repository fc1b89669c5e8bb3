"""One tenant at its hub, in memory: Postgres' contract with the same pure functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from anabranch_sync.change import Change, Entry, Op, entry
from anabranch_sync.clock import Timestamp, clamped
from anabranch_sync.collection import collectable, recalled
from anabranch_sync.document import EMPTY, Document, Object, rebuild, written
from anabranch_sync.epochs import Ended, Epochs
from anabranch_sync.ids import HUB_INCARNATION, START, Cursor, DocumentId, Dot
from anabranch_sync.live import check_written, judged
from anabranch_sync.merge import decide
from anabranch_sync.opening import Answer, Opening
from anabranch_sync.policy import Policies
from anabranch_sync.priority import URGENT
from anabranch_sync.pull import (
    Outcome,
)
from anabranch_sync.register import Operand, Slot
from anabranch_sync.scope import EVERYTHING, Scope
from anabranch_sync.standing import Partial
from anabranch_sync.wiping import WipeOrder

from anabranch_hub.simulation.disk import SOUND, Medium
from anabranch_hub.simulation.memory.documents import Documents, policies_of
from anabranch_hub.simulation.memory.log import MemoryLog
from anabranch_hub.simulation.memory.tenant import Decision, Enrolled, Replicated, Tenant

if TYPE_CHECKING:
    from anabranch_hub.store.parcels import Parcel


class Fenced(Exception):
    """The incarnation's history is another one at the hub."""


class MemoryHub(Tenant):
    """One tenant's store. Every method is one transaction; a crash of the hub process loses none.

    What writes raises DiskFailure: see `disk`.
    """

    def __init__(self, scope: Scope, now_ms: Callable[[], int], medium: Medium = SOUND) -> None:
        super().__init__(scope)
        self.medium = medium
        self._now_ms = now_ms
        self._moment = 0

    def backup(self) -> MemoryHub:
        """A copy of everything that is stored. What was spooled is of no use later."""
        copied = MemoryHub(self.scope, self._now_ms, self.medium)
        copied.epochs = self.epochs
        copied.edges = {name: replace(each, former=dict(each.former)) for name, each in self.edges.items()}
        copied.parcels = dict(self.parcels)
        copied.documents, copied.quarantined = dict(self.documents), dict(self.quarantined)
        copied.hub_seq, copied.log, copied.ledger = self.hub_seq, list(self.log), list(self.ledger)
        copied.decisions = list(self.decisions)
        copied.former = list(self.former)
        copied.tree = MemoryLog(self.tree.leaves)
        copied.trimmed_seq = self.trimmed_seq
        copied.collected_seq, copied.collected = self.collected_seq, dict(self.collected)
        copied.offers, copied.cut_bytes, copied.named = self.offers, self.cut_bytes, self.named
        copied._merged, copied._refused = set(self._merged), set(self._refused)
        copied.absorbed = set(self.absorbed)
        copied._marks = {number: replace(mark, spool={}) for number, mark in self._marks.items()}
        copied._leased, copied._moment = self._leased, self._moment
        return copied

    def restored(self, backup: MemoryHub) -> MemoryHub:
        """The hub in place of this one, as `backup` had it, in another epoch.

        No incarnation is given out twice: the real hub knows whose each is, and refuses anybody else.
        """
        again = backup.backup()
        ended = Ended(backup.epoch, backup.hub_seq)
        again.epochs = Epochs(max(self.epoch, backup.epoch) + 1, (*backup.epochs.ended, ended))
        again._leased = self._leased
        return again

    def open_replica(
        self, incarnation: int, mark: bytes = b"", edge: str = "", wanted: Scope | None = None
    ) -> Opening:
        """Find an incarnation or lease the next; `mark` is what the replica has seen of the log.

        `wanted` is what it asks for of what it was granted, where it says so.
        """
        if wanted is not None and wanted != self.edge(edge).subscription:
            with self._committed():
                self._put_scope(edge, subscription=wanted)
        if edge in self.edges:
            self.edges[edge].retired = False  # it has come back
        self._moment += 1
        if incarnation == HUB_INCARNATION or incarnation not in self._marks:
            incarnation = self._leased = self._leased + 1
            self._marks[incarnation] = Replicated(edge, self._moment, self._moment)
        standing = self._marks[incarnation]
        standing.seen = self._moment
        return Opening(
            self.epoch,
            incarnation,
            standing.push_mark,
            standing.chain,
            self.hub_seq,
            self.edge(edge).scope,
            standing.upload,
            self.tree.presented(mark),
            self.epochs.ended,
            granted=None if wanted in (None, EVERYTHING) else self.edge(edge).granted,
            wipe=self.edge(edge).wipe,
        )

    def rescope(self, edge: str, scope: Scope) -> None:
        """Grant an edge another scope."""
        with self._committed():
            self._put_scope(edge, granted=scope, grants=(*self.edge(edge).grants, self.edge(edge).granted))

    def _put_scope(self, edge: str, **given: Any) -> None:
        """Change what makes an edge's scope. What it had is remembered, and what is on its way of it goes."""
        before = self.edge(edge)
        former = {**before.former, before.scope.fingerprint: before.scope}
        self.edges[edge] = replace(before, former=former, **given)
        for mark in self._marks.values():
            if mark.edge == edge:
                mark.spool = {}

    def retire(self, edge: str) -> None:
        """Let an edge hold no tombstones back until it comes again."""
        with self._committed():
            self.edges.setdefault(edge, Enrolled(self.scope)).retired = True

    def order_wipe(self, edge: str, order: WipeOrder) -> None:
        """Let everything leave an edge, with whichever of its machines calls."""
        with self._committed():
            self.edges.setdefault(edge, Enrolled(self.scope)).wipe = order

    def collect(self) -> None:
        """Take out of the documents the tombstones that all edges that count have acknowledged."""
        upto = min([self.hub_seq, *self._holding()])
        taken = {
            document: gone for document, state in self.documents.items() if (gone := collectable(state, upto))
        }
        if not taken:
            return
        with self._committed():
            for document, gone in taken.items():
                state, before = self.documents[document], self.collected.get(document, EMPTY)
                left = {slot: each for slot, each in state.registers.items() if slot not in gone}
                self.documents[document] = Document(left, state.version)
                self.collected[document] = Document({**before.registers, **gone})
            self.collected_seq = max(self.collected_seq, upto)

    def _holding(self) -> Iterator[int]:
        """How far each edge that is not retired has certainly come: with its newest replica, and twins."""
        replicas: dict[str, list[Replicated]] = {}
        for number, mark in self._marks.items():
            if number != HUB_INCARNATION and not self.edge(mark.edge).retired:
                replicas.setdefault(mark.edge, []).append(mark)
        for marks in replicas.values():
            if all(each.cursor == START for each in marks):
                continue  # it begins with everything
            for each in marks:
                if each is marks[-1] or each.seen > marks[-1].leased:
                    yield each.cursor.hub_seq if each.cursor.epoch == self.epoch else 0

    def acknowledged(self, incarnation: int) -> tuple[int, bytes]:
        """The last change of an incarnation that was decided, and the chain up to it."""
        mark = self._marks[incarnation]
        return mark.push_mark, mark.chain

    def decide(self, entries: Sequence[Entry], chain: bytes) -> Answer:
        """Merge a push, all or nothing. Raises Fenced."""
        mark = self._marks[entries[0].dot.incarnation]
        if entries[0].first != mark.push_mark + 1 or chain != mark.chain:
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

    def _decide_all(self, entries: Sequence[Entry], mark: Replicated) -> None:
        for each in entries:
            self.absorbed |= self.named(each, mark.chain) if each.absorbed else set()
            self._decide_one(each)
            mark.chain = each.chain_after(mark.chain)
        mark.push_mark = entries[-1].dot.local_seq
        mark.upload = None

    def _decide_one(self, each: Entry) -> None:
        self.hub_seq += 1
        self.tree.append(each.body)
        if each.content_id in self._merged:
            self.log.append((self.hub_seq, each, Outcome.DUPLICATE))
            return
        granted = self.grants_of(each.dot.incarnation)[-1]
        if not all(granted.writes(document) for document in each.change.documents):
            self._refused.add(each.content_id)
            self.log.append((self.hub_seq, each, Outcome.REFUSED))
            return
        timestamp = clamped(each.change.timestamp, self._now_ms())
        base = Cursor(self.epoch, self.epochs.seen(each.change.base))
        self._merge(replace(each, change=replace(each.change, base=base)), timestamp)

    def _merge(self, each: Entry, timestamp: Timestamp) -> None:
        policies = policies_of(self.documents)
        self.decisions.append(Decision(self.hub_seq, each, timestamp))
        standing: Documents = self.documents
        if self.collected:
            here = Cursor(self.epoch, self.hub_seq)
            standing = recalled(standing, self.collected, [each.change], here)
        facts = (each.dot.incarnation, self.hub_seq, timestamp, policies, each.stands_for)
        decision = decide(standing, each.change, *facts)
        for document, state in decision.documents.items():
            self._judge(document, state, policies)
        self.former += [(self.hub_seq, each, self.documents.get(each, EMPTY)) for each in decision.documents]
        self.documents.update(decision.documents)
        if each.priority == URGENT:
            self.urgent_seq |= dict.fromkeys(decision.documents, self.hub_seq)
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

    def trim(self) -> None:
        """Forget of the log what only a delta needs: of changes everything but what became of them."""
        self.trimmed_seq = self.hub_seq

    def store_upload(self, incarnation: int, batch: bytes, total: int, offset: int, piece: bytes) -> None:
        """Keep a piece of a push where it continues what is there: clones may send the same one at once."""
        mark = self._marks[incarnation]
        head = mark.upload.received if mark.upload and mark.upload.batch == batch else b""
        with self._committed():
            if offset == len(head):
                mark.upload = Partial(batch, total, head + piece)

    def put_parcel(self, edge: str, taken: Parcel) -> None:
        """Remember an edge's courier file in place of the one before."""
        with self._committed():
            self.parcels[edge] = taken

    def spool(self, incarnation: int, batch: bytes, sealed: bytes) -> None:
        """Keep the bytes of a pull."""
        self._marks[incarnation].spool = {batch: sealed}

    def spooled(self, incarnation: int, batch: bytes) -> bytes | None:
        """Find them again."""
        return self._marks[incarnation].spool.get(batch)

    def seen(self, incarnation: int, cursor: Cursor) -> None:
        """The replica has applied what it was sent, up to there."""
        self._moment += 1
        mark = self._marks[incarnation]
        mark.spool, mark.cursor, mark.seen = {}, cursor, self._moment
