"""Which way of catching up costs a replica the fewest bytes."""

from dataclasses import dataclass
from enum import StrEnum


class Means(StrEnum):
    """How a replica catches up."""

    NOTHING = "nothing"
    DELTA = "delta"
    SNAPSHOT = "snapshot"


@dataclass(frozen=True, slots=True)
class Plan:
    """The cheapest way, and about how many bytes it takes on the link."""

    means: Means
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Prices:
    """What each way would cost, in bytes on the link; None: it cannot be gone.

    A delta cannot where the hub has forgotten what it would be made of; a snapshot not for a peer that
    does not know of them.
    """

    delta: int | None
    snapshot: int | None


# The first protocol that knows snapshots.
SNAPSHOT_PROTOCOL = 2
# A delta is one batch of one position: a hub or edge holds all of it in memory, and once the position has
# moved on nobody else has a use for its bytes. A snapshot is worth a round trip and its names from here on.
SNAPSHOT_BYTES_MIN = 16 * 1024
# Where it passes a relay, others there get it for its names: some 300 bytes of calls and headers.
RELAYED_SNAPSHOT_BYTES_MIN = 1024
# What documents take on a link, of what they take as they are stored: the catalogue's take a fifth.
STORED_TO_LINK = 5


def link_bytes(stored_bytes: int) -> int:
    """About what so many bytes of stored documents come to on a link."""
    return -(-stored_bytes // STORED_TO_LINK)


def snapshot_bytes_min(*, relayed: bool) -> int:
    """From what price of a delta on a snapshot is looked at."""
    return RELAYED_SNAPSHOT_BYTES_MIN if relayed else SNAPSHOT_BYTES_MIN


def cheapest(prices: Prices, *, relayed: bool = False) -> Plan:
    """The cheapest way. With equal prices a snapshot: what breaks off of it is not lost with its position,

    and a relay on the way keeps it for others.
    """
    delta, snapshot = prices.delta, prices.snapshot
    assert delta is not None or snapshot is not None, "a replica can catch up in some way"
    if delta == 0:
        return Plan(Means.NOTHING, 0)
    least = snapshot_bytes_min(relayed=relayed)
    if snapshot is None or (delta is not None and (delta < snapshot or delta < least)):
        return Plan(Means.DELTA, delta or 0)
    return Plan(Means.SNAPSHOT, snapshot)
