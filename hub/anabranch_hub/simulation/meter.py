"""What a simulated edge's link has carried today, and what its budget leaves."""

from anabranch_sync.budget import (
    CONNECTION_BYTES_DOWN,
    CONNECTION_BYTES_UP,
    FRAME_BYTES,
    Budget,
    Spent,
    left_bytes,
)

from anabranch_hub.simulation.life import DAY_MS


class Meter:
    """Counts by days, as an agent does. `now_ms` is the edge's clock."""

    def __init__(self, budget: Budget) -> None:
        self.budget = budget
        self._day = 0
        self._spent_bytes = 0

    def connected(self, now_ms: int) -> None:
        """A connection was made."""
        self._carried(CONNECTION_BYTES_UP + CONNECTION_BYTES_DOWN, now_ms)

    def carried(self, frame: bytes, now_ms: int) -> None:
        """A frame went or came."""
        self._carried(len(frame) + FRAME_BYTES, now_ms)

    def is_used_up(self, now_ms: int) -> bool:
        """Whether nothing is left."""
        spent_bytes = self._spent_bytes if now_ms // DAY_MS == self._day else 0
        return left_bytes(self.budget, Spent(spent_bytes, spent_bytes)) == 0

    def _carried(self, size_bytes: int, now_ms: int) -> None:
        day = now_ms // DAY_MS
        self._spent_bytes = size_bytes + (self._spent_bytes if day == self._day else 0)
        self._day = day
