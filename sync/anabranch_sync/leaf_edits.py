"""Edits of a text or list: what they say, whether they fit, which of them touch.

The register at the leaf's path holds the *seed*, a plain text or list. Each edit since then is a
register beside it, at an element that names the one client whose update it is. The name is derived
from what was seen and what was made of it: nobody can give it to anything else, a restored backup or
a clone no more than a stranger, and who makes the same of the same agrees, as with equal values.
"""

import re
from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

from anabranch_sync.errors import CorruptFrame, EditRefused
from anabranch_sync.leaf_decoder import (
    CLIENT_BITS,
    STRUCTS_MAX,
    UNITS_MAX,
    Hunk,
    Id,
    Span,
    Units,
    Update,
    decode_update,
    joined,
    length,
)
from anabranch_sync.packing import unpack
from anabranch_sync.path import Path
from anabranch_sync.register import MEMBER, Ancestry, Edit, Register, Slot
from anabranch_sync.value import Json, canonical, check

CLIENT_BYTES = CLIENT_BITS // 8
# Comparing takes time by the product, 0.1 s at worst (`matching`): texts that differ over more are compared
# by words, then by lines.
_COMPARED_MAX = 1_000

_WORDS = re.compile(r"\w+|\s+|[^\w\s]")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")


@dataclass(frozen=True, slots=True)
class Edited:
    """A seed and the edits that fit it, in causal order."""

    client: int
    seed: Units
    edits: tuple[tuple[Slot, Register, Update], ...] = ()

    @property
    def units(self) -> Units:
        """What the leaf says."""
        return self.with_edits(())

    def with_edits(self, more: Iterable[Edit]) -> Units:
        """What it would say with some more edits. Raises EditRefused."""
        from anabranch_sync.leaf_text import merged  # pycrdt: 0.1 s that most commands need not spend

        return merged(self.client, self.seed, (*self.updates, *(each.update for each in more)))

    @property
    def updates(self) -> tuple[bytes, ...]:
        """What the edits do, as pycrdt takes it."""
        return tuple(each.value.update for _, each, _ in self.edits if isinstance(each.value, Edit))

    def known(self) -> dict[int, Units]:
        """What each client has inserted."""
        known: dict[int, Units] = {self.client: self.seed}
        for _, _, update in self.edits:
            known[update.client] = _inserted(update, self.seed)
        return known


def edited(seed: object, members: Mapping[Slot, Register]) -> Edited | None:
    """A seed with its edits; those that do not fit it, which nobody decides, are left out. None: no seed."""
    units = units_of(seed)
    if units is None:
        return None
    # A text may come to be what it was before. Its ancestry makes a folded seed another client each time.
    past = b"".join(each.value.runs for each in members.values() if isinstance(each.value, Ancestry))
    name = blake2b(canonical(value_of(units)) + past, digest_size=CLIENT_BYTES).digest()
    client = int.from_bytes(name, "big")
    leaf = Edited(client, units)
    known = leaf.known()
    placed = []
    for slot, register in sorted(members.items(), key=_causally):
        update = update_of(slot, register.value)
        if update is not None and fits(update, known, units):
            placed.append((slot, register, update))
            known[update.client] = _inserted(update, units)
    return Edited(client, units, tuple(placed))


def update_of(slot: Slot, value: object) -> Update | None:
    """What an edit at a slot says."""
    if not isinstance(value, Edit) or slot.element is None:
        return None
    return decode_update(client_of(slot.element), value.update)


def client_of(element: bytes) -> int:
    """The client whose update is the edit at this element."""
    return int.from_bytes(element.removeprefix(MEMBER), "big")


