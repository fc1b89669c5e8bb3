"""An oracle that knows true causality, to check decisions that know only positions and incarnations.

Each write carries the set of the writes that its author had seen. From this, and from nothing that
the core computed, the oracle knows which writes are concurrent, which one replaced which, and
therefore what every ledger row must and must not say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from anabranch_sync.change import Change, Op
from anabranch_sync.conflict import Candidate, Conflict, Kind
from anabranch_sync.document import EMPTY, Document, Object, at
from anabranch_sync.ids import DocumentId, Dot
from anabranch_sync.leaf import ancestry_slot, is_number, leaf_values, merges_edits, summed
from anabranch_sync.policy import Policies, Rule
from anabranch_sync.register import DELETED, Edit, Increment, Operand, Slot, Value, equal
from anabranch_sync.value import Json

from tests.sync.steps import is_typed

Place = tuple[DocumentId, Slot]


@dataclass(slots=True)
class Oracle:
    """What was written, by whom, having seen what."""

    seen: dict[Dot, frozenset[Dot]] = field(default_factory=dict)
    written: dict[Dot, dict[Place, Value]] = field(default_factory=dict)
    # What stands at a place by the oracle's own account: the value and the writes that agree on it.
    standing: dict[Place, tuple[Value, frozenset[Dot]]] = field(default_factory=dict)
    lost: set[tuple[Dot, Place]] = field(default_factory=set)
    cleared: set[tuple[Dot, Place]] = field(default_factory=set)
    dots: dict[tuple[int, int], Dot] = field(default_factory=dict)
    # Writes that went into what stood instead of taking its place.
    contributed: set[tuple[Dot, Place]] = field(default_factory=set)
    joint: set[Place] = field(default_factory=set)
    operands: dict[tuple[Dot, Place], Operand] = field(default_factory=dict)
    said: dict[Dot, set[Place]] = field(default_factory=dict)
    # Where edits went into a new seed: what touches them is no longer known to the last unit.
    folded: set[Place] = field(default_factory=set)
    # What the author of an edit read before and after it.
    edits: dict[tuple[Dot, Place], tuple[Value, Value]] = field(default_factory=dict)
    # The writes of the whole value on which what stands has been edited.
    seeded: dict[Place, frozenset[Dot]] = field(default_factory=dict)

    def concurrent(self, one: Dot, other: Dot) -> bool:
        """Whether neither author had seen the other write."""
        return one != other and one not in self.seen[other] and other not in self.seen[one]

    def note_edits(
        self,
        dot: Dot,
        change: Change,
        visible: Mapping[DocumentId, Document],
        wanted: Mapping[DocumentId, Object | None],
    ) -> None:
        """Take note of what a change is about, and of what authors of edits read before and after."""
        self.said[dot] = {place_of(op) for op in change.ops}
        for op in change.ops:
            if isinstance(op.value, Edit):
                before = _value_at(visible, place_of(op))
                self.edits[dot, place_of(op)] = before, at(wanted[op.document] or {}, op.slot.path)

    def decided(
        self,
        dot: Dot,
        change: Change,
        hub_seq: int,
        before: Mapping[DocumentId, Document],
        after: Mapping[DocumentId, Document],
        conflicts: tuple[Conflict, ...],
        policies: Policies,
    ) -> None:
        """Check one decision of the hub: `before` and `after` are all its documents."""
        self.dots[dot.incarnation, hub_seq] = dot
        ops = {place_of(op): op for op in change.ops}
        assert len(ops) == len(change.ops), "a change writes each place once"
        self.written[dot] = {place: self.meant(dot, op) for place, op in ops.items()}
        self.operands |= {(dot, place): op.value for place, op in ops.items()}
        self._note_cleared(dot, ops, before, after)
        for conflict in conflicts:
            self._check_row(dot, conflict, before, after)
        lost_now = {
            (self.dots[stamp.actor, stamp.hub_seq], (conflict.document, loser.slot))
            for conflict in conflicts
            if conflict.kind is not Kind.OVERLAP
            for loser in conflict.losers
            for stamp in loser.stamps
        }
        self.lost |= lost_now
        standing = dict(self.standing)
        for place, op in ops.items():
            rule = policies.of(op.document, op.slot.path).rule
            if self._check_contribution(dot, place, op, rule, after):
                continue
            if isinstance(op.value, Edit) and self._check_edit(dot, op, rule, after, conflicts, lost_now):
                continue
            self._check_op(dot, place, op, standing, after, lost_now)
            if equal(_value_at(after, place), self.written[dot][place]):
                self.seeded[place] = self.standing[place][1]

    def check_rest(self, documents: Mapping[DocumentId, Document]) -> None:
        """At the end: nothing was invented, hidden or forgotten."""
        for document, state in documents.items():
            for slot, value in leaf_values(state.registers).items():
                known, _ = self.standing.get((document, slot), (DELETED, None))
                assert equal(value, known), f"{slot} of {document} says {value!r} instead of {known!r}"
                if value is not DELETED and (document, slot) not in self.joint:
                    assert any(
                        (document, slot) in written and equal(written[document, slot], value)
                        for written in self.written.values()
                    ), f"{slot} of {document} holds {value!r}, which nobody wrote"
        self._check_counts(documents)
        for dot, places in self.written.items():
            for place, value in places.items():
                went_in = place in self.joint and dot in self.standing[place][1]
                if not went_in and self._is_maximal(dot, place, value):
                    stands = _value_at(documents, place)
                    assert equal(stands, value) or self._is_told(dot, place, value), (
                        f"write {dot} of {value!r} at {place[1]} was superseded by nobody, "
                        f"but {stands!r} stands and no ledger row names it"
                    )

    def _note_cleared(
        self,
        dot: Dot,
        ops: Mapping[Place, Op],
        before: Mapping[DocumentId, Document],
        after: Mapping[DocumentId, Document],
    ) -> None:
        """Take note of the places that the decision emptied without an operation for them."""
        for document in dict.fromkeys(op.document for op in ops.values()):
            old = leaf_values(before.get(document, EMPTY).registers)
            for slot, value in leaf_values(after.get(document, EMPTY).registers).items():
                if (document, slot) in ops or (slot in old and equal(old[slot], value)):
                    continue
                assert value is DELETED, f"{slot} became {value!r} by no operation"
                self.cleared.add((dot, (document, slot)))

    def _check_row(
        self,
        dot: Dot,
        conflict: Conflict,
        before: Mapping[DocumentId, Document],
        after: Mapping[DocumentId, Document],
    ) -> None:
        assert conflict.losers, "a ledger row without a loser"
        if conflict.kind is Kind.OVERLAP:
            self._check_overlap(dot, conflict, before, after)
            return
        place = conflict.document, conflict.slot
        last = conflict.candidates[-1]
        lost = any(self.dots[each.actor, each.hub_seq] == dot for each in last.stamps)
        alone = {each.actor for each in conflict.winner.stamps} == {dot.incarnation}
        unplaced = alone or not equal(last.value, self.written[dot].get(place, DELETED))
        if lost and unplaced and (dot, place) in self.edits:
            self._check_unplaced(dot, place, conflict, before)
            return
        for candidate in conflict.candidates:
            self._check_candidate(conflict.document, candidate, before)
        for won in conflict.winner.stamps:
            for loser in conflict.losers:
                for stamp in loser.stamps:
                    one = self.dots[won.actor, won.hub_seq]
                    other = self.dots[stamp.actor, stamp.hub_seq]
                    assert self.concurrent(one, other), f"false conflict of {one} and {other}: {conflict}"

    def _check_candidate(
        self, document: DocumentId, candidate: Candidate, before: Mapping[DocumentId, Document]
    ) -> None:
        place = document, candidate.slot
        joint = place in self.joint and equal(_value_at(before, place), candidate.value)
        for stamp in candidate.stamps:
            dot = self.dots[stamp.actor, stamp.hub_seq]
            wrote = place in self.written[dot] and equal(self.written[dot][place], candidate.value)
            wrote |= (dot, place) in self.edits and _is_inserted(*self.edits[dot, place], candidate.value)
            emptied = candidate.value is DELETED and (dot, place) in self.cleared
            assert wrote or emptied or joint, f"{dot} never wrote {candidate.value!r} at {candidate.slot}"

    def _check_contribution(
        self, dot: Dot, place: Place, op: Op, rule: Rule, after: Mapping[DocumentId, Document]
    ) -> bool:
        """Whether the operation had to go into what stands; then check that it did."""
        value, dots = self.standing.get(place, (DELETED, frozenset()))
        if not isinstance(op.value, Increment) or rule is not Rule.COUNTER or not is_number(value):
            return False
        total = summed((value, op.value.delta))
        if total is None:
            return False
        if dots <= self.seen[dot] | {dot}:
            total = op.value.wrote
        assert equal(_value_at(after, place), total), (
            f"{dot} added {op.value} to {value!r}: {total!r} is wanted"
        )
        self.standing[place] = total, dots | {dot}
        self.contributed.add((dot, place))
        self.joint.add(place)
        return True

    def _check_edit(
        self,
        dot: Dot,
        op: Op,
        rule: Rule,
        after: Mapping[DocumentId, Document],
        conflicts: tuple[Conflict, ...],
        lost_now: set[tuple[Dot, Place]],
    ) -> bool:
        """Check an edit that had to be merged, or that found what it was made for gone. False: neither."""
        place = place_of(op)
        standing, dots = self.standing.get(place, (DELETED, frozenset()))
        before, mine = self.edits[dot, place]
        said = _value_at(after, place)
        knew = standing is not DELETED and self._knew_seed(dot, place)
        if not knew and (dot, place) in lost_now and equal(said, standing):
            return True  # what it was made for is gone, and what it adds is in the ledger
        registers = after.get(op.document, EMPTY).registers
        ancestry = registers.get(ancestry_slot(op.slot.path))
        if ancestry is not None:
            self.folded.add(place)
        merged = (
            op.slot in registers
            or (ancestry is not None and self.dots.get((dot.incarnation, ancestry.hub_seq)) == dot)
            or (place in self.folded and equal(said, standing) and (dot, place) not in lost_now)
        )
        if not merged:
            assert not (knew and merges_edits(rule, standing)), f"{dot} was not merged into {standing!r}"
            return False
        assert _in_order(said, standing), f"{dot} turned {standing!r} round to {said!r}"
        # Of one's own words between those of others, all deleted and folded, the order may be forgotten.
        assert place in self.folded or _in_order(said, mine), (
            f"{said!r} has not the order of {dot}'s {mine!r}"
        )
        was, did, read = (set(map(repr, _units(each))) for each in (standing, mine, before))
        wanted = (was - (read - did)) | (did - read)
        twin = any(
            self.edits.get((other, place)) == (before, mine) for other in dots - self.seen[dot] - {dot}
        )
        assert twin or merges_edits(rule, standing) or dots <= self.seen[dot], f"{dot} merged under {rule}"
        assert len(_units(said)) == len({*map(repr, _units(said))}), f"units twice in {said!r}"
        assert twin or {*map(repr, _units(said))} == wanted, f"{dot}: {standing!r} and {mine!r} gave {said!r}"
        self._check_told(dot, place, conflicts, changed=not equal(said, standing))
        self.standing[place] = said, dots | {dot}
        self.contributed.add((dot, place))
        self.joint.add(place)
        return True

    def _knew_seed(self, dot: Dot, place: Place) -> bool:
        """Whether an author edited what was edited at the hub, and not what another write had put there."""
        seeds, seen = self.seeded.get(place, frozenset()), self.seen[dot]
        others = (
            other
            for other in seen - seeds
            if place in self.said[other] and (other, place) not in self.contributed
        )
        if any((seed, place) in self.edits for seed in seeds):
            return False  # it could not be merged and replaced what it was an edit of
        return seeds <= seen and all(any(other in self.seen[seed] for seed in seeds) for other in others)

    def _check_told(self, dot: Dot, place: Place, conflicts: tuple[Conflict, ...], *, changed: bool) -> None:
        """Edits that touch make a row, others none."""
        if place in self.folded:
            return
        mine = _Touching.of(*self.edits[dot, place])
        others = [
            _Touching.of(*self.edits[other, place])
            for other in self.standing[place][1]
            if (other, place) in self.contributed
            and (other, place) in self.edits
            and self.concurrent(dot, other)
            and other.incarnation != dot.incarnation
        ]
        rows = [each for each in conflicts if (each.document, each.slot) == place]
        if rows:
            assert any(mine.may_meet(other) for other in others), f"false overlap of {dot}: {rows}"
        elif changed:
            assert not any(mine.must_meet(other) for other in others), f"{dot} overlaps and no row says so"

    def _check_unplaced(
        self, dot: Dot, place: Place, conflict: Conflict, before: Mapping[DocumentId, Document]
    ) -> None:
        """An edit of what is no longer there: the row has what it adds, and what stands."""
        there, added = conflict.candidates
        is_added = _is_inserted(*self.edits[dot, place], added.value)
        assert is_added or self._lost_before(dot, place), f"{dot} did not add {added.value!r}"
        assert equal(there.value, _value_at(before, (place[0], there.slot)))

    def _lost_before(self, dot: Dot, place: Place) -> bool:
        """Whether an earlier edit the author had seen was lost or refused: what he read cannot be told."""
        return any(
            (other, place) in self.lost or (other not in self.written and place in self.said[other])
            for other in self.seen[dot]
        )

    def _check_overlap(
        self,
        dot: Dot,
        conflict: Conflict,
        before: Mapping[DocumentId, Document],
        after: Mapping[DocumentId, Document],
    ) -> None:
        place = conflict.document, conflict.slot
        merged, there, *read = (candidate.value for candidate in conflict.candidates)
        assert equal(merged, _value_at(after, place))
        assert equal(there, _value_at(before, place))
        assert read or place in self.folded, "what the author read is only forgotten where it was folded"
        if place in self.folded:
            return
        [own] = read
        wanted = self.written[dot][place]
        assert equal(own, wanted) or self._lost_before(dot, place), f"{dot} read {wanted!r}, not {own!r}"

    def meant(self, dot: Dot, op: Op) -> Value:
        """What its author read at the operation's place afterwards."""
        match op.value:
            case Increment(wrote=wrote):
                return wrote
            case Edit():
                return self.edits[dot, place_of(op)][1]
            case value:
                return value

    def _check_counts(self, documents: Mapping[DocumentId, Document]) -> None:
        """Where nobody did anything but count, nothing is missing and nothing counted twice."""
        for place in self.joint - {place for _, place in self.cleared}:
            writers = [dot for dot, places in self.written.items() if place in places]
            operands = [self.operands[dot, place] for dot in writers]
            increments = [each for each in operands if isinstance(each, Increment)]
            # The first one found nothing there, and all others went into what it began.
            if (
                len(increments)
                == len(writers)
                == 1 + sum((dot, place) in self.contributed for dot in writers)
            ):
                total = summed(each.delta for each in increments)
                assert total in (None, _value_at(documents, place)), f"{place} lost count"

    def _check_op(
        self,
        dot: Dot,
        place: Place,
        op: Op,
        standing: Mapping[Place, tuple[Value, frozenset[Dot]]],
        after: Mapping[DocumentId, Document],
        lost_now: set[tuple[Dot, Place]],
    ) -> None:
        wanted = self.written[dot][place]
        value, dots = standing.get(place, (DELETED, frozenset()))
        rivals = {
            other: (there, agreeing - self.seen[dot])
            for other, (there, agreeing) in standing.items()
            if other[0] == op.document and _excludes(place[1], wanted, other[1], there)
        }
        unseen = dots - self.seen[dot]
        if not equal(_value_at(after, place), wanted):
            assert any(agreeing for _, agreeing in rivals.values()), (
                f"{dot} had seen everything that stood in the way of {op}, and yet it lost"
            )
            assert (dot, place) in lost_now, f"{dot} lost {op} and no ledger row says so"
            return
        if equal(value, wanted):
            self.standing[place] = wanted, unseen | {dot}
        else:
            self.standing[place] = wanted, frozenset({dot})
        for other, (there, agreeing) in rivals.items():
            if other != place:
                assert not equal(_value_at(after, other), there), f"{other[1]} and {op.slot} both stand"
            for each in agreeing:
                # A deletion that made room for another value is told by that value.
                told = there is DELETED and any((each, place) in lost_now for place in rivals)
                # One who contributed twice is named by the last time.
                told |= any((later, other) in lost_now and each in self.seen[later] for later in agreeing)
                assert told or (each, other) in lost_now, f"{each} at {other[1]} lost to {dot}, untold"
            if other != place and other not in self.written[dot]:
                self.standing[other] = DELETED, frozenset({dot})

    def _is_told(self, dot: Dot, place: Place, value: Value) -> bool:
        """Whether the ledger names the write as a loser.

        A deletion that made room for another value of the same write is told by that value.
        """
        return (dot, place) in self.lost or (
            value is DELETED
            and any(
                (dot, other) in self.lost and _in_line(other[1], place[1])
                for other in self.written[dot]
                if other[0] == place[0]
            )
        )

    def _is_maximal(self, dot: Dot, place: Place, value: Value) -> bool:
        """Whether nobody who had seen the write wrote in its place or in its way."""
        return not any(
            dot in self.seen[later]
            and other[0] == place[0]
            and (other[1] == place[1] or _clash(place[1], value, other[1], there))
            for later, places in self.written.items()
            for other, there in places.items()
        )


