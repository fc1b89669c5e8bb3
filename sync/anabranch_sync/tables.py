"""What tables are made of: numbers, paths, stamps and leaves, packed, and believed only when checked.

A column is one number where all its rows are the same, runs where they repeat, else each number. How
many rows it has is always known from something that cannot be written shorter than it is, so that a few
bytes never stand for many rows. Whatever is wrong raises one of MALFORMED.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from anabranch_sync.change import packed_value, unpacked_slot
from anabranch_sync.clock import COUNTER_BITS, TIMESTAMP_MAX, Timestamp
from anabranch_sync.errors import InvalidInput
from anabranch_sync.later import later
from anabranch_sync.path import ROOT, Path
from anabranch_sync.register import DELETED, AnyValue, Slot, Stamp, Tombstone
from anabranch_sync.value import INT_MAX, INT_MIN

if TYPE_CHECKING:
    from anabranch_sync import revision
    from anabranch_sync.revision import Revised
else:
    later(globals(), "anabranch_sync", "revision")

# What malformed columns raise while they are taken apart; one place names them all.
MALFORMED = (ValueError, TypeError, IndexError, KeyError, OverflowError, RecursionError, InvalidInput)

# Sharing makes a path of 64 keys out of three bytes. The largest scope met in practice, 5,000
# documents of 50 fields each four deep with nothing in common, has a million.
_PATH_KEYS_MAX = 4_000_000

# A leaf may be one byte long and takes some 200 once it is a register. The largest pull that
# packing.RAW_BYTES_MAX allows has 1.3 million of the catalogue's.
_LEAVES_MAX = 2_000_000

_COUNTER_MASK = (1 << COUNTER_BITS) - 1

T = TypeVar("T", bound=Hashable)
V = TypeVar("V")

Row: TypeAlias = list[Any]
# Makes a checked value of what the wire has at a slot.
Unpack: TypeAlias = Callable[[Slot, Any], V]


class Table(dict[T, int]):
    """Distinct things in order of first use, each with its number."""

    def index(self, thing: T) -> int:
        return self.setdefault(thing, len(self))


def trimmed(row: Row, defaults: Sequence[object]) -> Row:
    """`row` without those of its last fields that have the values of `defaults`, its last fields'."""
    kept = len(row)
    while kept > len(row) - len(defaults) and row[kept - 1] == defaults[kept - 1 - len(row)]:
        kept -= 1
    return row[:kept]


def completed(row: Row, length: int, defaults: Sequence[object]) -> Row:
    """`trimmed` undone; what a newer peer adds at the end is left out. Raises ValueError."""
    if type(row) is not list or len(row) < length - len(defaults):
        raise ValueError("a table lacks columns")
    return [*row, *defaults[len(row) - length :]][:length] if len(row) < length else row[:length]


def column(numbers: Iterable[int]) -> int | list[Any]:
    """The shortest of the three forms."""
    listed = list(numbers)
    packed = runs(listed)
    if len(packed) == 2:
        return packed[0]
    return [packed] if len(packed) < len(listed) else listed


def expanded(packed: Any, length: int) -> list[int]:
    """The `length` numbers of a column."""
    if type(packed) is int:
        return [packed] * length
    if type(packed) is not list:
        raise ValueError("a column is not a list")
    if len(packed) == 1 and type(packed[0]) is list:
        return run_out(packed[0], length)
    if len(packed) != length:
        raise ValueError(f"a column of other than {length} rows")
    return [integer(number) for number in packed]


def packed_timestamps(timestamps: Sequence[Timestamp]) -> Row:
    """Milliseconds as differences, and counters, which are seldom other than 0."""
    walls = deltas(timestamp >> COUNTER_BITS for timestamp in timestamps)
    return [walls, column(timestamp & _COUNTER_MASK for timestamp in timestamps)]


