"""How large a chunk a link carries: learned from the bytes that pass between its breaks.

A chunk that a break cuts is lost whole, half of it having travelled on average; each chunk costs
CHUNK_COST_BYTES by itself. Where a link breaks after `between_bytes` on average, the sum of both is
least at ``sqrt(2 * CHUNK_COST_BYTES * between_bytes)``. A sender starts with CHUNK_BYTES_FIRST, as if
it had seen one eighth of a break of the link that suits that; the edge, which sees the breaks, carries
what it learns from stream to stream and tells the hub in its Hello, so that both directions start right.
"""

from dataclasses import dataclass, replace
from math import isqrt

from anabranch_sync.messages import CHUNK_BYTES_FIRST, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, WINDOW_BYTES

# Frame, protobuf, gRPC and HTTP/2 around one chunk, and its share of the acknowledgement.
CHUNK_COST_BYTES = 40
# What a new link is taken for, and for how much of a break that counts.
_ASSUMED_BYTES = -(-(CHUNK_BYTES_FIRST**2) // (2 * CHUNK_COST_BYTES))
_ASSUMED_PART = 8
# A link changes (another cell, another ship): beyond this many breaks the older half fades.
BREAKS_MAX = 16
# A receiver acknowledges what it has stored once it is this much, in whatever pieces it came: a chunk of
# the first size of protocol 1 each time, and several of the small ones together.
ACKNOWLEDGE_BYTES = CHUNK_BYTES_FIRST
# So a sender lets as much go beyond it, or each would wait for the other. Where the link breaks it waits for
# each acknowledgement: a break loses what is in the buffers of the link, and that is all of the window.
WINDOW_BYTES_MIN = ACKNOWLEDGE_BYTES


@dataclass(frozen=True, slots=True)
class Pacing:
    """What is known of a link: so many bytes passed, both ways together, and it broke so many times."""

    passed_bytes: int = 0
    breaks: int = 0

    def passed(self, bytes_both_ways: int) -> "Pacing":
        """After so many bytes more."""
        return replace(self, passed_bytes=self.passed_bytes + bytes_both_ways)

    def broken(self) -> "Pacing":
        """After a break in the middle of a batch. One of an idle stream says nothing of the link."""
        if self.breaks < BREAKS_MAX:
            return replace(self, breaks=self.breaks + 1)
        return Pacing(self.passed_bytes // 2, self.breaks // 2 + 1)

    @property
    def between_bytes(self) -> int:
        """The bytes that pass between two breaks, as far as is known."""
        return (_ASSUMED_PART * self.passed_bytes + _ASSUMED_BYTES) // (_ASSUMED_PART * self.breaks + 1)

    @property
    def chunk_bytes(self) -> int:
        """How large the next chunk should be."""
        best = isqrt(2 * CHUNK_COST_BYTES * self.between_bytes)
        return min(max(best, CHUNK_BYTES_MIN), CHUNK_BYTES_MAX)

    @property
    def window_bytes(self) -> int:
        """How much may be on its way unacknowledged: what a break may catch in the buffers of a link.

        It grows with what has passed: of a link that nothing is known of, the first break may catch a
        quarter of what came before it, and each further one an eighth of what comes between them.
        """
        seen = min(self.between_bytes, self.passed_bytes // (self.breaks + 1))
        if not self.breaks:
            return min(max(seen // 4, 2 * WINDOW_BYTES_MIN), WINDOW_BYTES)
        return min(max(seen // 8, WINDOW_BYTES_MIN), WINDOW_BYTES)


NOTHING_LEARNED = Pacing()
