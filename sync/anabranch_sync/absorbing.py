"""Values that their author has overwritten before anybody could see them need not travel.

::

    outbox    1: x=1   2: x=2   3: x=3   4: x=4   5: y=1
    push                                 4: x=4, stands for 1 to 4       5: y=1

An edge that is offline may write one field a thousand times; the hub would decide each value and show none.
So in a push the last write of such a streak *absorbs* those before it. It goes up exactly as it was recorded,
and counts for all: the version of its document and the replica's mark move on by as many. The outbox keeps
every change until the hub has decided what stands for it, so nothing is lost here, and where a push does not
arrive the next one may cut its streaks elsewhere.

The hub cannot compute the chain over bytes that it does not get. The edge says what it is behind a streak,
and holds the hub to it; a copy of the replica with another past says another (decision 30).
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from anabranch_sync.change import Change, Entry, Op, chained
from anabranch_sync.register import DELETED, Edit, Increment

# What stands for a streak brings a count and a chain along: 11 bytes, as much as two or three short changes.
STREAK_MIN = 4


def absorbed(push: Sequence[Entry], chain: bytes) -> list[Entry]:
    """The changes of a push (consecutive, oldest first), each streak by its last.

    `chain` is that before the first.
    """
    result: list[Entry] = []
    for streak in _streaks(push):
        for each in streak:
            chain = chained(chain, each.body)
        whole = len(streak) < STREAK_MIN
        result += streak if whole else [replace(streak[-1], absorbed=len(streak) - 1, chain=chain)]
    return result


def _streaks(push: Sequence[Entry]) -> Iterator[list[Entry]]:
    streak: list[Entry] = []
    for each in push:
        if streak and not _overwrites(each, streak[-1]):
            yield streak
            streak = []
        streak.append(each)
    if streak:
        yield streak


def _overwrites(later: Entry, earlier: Entry) -> bool:
    """Whether the earlier one says nothing that the later one does not say anew, and as pressingly."""
    one, other = _plain(earlier.change), _plain(later.change)
    if one is None or other is None or earlier.priority != later.priority:
        return False
    return (one.document, one.slot) == (other.document, other.slot) and _facts(earlier) == _facts(later)


def _plain(change: Change) -> Op | None:
    """The one field to which it gives a value, and nothing else; None: it does more, or means more.

    A message was written to be read, and what restores a row of the ledger is a review of it.
    """
    if len(change.ops) != 1 or change.message or change.restores:
        return None
    [op] = change.ops
    if op.slot.element is not None or not op.slot.path or op.value is DELETED:
        return None
    return None if isinstance(op.value, list | dict | Increment | Edit) else op


def _facts(each: Entry) -> object:
    return each.change.author, each.change.base, each.change.schemas