def unpacked_timestamps(packed: Any) -> list[Timestamp]:
    """As many timestamps as there are differences."""
    walls, counters = packed
    if type(walls) is not list:
        raise ValueError("a column is not a list")
    timestamps = []
    for wall, counter in zip(summed(walls), expanded(counters, len(walls)), strict=True):
        timestamp = wall << COUNTER_BITS | counter
        if not (0 <= counter <= _COUNTER_MASK and 0 <= timestamp <= TIMESTAMP_MAX):
            raise ValueError(f"timestamp {timestamp} out of range")
        timestamps.append(timestamp)
    return timestamps


def packed_leaves(leaves: Sequence[tuple[Slot, AnyValue]]) -> Row:
    """``[paths, path of each, values, deleted, elements]``, of which the last two may be left out."""
    table = sorted({slot.path for slot, _ in leaves})
    numbers = {path: number for number, path in enumerate(table)}
    places = [numbers[slot.path] for slot, _ in leaves]
    row = [packed_paths(table), column(places), *packed_values(leaves, places)]
    return trimmed(row, ([], []))


def unpacked_leaves(packed: Any, unpacked: Unpack[V]) -> list[tuple[Slot, V | Tombstone]]:
    """The leaves of `packed_leaves`' table; `unpacked` makes their values."""
    raw_paths, places, values, deleted, elements = completed(packed, 5, ([], []))
    count = leaf_count(values, deleted)
    shared = [
        Slot(path) for path in unpacked_paths(raw_paths)
    ]  # one for all documents that have such a field
    numbers = [natural(number) for number in expanded(places, count)]
    slots = [shared[number] for number in numbers]
    leaves = unpacked_values(slots, numbers, values, deleted, elements, unpacked)
    for slot, value in leaves:
        if isinstance(value, revision.Revised):
            raise ValueError(f"{slot}: a revision of nothing")
    return leaves  # type: ignore[return-value]  # there may be a million: none is copied


def packed_values(leaves: Sequence[tuple[Slot, AnyValue | Revised]], ranks: Sequence[Any]) -> Row:
    """``[values, deleted, elements]`` of these leaves.

    Values are in the order of `ranks`, those of the leaves' paths: those of one field look alike.
    """
    placed = (leaves[index][1] for index in _ranked(ranks))
    return [
        [_packed(value) for value in placed if value is not DELETED],
        [index for index, (_, value) in enumerate(leaves) if value is DELETED],
        [[index, slot.element] for index, (slot, _) in enumerate(leaves) if slot.element is not None],
    ]


def leaf_count(values: Any, deleted: Any) -> int:
    """How many leaves the columns of `packed_values` are of. Raises ValueError."""
    if type(values) is not list or type(deleted) is not list:
        raise ValueError("a column is not a list")
    count = len(values) + len(deleted)
    if count > _LEAVES_MAX:
        raise ValueError(f"{count} leaves, limit {_LEAVES_MAX}")
    return count


def unpacked_values(
    slots: Sequence[Slot],
    ranks: Sequence[Any],
    values: Any,
    deleted: Any,
    elements: Any,
    unpacked: Unpack[V],
) -> list[tuple[Slot, V | Tombstone | Revised]]:
    """The leaves of `packed_values`' columns at these slots, which lack their elements.

    `unpacked` makes their values.
    """
    count = leaf_count(values, deleted)
    if type(elements) is not list:
        raise ValueError("a column is not a list")
    element_at = {natural(index): element for index, element in elements}
    deleted_at = {natural(index) for index in deleted}
    if len(deleted_at) != len(deleted) or not all(index < count for index in deleted_at):
        raise ValueError("deletions are not distinct operations")
    if len(element_at) != len(elements) or not all(index < count for index in element_at):
        raise ValueError("elements are not of distinct operations")
    leaves: list[tuple[Slot, V | Tombstone | Revised]] = [(slot, DELETED) for slot in slots]
    for index, element in element_at.items():
        leaves[index] = unpacked_slot(slots[index].path, element), DELETED
    remaining = iter(values)
    for index in _ranked(ranks):
        if index not in deleted_at:
            slot = leaves[index][0]
            leaves[index] = slot, _quickly(slot, next(remaining), unpacked)
    return leaves


