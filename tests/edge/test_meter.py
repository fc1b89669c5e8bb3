"""What an exchange carries: counted once, with the transport's share, against its budget."""

from anabranch.meter import Meter
from anabranch_sync.budget import (
    CONNECTION_BYTES_DOWN,
    CONNECTION_BYTES_UP,
    FRAME_BYTES,
    PING_BYTES,
    Budget,
    Spent,
)

PING_MS = 1_000
CONNECTION_BYTES = CONNECTION_BYTES_UP + CONNECTION_BYTES_DOWN


class Clock:
    now_ms = 5_000

    def __call__(self) -> int:
        return self.now_ms


def test_while_nothing_went_nothing_counts_however_long_it_takes() -> None:
    clock = Clock()
    meter = Meter(clock, PING_MS)
    meter.keep_to(Budget(day_bytes=1), Spent())

    clock.now_ms += 3_600_000

    assert meter.carried == (0, 0)
    assert meter.uncounted() is None
    assert not meter.is_used_up


def test_frames_count_with_what_the_transport_adds_and_pings_with_the_time() -> None:
    clock = Clock()
    meter = Meter(clock, PING_MS)

    meter.sent(100)
    meter.received(30)
    meter.received(7)
    clock.now_ms += 3 * PING_MS

    assert (meter.bytes_up, meter.bytes_down) == (100, 37)
    pings = 3 * PING_BYTES // 2
    assert meter.carried == (
        CONNECTION_BYTES_UP + 100 + FRAME_BYTES + pings,
        CONNECTION_BYTES_DOWN + 37 + 2 * FRAME_BYTES + pings,
    )


def test_what_was_counted_is_not_counted_again() -> None:
    clock = Clock()
    meter = Meter(clock, PING_MS)
    meter.sent(100)
    first = meter.uncounted()
    assert first is not None

    meter.received(40)
    clock.now_ms += 1

    assert meter.uncounted() == (0, 40 + FRAME_BYTES, 5_001)
    assert meter.uncounted() is None
    assert sum(first[:2]) + 40 + FRAME_BYTES == sum(meter.carried)


def test_a_budget_is_used_up_by_what_was_spent_before_and_what_goes_and_comes() -> None:
    meter = Meter(Clock(), PING_MS)
    budget = Budget(day_bytes=CONNECTION_BYTES + 2 * FRAME_BYTES + 1_000)
    meter.sent(300)
    assert not meter.is_used_up  # without a limit

    meter.keep_to(budget, Spent(day_bytes=500))
    meter.received(199)
    assert not meter.is_used_up
    meter.keep_to(budget, Spent(day_bytes=501))

    assert meter.is_used_up
