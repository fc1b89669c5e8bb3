"""placeholder until polling and repair land"""

from benchmarks.fleet import Fleet


def proving(n: int) -> dict[str, object]:
    return {}


async def idle_days(fleet: Fleet, *, held_s: float, polls: int) -> dict[str, object]:
    return {}
