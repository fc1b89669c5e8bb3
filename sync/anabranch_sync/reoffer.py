"""What a replica may be the last to know, offered again to a hub that was restored from a backup.

The backup ends at some position (`epochs`). Whatever a replica holds from behind it, its own or
others', may exist nowhere else. Such registers are made into ordinary changes again and go up with the
outbox, in front of what waits there, which was written over them. The hub decides them like any other
change: what was decided since the restore is concurrent with them, and the ledger has both.

Every replica offers, whoever wrote: the writer may be gone for good. So the bytes of an offer depend on
what is offered alone. Equal offers are recognised by their content id, unequal ones (one replica has
seen more) agree where their values are equal, and elsewhere the later write wins as it did before. Two
things are not offered by everybody. The increments in a part of a counter are only by the replica that
made them: offered twice they would count twice. And what an edge may not write, the operators' layers,
is only named, for the operators to write again.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from anabranch_sync.change import Change, Entry, Op, encode, entry
from anabranch_sync.clock import Timestamp
from anabranch_sync.document import Document
from anabranch_sync.errors import ChangeTooLarge
from anabranch_sync.ids import Cursor, DocumentId, Dot, HubSeq, Incarnation, LocalSeq
from anabranch_sync.leaf import is_member, leaf_values, members, summed, whole
from anabranch_sync.path import Path
from anabranch_sync.register import (
    DELETED,
    Edit,
    Increment,
    Operand,
    Part,
    Register,
    RegisterValue,
    Slot,
    equal,
)
from anabranch_sync.scope import Scope

# To whom offered changes are credited: a register does not tell its author.
AUTHOR = "anabranch"


@dataclass(frozen=True, slots=True)
class Reoffer:
    """The hub is in epoch `present` and knows the order of `past`, the replica's own, up to `known`.

    `granted` is what the replica may write, where the hub has named it: more than it holds from now on, if it
    asks for less.
    """

    past: int
    known: HubSeq
    present: int
    granted: Scope | None = None


@dataclass(frozen=True, slots=True)
class Offers:
    """The changes to offer, in the order of what they repeat.

    `withheld` are the documents of which the hub lacks something that this replica may not offer.
    """

    changes: tuple[Change, ...] = ()
    withheld: tuple[DocumentId, ...] = ()


@dataclass(frozen=True, slots=True, order=True)
class _Write:
    """What an offer repeats: a write of the past epoch. `adds`: increments, which replace nothing."""

    hub_seq: HubSeq
    timestamp: Timestamp
    adds: bool


@dataclass(frozen=True, slots=True)
class _Lacking:
    """What the hub lacks of one document. `withheld`: and something that another replica must offer."""

    found: tuple[tuple[_Write, Slot, Operand], ...]
    withheld: bool


def offers(
    confirmed: Iterable[tuple[DocumentId, Document]],
    standing: Callable[[DocumentId], Document],
    reoffer: Reoffer,
    own: Collection[Incarnation],
    scope: Scope,
) -> Offers:
    """What to offer of `confirmed`, as it was in the past epoch, where `standing` is another now.

    `own` are all incarnations that the replica ever had, `scope` is what it holds from now on. What leaves it
    with that is offered too, with nothing to compare it with.
    """
    writes: dict[_Write, list[Op]] = {}
    withheld: list[DocumentId] = []
    for document, before in confirmed:
        if all(register.hub_seq <= reoffer.known for register in before.registers.values()):
            continue
        lacking = _lacking(before.registers, standing(document).registers, reoffer.known, own)
        may_write = (reoffer.granted or scope).writes(document)
        if lacking.withheld or (lacking.found and not may_write):
            withheld.append(document)
        for write, slot, value in lacking.found if may_write else ():
            writes.setdefault(write, []).append(Op(document, slot, value))
    changes = (_changes(write, sorted(writes[write], key=_order), reoffer) for write in sorted(writes))
    return Offers(tuple(change for each in changes for change in each), tuple(sorted(withheld)))


def in_front(
    offered: Iterable[Change], waiting: Iterable[Entry], incarnation: Incarnation, after: LocalSeq
) -> list[Entry]:
    """The outbox behind `after`: the offers, then what waits, numbered anew.

    What waits was written over what is offered, so it must come later. If the hub knows it under its
    former number, the chains differ and the replica goes on under a new incarnation.
    """
    entries = [*(entry(Dot(incarnation, 0), change) for change in offered), *waiting]
    return [replace(each, dot=Dot(incarnation, number)) for number, each in enumerate(entries, after + 1)]


def _lacking(
    before: Mapping[Slot, Register],
    now: Mapping[Slot, Register],
    known: HubSeq,
    own: Collection[Incarnation],
) -> _Lacking:
    """What `now` lacks of what was written to a document behind `known`."""
    found: list[tuple[_Write, Slot, Operand]] = []
    withheld = False
    said, leaves = leaf_values(now), members(before)
    for slot, register in before.items():
        if is_member(register):
            continue
        places = leaves.get(slot.path, []) if slot.element is None else []
        if register.hub_seq > known:
            # A leaf that was written whole, or folded, goes up whole: its members belong to a seed that
            # the hub may not have.
            leaf = whole(before, slot.path, places) if places else register
            if leaf is not None and (slot not in said or not equal(said[slot], leaf.value)):
                found.append((_write(leaf, known), slot, leaf.said))
            continue
        for place in places:
            member = before[place]
            match member.value:
                case Edit() as edit if member.hub_seq > known and not _stands(now, place, edit):
                    found.append((_write(member, known), place, edit))
                case Part() if member.hub_seq > known and not _stands(now, place, member.value):
                    increment = _increment(slot, place, before, now) if member.stamp.actor in own else None
                    withheld = withheld or increment is None
                    if increment is not None:
                        found.append((_write(member, known, adds=True), slot, increment))
                case _:
                    pass
    return _Lacking(tuple(found), withheld)


def _increment(
    slot: Slot, place: Slot, before: Mapping[Slot, Register], now: Mapping[Slot, Register]
) -> Increment | None:
    """What a part has grown by since the hub knew it; None where that cannot be told any more."""
    if now.get(slot) != before[slot]:
        return None  # the counter was written whole since, with who knows what in it
    grown = [each.value.amount for each in (before[place],) if isinstance(each.value, Part)]
    grown += [-each.value.amount for each in (now.get(place),) if each and isinstance(each.value, Part)]
    delta = summed(grown)
    leaf = whole(before, slot.path, members(before)[slot.path])
    wrote = None if leaf is None else leaf.value
    if delta is None or not isinstance(wrote, int | float):
        return None
    return Increment(delta, wrote)


def _stands(now: Mapping[Slot, Register], place: Slot, value: RegisterValue) -> bool:
    there = now.get(place)
    return there is not None and equal(there.value, value)


def _write(register: Register, known: HubSeq, *, adds: bool = False) -> _Write:
    """The first write behind `known` that agreed on the register's value, with the time that decides."""
    first = min(stamp.hub_seq for stamp in register.stamps if stamp.hub_seq > known)
    return _Write(first, register.stamp.timestamp, adds)


def _changes(write: _Write, ops: Sequence[Op], reoffer: Reoffer) -> list[Change]:
    """The change that repeats `write`, or several where it does not fit into one."""
    # An increment is concurrent with all that stands, so that it is added and nothing replaced.
    base = Cursor(reoffer.present, 0 if write.adds else reoffer.known)
    message = (
        f"offered again: decided at {write.hub_seq} of epoch {reoffer.past}, before the hub was restored"
    )
    change = Change(write.timestamp, base, AUTHOR, message, tuple(ops))
    try:
        encode(change)
    except ChangeTooLarge:
        half = len(ops) // 2
        return [*_changes(write, ops[:half], reoffer), *_changes(write, ops[half:], reoffer)]
    return [change]


def _order(op: Op) -> tuple[bool, DocumentId, tuple[Path, bytes]]:
    """Deletions first, so that a place is free before something else takes it."""
    return (op.value is not DELETED, op.document, op.slot.order)