def place_of(op: Op) -> Place:
    """The place of the leaf that an operation is about."""
    return op.document, Slot(op.slot.path) if isinstance(op.value, Edit) else op.slot


def _units(value: Value) -> list[Json]:
    """The characters of a text or the items of a list that were typed, each of them once only."""
    return [unit for unit in value if is_typed(unit)] if isinstance(value, str | list) else []


def _is_inserted(before: Value, after: Value, value: Value) -> bool:
    """Whether `value` holds just what an edit has added."""
    return set(map(repr, _units(value))) == set(map(repr, _units(after))) - set(map(repr, _units(before)))


def _in_order(some: Value, of: Value) -> bool:
    """Whether the units that two values share come in the same order."""
    shared = set(map(repr, _units(some))) & set(map(repr, _units(of)))
    one, other = ([unit for unit in map(repr, _units(each)) if unit in shared] for each in (some, of))
    return one == other


@dataclass(frozen=True, slots=True)
class _Touching:
    """Where an edit of typed units, all distinct, can and must meet another one."""

    gone: set[str]
    gaps: set[tuple[str, str]]
    near: set[str]
    there: set[str]

    @staticmethod
    def of(before: Value, after: Value) -> "_Touching":
        old, new = (["<", *map(repr, each), ">"] for each in (before, after) if isinstance(each, str | list))
        if len(set(old)) < len(old) or len(set(new)) < len(new):
            return _Touching(set(), set(), {"anything"}, set(old))
        gone = set(old) - set(new)
        gaps, near = set(), set(gone)
        kept = [unit for unit in new if unit in set(old)]
        for left, right in pairwise(kept):
            if new.index(right) - new.index(left) > 1:
                gaps.add((left, right))
                near |= set(old[old.index(left) : old.index(right) + 1])
        return _Touching(gone, gaps, near, set(old))

    def must_meet(self, other: "_Touching") -> bool:
        return bool(self.gone & other.gone or (not self.gone and not other.gone and self.gaps & other.gaps))

    def may_meet(self, other: "_Touching") -> bool:
        # What the other deletes and this author no longer saw may lie beside what this author inserts.
        unseen = (other.gone - self.there) | (self.gone - other.there)
        return bool(self.near & other.near or unseen) or "anything" in self.near | other.near


