"""What one tenant's hub has stored, and what its edges are given of it: Postgres' reading side, in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from anabranch_sync.case import Case, Claim, Hand
from anabranch_sync.change import CHAIN_START, Entry
from anabranch_sync.check_in import answered
from anabranch_sync.clock import Timestamp
from anabranch_sync.conflict import Conflict
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.document import EMPTY, Document, Object, rebuild
from anabranch_sync.epochs import Epochs
from anabranch_sync.explanation import HANDS_SHOWN_MAX
from anabranch_sync.ids import HUB_INCARNATION, START, Cursor, DocumentId
from anabranch_sync.live import Quarantined
from anabranch_sync.messages import PROTOCOL_MAX, CheckIn
from anabranch_sync.priority import PRIORITY_DEFAULT, URGENT
from anabranch_sync.pull import (
    Decided,
    Notice,
    Outcome,
    Pull,
    Result,
    Run,
    Urgent,
    changed_by_pull,
    difference,
    touched_in_order,
    urgent,
)
from anabranch_sync.register import DELETED, json_of
from anabranch_sync.repairing import Surveyed
from anabranch_sync.revision import Contents, Wanted
from anabranch_sync.scope import EVERYTHING, Scope
from anabranch_sync.snapshot import Cutter, Offer, Part, Slice, Snapshot, name_of
from anabranch_sync.standing import Partial
from anabranch_sync.wiping import WipeOrder

from anabranch_hub.simulation.memory.documents import (
    content_of,
    is_read,
    narrowed,
    part_of,
    policies_of,
    position_of,
    scope_digest,
    surveyed,
)
from anabranch_hub.simulation.memory.log import MemoryLog

if TYPE_CHECKING:
    from anabranch_hub.store.parcels import Parcel


@dataclass
class Replicated:
    """One incarnation of an edge's replica, as the hub knows it. `seen`: when it was last heard, in order."""

    edge: str
    leased: int
    seen: int
    push_mark: int = 0
    chain: bytes = CHAIN_START
    cursor: Cursor = START
    upload: Partial | None = None
    spool: dict[bytes, bytes] = field(default_factory=dict)


@dataclass
class Enrolled:
    """An edge: what it was `granted`, what it asks for of that, and what it had before.

    `former` are the scopes that it had, by their fingerprints, `grants` all that it was ever granted before.
    """

    granted: Scope
    subscription: Scope = EVERYTHING
    former: dict[bytes, Scope] = field(default_factory=dict)
    grants: tuple[Scope, ...] = ()
    retired: bool = False
    wipe: WipeOrder = WipeOrder.KEEP

    @property
    def scope(self) -> Scope:
        """What it replicates."""
        return narrowed(self.granted, self.subscription)


@dataclass(frozen=True)
class Decision:
    """A change as it was decided, so that it can be decided again."""

    hub_seq: int
    entry: Entry
    timestamp: Timestamp


class ScopeChanged(Exception):
    """The edge has another scope than the one that it was told."""


