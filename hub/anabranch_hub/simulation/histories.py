"""What edges have written, change by change, by the chain behind each: so that what was absorbed has a name.

A hub is told how many changes another stands for, and by its chain which: but only who has written them can
read that. Here somebody looks over the shoulders of all edges.
"""

from collections.abc import Iterable

from anabranch_sync.change import Entry, chained

from anabranch_hub.simulation.promise import Promise, Violation


class Histories:
    """Of one life. Chains say nothing of incarnations: histories that are equal are one here."""

    def __init__(self) -> None:
        self._last: dict[bytes, tuple[bytes, Entry]] = {}

    def note(self, chain: bytes, entries: Iterable[Entry]) -> None:
        """An edge is about to send these, which begin behind `chain`."""
        for each in entries:
            before, chain = chain, chained(chain, each.body)
            self._last[chain] = before, each

    def absorbed(self, each: Entry, before: bytes) -> set[bytes]:
        """The content ids of those that a change stands for, where `before` is the chain before the first.

        Raises Violation where it does not stand for all that were written since, or not for one of them.
        """
        chain, found = each.chain_after(before), []
        for _ in range(each.stands_for):
            if chain not in self._last:
                raise Violation(Promise.KEPT, f"{each.dot} stands for changes that nobody wrote")
            chain, written = self._last[chain]
            found.append(written)
        if chain != before or found[0].content_id != each.content_id:
            raise Violation(Promise.KEPT, f"{each.dot} stands for {each.stands_for} changes, of more")
        places = {(op.document, op.slot) for op in each.change.ops}
        for written in found:
            if {(op.document, op.slot) for op in written.change.ops} - places:
                raise Violation(Promise.KEPT, f"{each.dot} stands for {written.dot}, which wrote elsewhere")
        return {written.content_id for written in found[1:]}
