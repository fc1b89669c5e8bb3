"""What does a connected edge cost while nothing happens in its tenant?"""

import asyncio
import time

from benchmarks.cold_start import Figures
from benchmarks.counting import Carried
from benchmarks.fleet import Edge, Fleet

TENANT = "quiet"


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
        await edge.link.quiet(1.0)
        return cls(edge, edge.link.carried)

    async def finish(self, window_s_min: float) -> Figures:
        """Wait until the window is long enough for a ping, and scale it to a minute."""
        await asyncio.sleep(max(0.0, self._began_s + window_s_min - time.monotonic()))
        carried = self._edge.link.carried - self._before
        window_s = time.monotonic() - self._began_s
        return {
            **{name: total * 60 / window_s for name, total in carried.figures("idle_minute").items()},
            "idle_window_seconds": window_s,
        }
