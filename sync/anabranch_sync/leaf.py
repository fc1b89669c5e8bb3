"""Leaves of several registers: what many write at once, and nobody loses.

A counter is the number at its path, the *base*, and beside it a `Part` for each actor that has added
to it since. The number is an ordinary register; whoever writes it whole, or deletes it, takes the
place of everything: the parts that were there *end* with it and are dropped, without tombstones.

How a replica that is told only what changed knows which parts to drop: a member whose position is
not beyond that of the register at its path has ended (`without_ended`).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import TypeGuard

from anabranch_sync.ids import HubSeq, Incarnation
from anabranch_sync.packing import varint
from anabranch_sync.path import Path
from anabranch_sync.register import PENDING, Part, Register, RegisterValue, Slot, Value
from anabranch_sync.value import INT_MAX, INT_MIN

MEMBERS = (Part,)


def members(registers: Mapping[Slot, Register]) -> dict[Path, list[Slot]]:
    """The slots of the members of leaves, by the path of the leaf."""
    found: dict[Path, list[Slot]] = {}
    for slot, register in registers.items():
        if slot.element is not None and isinstance(register.value, MEMBERS):
            found.setdefault(slot.path, []).append(slot)
    return found


def leaf_values(registers: Mapping[Slot, Register]) -> dict[Slot, Value]:
    """What each leaf says, deleted ones included; members are in what their leaf says."""
    values: dict[Slot, Value] = {
        slot: register.value for slot, register in registers.items() if not isinstance(register.value, Part)
    }
    for path, own in members(registers).items():
        if leaf := whole(registers, path, own):
            values[Slot(path)] = leaf.said
    return values


def whole(registers: Mapping[Slot, Register], path: Path, own: Sequence[Slot]) -> Register | None:
    """The leaf at `path` with its members `own` as one: what it says, and the stamps of all who wrote it."""
    principal = registers.get(Slot(path))
    if principal is None or isinstance(principal.value, Part):
        return None
    parts = [registers[slot] for slot in own]
    stamps = {stamp for register in (principal, *parts) for stamp in register.stamps}
    return Register(_said(principal.value, parts), tuple(sorted(stamps, reverse=True)))


def _said(principal: RegisterValue, parts: Iterable[Register]) -> Value:
    """Parts beside anything but a number, which nobody writes, say nothing."""
    assert not isinstance(principal, Part), "a member stands beside the register at its path"
    if not is_number(principal):
        return principal
    total = summed((principal, *(each.value.amount for each in parts if isinstance(each.value, Part))))
    return principal if total is None else total


def without_ended(registers: dict[Slot, Register]) -> dict[Slot, Register]:
    """`registers`, from which the members of leaves that were written whole since are taken out."""
    for path, own in members(registers).items():
        principal = registers.get(Slot(path))
        for slot in own:
            if principal is None or registers[slot].hub_seq <= principal.hub_seq:
                del registers[slot]
    return registers


def is_open(principal: Register, hub_seq: HubSeq) -> bool:
    """Whether a member written at `hub_seq` will not have ended: see `without_ended`."""
    return principal.hub_seq < hub_seq or hub_seq == PENDING


def part_slot(path: Path, actor: Incarnation) -> Slot:
    """Where the part of an actor stands."""
    return Slot(path, varint(actor))


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number; true and false are not."""
    return type(value) is int or type(value) is float


def summed(numbers: Iterable[Value]) -> int | float | None:
    """The exact sum, rounded once where a float is among the numbers; None when no number can hold it.

    Sums of floats depend on their order when each step is rounded: replicas would differ.
    """
    listed = [number for number in numbers if isinstance(number, int | float)]
    exact = sum(map(Fraction, listed), Fraction())
    if all(isinstance(number, int) for number in listed):
        return int(exact) if INT_MIN <= exact <= INT_MAX else None
    try:
        rounded = float(exact)
    except OverflowError:
        return None
    return rounded if math.isfinite(rounded) else None