def check_edit(slot: Slot, edit: Edit) -> Edit:
    """An edit from the wire, checked. Raises CorruptFrame, ValueError."""
    if slot.element is None or len(slot.element) != len(MEMBER) + CLIENT_BYTES:
        raise ValueError(f"{slot}: an edit is named by {CLIENT_BYTES} bytes")
    update = update_of(slot, edit)
    assert update is not None, "an edit at an element says something"
    for insertion in update.insertions:
        if not isinstance(insertion.content, str):
            for item in insertion.content:
                if canonical(check(unpack(item), str(slot), len(slot.path) + 2)) != item:
                    raise ValueError(f"{slot}: an item is not in canonical form")
    return edit


def units_of(value: object) -> Units | None:
    """A value as what is merged; None for what is neither a text nor a list."""
    if isinstance(value, str):
        return value
    return tuple(canonical(item) for item in value) if isinstance(value, list) else None


def value_of(units: Units) -> Json:
    """The value that `units_of` took apart."""
    return units if isinstance(units, str) else [_item(each) for each in units]


def sliced(content: Units, start: int, size: int) -> bytes | tuple[bytes, ...]:
    """Some units, as the wire counts them."""
    if isinstance(content, str):
        return _utf16(content)[2 * start : 2 * (start + size)]
    return content[start : start + size]


def inserted(slot: Slot, edit: Edit) -> Json:
    """What an edit adds, without its place; "" where it only deletes."""
    update = update_of(slot, edit)
    assert update is not None, "an edit at an element says something"
    contents = [each.content for each in update.insertions]
    if any(isinstance(each, tuple) for each in contents):
        return [_item(item) for each in contents if not isinstance(each, str) for item in each]
    return "".join(each for each in contents if isinstance(each, str))


def _item(packed: bytes) -> Json:
    value: Json = unpack(packed)
    return value


def fits(update: Update, known: Mapping[int, Units], seed: Units) -> bool:
    """Whether everything an edit refers to is there, and its name is not taken."""
    if update.client in known:
        return False
    whole = {**known, update.client: _inserted(update, seed)}
    if any(isinstance(each.content, str) != isinstance(seed, str) for each in update.insertions):
        return False
    for start, each in zip(update.starts, update.insertions, strict=False):
        for neighbour in (each.left, each.right):
            if neighbour is not None and neighbour.client == update.client and neighbour.clock >= start:
                return False
        if each.left is not None and not _is_boundary(whole, each.left.client, each.left.clock + 1):
            return False
        if each.right is not None and not (
            _is_boundary(whole, each.right.client, each.right.clock)
            and each.right.clock < length(whole[each.right.client])
        ):
            return False
    return all(
        _is_boundary(known, span.client, span.clock)
        and _is_boundary(known, span.client, span.clock + span.length)
        for span in update.deletions
    )


def touch(one: Update, other: Update) -> bool:
    """Whether two edits meet: in one gap, in what they delete, or where one deletes and the other inserts."""
    gone, other_gone = _Units(one), _Units(other)
    return (
        bool(_lefts(one) & _lefts(other))
        or bool(_rights(one) & _rights(other))
        or gone.meets(other_gone)
        or any(gone.has(each) for each in _lefts(other) | _rights(other))
        or any(other_gone.has(each) for each in _lefts(one) | _rights(one))
    )


def compose(path: Path, leaf: Edited, value: Json, taken: Collection[int] = ()) -> tuple[Slot, Edit] | None:
    """The edit that makes `value` of a leaf, under none of the names that are `taken`.

    None where the value is better written whole.
    """
    from anabranch_sync.leaf_text import composed

    new = units_of(value)
    old = leaf.units
    if (
        new is None
        or isinstance(new, str) != isinstance(old, str)
        or max(length(old), length(new)) > UNITS_MAX
    ):
        return None
    seen = sorted(client for client in leaf.known())
    for attempt in range(3):  # a name is taken once in a hundred million times
        named = canonical([list(path), *seen, value, attempt])
        name = blake2b(named, digest_size=CLIENT_BYTES).digest()
        client = int.from_bytes(name, "big")
        if client in seen or client in taken:
            continue
        try:
            update = composed(leaf.client, leaf.seed, leaf.updates, client, hunks(old, new))
            decode_update(client, update)
            edit = Edit(update)
            return (Slot(path, MEMBER + name), edit) if leaf.with_edits((edit,)) == new else None
        except (EditRefused, CorruptFrame):
            return None
    return None


