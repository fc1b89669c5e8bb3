"""A length of time on the command line, as in 30s, 5m or 1h."""

import re

import click

# Below this a held connection costs fewer bytes than looking in: 34 bytes each 40 s.
SECONDS_MIN = 30
# Longer than this, an edge is better served by courier files.
SECONDS_MAX = 7 * 86_400
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Interval(click.ParamType[int]):
    """Given with its unit; milliseconds. `none`: 0, where that is a choice."""

    name = "time"

    def __init__(self, *, or_none: bool = False) -> None:
        self._or_none = or_none

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The milliseconds of `value`."""
        if isinstance(value, int):
            return value
        if self._or_none and value == "none":
            return 0
        given = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value))
        seconds = int(given[1]) * _SECONDS[given[2]] if given else 0
        if not SECONDS_MIN <= seconds <= SECONDS_MAX:
            self.fail(f"{str(value)!r} is no time from {SECONDS_MIN}s to 7d, as in 5m or 1h", param, ctx)
        return seconds * 1000
