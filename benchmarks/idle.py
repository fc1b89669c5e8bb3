"""What does a connected edge cost while nothing happens in its tenant?"""

import asyncio
import math
import time

from anabranch.link import PING_MS
from anabranch_sync.seeing import VISIBLE_DELAY_MS

from benchmarks.cold_start import Figures
from benchmarks.counting import Carried
from benchmarks.fleet import Edge, Fleet

TENANT = "quiet"
_PING_S = PING_MS / 1000
# Longer than an edge may owe an acknowledgement.
_SETTLED_S = 2 * VISIBLE_DELAY_MS / 1000


class Idle:
    """An edge that is left alone from `start` to `finish`, while the other questions are asked."""

    def __init__(self, edge: Edge, before: Carried) -> None:
        self._edge = edge
        self._before = before
        self._began_s = time.monotonic()

    @classmethod
    async def start(cls, fleet: Fleet) -> "Idle":
        await fleet.tenant(TENANT, [])
        edge = await fleet.enrol(TENANT, "idle")
        await edge.start()
        await edge.until(lambda facts: facts.heard.heard_ms is not None, "hearing from its hub")
        await edge.link.quiet(_SETTLED_S)
        return cls(edge, edge.link.carried)

    async def finish(self, window_s_min: float) -> Figures:
        """Wait for a whole number of pings, at least so long, and scale it to a minute; 0: do not wait."""
        if window_s_min:
            window_s = max(window_s_min, time.monotonic() - self._began_s)
            ends_s = self._began_s + math.ceil(window_s / _PING_S) * _PING_S
            await asyncio.sleep(max(0.0, ends_s - time.monotonic()))
        carried = self._edge.link.carried - self._before
        window_s = time.monotonic() - self._began_s
        return {
            **{name: total * 60 / window_s for name, total in carried.figures("idle_minute").items()},
            "idle_window_seconds": window_s,
        }
