"""What a batch of pushes and hub writes makes of a tenant: pure, between one read and one write.

A `Batch` holds the tenant as it was read under its lock and takes one push or write after the
other. Each change gets the next position, whatever becomes of it, so that one that is refused never
blocks those behind it. A push or write that fails as a whole raises before it has touched anything.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

from anabranch_sync.change import Change, Entry, Op, entry
from anabranch_sync.clock import Timestamp, clamped, skew_ms, tick
from anabranch_sync.conflict import Conflict
from anabranch_sync.document import (
    DOCUMENT_BYTES_MAX,
    EMPTY,
    Document,
    Object,
    check_content,
    digest_rebuilt,
    rebuild,
    rebuild_after,
    written,
)
from anabranch_sync.epochs import Epochs
from anabranch_sync.errors import DocumentTooLarge, InvalidInput
from anabranch_sync.ids import (
    HUB_INCARNATION,
    Cursor,
    DocumentId,
    Dot,
    HubSeq,
    Incarnation,
    LocalSeq,
    check_author,
    check_message,
)
from anabranch_sync.live import check_written, judged
from anabranch_sync.merge import Decision, decide
from anabranch_sync.opening import Answer
from anabranch_sync.policy import NO_POLICIES, Policies, check_schema_document, policies_from
from anabranch_sync.priority import URGENT
from anabranch_sync.pull import Outcome
from anabranch_sync.register import Slot, Value, json_of
from anabranch_sync.value import Json, canonical
from anabranch_sync.version import Patch, patches
from anabranch_sync.violation import summary

from anabranch_hub.errors import CutElsewhere, EdgeRevoked, Fenced, VersionMismatch
from anabranch_hub.store.records import Aside, HubWrite, Push, Replica, Written, is_schema

# Two documents within the limit can merge into one beyond it. Merging must not block, so the merged
# one may be twice as large; no single writer can commit it again without making it smaller.
MERGED_BYTES_MAX = 2 * DOCUMENT_BYTES_MAX
# Of why a change led into quarantine; the document has all of its violations.
REASON_CHARS_MAX = 1_000
# Of a scope, where it is told why a change is refused: thousands may be, and one pull tells of all.
PREFIXES_NAMED_MAX = 3


@dataclass(frozen=True, slots=True)
class Schemas:
    """The schema documents in force since `hub_seq`, as (version, content), and the policies they make."""

    hub_seq: HubSeq = 0
    documents: Mapping[DocumentId, tuple[int, Json]] = field(default_factory=dict)
    policies: Policies = NO_POLICIES


def schemas_from(hub_seq: HubSeq, documents: Mapping[DocumentId, tuple[int, Json]]) -> Schemas:
    """Build the policies of these schema documents."""
    listed = ((document, version, content) for document, (version, content) in documents.items())
    return Schemas(hub_seq, documents, policies_from(listed))


@dataclass(frozen=True, slots=True)
class TenantState:
    """Where a tenant stands: the one row under whose lock everything is decided."""

    epochs: Epochs
    hub_seq: HubSeq
    ledger: int
    timestamp: Timestamp
    schemas_seq: HubSeq

    @property
    def epoch(self) -> int:
        """The one it is in."""
        return self.epochs.current


@dataclass(frozen=True, slots=True)
class DecidedChange:
    """A change with its position and what became of it."""

    hub_seq: HubSeq
    entry: Entry
    chain: bytes
    edge: str
    skew_ms: int
    outcome: Outcome
    reason: str
    rolled_back_to: HubSeq | None = None
    # Those of its documents whose head is invalid with it.
    quarantined: tuple[DocumentId, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """One document, one version further, or as many as its change stands for."""

    document: DocumentId
    version: int
    hub_seq: HubSeq
    digest_before: int
    digest_after: int
    patch: Patch
    inverse: Patch


@dataclass(frozen=True, slots=True)
class DecidedConflict:
    """A conflict with its number in the ledger. `quarantined`: what it led to is invalid as a whole."""

    id: int
    hub_seq: HubSeq
    conflict: Conflict
    quarantined: bool


@dataclass(frozen=True, slots=True)
class _Content:
    """A document rebuilt, beside its digest."""

    content: Object | None
    digest: int


class Batch:
    """A tenant while one transaction decides.

    `documents` holds those that stand of all that the pushes and writes mention; `merged_before` the
    positions of changes merged in the past by content id; `chains` the chains of past changes at the
    end of pushes that repeat what was stored; `quarantined` those documents whose head is not live;
    `forgotten` up to where tombstones of documents are.
    """

    def __init__(
        self,
        tenant: str,
        state: TenantState,
        schemas: Schemas,
        replicas: Mapping[Incarnation, Replica],
        documents: Mapping[DocumentId, Document],
        merged_before: Mapping[bytes, HubSeq],
        chains: Mapping[tuple[Incarnation, LocalSeq], bytes],
        now_ms: int,
        quarantined: Mapping[DocumentId, Aside],
        forgotten: Mapping[DocumentId, HubSeq] | None = None,
    ) -> None:
        self._tenant = tenant
        self.state = state
        self.schemas = schemas
        self.replicas = dict(replicas)
        self.documents = dict(documents)
        self.quarantined = dict(quarantined)
        self.contents: dict[DocumentId, _Content] = {}
        self.changes: list[DecidedChange] = []
        self.steps: list[Step] = []
        self.conflicts: list[DecidedConflict] = []
        self.touched: dict[DocumentId, None] = {}
        self.urgent: dict[DocumentId, HubSeq] = {}
        self._merged_before = dict(merged_before)
        self._chains = chains
        self._now_ms = now_ms
        self._forgotten = forgotten or {}
        self._bytes_bound: dict[DocumentId, int] = {}

    def push(self, push: Push) -> Answer:
        """Decide a push. Raises EdgeRevoked, Fenced, CutElsewhere: nothing of it was taken."""
        replica = self._pushing(push)
        for each in self._new(push, replica):
            replica = self._record(each, replica, *self._merge_pushed(each, replica))
        self.replicas[replica.incarnation] = replica
        return Answer(replica.push_mark, replica.chain, self.state.hub_seq)

    def write(self, write: HubWrite) -> Written:
        """Decide a change of the hub's own.

        Raises InvalidInput, VersionMismatch: nothing was written.
        """
        check_author(write.author)
        check_message(write.message)
        ops = tuple(self._ops(write))
        if ops:
            hub = self.replicas[HUB_INCARNATION]
            timestamp = tick(self.state.timestamp, self._now_ms)
            base = Cursor(self.state.epoch, self.state.hub_seq)
            change = Change(timestamp, base, write.author, write.message, ops, restores=write.restores)
            recorded = entry(Dot(HUB_INCARNATION, hub.push_mark + 1), change)
            recorded = replace(recorded, priority=write.priority)
            decision = self._decision(recorded, timestamp)
            self._check_result(recorded, decision)
            self._check_written(decision)
            reason = self._apply(recorded, decision, timestamp)
            hub = self._record(recorded, hub, Outcome.MERGED, reason, write.rolled_back_to)
            self.replicas[HUB_INCARNATION] = hub
        documents = [edit.document for edit in write.edits]
        versions = (self.documents.get(document, EMPTY).version for document in documents)
        aside = (document for document in documents if document in self.quarantined)
        return Written(self.state.hub_seq, tuple(versions), tuple(aside))

    def content(self, document: DocumentId) -> Object | None:
        """The head of a document as it stands now; None where there is none."""
        return self._standing(document).content

    def live(self, document: DocumentId) -> Object | None:
        """What its readers get now; None where that is nothing."""
        aside = self.quarantined.get(document)
        return self.content(document) if aside is None else aside.quarantined.live

    def digest(self, document: DocumentId) -> int:
        """The digest of a document as it stands now; 0 where there is none."""
        return self._standing(document).digest

    def _pushing(self, push: Push) -> Replica:
        incarnation = push.entries[0].dot.incarnation
        replica = self.replicas.get(incarnation)
        if replica is None or incarnation == HUB_INCARNATION:
            raise Fenced(push.edge, incarnation, "it was never leased here")
        if replica.edge != push.edge:
            raise Fenced(push.edge, incarnation, "it was leased to another edge")
        if replica.revoked:
            raise EdgeRevoked(self._tenant, push.edge)
        return replica

    def _new(self, push: Push, replica: Replica) -> Sequence[Entry]:
        """The changes after the mark; those up to it must be the very ones that were stored.

        Where something was absorbed, here or in what is stored, a push that says again what was said before
        may be cut elsewhere: of that nothing is taken, and the edge learns the mark from its next Welcome.
        """
        first = push.entries[0].first
        mark = replica.push_mark
        if first > mark + 1:
            raise Fenced(push.edge, replica.incarnation, f"changes {mark + 1} to {first - 1} are missing")
        known = [each for each in push.entries if each.dot.local_seq <= mark]
        new = push.entries[len(known) :]
        if new and new[0].first <= mark:
            raise CutElsewhere(push.edge, new[0].first, new[0].dot.local_seq, mark)
        chain, last = push.chain_before, first - 1
        for each in known:
            chain, last = each.chain_after(chain), each.dot.local_seq
        stored = replica.chain if last == mark else self._chains.get((replica.incarnation, last))
        if stored is None:
            raise CutElsewhere(push.edge, first, last, mark)
        if chain != stored:
            raise Fenced(push.edge, replica.incarnation, f"another history was stored up to change {last}")
        return new

    def _merge_pushed(self, each: Entry, replica: Replica) -> tuple[Outcome, str]:
        before = self._merged_before.get(each.content_id)
        if before is not None:
            return Outcome.DUPLICATE, f"the same change was merged at {before}"
        outside = [document for document in each.change.documents if not replica.scope.writes(document)]
        if outside:
            prefixes = replica.scope.prefixes
            more = ", ..." if len(prefixes) > PREFIXES_NAMED_MAX else ""
            scope = ", ".join(prefixes[:PREFIXES_NAMED_MAX]) or "nothing"
            return (
                Outcome.REFUSED,
                f"{outside[0]} is outside what edge {replica.edge} may write: {scope}{more}",
            )
        rebased = self._rebased(each)
        if too_old := self._too_old(rebased, each.change.base):
            return Outcome.REFUSED, too_old
        timestamp = clamped(each.change.timestamp, self._now_ms)
        decision = self._decision(rebased, timestamp)
        try:
            self._check_result(each, decision)
        except InvalidInput as error:
            return Outcome.REFUSED, str(error)
        return Outcome.MERGED, self._apply(each, decision, timestamp)

    def _too_old(self, rebased: Entry, base: Cursor) -> str:
        """Why a change cannot be decided: it may bring back what was deleted; empty: it can."""
        seen = rebased.change.base.hub_seq
        for document in rebased.change.documents:
            upto = self._forgotten.get(document, 0)
            if seen < upto and base.hub_seq:
                return (
                    f"its author had seen position {seen}, and what was deleted in {document} up to {upto} "
                    "is forgotten: look at the document and write again"
                )
        return ""

    def _rebased(self, each: Entry) -> Entry:
        """What an author of an earlier epoch has seen of today's order; nothing, if of no order of ours.

        Then all that stands is concurrent: overwritten values go into the ledger, not away.
        """
        base = each.change.base
        if base.epoch == self.state.epoch and base.hub_seq <= self.state.hub_seq:
            return each
        seen = 0 if base.epoch == self.state.epoch else self.state.epochs.seen(base)
        return replace(each, change=replace(each.change, base=Cursor(self.state.epoch, seen)))

    def _decision(self, each: Entry, timestamp: Timestamp) -> Decision:
        return decide(
            self.documents,
            each.change,
            each.dot.incarnation,
            self.state.hub_seq + 1,
            timestamp,
            self.schemas.policies,
            each.stands_for,
        )

    def _check_result(self, each: Entry, decision: Decision) -> None:
        """Refuse documents that must not come to stand. Raises InvalidInput."""
        for document, state in decision.documents.items():
            # The bytes of the change bound what it adds; measuring exactly costs as much as merging.
            bound = self._bytes_bound.get(document)
            if bound is None:
                bound = len(canonical(self.content(document)))
            self._bytes_bound[document] = bound = bound + len(each.body)
            if bound > MERGED_BYTES_MAX:
                size_bytes = len(canonical(rebuild(state.registers)))
                if size_bytes > MERGED_BYTES_MAX:
                    raise DocumentTooLarge(str(document), size_bytes, MERGED_BYTES_MAX)
                self._bytes_bound[document] = size_bytes
            if is_schema(document) and (content := rebuild(state.registers)) is not None:
                check_schema_document(document, content)

    def _check_written(self, decision: Decision) -> None:
        """Refuse an operator's write that breaks what was not broken before. Raises Invalid."""
        for document, state in decision.documents.items():
            head = partial(self.content, document)
            check_written(document, head, rebuild(state.registers), self.schemas.policies)

    def _apply(self, each: Entry, decision: Decision, timestamp: Timestamp) -> str:
        """Let the decision stand; returns what to say of the change where it led into quarantine."""
        hub_seq = self.state.hub_seq + 1
        reasons = []
        for document, state in decision.documents.items():
            before = self._standing(document)
            standing = self.documents.get(document, EMPTY)
            content = rebuild_after(before.content, standing.registers, state.registers)
            after = _Content(content, digest_rebuilt(document, content))
            patch, inverse = patches(before.content, content)
            self.steps.append(
                Step(document, state.version, hub_seq, before.digest, after.digest, patch, inverse)
            )
            reasons += self._judge(document, content, (before.content, standing.version), hub_seq)
            self.documents[document] = state
            self.contents[document] = after
            self.touched[document] = None
            if each.priority == URGENT:
                self.urgent[document] = hub_seq
        ledger = self.state.ledger
        for conflict in decision.conflicts:
            ledger += 1
            aside = conflict.document in self.quarantined
            self.conflicts.append(DecidedConflict(ledger, hub_seq, conflict, aside))
        self.state = replace(self.state, ledger=ledger, timestamp=max(self.state.timestamp, timestamp))
        self._merged_before[each.content_id] = hub_seq
        if any(is_schema(document) for document in decision.documents):
            self._learn_schemas(decision.documents, hub_seq)
        return "; ".join(reasons)[:REASON_CHARS_MAX]

    def _judge(
        self, document: DocumentId, content: Object | None, before: tuple[Object | None, int], hub_seq: HubSeq
    ) -> list[str]:
        """Put the document into quarantine, leave it there, or release it; returns why it is there."""
        standing = self.quarantined.get(document)
        known = None if standing is None else standing.quarantined
        quarantined = judged(document, content, before, known, self.schemas.policies)
        if quarantined is None:
            self.quarantined.pop(document, None)
            return []
        self.quarantined[document] = Aside(quarantined, hub_seq if standing is None else standing.since)
        # A text of Postgres holds any character but this one.
        why = summary(quarantined.violations).replace("\0", "\N{SYMBOL FOR NULL}")
        return [f"quarantined: {document}: {why}"]

    def _learn_schemas(self, documents: Mapping[DocumentId, Document], hub_seq: HubSeq) -> None:
        known = dict(self.schemas.documents)
        for document, state in documents.items():
            if is_schema(document):
                known.pop(document, None)
                content = self.content(document)
                if content is not None:
                    known[document] = (state.version, content)
        self.schemas = schemas_from(hub_seq, known)
        self.state = replace(self.state, schemas_seq=hub_seq)

    def _record(
        self,
        each: Entry,
        replica: Replica,
        outcome: Outcome,
        reason: str,
        rolled_back_to: HubSeq | None = None,
    ) -> Replica:
        """Give the change its position and move the replica's mark over it."""
        hub_seq = self.state.hub_seq + 1
        chain = each.chain_after(replica.chain)
        skew = skew_ms(each.change.timestamp, self._now_ms)
        merged = each.change.documents if outcome is Outcome.MERGED else ()
        aside = tuple(document for document in merged if document in self.quarantined)
        facts = (outcome, reason, rolled_back_to, aside)
        self.changes.append(DecidedChange(hub_seq, each, chain, replica.edge, skew, *facts))
        self.state = replace(self.state, hub_seq=hub_seq)
        return replace(replica, push_mark=each.dot.local_seq, chain=chain)

    def _ops(self, write: HubWrite) -> Iterator[Op]:
        for edit in write.edits:
            standing = self.documents.get(edit.document, EMPTY)
            there = standing.version if self.content(edit.document) is not None else 0
            if edit.if_version is not None and edit.if_version != there:
                raise VersionMismatch(str(edit.document), expected=edit.if_version, found=there)
            content = None
            if edit.content is not None:
                content = check_content(edit.document, edit.content)
                check_schema_document(edit.document, content)
            policy_at = partial(self.schemas.policies.of, edit.document)
            leaves = written(standing.registers, content, policy_at)
            for slot, value in leaves or self._released(edit.document, standing):
                yield Op(edit.document, slot, value)

    def _released(self, document: DocumentId, standing: Document) -> list[tuple[Slot, Value]]:
        """What to write again of a quarantined head that a newer schema finds valid, to release it.

        Nothing of it changes, but it is judged, and travels to the edges, only where it is written.
        """
        if document not in self.quarantined:
            return []
        if self.schemas.policies.violations(document, self.content(document)):
            return []
        # Where several registers make up a value, as in a counter or a text, writing one would change it.
        together = Counter(slot.path for slot in standing.registers)
        plain = (
            (slot, register.value)
            for slot, register in standing.registers.items()
            if register.live and together[slot.path] == 1 and json_of(register.value) is register.value
        )
        return list(islice(plain, 1))

    def _standing(self, document: DocumentId) -> _Content:
        known = self.contents.get(document)
        if known is None:
            content = rebuild(self.documents.get(document, EMPTY).registers)
            known = self.contents[document] = _Content(content, digest_rebuilt(document, content))
        return known
