"""The hybrid logical clock: it never goes back and never refuses anything."""

from anabranch_sync.clock import (
    COUNTER_BITS,
    SKEW_FLAG_MS,
    TIMESTAMP_MAX,
    WALL_MS_MAX,
    clamped,
    skew_ms,
    stamped,
    tick,
    wall_ms,
)
from hypothesis import given
from hypothesis import strategies as st

walls = st.integers(-(2**62), 2**62) | st.integers(0, 2**45)
timestamps = st.integers(0, TIMESTAMP_MAX)
NOW_MS = 1_750_000_000_000


@given(st.lists(walls, max_size=50))
def test_a_replica_s_timestamps_grow_however_its_wall_clock_jumps(jumps: list[int]) -> None:
    last = 0
    for now_ms in jumps:
        earlier, last = last, tick(last, now_ms)
        assert earlier < last <= TIMESTAMP_MAX or earlier == last == TIMESTAMP_MAX
        # It is not behind the wall clock, as far as that can be told at all.
        assert wall_ms(last) >= min(now_ms, WALL_MS_MAX)


@given(timestamps, st.integers(0, WALL_MS_MAX))
def test_a_clock_that_stands_still_counts(last: int, now_ms: int) -> None:
    following = tick(last, now_ms)
    assert following == (stamped(now_ms) if last < stamped(now_ms) else min(last + 1, TIMESTAMP_MAX))


def test_a_counter_that_overflows_carries_into_the_next_millisecond() -> None:
    last = stamped(NOW_MS)
    for _ in range(1 << COUNTER_BITS):
        last = tick(last, NOW_MS)

    assert last == stamped(NOW_MS + 1)


def test_the_greatest_timestamp_is_not_exceeded() -> None:
    assert tick(TIMESTAMP_MAX, NOW_MS) == TIMESTAMP_MAX
    assert tick(0, 2**80) == stamped(WALL_MS_MAX)


def test_before_1970_counts_as_1970() -> None:
    assert stamped(-1) == stamped(0) == 0
    assert tick(0, -(10**15)) == 1


@given(timestamps, st.integers(0, 2**46))
def test_skew_is_flagged_a_minute_ahead_and_never_for_the_past(timestamp: int, hub_now_ms: int) -> None:
    ahead = wall_ms(timestamp) - hub_now_ms
    assert skew_ms(timestamp, hub_now_ms) == (ahead if ahead > SKEW_FLAG_MS else 0)


def test_the_flag_has_an_exact_limit() -> None:
    assert skew_ms(stamped(NOW_MS + SKEW_FLAG_MS), NOW_MS) == 0
    assert skew_ms(stamped(NOW_MS + SKEW_FLAG_MS + 1), NOW_MS) == SKEW_FLAG_MS + 1


@given(timestamps, st.integers(0, 2**46))
def test_a_flagged_timestamp_counts_as_the_hub_s_now(timestamp: int, hub_now_ms: int) -> None:
    counted = clamped(timestamp, hub_now_ms)

    assert counted == (stamped(hub_now_ms) if skew_ms(timestamp, hub_now_ms) else timestamp)
    assert counted <= timestamp
    assert clamped(counted, hub_now_ms) == counted
    assert not skew_ms(counted, hub_now_ms)
