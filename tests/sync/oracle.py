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
from anabranch_sync.register import DELETED, Slot, Value, equal

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
    ) -> None:
        """Check one decision of the hub: `before` and `after` are all its documents."""
        self.dots[dot.incarnation, hub_seq] = dot
        ops = {(op.document, op.slot): op for op in change.ops}
        assert len(ops) == len(change.ops), "a change writes each place once"
        self.written[dot] = {place: op.value for place, op in ops.items()}
        self._note_cleared(dot, ops, before, after)
        for conflict in conflicts:
            self._check_row(conflict)
        lost_now = {
            (self.dots[stamp.actor, stamp.hub_seq], (conflict.document, loser.slot))
            for conflict in conflicts
            for loser in conflict.losers
            for stamp in loser.stamps
        }
        self.lost |= lost_now
        standing = dict(self.standing)
        for place, op in ops.items():
            self._check_op(dot, place, op, standing, after, lost_now)

    def check_rest(self, documents: Mapping[DocumentId, Document]) -> None:
        """At the end: nothing was invented, hidden or forgotten."""
        for document, state in documents.items():
            for slot, register in state.registers.items():
                if register.live:
                    assert any(
                        (document, slot) in written and equal(written[document, slot], register.value)
                        for written in self.written.values()
                    ), f"{slot} of {document} holds {register.value!r}, which nobody wrote"
        for dot, places in self.written.items():
            for place, value in places.items():
                if self._is_maximal(dot, place, value):
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
            old = before.get(document, EMPTY).registers
            for slot, register in after.get(document, EMPTY).registers.items():
                if (document, slot) in ops or (slot in old and equal(old[slot].value, register.value)):
                    continue
                assert register.value is DELETED, f"{slot} became {register.value!r} by no operation"
                self.cleared.add((dot, (document, slot)))

    def _check_row(self, conflict: Conflict) -> None:
        assert conflict.losers, "a ledger row without a loser"
        for candidate in conflict.candidates:
            self._check_candidate(conflict.document, candidate)
        for won in conflict.winner.stamps:
            for loser in conflict.losers:
                for stamp in loser.stamps:
                    one = self.dots[won.actor, won.hub_seq]
                    other = self.dots[stamp.actor, stamp.hub_seq]
                    assert self.concurrent(one, other), f"false conflict of {one} and {other}: {conflict}"

    def _check_candidate(self, document: DocumentId, candidate: Candidate) -> None:
        place = document, candidate.slot
        for stamp in candidate.stamps:
            dot = self.dots[stamp.actor, stamp.hub_seq]
            wrote = place in self.written[dot] and equal(self.written[dot][place], candidate.value)
            emptied = candidate.value is DELETED and (dot, place) in self.cleared
            assert wrote or emptied, f"{dot} never wrote {candidate.value!r} at {candidate.slot}"

    def _check_op(
        self,
        dot: Dot,
        place: Place,
        op: Op,
        standing: Mapping[Place, tuple[Value, frozenset[Dot]]],
        after: Mapping[DocumentId, Document],
        lost_now: set[tuple[Dot, Place]],
    ) -> None:
        value, dots = standing.get(place, (DELETED, frozenset()))
        rivals = {
            other: (there, agreeing - self.seen[dot])
            for other, (there, agreeing) in standing.items()
            if other[0] == op.document and _excludes(op.slot, op.value, other[1], there)
        }
        unseen = dots - self.seen[dot]
        if not equal(_value_at(after, place), op.value):
            assert any(agreeing for _, agreeing in rivals.values()), (
                f"{dot} had seen everything that stood in the way of {op}, and yet it lost"
            )
            assert (dot, place) in lost_now, f"{dot} lost {op} and no ledger row says so"
            return
        if equal(value, op.value):
            self.standing[place] = op.value, unseen | {dot}
        else:
            self.standing[place] = op.value, frozenset({dot})
        for other, (there, agreeing) in rivals.items():
            if other != place:
                assert not equal(_value_at(after, other), there), f"{other[1]} and {op.slot} both stand"
            for each in agreeing:
                # A deletion that made room for another value is told by that value.
                told = there is DELETED and any((each, place) in lost_now for place in rivals)
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


def _value_at(documents: Mapping[DocumentId, Document], place: Place) -> Value:
    state = documents.get(place[0])
    register = None if state is None else state.registers.get(place[1])
    return DELETED if register is None else register.value


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
    live = [(slot, register.value) for slot, register in document.registers.items() if register.live]
    return [
        (slot, other)
        for index, (slot, value) in enumerate(live)
        for other, there in live[:index]
        if _clash(slot, value, other, there)
    ]