def _value_at(documents: Mapping[DocumentId, Document], place: Place) -> Value:
    state = documents.get(place[0])
    return DELETED if state is None else leaf_values(state.registers).get(place[1], DELETED)


def _excludes(slot: Slot, value: Value, other: Slot, there: Value) -> bool:
    """Whether `value` at `slot` and `there` at `other` cannot both stand."""
    return not equal(value, there) if slot == other else _clash(slot, value, other, there)


def _clash(slot: Slot, value: Value, other: Slot, there: Value) -> bool:
    """Whether two live values at two places have no common JSON shape."""
    if slot == other or value is DELETED or there is DELETED:
        return False
    if slot.path == other.path:
        # A set's marker and its elements, or two elements.
        if slot.element is not None and other.element is not None:
            return False
        return not equal(value if slot.element is None else there, [])
    (upper, above), (lower, _) = sorted([(slot, value), (other, there)], key=lambda each: len(each[0].path))
    if lower.path[: len(upper.path)] != upper.path:
        return False
    return upper.element is not None or not equal(above, {})


def _in_line(one: Slot, other: Slot) -> bool:
    """Whether one of two slots lies at or above the other."""
    return all(here == there for here, there in zip(one.path, other.path, strict=False))


def hidden(document: Document) -> list[tuple[Slot, Slot]]:
    """Pairs of live registers that cannot both be seen in one JSON object. Always to be empty."""
    live = [(slot, value) for slot, value in leaf_values(document.registers).items() if value is not DELETED]
    return [
        (slot, other)
        for index, (slot, value) in enumerate(live)
        for other, there in live[:index]
        if _clash(slot, value, other, there)
    ]
