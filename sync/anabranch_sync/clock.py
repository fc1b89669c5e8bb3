"""The hybrid logical clock: wall time where it can be trusted, a counter where it cannot.

Kulkarni et al., "Logical Physical Clocks" (2014). A timestamp is one integer, ``wall_ms << 16 |
counter``, so that comparing integers compares time and a counter that overflows carries into the
next millisecond (65,536 changes in one). It only breaks ties: what is concurrent is decided by hub
positions, never by clocks, and so no clock, however wrong, makes a write refused.
"""

from typing import TypeAlias

Timestamp: TypeAlias = int

COUNTER_BITS = 16
# 47 bits of milliseconds reach the year 6429; more is not a wrong clock but a malformed stamp.
WALL_MS_MAX = (1 << 47) - 1
TIMESTAMP_MAX = (WALL_MS_MAX << COUNTER_BITS) | ((1 << COUNTER_BITS) - 1)
# NTP keeps hosts within 1 s; a minute forgives a cold device, more is flagged as skew.
SKEW_FLAG_MS = 60_000


def wall_ms(timestamp: Timestamp) -> int:
    """The physical part, milliseconds since 1970."""
    return timestamp >> COUNTER_BITS


def stamped(milliseconds: int) -> Timestamp:
    """The first timestamp of a millisecond; times before 1970 count as 1970."""
    return max(0, min(milliseconds, WALL_MS_MAX)) << COUNTER_BITS


def tick(last: Timestamp, now_ms: int) -> Timestamp:
    """The timestamp of a change made now by a replica whose greatest so far is `last`.

    Strictly greater than `last` however the wall clock jumped.
    """
    return min(max(last + 1, stamped(now_ms)), TIMESTAMP_MAX)


def skew_ms(timestamp: Timestamp, hub_now_ms: int) -> int:
    """How far ahead of the hub's clock a change claims to be; 0 while within SKEW_FLAG_MS.

    A change from the past shows no skew: it waited offline, which is what edges do.
    """
    ahead = wall_ms(timestamp) - hub_now_ms
    return ahead if ahead > SKEW_FLAG_MS else 0


def clamped(timestamp: Timestamp, hub_now_ms: int) -> Timestamp:
    """`timestamp` for tie-breaking: a time flagged as skewed counts as the hub's now."""
    return stamped(hub_now_ms) if skew_ms(timestamp, hub_now_ms) else timestamp
