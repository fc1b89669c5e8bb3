"""Epochs: what a cursor from before a restore of the hub is worth after it.

A hub that is restored from a backup decides again from the backup's position on. The two orders share
their beginning, up to there; behind it the same position means two things, so the hub begins another
epoch. It remembers of each epoch that ended up to which position it was the same as today's order.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from anabranch_sync.errors import CorruptFrame
from anabranch_sync.ids import Cursor, HubSeq, LocalSeq

# A hub that was restored more often forgets the first ones: a replica from then offers all it has.
ENDED_MAX = 256


@dataclass(frozen=True, slots=True)
class Ended:
    """An epoch that a restore ended: up to `known` its order is that of the epoch after it."""

    epoch: int
    known: HubSeq


@dataclass(frozen=True, slots=True)
class Epochs:
    """The epoch a hub is in, and those before it in their order."""

    current: int
    ended: tuple[Ended, ...] = ()

    def known(self, epoch: int) -> HubSeq:
        """Up to where the order of `epoch` is known to the hub; 0 for an epoch that it knows nothing of.

        Not for the present epoch. Each later restore can have cut more off.
        """
        assert epoch != self.current, "the order of the present epoch is known as far as it goes"
        if all(each.epoch != epoch for each in self.ended):
            return 0
        return min(each.known for each in self.ended if each.epoch >= epoch)

    def seen(self, cursor: Cursor) -> HubSeq:
        """What whoever stood at `cursor` has certainly seen of today's order."""
        if cursor.epoch == self.current:
            return cursor.hub_seq
        return min(cursor.hub_seq, self.known(cursor.epoch))


def went_back(cursor: Cursor, push_mark: LocalSeq, hub: Cursor, hub_mark: LocalSeq) -> str:
    """How a replica that stands here shows that the hub lost what it once had; empty where it does not.

    A replica knows of the hub only what the hub told it. Only where the hub is in a later epoch has it
    said so itself.
    """
    if cursor > hub:
        here = f"the hub is at {hub.hub_seq} of {hub.epoch}"
        return f"{cursor.hub_seq} of epoch {cursor.epoch} was applied, {here}"
    if cursor.epoch == hub.epoch and push_mark > hub_mark:
        return f"{push_mark} changes were merged, the hub knows {hub_mark} of them"
    return ""


def packed_ended(ended: Iterable[Ended]) -> tuple[int, ...]:
    """The epochs that ended as they travel: the last ones, two numbers each."""
    last = tuple(ended)[-ENDED_MAX:]
    return tuple(number for each in last for number in (each.epoch, each.known))


def unpacked_ended(numbers: tuple[int, ...]) -> tuple[Ended, ...]:
    """What `packed_ended` packed. Raises CorruptFrame."""
    if len(numbers) % 2 or len(numbers) > 2 * ENDED_MAX or any(number < 0 for number in numbers):
        raise CorruptFrame(f"{len(numbers)} numbers are not epochs with their positions")
    return tuple(Ended(*numbers[at : at + 2]) for at in range(0, len(numbers), 2))