def _packed(value: AnyValue | Revised) -> object:
    return value.packed if isinstance(value, revision.Revised) else packed_value(value)


def _quickly(slot: Slot, value: Any, unpacked: Unpack[V]) -> V | Revised:
    """Most values are text or numbers below a path, which msgpack has checked but for their size."""
    kind = type(value)
    if slot.path and (kind is str or kind is bool or (kind is int and INT_MIN <= value <= INT_MAX)):
        return value  # type: ignore[no-any-return]
    if kind is bytes and value[:1] == bytes([revision.REVISION]) and slot.path and slot.element is None:
        return revision.unpacked_revision(value)
    return unpacked(slot, value)


def _ranked(ranks: Sequence[Any]) -> list[int]:
    return sorted(range(len(ranks)), key=ranks.__getitem__)


def packed_stamps(table: Sequence[Stamp]) -> Row:
    return [
        packed_timestamps([stamp.timestamp for stamp in table]),
        column(stamp.actor for stamp in table),
        column(deltas(stamp.hub_seq for stamp in table)),
    ]


def unpacked_stamps(packed: Any) -> list[Stamp]:
    raw_timestamps, actors, positions = packed
    timestamps = unpacked_timestamps(raw_timestamps)
    count = len(timestamps)
    columns = timestamps, expanded(actors, count), summed(expanded(positions, count))
    return [
        Stamp(timestamp, natural(actor), natural(seq)) for timestamp, actor, seq in zip(*columns, strict=True)
    ]


def packed_paths(paths: Iterable[Path]) -> Row:
    """Each path as the keys it has in common with the one before, counted, and the rest."""
    packed: Row = []
    before: Path = ROOT
    for path in paths:
        shared = 0
        while shared < min(len(path), len(before)) and path[shared] == before[shared]:
            shared += 1
        packed.append([shared, *path[shared:]])
        before = path
    return packed


def unpacked_paths(packed: Any) -> list[Path]:
    paths: list[Path] = []
    before: Path = ROOT
    keys = 0
    for shared, *rest in packed:
        if natural(shared) > len(before):
            raise ValueError("path refers to more keys than the one before has")
        before = unpacked_slot((*before[:shared], *rest), None).path
        paths.append(before)
        keys += len(before)
        if keys > _PATH_KEYS_MAX:
            raise ValueError(f"paths of more than {_PATH_KEYS_MAX} keys")
    return paths


def deltas(numbers: Iterable[int]) -> list[int]:
    """Differences to the number before: small where the numbers grow slowly."""
    before = 0
    result = []
    for number in numbers:
        result.append(number - before)
        before = number
    return result


def summed(deltas: Any) -> list[int]:
    return list(accumulate(integer(delta) for delta in deltas))


def runs(numbers: Iterable[int]) -> list[int]:
    """``number, count`` pairs in one flat list: columns repeat themselves."""
    result: list[int] = []
    for number in numbers:
        if result and result[-2] == number:
            result[-1] += 1
        else:
            result += [number, 1]
    return result


def run_out(packed: Any, length: int) -> list[int]:
    """The `length` numbers of `runs`."""
    if sum(natural(count) for count in packed[1::2]) != length:
        raise ValueError(f"a column of other than {length} rows")
    result: list[int] = []
    for number, count in zip(packed[::2], packed[1::2], strict=True):
        result += [integer(number)] * count
    return result


def integer(number: object) -> int:
    if type(number) is not int:
        raise ValueError(f"{number!r} is not an integer")
    return number


def natural(number: object) -> int:
    if type(number) is not int or not 0 <= number <= INT_MAX:
        raise ValueError(f"{number!r} is not a natural number")
    return number
