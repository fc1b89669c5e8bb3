"""An oracle that knows true causality, to check decisions that know only positions and incarnations.

Each write carries the set of the writes that its author had seen. From this, and from nothing that
the core computed, the oracle knows which writes are concurrent, which one replaced which, and
therefore what every ledger row must and must not say.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from anabranch_sync.change import Change, Op
from anabranch_sync.conflict import Candidate, Conflict
from anabranch_sync.document import EMPTY, Document
from anabranch_sync.ids import DocumentId, Dot
from anabranch_sync.leaf import is_number, leaf_values, summed
from anabranch_sync.policy import Policies, Rule
from anabranch_sync.register import DELETED, Increment, Operand, Slot, Value, equal

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

    def concurrent(self, one: Dot, other: Dot) -> bool:
        """Whether neither author had seen the other write."""
        return one != other and one not in self.seen[other] and other not in self.seen[one]

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
        ops = {(op.document, op.slot): op for op in change.ops}
        assert len(ops) == len(change.ops), "a change writes each place once"
        self.written[dot] = {place: meant(op) for place, op in ops.items()}
        self.operands |= {(dot, place): op.value for place, op in ops.items()}
        self._note_cleared(dot, ops, before, after)
        for conflict in conflicts:
            self._check_row(conflict, before)
        lost_now = {
            (self.dots[stamp.actor, stamp.hub_seq], (conflict.document, loser.slot))
            for conflict in conflicts
            for loser in conflict.losers
            for stamp in loser.stamps
        }
        self.lost |= lost_now
        standing = dict(self.standing)
        for place, op in ops.items():
            rule = policies.of(op.document, op.slot.path).rule
            if not self._check_contribution(dot, place, op, rule, after):
                self._check_op(dot, place, op, standing, after, lost_now)

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

    def _check_row(self, conflict: Conflict, before: Mapping[DocumentId, Document]) -> None:
        assert conflict.losers, "a ledger row without a loser"
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
        wanted = meant(op)
        value, dots = standing.get(place, (DELETED, frozenset()))
        rivals = {
            other: (there, agreeing - self.seen[dot])
            for other, (there, agreeing) in standing.items()
            if other[0] == op.document and _excludes(op.slot, wanted, other[1], there)
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


def meant(op: Op) -> Value:
    """What its author saw at the operation's place afterwards."""
    return op.value.wrote if isinstance(op.value, Increment) else op.value


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
