"""An edit on its way into the text or list that it was made for."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from anabranch_sync.errors import EditRefused
from anabranch_sync.ids import HubSeq, Incarnation
from anabranch_sync.leaf import ancestry_slot
from anabranch_sync.leaf_ancestry import ancestors, carried
from anabranch_sync.leaf_decoder import Update, encode_update
from anabranch_sync.leaf_edits import Edited, client_of, edited, fits, touch, update_of, value_of
from anabranch_sync.register import Edit, Register, Slot
from anabranch_sync.value import Json


@dataclass(frozen=True, slots=True)
class Merging:
    """An edit that fits the leaf which stands: what the leaf says before, and what it will say after.

    `met` is None for an edit of what stands itself; else it was carried over, and `met` says whether
    others had been at work where it was made.
    """

    leaf: Edited
    edit: Edit
    update: Update
    before: Json
    after: Json
    met: bool | None = None

    def unseen(self, base: HubSeq, actor: Incarnation) -> dict[Slot, Register]:
        """The edits that the author, who is `actor`, had not seen from anybody who made them."""
        return {
            slot: register
            for slot, register, _ in self.leaf.edits
            if register.unseen(base, actor) == register.stamps
        }

    def touched(self, unseen: Collection[Slot]) -> list[Slot]:
        """Those of the unseen edits that this one touches."""
        return [slot for slot, _, other in self.leaf.edits if slot in unseen and touch(self.update, other)]

    def meant(self, unseen: Collection[Slot]) -> Json:
        """What the author read after the edit."""
        seen = tuple(each for each in self.leaf.edits if each[0] not in unseen)
        try:
            return value_of(replace(self.leaf, edits=seen).with_edits((self.edit,)))
        except EditRefused:  # it refers to what its author cannot have seen: forged, and whole enough
            return self.after


def merging(
    registers: Mapping[Slot, Register], members: Sequence[Slot], slot: Slot, edit: Edit
) -> Merging | None:
    """The edit with the leaf it goes into; None when there is no such leaf or it does not fit."""
    principal = registers.get(Slot(slot.path))
    leaf = None if principal is None else edited(principal.value, {each: registers[each] for each in members})
    update = update_of(slot, edit)
    if leaf is None or update is None:
        return None
    met = None
    ancestry = registers.get(ancestry_slot(slot.path))
    if not fits(update, leaf.known(), leaf.seed):
        over = carried(update, ancestry.value, leaf) if ancestry else None
        if over is None:
            return None
        update, met, edit = over.update, over.met, Edit(encode_update(over.update))
        standing = registers.get(slot)
        if not (update.insertions or update.deletions) or (standing and standing.value == edit):
            # All of it has been done already.
            update = Update(update.client)
            return Merging(leaf, edit, update, value_of(leaf.units), value_of(leaf.units), met)
        if not fits(update, leaf.known(), leaf.seed):
            return None
    try:
        before, after = leaf.units, leaf.with_edits((edit,))
    except EditRefused:
        return None
    return Merging(leaf, edit, update, value_of(before), value_of(after), met)


def has_been_folded(registers: Mapping[Slot, Register], slot: Slot) -> bool:
    """Whether the edit of this name went into the seed that stands: somebody else has made the same."""
    ancestry = registers.get(ancestry_slot(slot.path))
    return (
        ancestry is not None
        and slot.element is not None
        and client_of(slot.element) in ancestors(ancestry.value)
    )
