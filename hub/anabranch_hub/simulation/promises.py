"""What must hold of a whole fleet at rest. Each function raises Violation."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from anabranch_sync.change import Entry
from anabranch_sync.conflict import Conflict, Kind
from anabranch_sync.document import Document, digest, rebuild
from anabranch_sync.ids import START, Cursor, DocumentId
from anabranch_sync.merge import decide, overlay
from anabranch_sync.policy import join
from anabranch_sync.priority import URGENT
from anabranch_sync.pull import Outcome
from anabranch_sync.register import Register

from anabranch_hub.simulation.memory import MemoryHub, MemoryReplica, content_of, policies_of, scope_digest
from anabranch_hub.simulation.network import Line
from anabranch_hub.simulation.promise import Promise, Violation


class Holder(Protocol):
    """An edge, as far as its promises go."""

    line: Line
    replica: MemoryReplica
    outside: set[DocumentId]

    @property
    def name(self) -> str: ...
    @property
    def is_proved(self) -> bool: ...


def check_converged(hub: MemoryHub, edges: Iterable[Holder]) -> None:
    """Every replica has what the hub has for it, byte for byte, shows it, and has heard that it is so."""
    heads = {each: digest(each, rebuild(state.registers)) for each, state in hub.documents.items()}
    for edge in edges:
        scope = hub.edge(edge.line.edge).granted.narrowed(edge.replica.state.wanted)
        if edge.replica.state.scope != scope:
            raise Violation(Promise.CONVERGED, f"{edge.name} has another scope than it asks for")
        if scope_digest(edge.replica.confirmed, scope) != scope_digest(hub.documents, scope):
            raise Violation(Promise.CONVERGED, f"{edge.name} differs from the hub")
        if not edge.is_proved:
            raise Violation(Promise.CONVERGED, f"{edge.name} was not proved equal")
        told = (each.case.document for each in edge.replica.state.notices)
        kept = (*edge.replica.confirmed, *edge.replica.state.ahead, *told)
        if left := [each for each in kept if not scope.reads(each)]:
            raise Violation(Promise.CONVERGED, f"{edge.name} still has {left[0]}, outside of its scope")
        for document, state in hub.documents.items():
            if not scope.reads(document):
                continue
            here = edge.replica.visible(document)
            if digest(document, rebuild(here.registers)) != heads[document]:
                raise Violation(Promise.CONVERGED, f"{edge.name} shows another {document}")
            if here.version != state.version and hub.travels(document):
                versions = f"{here.version}, the hub at {state.version}"
                raise Violation(Promise.CONVERGED, f"{edge.name} has {document} at version {versions}")


def check_changes(hub: MemoryHub, acknowledged: Mapping[bytes, str]) -> None:
    """Each acknowledged change (who wrote it, by content id) was applied, once, or refused by its scope.

    Or its author had overwritten it before it was sent: then what stands for it was.
    """
    merged = [each.content_id for _, each, outcome in hub.log if outcome is Outcome.MERGED]
    distinct = set(merged)
    if len(merged) != len(distinct):
        raise Violation(Promise.ONCE, "a change was applied twice")
    lost = [name for content, name in acknowledged.items() if content not in distinct | hub.known]
    if lost:
        raise Violation(Promise.KEPT, f"{len(lost)} acknowledged writes are lost, of {sorted(set(lost))}")


def check_logged(hub: MemoryHub, edges: Iterable[Holder]) -> None:
    """The order has no gaps, the tree a leaf for each decision, and what edges saw of it is its beginning."""
    positions = [hub_seq for hub_seq, _, _ in hub.log]
    if positions != list(range(1, len(positions) + 1)):
        raise Violation(Promise.LOGGED, "the hub's order has gaps")
    if hub.tree.leaves != [each.body for _, each, _ in hub.log]:
        raise Violation(Promise.LOGGED, f"{len(hub.tree.leaves)} leaves are not the {len(hub.log)} decisions")
    for edge in edges:
        standing = edge.replica.standing()
        seen = standing.witnessed if standing.log_epoch == hub.epoch else None
        if seen is not None and hub.tree.head_at(seen.tree.size) != seen.tree:
            raise Violation(Promise.LOGGED, f"{edge.name} has seen another log of {seen.tree.size} leaves")


def check_written(hub: MemoryHub) -> None:
    """Every value that stands was written by the change its stamp names, and versions count them all."""
    by_position: dict[int, Entry] = {hub_seq: each for hub_seq, each, _ in hub.log}
    counted = Counter[DocumentId]()
    for hub_seq, document, _ in hub.former:
        counted[document] += by_position[hub_seq].stands_for
    for document, state in hub.documents.items():
        if state.version != counted[document]:
            versions = f"at version {state.version} after {counted[document]} changes"
            raise Violation(Promise.WRITTEN, f"{document} is {versions}")
    for document, state in hub.documents.items():
        for slot, register in state.registers.items():
            for stamp in register.stamps:
                writer = by_position[stamp.hub_seq]
                if stamp.actor != writer.dot.incarnation:
                    raise Violation(Promise.WRITTEN, f"{document} {slot} is not said to be of {writer.dot}")
                ops = writer.change.ops
                wrote = any(op.document == document and op.slot.path == slot.path for op in ops)
                if register.live and not wrote:
                    raise Violation(Promise.WRITTEN, f"nobody wrote {document} {slot}")


def check_ledger(hub: MemoryHub, edges: Iterable[Holder]) -> None:
    """Every conflict is one, has the same winner whichever side came first, and its authors know of it."""
    by_position: dict[int, Entry] = {hub_seq: each for hub_seq, each, _ in hub.log}
    for hub_seq, conflict in hub.ledger:
        if conflict.kind in (Kind.OVERLAP, Kind.FRAGMENT):
            continue  # their candidates are made from several writes
        writer = by_position[hub_seq]
        base = hub.epochs.seen(writer.change.base)
        for each in conflict.candidates:
            for stamp in each.stamps:
                is_own = stamp.hub_seq == hub_seq
                if not is_own and (stamp.hub_seq <= base or stamp.actor == writer.dot.incarnation):
                    raise Violation(Promise.LEDGER, f"the conflict at {hub_seq} is none: one saw the other")
        sides = [Register(each.value, each.stamps) for each in conflict.candidates]
        for loser in sides[1:]:
            if join(conflict.policy, sides[0], loser) != join(conflict.policy, loser, sides[0]):
                raise Violation(Promise.LEDGER, f"whoever comes first wins the conflict at {hub_seq}")
    for edge in edges:
        told = {notice.hub_seq for notice in edge.replica.state.notices}
        own = edge.replica.state.incarnation
        for hub_seq, conflict in hub.ledger:
            took_part = any(s.actor == own for c in conflict.candidates for s in c.stamps)
            if took_part and hub_seq not in told and conflict.document not in edge.outside:
                raise Violation(Promise.LEDGER, f"{edge.name} was not told of the conflict at {hub_seq}")


def check_refused(hub: MemoryHub) -> None:
    """What was refused named a document outside of some scope that its edge was granted."""
    for hub_seq, each, outcome in hub.log:
        if outcome is Outcome.REFUSED:
            grants = hub.grants_of(each.dot.incarnation)
            if all(granted.writes(document) for document in each.change.documents for granted in grants):
                raise Violation(Promise.KEPT, f"the change at {hub_seq} was refused for nothing")


def check_collected(hub: MemoryHub) -> None:
    """Had nothing been collected, every change would have been decided as it was."""
    if not hub.collected:
        return
    documents: dict[DocumentId, Document] = {}
    ledger: list[tuple[int, Conflict]] = []
    for each in hub.decisions:
        incarnation, policies = each.entry.dot.incarnation, policies_of(documents)
        decision = decide(documents, each.entry.change, incarnation, each.hub_seq, each.timestamp, policies)
        documents.update(decision.documents)
        ledger += [(each.hub_seq, conflict) for conflict in decision.conflicts]
    for document, state in hub.documents.items():
        if content_of(state) != content_of(documents[document]):
            raise Violation(Promise.COLLECTED, f"{document} would be another one")
    if hub.ledger != ledger:
        raise Violation(Promise.COLLECTED, f"{len(ledger)} conflicts would be another {len(hub.ledger)}")


def check_urgent(hub: MemoryHub, edges: Collection[Holder]) -> None:
    """What is urgent is everywhere, whatever budgets are used up."""
    for edge in edges:
        if edge.replica.standing().urgent_upto:  # that goes at once, whatever the hub says
            raise Violation(Promise.URGENT, f"{edge.name} still has an urgent change that the hub lacks")
    policies = policies_of(hub.documents)
    for document, state in hub.documents.items():
        if policies.priority(document) != URGENT:
            continue
        # Whom a restored hub does not know it does not answer: that edge waits for its next day.
        for edge in (each for each in edges if hub.knows(each.replica.state.incarnation)):
            replica = edge.replica
            is_here = replica.state.scope.reads(document) and hub.edge(edge.line.edge).scope.reads(document)
            waiting = [each for each in replica.outbox if document in each.change.documents]
            # What a change of before a restore has not seen, only the hub can tell.
            is_told = all(each.change.base.epoch in (START.epoch, hub.epoch) for each in waiting)
            # What was written here before it was known to be urgent waits, and is shown.
            unsent = [each for each in waiting if each.dot.local_seq > replica.state.push_mark]
            # That one's own write lost and changed nothing is no news of the document (docs/trust.md).
            is_known = Cursor(hub.epoch, state.hub_seq) <= replica.state.cursor
            is_told = is_told and not (is_known and len(unsent) < len(waiting))
            head = overlay(document, state, unsent, policies_of(replica.confirmed))
            if is_here and is_told and content_of(replica.visible(document)) != content_of(head):
                raise Violation(Promise.URGENT, f"{edge.name} still shows another {document}")


def check_repaired(hub: MemoryHub, edges: Collection[Holder]) -> None:
    """Once nothing is quarantined, readers everywhere get the head."""
    for document, state in hub.documents.items():
        head = digest(document, rebuild(state.registers))
        for edge in edges:
            is_here = edge.replica.state.scope.reads(document)
            if is_here and digest(document, edge.replica.read(document)) != head:
                raise Violation(
                    Promise.CONVERGED, f"{edge.name} does not read the head of {document} after its repair"
                )


class Reading:
    """What readers of one edge have got: it never goes back, and includes what was written there."""

    def __init__(self, edge: str) -> None:
        self._edge = edge
        self._epoch = 0
        self._cursor = 0
        self._versions: dict[DocumentId, int] = {}
        self._written: list[bytes] = []

    def wrote(self, content_id: bytes) -> None:
        """A change was acknowledged to its author."""
        self._written.append(content_id)

    def check(self, replica: MemoryReplica, *decided: Collection[bytes]) -> None:
        """Look at the replica again; `decided` are the changes that the hub has merged or refused."""
        state = replica.state
        if state.cursor.epoch == self._epoch and state.cursor.hub_seq < self._cursor:
            raise Violation(
                Promise.FORWARD, f"{self._edge} is at {state.cursor.hub_seq}, and was at {self._cursor}"
            )
        if state.cursor.epoch != self._epoch:
            self._versions = {}
        self._epoch, self._cursor = state.cursor.epoch, state.cursor.hub_seq
        for document, confirmed in state.confirmed.items():
            if confirmed.version < self._versions.get(document, 0):
                raise Violation(Promise.FORWARD, f"{self._edge} reads an earlier {document}")
            self._versions[document] = confirmed.version
        waiting = {each.content_id for each in state.outbox}
        self._written = [each for each in self._written if not any(each in known for known in decided)]
        if any(each not in waiting for each in self._written):
            raise Violation(Promise.OWN_WRITES, f"{self._edge} has forgotten a write that the hub lacks")
