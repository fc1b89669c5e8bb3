"""The decision: one change against the standing documents.

The hub decides each change once, in its order; an edge decides the changes of its own outbox over
what the hub has confirmed, to show today what the hub would answer today. Both call `decide`.

A write is concurrent with a standing register when the register has a stamp beyond the change's
base that is not of the writer's own lineage (its incarnation). Writes that are not concurrent simply
replace. Concurrent ones with equal values agree; with different values the policy at the path
chooses, and the losers become a `Conflict` for the ledger. Increments of a counter add up.

A leaf with members (`leaf`) competes as one: its content is the value, its stamps are those of all
who contributed to it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from anabranch_sync.change import Change, Entry, Op
from anabranch_sync.clock import Timestamp
from anabranch_sync.conflict import Candidate, Conflict, Kind
from anabranch_sync.document import EMPTY, Document
from anabranch_sync.ids import DocumentId, HubSeq, Incarnation
from anabranch_sync.later import later
from anabranch_sync.leaf import (
    MEMBERS,
    PARTS_MAX,
    ancestry_slot,
    is_number,
    is_open,
    members,
    merges_edits,
    part_slot,
    stamps_of_all,
    summed,
    whole,
)
from anabranch_sync.merge_shapes import (
    NOTHING,
    InTheWay,
    LiveIndex,
    Rival,
    best_of,
    candidates_of,
    clashing_below,
    kind_of,
    reshapes,
    upper_path,
)
from anabranch_sync.path import Path
from anabranch_sync.policy import Policies, Rule
from anabranch_sync.register import (
    DELETED,
    PENDING,
    Edit,
    Increment,
    Part,
    Register,
    Slot,
    Stamp,
    Value,
    agreed,
    equal,
)
from anabranch_sync.value import same

if TYPE_CHECKING:
    from anabranch_sync import leaf_ancestry, leaf_edits, leaf_merging
else:
    later(globals(), "anabranch_sync", "leaf_ancestry", "leaf_edits", "leaf_merging")


@dataclass(frozen=True, slots=True)
class Decision:
    """The documents that changed, with their new versions, and the conflicts in order of decision."""

    documents: Mapping[DocumentId, Document]
    conflicts: tuple[Conflict, ...]


def decide(
    standing: Mapping[DocumentId, Document],
    change: Change,
    actor: Incarnation,
    hub_seq: HubSeq,
    timestamp: Timestamp,
    policies: Policies,
    stands_for: int = 1,
) -> Decision:
    """Merge `change`, written by `actor`, at position `hub_seq`; `standing` is not modified.

    `timestamp` is the change's own, or the clamped one (`clock.clamped`) where its clock was ahead. So many
    versions further are the documents as the change `stands_for` changes (`absorbing`).
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
        {document: draft.result(stands_for) for document, draft in drafts.items() if draft.touched},
        tuple(conflict for draft in drafts.values() for conflict in draft.conflicts),
    )


def overlay(
    document: DocumentId, confirmed: Document, pending: Iterable[Entry], policies: Policies
) -> Document:
    """The document as its readers see it: what is confirmed, with the outbox merged into it.

    This is what the hub would answer if it decided the outbox now.
    """
    state = confirmed
    for each in pending:
        ops = tuple(op for op in each.change.ops if op.document == document)
        change = Change(each.change.timestamp, each.change.base, "", "", ops)
        decision = decide(
            {document: state}, change, each.dot.incarnation, PENDING, each.change.timestamp, policies
        )
        state = decision.documents.get(document, state)
    return state