class Tenant:
    """Everything that is stored. Whoever asks sees it at one moment."""

    def __init__(self, scope: Scope) -> None:
        self.epochs = Epochs(1)
        self.scope = scope  # of every edge that was given no other
        self.edges: dict[str, Enrolled] = {}
        self.parcels: dict[str, Parcel] = {}  # the last courier file of each edge
        self.documents: dict[DocumentId, Document] = {}
        self.urgent_seq: dict[DocumentId, int] = {}  # where an urgent change last touched a document
        self.quarantined: dict[DocumentId, Quarantined] = {}
        self.hub_seq = 0
        self.log: list[tuple[int, Entry, Outcome]] = []
        self.decisions: list[Decision] = []
        self.ledger: list[tuple[int, Conflict]] = []
        self.tree = MemoryLog()
        self.trimmed_seq = 0
        self.collected_seq = 0
        self.collected: dict[DocumentId, Document] = {}
        # Whether a pull that could be a delta travels as a snapshot, and how large each document counts.
        self.offers: Callable[[], bool] = lambda: False
        self.cut_bytes = 1_000
        # Each document as it was before a position, in order.
        self.former: list[tuple[int, DocumentId, Document]] = []
        # The changes for which others stood, by content id, and who knows which they were: `Histories`.
        self.absorbed: set[bytes] = set()
        self.named: Callable[[Entry, bytes], set[bytes]] = lambda each, before: set()
        self._parts: dict[bytes, bytes] = {}
        self._parts_of: Scope | None = None
        self._marks = {HUB_INCARNATION: Replicated("", 0, 0)}
        self._merged: set[bytes] = set()
        self._refused: set[bytes] = set()
        self._leased = HUB_INCARNATION

    @property
    def epoch(self) -> int:
        """The one it is in."""
        return self.epochs.current

    @property
    def merged(self) -> set[bytes]:
        """The changes that count, by content id."""
        return self._merged

    @property
    def known(self) -> set[bytes]:
        """All that are decided, by content id: those that count, those that were refused or absorbed."""
        return self._merged | self._refused | self.absorbed

    @property
    def refused(self) -> set[bytes]:
        """The changes that their edges had no right to make, by content id."""
        return self._refused

    def edge(self, name: str) -> Enrolled:
        """What is known of an edge."""
        return self.edges.get(name) or Enrolled(self.scope)

    def scope_of(self, incarnation: int) -> Scope:
        """The scope of the edge whose incarnation this is."""
        return self.edge(self._marks[incarnation].edge).scope

    def grants_of(self, incarnation: int) -> tuple[Scope, ...]:
        """All that the edge of an incarnation was ever granted, the present last."""
        edge = self.edge(self._marks[incarnation].edge)
        return (*edge.grants, edge.granted)

    def travels(self, document: DocumentId) -> bool:
        """Whether there is anything of a document to send to whoever begins with nothing."""
        state = self.documents[document]
        is_live = content_of(state) is not None or document in self.quarantined
        return is_live or position_of(state) > self.collected_seq

    def read(self, document: DocumentId) -> Object | None:
        """What a reader gets."""
        aside = self.quarantined.get(document)
        return content_of(self.documents.get(document, EMPTY)) if aside is None else aside.live

    def draw(
        self,
        incarnation: int,
        after: Cursor,
        *,
        always: bool,
        replaced: frozenset[DocumentId] = frozenset(),
        protocol: int = PROTOCOL_MAX,
        held: bytes = b"",
        told: Scope | None = None,
    ) -> Pull | Offer | None:
        """What the replica lacks; a snapshot where that is everything, or `offers` says so.

        `held` is the fingerprint of the scope that it holds, where that is another; `told` the one that it
        was told of. Raises ScopeChanged.
        """
        scope = self.scope_of(incarnation)
        if told is not None and told != scope:
            raise ScopeChanged
        pull = self.pull(incarnation, after, always=always, replaced=replaced, held=held)
        if pull is None:
            return None
        if protocol < 2 or not (pull.whole or self.offers()):
            wanted = Wanted(pull.after.hub_seq, changed_by_pull(pull))
            return replace(pull, before=self.contents(scope, wanted))
        cutter, slices = Cutter(), list[Slice | None]()
        for document, state in sorted(self.documents.items()):
            if is_read(scope, document) and self.travels(document):
                slices.append(cutter.add(document, state, self.cut_bytes, self.quarantined.get(document)))
        parts = [part_of(cut) for cut in [*slices, cutter.rest()] if cut is not None]
        self._parts, self._parts_of = {name_of(sealed): sealed for sealed in parts}, scope
        named = tuple(Part(name, len(sealed)) for name, sealed in self._parts.items())
        names = tuple(self._parts)
        closing = replace(
            pull, documents={}, versions=(), whole=True, quarantined={}, replaced=frozenset(), parts=names
        )
        return Offer(Snapshot(pull.upto, pull.digest, named), closing)

    def check_in(self, asked: CheckIn) -> bytes | None:
        """The answer to a check-in; None: nobody is known by that incarnation."""
        standing = self._marks.get(asked.incarnation)
        if standing is None:
            return None
        # A position of another epoch says nothing of this one.
        after = asked.cursor.hub_seq if asked.cursor.epoch == self.epoch else 0
        scope = self.edge(standing.edge).scope
        changed = self._changed(asked.incarnation, Cursor(self.epoch, after))
        is_wiping = self.edge(standing.edge).wipe is not WipeOrder.KEEP
        return answered(
            asked,
            epoch=self.epoch,
            hub_seq=self.hub_seq,
            push_mark=standing.push_mark,
            concerned=self.concerns(asked.incarnation, after) or is_wiping,
            digest=scope_digest(self.documents, scope),
            scope=scope,
            urgent=URGENT in changed.values() or is_wiping,
        )

    def concerns(self, incarnation: int, after: int) -> bool:
        """Whether anything that is decided after a position is new to a replica."""
        own = any(hub_seq > after and each.dot.incarnation == incarnation for hub_seq, each, _ in self.log)
        told = any(hub_seq > after and _took_part(each, incarnation) for hub_seq, each in self.ledger)
        return own or told or bool(self._changed(incarnation, Cursor(self.epoch, after)))

    def knows(self, incarnation: int) -> bool:
        """Whether it was ever given out, as far as is known."""
        return incarnation in self._marks

    def contents(self, scope: Scope, wanted: Wanted) -> Contents:
        """What these documents were at a position, of those in `scope`."""
        found = {}
        for document in filter(scope.reads, wanted.documents):
            later = (was for hub_seq, each, was in self.former if each == document and hub_seq > wanted.after)
            content = rebuild(next(later, self.documents.get(document, EMPTY)).registers)
            if content is not None:
                found[document] = content
        return found

    def urgent(self, incarnation: int, after: Cursor) -> Urgent:
        """The urgent documents that others changed after a position, whole."""
        changed = {
            document: self.documents[document]
            for document, priority in self._changed(incarnation, after).items()
            if priority == URGENT
        }
        return urgent(changed, self.quarantined, incarnation, after, Cursor(self.epoch, self.hub_seq))

    def _changed(self, incarnation: int, after: Cursor) -> dict[DocumentId, int]:
        """The documents in its scope that changed after a position, and how pressing that is."""
        policies, scope = policies_of(self.documents), self.scope_of(incarnation)
        return {
            document: URGENT
            if self.urgent_seq.get(document, 0) > after.hub_seq
            else policies.priority(document)
            for document, state in self.documents.items()
            if is_read(scope, document) and position_of(state) > after.hub_seq
        }

    def weighed(self, incarnation: int, after: Cursor) -> int | None:
        """How pressing what is new after a position is; None: nothing concerns the replica."""
        if self.pull(incarnation, after, always=False) is None:
            return None
        return min(self._changed(incarnation, after).values(), default=PRIORITY_DEFAULT)

    def part(self, name: bytes) -> bytes | None:
        """A part of the last snapshot."""
        return self._parts.get(name)

    def part_for(self, edge: str, name: bytes) -> bytes | None:
        """The same, if that snapshot is of the scope of this edge."""
        return self.part(name) if self.edge(edge).scope == self._parts_of else None

    def pull(
        self,
        incarnation: int,
        after: Cursor,
        *,
        always: bool,
        replaced: frozenset[DocumentId] = frozenset(),
        held: bytes = b"",
    ) -> Pull | None:
        """What the replica lacks, and these documents whole; `held` as of `draw`."""
        scope = self.scope_of(incarnation)
        former = self._former(incarnation, held)
        if held not in (b"", scope.fingerprint):
            always, replaced = True, replaced | self._entering(scope, former)
        start = after.hub_seq if after.epoch == self.epoch else 0
        own = [
            Decided(hub_seq, each.dot.local_seq, each.change, outcome, each.absorbed)
            for hub_seq, each, outcome in self.log
            if hub_seq > start and each.dot.incarnation == incarnation
        ]
        whole = (
            after.epoch != self.epoch
            or start < self.collected_seq
            or any(each.hub_seq <= self.trimmed_seq for each in own)
            or (held not in (b"", scope.fingerprint) and former is None)
        )
        merged = [each.change for each in own if each.outcome is Outcome.MERGED]
        touched = {document for each in own for document in each.change.documents}
        documents = {
            document: state
            for document, state in self.documents.items()
            if is_read(scope, document)
            and (
                self.travels(document)
                if whole
                else position_of(state) > start or document in touched or document in replaced
            )
        }
        notices = tuple(
            _notice(hub_seq, conflict, incarnation)
            for hub_seq, conflict in self.ledger
            if hub_seq > start and _took_part(conflict, incarnation) and scope.reads(conflict.document)
        )
        if not (documents or own or notices or always or whole or replaced):
            return None
        return Pull(
            after if after.epoch == self.epoch else START,
            Cursor(self.epoch, self.hub_seq),
            scope_digest(self.documents, scope),
            documents if whole else difference(documents, start, incarnation, own, replaced),
            tuple(Run(each.local_seq, each.hub_seq, 1, each.absorbed) for each in own),
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

    def _former(self, incarnation: int, held: bytes) -> Scope | None:
        return self.edge(self._marks[incarnation].edge).former.get(held)

    def _entering(self, scope: Scope, former: Scope | None) -> frozenset[DocumentId]:
        """What is in a scope and was not in the one before, if that is known."""
        had = former or Scope(())
        return frozenset(each for each in self.documents if is_read(scope, each) and not had.reads(each))

    def compared(self, incarnation: int) -> tuple[Cursor, ScopeDigest]:
        """Where it stands, and what equals that in the scope of a replica."""
        digest = scope_digest(self.documents, self.scope_of(incarnation))
        return Cursor(self.epoch, self.hub_seq), digest

    def survey(self, incarnation: int) -> Surveyed:
        """The digests of the live documents in the scope of a replica."""
        return surveyed(self.documents, self.scope_of(incarnation))


def _took_part(conflict: Conflict, incarnation: int) -> bool:
    return any(stamp.actor == incarnation for each in conflict.candidates for stamp in each.stamps)


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