def hunks(old: Units, new: Units) -> list[Hunk]:
    """What of `old` gives way to what of `new`: single units, in longer texts whole words or lines."""
    shorter = min(len(old), len(new))
    head = 0
    while head < shorter and old[head] == new[head]:
        head += 1
    tail = 0
    while tail < shorter - head and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    for split in (_each, _words, _lines):
        mine, other = split(before), split(after)
        if max(len(mine), len(other)) <= _COMPARED_MAX:
            found = _matched(head, mine, other, after[:0])
            if len(found) <= STRUCTS_MAX:
                return found
    return [(head, len(old) - tail, after)]


def _matched(head: int, old: Sequence[Units], new: Sequence[Units], nothing: Units) -> list[Hunk]:
    from anabranch_sync.matching import matched  # difflib: 10 ms

    starts = [head]
    for each in old:
        starts.append(starts[-1] + len(each))
    found: list[Hunk] = []
    for tag, first, last, start, stop in matched(old, new):
        if tag != "equal":
            content = nothing
            for each in new[start:stop]:
                content = content + each  # type: ignore[operator]
            found.append((starts[first], starts[last], content))
    return found


def _each(content: Units) -> Sequence[Units]:
    return content if isinstance(content, str) else [(item,) for item in content]


def _words(content: Units) -> Sequence[Units]:
    return _WORDS.findall(content) if isinstance(content, str) else [content]


def _lines(content: Units) -> Sequence[Units]:
    return _LINES.findall(content) if isinstance(content, str) else [content]


def _causally(member: tuple[Slot, Register]) -> tuple[int, int, bytes]:
    """Positions are given in causal order; changes that wait for theirs are of one replica's clock."""
    slot, register = member
    first = min((stamp.hub_seq, stamp.timestamp) for stamp in register.stamps)
    return (*first, slot.element or b"")


def _inserted(update: Update, seed: Units) -> Units:
    """All that one client has inserted, in the order of its clocks."""
    contents = [each.content for each in update.insertions]
    if isinstance(seed, str):
        return "".join(each for each in contents if isinstance(each, str))
    return tuple(item for each in contents if not isinstance(each, str) for item in each)


def _is_boundary(known: Mapping[int, Units], client: int, clock: int) -> bool:
    """Whether a unit of `client` may begin or end at this clock: inside, and not within a surrogate pair."""
    content = known.get(client)
    if content is None or not 0 <= clock <= length(content):
        return False
    if not isinstance(content, str) or content.isascii() or clock == length(content):
        return True
    return not 0xDC <= _utf16(content)[2 * clock + 1] <= 0xDF


@lru_cache(maxsize=64)
def _utf16(content: str) -> bytes:
    return content.encode("utf-16-le")


def _lefts(update: Update) -> set[Id | None]:
    return {each.left for each in update.insertions}


def _rights(update: Update) -> set[Id | None]:
    return {each.right for each in update.insertions}


class _Units:
    """The units that an edit deletes, in ascending spans: there may be two thousand."""

    def __init__(self, update: Update) -> None:
        self._spans = joined(update.deletions)

    def has(self, each: Id | None) -> bool:
        return each is not None and self.meets_span(Span(*each, 1))

    def meets_span(self, span: Span) -> bool:
        after = bisect_right(self._spans, (span.client, span.clock + span.length - 1, UNITS_MAX + 1))
        last = self._spans[after - 1] if after else None
        return last is not None and last.client == span.client and span.clock < last.clock + last.length

    def meets(self, other: "_Units") -> bool:
        return any(map(self.meets_span, other._spans))