class _Draft:
    """One document while a change is merged into it."""

    def __init__(self, document: DocumentId, standing: Document, policies: Policies) -> None:
        self.document = document
        self.registers = dict(standing.registers)
        self.version = standing.version
        self.policies = policies
        self.conflicts: list[Conflict] = []
        self.touched = False
        self._index: LiveIndex | None = None
        self._ways: dict[tuple[Path, bool, HubSeq, Incarnation], InTheWay] = {}
        self._members = members(self.registers)

    def result(self, changes: int) -> Document:
        return Document(self.registers, self.version + changes)

    def write(self, op: Op, stamp: Stamp, base: HubSeq) -> None:
        """Merge one operation."""
        match op.value:
            case Increment(wrote=wrote):
                if not self._added(op.slot, op.value, stamp, base):
                    self._set(op.slot, wrote, stamp, base)
            case Edit():
                self._merge(op.slot, op.value, stamp, base)
            case value:
                self._set(op.slot, value, stamp, base)

    def _added(self, slot: Slot, increment: Increment, stamp: Stamp, base: HubSeq) -> bool:
        """Add to the counter at `slot`. False where there is none, or no number can hold the sum.

        Then what the author wrote is a number like any other. So it is where nothing is concurrent
        and floats, rounded, would not give what the author saw.
        """
        standing, principal = self._standing(slot), self.registers.get(slot)
        if (
            standing is None
            or principal is None
            or not is_number(standing.value)
            or not is_open(principal, stamp.hub_seq)
            or self.policies.of(self.document, slot.path).rule is not Rule.COUNTER
        ):
            return False
        place = part_slot(slot.path, stamp.actor)
        part = self.registers.get(place)
        before = part.value.amount if part is not None and isinstance(part.value, Part) else 0
        amount = summed((before, increment.delta))
        if amount is None:
            return False
        others = (each for each in self._members.get(slot.path, ()) if each != place)
        total = summed((principal.said, amount, *(_amount(self.registers[each]) for each in others)))
        if total is None or (not standing.unseen(base, stamp.actor) and not same(total, increment.wrote)):
            return False
        self._put(place, Register(Part(amount), (stamp,)))
        if len(self._members[slot.path]) > PARTS_MAX and stamp.hub_seq != PENDING:
            self._put(slot, Register(total, stamps_of_all([*standing.stamps, stamp])))
        return True

    def _merge(self, slot: Slot, edit: Edit, stamp: Stamp, base: HubSeq) -> None:
        """Merge an edit into the text or list at its path, or keep what it inserts in the ledger."""
        place, incoming = Slot(slot.path), Register(edit, (stamp,))
        standing = self.registers.get(slot)
        if standing is not None and equal(standing.value, edit):
            self._put(slot, agreed(standing, incoming))
            return
        if leaf_merging.has_been_folded(self.registers, slot):
            self._note_agreement(slot.path, stamp)
            return
        made = leaf_merging.merging(self.registers, self._members.get(slot.path, ()), slot, edit)
        if made is None or self._indexed().elements(slot.path):
            self._lose(place, leaf_edits.inserted(slot, edit), stamp, base)
            return
        unseen = made.unseen(base, stamp.actor)
        rule, principal = self.policies.of(self.document, slot.path).rule, self.registers[place]
        # Where nothing is concurrent, any policy lets an edit do what its author read.
        past = principal.unseen(base, stamp.actor)
        merges = merges_edits(rule, made.before) or not (unseen or past)
        if made.met is not None and not merges:
            # What its author read is not known any more.
            self._lose(place, leaf_edits.inserted(slot, edit), stamp, base)
            return
        if not merges or not is_open(principal, stamp.hub_seq):
            self._set(place, made.meant(unseen), stamp, base)
            return
        touched = made.touched(unseen)
        if made.met and past and not equal(made.after, made.before):
            sides = Candidate(place, made.after, (stamp, *past)), Candidate(place, made.before, past)
            self._tell(place, Kind.OVERLAP, place.path, sides)
        elif touched and not equal(made.after, made.before):
            others = tuple(sorted({each for other in touched for each in unseen[other].stamps}, reverse=True))
            candidates = (
                Candidate(place, made.after, (stamp, *others)),
                Candidate(place, made.before, others),
                Candidate(place, made.meant(unseen), (stamp,)),
            )
            self._tell(place, Kind.OVERLAP, place.path, candidates)
        if made.update.insertions or made.update.deletions:
            self._put(slot, Register(made.edit, (stamp,)))
        else:
            self._note_agreement(slot.path, stamp)
        # An empty seed would have no units beside which to put what comes late.
        if stamp.hub_seq != PENDING and made.after and self._is_full(slot.path):
            self._fold(place)

    def _is_full(self, path: Path) -> bool:
        held = ((slot, self.registers[slot].value) for slot in self._members.get(path, ()))
        edits = [(edit, leaf_edits.update_of(slot, edit)) for slot, edit in held if isinstance(edit, Edit)]
        size_bytes = sum(len(edit.update) for edit, _ in edits)
        deletions = sum(len(update.deletions) for _, update in edits if update)
        return (
            len(edits) > leaf_ancestry.EDITS_MAX
            or size_bytes > leaf_ancestry.EDITS_BYTES_MAX
            or deletions > leaf_ancestry.EDITS_DELETIONS_MAX
        )

    def _note_agreement(self, path: Path, stamp: Stamp) -> None:
        """Name one more author of what has been folded already: beside the seed, which stays what it is."""
        place = ancestry_slot(path)
        ancestry = self.registers[place]
        self._put(place, Register(ancestry.value, stamps_of_all([*ancestry.stamps, stamp])))

    def _fold(self, place: Slot) -> None:
        """Make a new seed of a text or list with many edits; only the hub does, where all is decided."""
        own = self._members[place.path]
        standing, principal = self._standing(place), self.registers[place]
        leaf = leaf_edits.edited(principal.value, {each: self.registers[each] for each in own})
        assert standing is not None, "what is folded stands"
        assert leaf is not None, "only texts and lists have edits"
        before = self.registers.get(ancestry_slot(place.path))
        ancestry = leaf_ancestry.folded(leaf, before and before.value)
        stamps = stamps_of_all(standing.stamps)
        self._put(place, Register(standing.value, stamps))
        self._put(ancestry_slot(place.path), Register(ancestry, (max(stamps, key=_position),)))

    def _lose(self, place: Slot, value: Value, stamp: Stamp, base: HubSeq) -> None:
        """Keep in the ledger what an edit inserts that no longer has a place."""
        incoming, standing = Register(value, (stamp,)), self._standing(place)
        # Even where the same stands: what an edit inserts is not what its author read.
        way = self._in_the_way(place, value, base, stamp.actor)
        here = self._rival_at(place, value, way, base, stamp.actor)
        if not (way.rivals or here):
            here = [(place, standing or Register(DELETED, (stamp,)))]
        policy = self.policies.of(self.document, upper_path([*way.upper, *here]))
        rows = [best_of(policy, [*way.best(policy), *here]), (place, incoming)]
        self._tell(place, Kind.FRAGMENT, upper_path(rows), candidates_of(rows))

    def _set(self, slot: Slot, value: Value, stamp: Stamp, base: HubSeq) -> None:
        """Put `value` at `slot`, or let it lose to what is in its way."""
        incoming, actor = Register(value, (stamp,)), stamp.actor
        standing = self._standing(slot)
        way = self._in_the_way(slot, value, base, actor) if reshapes(standing, value) else NOTHING
        here = self._rival_at(slot, value, way, base, actor)
        if (way.rivals or here) and not self._won(slot, incoming, way, here):
            return
        for other in way.slots:
            self._put(other, Register(DELETED, incoming.stamps))
        if standing is not None and standing.unseen(base, actor) and equal(standing.value, value):
            incoming = agreed(standing, incoming)
        self._put(slot, incoming)

    def _standing(self, slot: Slot) -> Register | None:
        """What stands at a slot; a leaf with its members is one."""
        own = self._members.get(slot.path) if slot.element is None else None
        return whole(self.registers, slot.path, own) if own else self.registers.get(slot)

    def _in_the_way(self, slot: Slot, value: Value, base: HubSeq, actor: Incarnation) -> InTheWay:
        """What cannot stand beside `value` at `slot`: atomic or a set above it, any below."""
        if slot.element is not None:
            return self._shared_way(slot.path, True, base, actor)
        shared = self._shared_way(slot.path[:-1], False, base, actor) if slot.path else NOTHING
        below = clashing_below(self._indexed(), slot, value)
        return self._way([*shared.slots, *below], base, actor) if below else shared

    def _shared_way(self, path: Path, is_set: bool, base: HubSeq, actor: Incarnation) -> InTheWay:
        """What is in the way of all that is written into the object or the set at `path`, until one is put.

        A set of thousands against an object as large took an hour, looked for by each of either.
        """
        way = self._ways.get((path, is_set, base, actor))
        if way is None:
            index = self._indexed()
            above = [Slot(path[:depth]) for depth in range(len(path) + 1)]
            slots = [place for place in above if self._blocks(place, is_set and place.path == path)]
            for place in above[:-1] if is_set else above:
                slots += index.elements(place.path)
            if is_set:
                slots += index.below(path)
            way = self._ways[path, is_set, base, actor] = self._way(slots, base, actor)
        return way

    def _way(self, slots: Iterable[Slot], base: HubSeq, actor: Incarnation) -> InTheWay:
        """In one order, whatever that of the registers: where rivals are equal, the first is told."""
        ordered = sorted(slots, key=lambda place: place.order)
        rivals = [
            (place, Register(register.value, unseen))
            for place in ordered
            if (register := self._standing(place)) and (unseen := register.unseen(base, actor))
        ]
        return InTheWay(ordered, rivals)

    def _blocks(self, place: Slot, is_set: bool) -> bool:
        """Whether a live register at `place` leaves no room below, or, where it `is_set`, for elements."""
        register = self._standing(place)
        if register is None or not register.live:
            return False
        if self._members.get(place.path):
            return True
        room: Value = [] if is_set else {}
        return not equal(register.value, room)

    def _rival_at(
        self, slot: Slot, value: Value, way: InTheWay, base: HubSeq, actor: Incarnation
    ) -> list[Rival]:
        """The concurrent writes at `slot` itself, if they are rivals of `value` beside those in the way."""
        standing = self._standing(slot)
        if standing is None or equal(standing.value, value):
            return []
        # What cleared this slot is a rival already, by what it put in the way.
        unseen = standing.unseen(base, actor)
        if unseen and (standing.live or not way.stamps.issuperset(unseen)):
            return [(slot, Register(standing.value, unseen))]
        return []

    def _won(self, slot: Slot, incoming: Register, way: InTheWay, here: Sequence[Rival]) -> bool:
        """Whether `incoming` is preferred to every rival; either way the ledger gets its row.

        When it is not, only its own value is lost: the rivals go on standing beside each other.
        """
        own = (slot, incoming)
        ruled = upper_path([own, *way.upper, *here])
        policy = self.policies.of(self.document, ruled)
        best = best_of(policy, [own, *way.best(policy), *here])
        wins = best[1] is incoming
        rows = [own, *way.rivals, *here] if wins else [best, own]
        self._tell(slot, kind_of(rows), ruled, candidates_of(rows))
        return wins

    def _tell(self, slot: Slot, kind: Kind, ruled: Path, candidates: tuple[Candidate, ...]) -> None:
        """Write a row of the ledger; the policy is that at `ruled`."""
        policy, version = self.policies.of(self.document, ruled), self.policies.version(self.document)
        self.conflicts.append(Conflict(self.document, slot, kind, policy, version, candidates))

    def _indexed(self) -> LiveIndex:
        """Built once a draft and kept by `_put`: scanning the registers for each operation made the
        import of one document of 20,000 leaves quadratic.
        """
        if self._index is None:
            self._index = LiveIndex()
            for slot, register in self.registers.items():
                if register.live and not isinstance(register.value, MEMBERS):
                    self._index.add(slot)
        return self._index

    def _put(self, slot: Slot, register: Register) -> None:
        self.touched = True
        self._ways.clear()
        if isinstance(register.value, MEMBERS):
            own = self._members.setdefault(slot.path, [])
            if slot not in own:
                own.append(slot)
            self.registers[slot] = register
            return
        if slot.element is None:
            for ended in self._members.pop(slot.path, ()):
                del self.registers[ended]
        before = self.registers.get(slot)
        was_live = before is not None and before.live
        if was_live != register.live and self._index is not None:
            if register.live:
                self._index.add(slot)
            else:
                self._index.remove(slot)
        self.registers[slot] = register


def _position(stamp: Stamp) -> HubSeq:
    return stamp.hub_seq


def _amount(register: Register) -> int | float:
    return register.value.amount if isinstance(register.value, Part) else 0
