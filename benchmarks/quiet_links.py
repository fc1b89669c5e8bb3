"""What does a link cost on which nothing happens?"""

import asyncio
import time

from benchmarks.fleet import Edge, Fleet

TENANT = "quiet"
DAY_S = 86_400
# The shortest that the agent takes; the bytes of a look do not depend on it.
POLL_S = 30
LOOKS_A_DAY = {"polling_5m": 288, "polling_1h": 24}
LOOK_S = 0.2

Figures = dict[str, object]


async def idle_days(fleet: Fleet, *, held_s: float, polls: int) -> Figures:
    """Bytes a day, with TLS, of an edge that holds its exchange and of one that looks in.

    A look is measured at an interval of half a minute over the connection that the agent keeps; where a
    network forgets connections in between, each look costs the handshake too (`..._reconnecting`).
    """
    await fleet.tenant(TENANT, [])
    held, polling = await fleet.enrol(TENANT, "held"), await fleet.enrol(TENANT, "polling")
    await held.start()
    await polling.start("--poll", f"{POLL_S}s")
    for edge in (held, polling):
        await edge.until(lambda facts: facts.heard.heard_ms is not None, "hearing from its hub")
        await edge.link.quiet(1.0)
    began_s, before = time.monotonic(), held.link.carried
    first_look, look = await _looks(polling, polls)
    await asyncio.sleep(max(0.0, began_s + held_s - time.monotonic()))
    window_s = time.monotonic() - began_s
    carried = held.link.carried - before
    for edge in (held, polling):
        await edge.stop()
    fleet.say(f"idle: {carried.both_tls} bytes in {window_s:.0f} s held, {look:.0f} bytes a look")
    return {
        "idle_bytes_per_day": {
            "held": carried.both_tls * DAY_S / window_s,
            **{name: look * count for name, count in LOOKS_A_DAY.items()},
        },
        "idle_bytes_per_day_reconnecting": {name: first_look * count for name, count in LOOKS_A_DAY.items()},
        "idle_window_seconds": window_s,
    }


async def _looks(edge: Edge, count: int) -> tuple[float, float]:
    """Bytes of the first look, which connects anew, and of the ones after it, with TLS."""
    costs: list[int] = []
    for _ in range(1 + count):
        before = edge.link.carried
        while edge.link.carried == before:
            await asyncio.sleep(LOOK_S)
        await edge.link.quiet(1.0)
        costs.append((edge.link.carried - before).both_tls)
    return costs[0], sum(costs[1:]) / count
