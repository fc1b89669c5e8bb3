"""Lives in which the hub is restored from a backup: what only edges then know must come back.

Of each write that the backup lacks some edge may hold the change itself, in its outbox, or only the
registers it left. At rest the hub has merged the former and decided the values of the latter, unless the
edge's own disk was lost before it met the restored hub.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from anabranch_sync.document import EMPTY
from anabranch_sync.ids import DocumentId
from anabranch_sync.leaf import is_member, leaf_values
from anabranch_sync.register import DELETED, AnyValue, Edit, Increment, Register, RegisterValue, Slot, equal

from anabranch_hub.simulation.memory import MemoryHub, ReplicaState
from anabranch_hub.simulation.network import Line
from anabranch_hub.simulation.promise import Promise, Violation


@dataclass(frozen=True, slots=True)
class Orphan:
    """A value that the hub lost and an edge has."""

    edge: str
    document: DocumentId
    slot: Slot
    value: RegisterValue

    def __str__(self) -> str:
        return f"{self.value!r} at {self.document} {self.slot}, which {self.edge} had"


class HubRestores:
    """The backups of one life's hub, and what each restore orphaned."""

    def __init__(self) -> None:
        self.restored = 0
        self._backup: MemoryHub | None = None
        self._orphans: list[Orphan] = []

    def back_up(self, hub: MemoryHub) -> None:
        """Keep the hub as it is; an earlier backup goes."""
        self._backup = hub.backup()

    def restore(self, hub: MemoryHub, edges: Iterable[tuple[Line, ReplicaState]]) -> MemoryHub:
        """The hub in place of `hub`, as the backup had it, or the same where there is none."""
        if self._backup is None:
            return hub
        self.restored += 1
        # What has come back is confirmed at edges by now, where it was not overwritten: counted anew.
        self._orphans = self.missing(hub)
        again = hub.restored(self._backup)
        for line, state in edges:
            if state.epoch in (0, again.epoch):
                continue
            name, granted = line.name, again.edge(line.edge).granted
            known = again.epochs.known(state.epoch)
            for document, held in state.confirmed.items():
                if granted.writes(document):
                    standing = leaf_values(again.documents.get(document, EMPTY).registers)
                    found = _orphans(name, document, held.registers, known)
                    self._orphans += [each for each in found if standing.get(each.slot) is not each.value]
        return again

    def forget(self, edge: str, document: DocumentId | None = None) -> None:
        """The disk of an edge is lost, or one document on it."""
        self._orphans = [
            each
            for each in self._orphans
            if each.edge != edge or (document is not None and each.document != document)
        ]

    def check(self, hub: MemoryHub) -> None:
        """At rest, everything that edges had has come back. Raises Violation."""
        if missing := self.missing(hub):
            raise Violation(Promise.KEPT, f"a restored hub lacks {missing[0]}")

    def missing(self, hub: MemoryHub) -> list[Orphan]:
        """The orphans of which the hub has decided nothing, at rest.

        What was deleted may have been cleared by another value in its way, and collected since.
        """
        decided: dict[tuple[DocumentId, Slot], list[AnyValue]] = {}
        for _, each, _ in hub.log:
            for op in each.change.ops:
                decided.setdefault((op.document, op.slot), []).append(op.value)
                if isinstance(op.value, Increment):  # over another number, the same value is said so
                    decided[op.document, op.slot].append(op.value.wrote)
        for document, state in hub.documents.items():
            for slot, register in state.registers.items():
                decided.setdefault((document, slot), []).append(register.value)
        standing = {document: leaf_values(state.registers) for document, state in hub.documents.items()}
        return [
            each
            for each in self._orphans
            if not any(equal(value, each.value) for value in decided.get((each.document, each.slot), ()))
            and (each.value is not DELETED or each.slot in standing.get(each.document, {}))
        ]


def _orphans(edge: str, document: DocumentId, held: Mapping[Slot, Register], known: int) -> Iterable[Orphan]:
    """What was written behind `known`. Leaves with members go up whole, which says another value."""
    with_members = {slot.path for slot, register in held.items() if is_member(register)}
    for slot, register in held.items():
        is_edit = isinstance(register.value, Edit) and held[Slot(slot.path)].hub_seq <= known
        if register.hub_seq > known and (is_edit or slot.path not in with_members):
            yield Orphan(edge, document, slot, register.value)
