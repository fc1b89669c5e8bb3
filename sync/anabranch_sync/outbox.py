"""The outbox: which changes go into the next push, and what an answer means for those in flight."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from anabranch_sync.change import Entry, chained
from anabranch_sync.errors import ProtocolViolation
from anabranch_sync.ids import Incarnation, LocalSeq
from anabranch_sync.priority import URGENT

# One push is one hub transaction at most: small enough to finish on a bad link and to hold the
# tenant's lock briefly, large enough that compression sees the repetition.
PUSH_BYTES_MAX = 1024 * 1024
PUSH_CHANGES_MAX = 5_000


@dataclass(frozen=True, slots=True)
class Continuity:
    """Where an incarnation's history stands: the last change acknowledged, and the chain up to it."""

    incarnation: Incarnation
    push_mark: LocalSeq
    chain: bytes


def next_push(entries: Sequence[Entry]) -> Sequence[Entry]:
    """The longest head of `entries` (consecutive, oldest first) that one push may carry."""
    size_bytes = 0
    for count, each in enumerate(entries[:PUSH_CHANGES_MAX]):
        size_bytes += len(each.body)
        if count and size_bytes > PUSH_BYTES_MAX:
            return entries[:count]
    return entries[:PUSH_CHANGES_MAX]


def behind_urgent(push: Sequence[Entry]) -> tuple[int, ...]:
    """How many changes of a push are behind each that is urgent."""
    last = len(push) - 1
    return tuple(last - place for place, each in enumerate(push) if each.priority == URGENT)


def marked(entries: Sequence[Entry], urgent: Collection[int]) -> Sequence[Entry]:
    """The changes of a push of which `urgent` says how many are behind each that is so.

    Raises ProtocolViolation.
    """
    if not urgent:
        return entries
    if not all(0 <= behind < len(entries) for behind in urgent):
        raise ProtocolViolation(f"{max(urgent)} changes are behind one of {len(entries)}")
    pressing = {len(entries) - 1 - behind for behind in urgent}
    return [
        replace(each, priority=URGENT) if place in pressing else each for place, each in enumerate(entries)
    ]


def extended(here: Continuity, pending: Sequence[Entry]) -> Continuity:
    """The history with the changes that follow on it."""
    chain = here.chain
    for each in pending:
        chain = chained(chain, each.body)
    return Continuity(here.incarnation, pending[-1].dot.local_seq, chain)


def is_continued(here: Continuity, pending: Sequence[Entry], hub_mark: LocalSeq, hub_chain: bytes) -> bool:
    """Whether the hub's history of the incarnation is a part of ours, and ours contains all of it.

    `pending` are the changes after `here.push_mark`, in order. False means that this database was
    restored from a backup or cloned (the hub knows changes we do not, or others under the same
    dots), or that the hub lost some: it must go on under a new incarnation.
    """
    chain = here.chain
    if hub_mark == here.push_mark:
        return hub_chain == chain
    for each in pending:
        chain = chained(chain, each.body)
        if each.dot.local_seq == hub_mark:
            return hub_chain == chain
    return False
