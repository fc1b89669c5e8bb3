"""What does it cost to connect when there is nothing to say? It is part of every offline figure."""

import time

from benchmarks.cold_start import Figures
from benchmarks.fleet import Edge, Fleet, carried_until_quiet


async def measure(fleet: Fleet, edge: Edge) -> Figures:
    """Start the agent of a settled, stopped edge, and stop it again."""
    before = edge.link.carried
    began_ms = time.time_ns() // 1_000_000
    await edge.start()
    await edge.until(lambda facts: (facts.heard.heard_ms or 0) >= began_ms, "hearing from its hub")
    (carried,) = await carried_until_quiet([edge], [before])
    await edge.stop()
    fleet.say(f"reconnect: {carried.both} bytes, {carried.both_tls} with TLS")
    return carried.figures("reconnect")
