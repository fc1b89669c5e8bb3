"""Leaves of several registers: what many write at once, and nobody loses.

A counter is the number at its path, and beside it a `Part` for each actor that has added to it since.
A text or list is the *seed* at its path, and beside it the edits made since (`leaf_edits`). What stands
at the path is an ordinary register; whoever writes it whole, or deletes it, takes the place of
everything: the members that were there *end* with it and are dropped, without tombstones.

How a replica that is told only what changed knows which members to drop: one whose position is not
beyond that of the register at its path has ended (`without_ended`).

Members also end when there are too many of them: the hub then folds them into what stands at the path. To
all others that is no new write: it carries the last stamp of each who contributed (`stamps_of_all`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeGuard

from anabranch_sync.errors import EditRefused
from anabranch_sync.ids import HubSeq, Incarnation
from anabranch_sync.later import later
from anabranch_sync.packing import varint
from anabranch_sync.path import Path
from anabranch_sync.policy import Rule
from anabranch_sync.register import (
    MEMBER,
    PENDING,
    Ancestry,
    Edit,
    Part,
    Register,
    RegisterValue,
    Slot,
    Stamp,
    Value,
)
from anabranch_sync.value import INT_MAX, INT_MIN

if TYPE_CHECKING:
    from anabranch_sync import leaf_edits
else:
    later(globals(), "anabranch_sync", "leaf_edits")

# A counter with more parts is written anew by the hub, as the sum: replicas come and go for years.
PARTS_MAX = 64
# A seed names its last so many authors. Whoever has missed an earlier one has missed these too.
ACTORS_MAX = 32

MEMBERS = (Part, Edit, Ancestry)


def members(registers: Mapping[Slot, Register]) -> dict[Path, list[Slot]]:
    """The slots of the members of leaves, by the path of the leaf."""
    found: dict[Path, list[Slot]] = {}
    for slot in [slot for slot in registers if slot.element is not None]:  # most documents have none
        if isinstance(registers[slot].value, MEMBERS):
            found.setdefault(slot.path, []).append(slot)
    return found


def leaf_values(registers: Mapping[Slot, Register]) -> dict[Slot, Value]:
    """What each leaf says, deleted ones included; members are in what their leaf says."""
    leaves = members(registers)
    if not leaves:  # rebuilding is what every decision and every read begins with
        return {slot: register.value for slot, register in registers.items()}  # type: ignore[misc]
    values = {slot: register.said for slot, register in registers.items() if not is_member(register)}
    for path, own in leaves.items():
        if leaf := whole(registers, path, own):
            values[Slot(path)] = leaf.said
    return values


def whole(registers: Mapping[Slot, Register], path: Path, own: Sequence[Slot]) -> Register | None:
    """The leaf at `path` with its members `own` as one: what it says, and the stamps of all who wrote it."""
    principal = registers.get(Slot(path))
    if principal is None or isinstance(principal.value, MEMBERS):
        return None
    own_registers = {slot: registers[slot] for slot in own}
    stamps = {stamp for register in (principal, *own_registers.values()) for stamp in register.stamps}
    return Register(_said(principal.value, own_registers), tuple(sorted(stamps, reverse=True)))


def _said(principal: Value, own: Mapping[Slot, Register]) -> Value:
    """Members that do not fit what they stand beside, which nobody writes, say nothing."""
    if is_number(principal):
        amounts = (each.value.amount for each in own.values() if isinstance(each.value, Part))
        total = summed((principal, *amounts))
        return principal if total is None else total
    leaf = leaf_edits.edited(principal, own)
    try:
        return leaf_edits.value_of(leaf.units) if leaf and leaf.edits else principal
    except EditRefused:
        return principal


def without_ended(registers: dict[Slot, Register]) -> dict[Slot, Register]:
    """`registers`, from which the members of leaves that were written whole since are taken out."""
    for own in members(registers).values():
        for slot in own:
            if has_ended(registers, slot, registers[slot]):
                del registers[slot]
    return registers


def has_ended(registers: Mapping[Slot, Register], slot: Slot, register: Register) -> bool:
    """Whether a member has come to its end, by what stands at the path of its leaf."""
    principal = registers.get(Slot(slot.path))
    if principal is None or not is_member(register):
        return False
    if isinstance(register.value, Ancestry):  # it came with its seed
        return register.hub_seq < principal.hub_seq
    return register.hub_seq <= principal.hub_seq


def is_member(register: Register | None) -> bool:
    """Whether it is part of a leaf instead of being one."""
    return register is not None and isinstance(register.value, MEMBERS)


def merges_edits(rule: Rule, value: RegisterValue) -> bool:
    """Whether a policy merges edits of such a value."""
    return (rule is Rule.TEXT and isinstance(value, str)) or (rule is Rule.LIST and isinstance(value, list))


def stamps_of_all(stamps: Iterable[Stamp]) -> tuple[Stamp, ...]:
    """The last stamp of each actor: whoever has missed a write has missed one of these.

    The principal one comes first, as in any register.
    """
    last: dict[Incarnation, Stamp] = {}
    for stamp in sorted(stamps, key=lambda stamp: stamp.hub_seq):
        last.pop(stamp.actor, None)
        last[stamp.actor] = stamp
    return tuple(sorted([*last.values()][-ACTORS_MAX:], reverse=True))


def ancestry_slot(path: Path) -> Slot:
    """Where the ancestry of a seed stands."""
    return Slot(path, MEMBER)


def is_open(principal: Register, hub_seq: HubSeq) -> bool:
    """Whether a member written at `hub_seq` will not have ended: see `without_ended`."""
    return principal.hub_seq < hub_seq or hub_seq == PENDING


def part_slot(path: Path, actor: Incarnation) -> Slot:
    """Where the part of an actor stands."""
    return Slot(path, MEMBER + varint(actor))


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number; true and false are not."""
    return type(value) is int or type(value) is float


def summed(numbers: Iterable[Value]) -> int | float | None:
    """The exact sum, rounded once where a float is among the numbers; None when no number can hold it.

    Sums of floats depend on their order when each step is rounded: replicas would differ.
    """
    from fractions import Fraction  # 5 ms, with decimal, for counters alone

    listed = [number for number in numbers if isinstance(number, int | float)]
    exact = sum(map(Fraction, listed), Fraction())
    if all(isinstance(number, int) for number in listed):
        return int(exact) if INT_MIN <= exact <= INT_MAX else None
    try:
        rounded = float(exact)
    except OverflowError:
        return None
    return rounded if math.isfinite(rounded) else None
