"""The decision: one change against the standing documents.

The hub decides each change once, in its order; an edge decides the changes of its own outbox over
what the hub has confirmed, to show today what the hub would answer today. Both call `decide`.

A write is concurrent with a standing register when the register has a stamp beyond the change's
base that is not of the writer's own lineage (its incarnation). Writes that are not concurrent simply
replace. Concurrent ones with equal values agree; with different values the policy at the path
chooses, and the losers become a `Conflict` for the ledger.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from anabranch_sync.change import Change, Op
from anabranch_sync.clock import Timestamp
from anabranch_sync.conflict import Candidate, Conflict, Kind
from anabranch_sync.document import EMPTY, Document
from anabranch_sync.ids import DocumentId, HubSeq, Incarnation
from anabranch_sync.path import Path
from anabranch_sync.policy import Policies, Policy, join
from anabranch_sync.register import DELETED, Register, Slot, Stamp, Value, agreed, equal


@dataclass(frozen=True, slots=True)
class Decision:
    """The documents that changed, each one version further, and the conflicts in order of decision."""

    documents: Mapping[DocumentId, Document]
    conflicts: tuple[Conflict, ...]


def decide(
    standing: Mapping[DocumentId, Document],
    change: Change,
    actor: Incarnation,
    hub_seq: HubSeq,
    timestamp: Timestamp,
    policies: Policies,
) -> Decision:
    """Merge `change`, written by `actor`, at position `hub_seq`; `standing` is not modified.

    `timestamp` is the change's own, or the clamped one (`clock.clamped`) where its clock was ahead.
    """
    drafts: dict[DocumentId, _Draft] = {}
    stamp = Stamp(timestamp, actor, hub_seq)
    for op in change.ops:
        draft = drafts.get(op.document)
        if draft is None:
            draft = _Draft(op.document, standing.get(op.document, EMPTY), policies)
            drafts[op.document] = draft
        draft.write(op, stamp, change.base.hub_seq)
    return Decision(
        {document: draft.result() for document, draft in drafts.items() if draft.touched},
        tuple(conflict for draft in drafts.values() for conflict in draft.conflicts),
    )


class _Draft:
    """One document while a change is merged into it."""

    def __init__(self, document: DocumentId, standing: Document, policies: Policies) -> None:
        self.document = document
        self.registers = dict(standing.registers)
        self.version = standing.version
        self.policies = policies
        self.conflicts: list[Conflict] = []
        self.touched = False
        self._below: dict[Path, int] | None = None

    def result(self) -> Document:
        return Document(self.registers, self.version + 1)

    def write(self, op: Op, stamp: Stamp, base: HubSeq) -> None:
        """Merge one operation."""
        incoming = Register(op.value, (stamp,))
        standing = self.registers.get(op.slot)
        if op.value is not DELETED and (standing is None or not standing.live):
            # Only what becomes live can come to stand above or below something else that lives.
            clashing = self._clashing(op.slot, op.value)
            if clashing and not self._clear(op.slot, clashing, incoming, base):
                return
        if standing is None:
            self._put(op.slot, incoming)
            return
        unseen = standing.unseen(base, stamp.actor)
        if not unseen:
            self._put(op.slot, incoming)
        elif equal(standing.value, op.value):
            self._put(op.slot, agreed(standing, incoming))
        else:
            policy = self.policies.of(self.document, op.slot.path)
            rival = Register(standing.value, unseen)
            winner = join(policy, rival, incoming)
            if winner is incoming:
                self._put(op.slot, incoming)
            kind = Kind.VALUE if rival.live and incoming.live else Kind.DELETE_UPDATE
            self._record(op.slot, kind, policy, winner is incoming, incoming, [(op.slot, rival)])

    def _clashing(self, slot: Slot, value: Value) -> list[Slot]:
        """The live slots that cannot stand beside `value` at `slot`: atomic above it, any below it."""
        places = [Slot(slot.path[:depth]) for depth in range(len(slot.path))]
        if slot.element is not None:
            places.append(Slot(slot.path))
        above = [place for place in places if self._blocks(place, slot)]
        if not self._occupied().get(slot.path):
            return above
        depth = len(slot.path)
        below = [
            other
            for other, register in self.registers.items()
            if register.live and other.path[:depth] == slot.path and not _stands_with(slot, value, other)
        ]
        return above + below

    def _blocks(self, place: Slot, slot: Slot) -> bool:
        """Whether a live register at `place`, above `slot`, leaves no room for anything below."""
        register = self.registers.get(place)
        if register is None or not register.live:
            return False
        room: Value = {} if place.path != slot.path else []
        return not equal(register.value, room)

    def _occupied(self) -> dict[Path, int]:
        """How many live registers lie below each path, its set elements included.

        Built once a draft and kept by `_put`: scanning the registers for each operation made the
        import of one document of 20,000 leaves quadratic.
        """
        if self._below is None:
            self._below = {}
            for slot, register in self.registers.items():
                if register.live:
                    self._count(slot, 1)
        return self._below

    def _count(self, slot: Slot, step: int) -> None:
        if self._below is not None:
            for depth in range(len(slot.path) + (slot.element is not None)):
                above = slot.path[:depth]
                self._below[above] = self._below.get(above, 0) + step

    def _clear(self, slot: Slot, clashing: list[Slot], incoming: Register, base: HubSeq) -> bool:
        """Whether `incoming` takes the place of everything it clashes with; if so, it is cleared."""
        actor = incoming.stamp.actor
        rivals = [
            (other, Register(self.registers[other].value, unseen))
            for other in clashing
            if (unseen := self.registers[other].unseen(base, actor))
        ]
        # The rule of the place where the two shapes meet: the upper one.
        upper = min([slot.path, *(other.path for other in clashing)], key=len)
        policy = self.policies.of(self.document, upper)
        wins = all(join(policy, rival, incoming) is incoming for _, rival in rivals)
        if rivals:
            self._record(slot, Kind.PREFIX, policy, wins, incoming, rivals)
        if wins:
            for other in clashing:
                self._put(other, Register(DELETED, incoming.stamps))
        return wins

    def _record(
        self,
        slot: Slot,
        kind: Kind,
        policy: Policy,
        wins: bool,
        incoming: Register,
        rivals: list[tuple[Slot, Register]],
    ) -> None:
        new = Candidate(slot, incoming.value, incoming.stamps)
        old = [Candidate(other, rival.value, rival.stamps) for other, rival in rivals]
        self.conflicts.append(
            Conflict(
                self.document,
                slot,
                kind,
                policy,
                self.policies.version(self.document),
                (new, *old) if wins else (*old, new),
            )
        )

    def _put(self, slot: Slot, register: Register) -> None:
        before = self.registers.get(slot)
        was_live = before is not None and before.live
        if was_live != register.live:
            self._count(slot, 1 if register.live else -1)
        self.registers[slot] = register
        self.touched = True


def _stands_with(slot: Slot, value: Value, other: Slot) -> bool:
    """Whether a live `other`, at or below `slot`, can stand beside a live `value` there.

    Children stand below the marker of an empty object, elements beside the marker of a set and
    beside each other. (What lies above `slot` is `_blocks`' business.)
    """
    if other == slot:
        return True
    is_element = other.element is not None and other.path == slot.path
    if slot.element is not None:
        return is_element or other == Slot(slot.path)
    if isinstance(value, dict):
        return not is_element
    return isinstance(value, list) and not value and is_element
