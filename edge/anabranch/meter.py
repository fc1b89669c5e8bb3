"""What one exchange carries over its link, with what the transport adds to it, and what it may carry."""

from collections.abc import Callable

from anabranch_sync.budget import (
    CONNECTION_BYTES_DOWN,
    CONNECTION_BYTES_UP,
    FRAME_BYTES,
    PING_BYTES,
    Budget,
    Spent,
    left_bytes,
)


class Meter:
    """Begins when it is made. `bytes_up` and `bytes_down` are those of frames, without HTTP/2 and TLS."""

    def __init__(self, now_ms: Callable[[], int], ping_ms: int) -> None:
        self.bytes_up = 0
        self.bytes_down = 0
        self._now_ms = now_ms
        self._ping_ms = ping_ms
        self._began_ms = now_ms()
        self._frames_up = self._frames_down = 0
        self._counted = (0, 0)
        self._left_bytes: int | None = None

    def sent(self, size_bytes: int) -> None:
        """A frame went."""
        self.bytes_up += size_bytes
        self._frames_up += 1

    def received(self, size_bytes: int) -> None:
        """A frame came."""
        self.bytes_down += size_bytes
        self._frames_down += 1

    @property
    def carried(self) -> tuple[int, int]:
        """Bytes up and down so far, with an estimate of what the transport adds."""
        if not self._frames_up:
            return 0, 0  # nobody answered: an hour of asking in vain must not use up a budget
        pings = (self._now_ms() - self._began_ms) // self._ping_ms * (PING_BYTES // 2)
        return (
            CONNECTION_BYTES_UP + self.bytes_up + FRAME_BYTES * self._frames_up + pings,
            CONNECTION_BYTES_DOWN + self.bytes_down + FRAME_BYTES * self._frames_down + pings,
        )

    def uncounted(self) -> tuple[int, int, int] | None:
        """What to count now: the bytes since this was last asked, up and down, and the time; None: none.

        An attempt that reached nobody costs the disk nothing either.
        """
        (up, down), (known_up, known_down) = self.carried, self._counted
        if (up, down) == (known_up, known_down):
            return None
        self._counted = (up, down)
        return up - known_up, down - known_down, self._now_ms()

    def keep_to(self, budget: Budget, spent: Spent) -> None:
        """Carry what the budget leaves after what was `spent` before this began."""
        self._left_bytes = left_bytes(budget, spent)

    @property
    def is_used_up(self) -> bool:
        """Whether that has been carried; never where there is no limit."""
        return self._left_bytes is not None and sum(self.carried) >= self._left_bytes
