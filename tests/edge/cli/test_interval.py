"""Lengths of time on the command line."""

import click
import pytest
from anabranch.cli.interval import Interval


@pytest.mark.parametrize(
    ("given", "milliseconds"), [("30s", 30_000), ("5m", 300_000), ("1h", 3_600_000), ("7d", 604_800_000)]
)
def test_a_time_has_a_unit(given: str, milliseconds: int) -> None:
    assert Interval().convert(given, None, None) == milliseconds


@pytest.mark.parametrize("given", ["5", "29s", "8d", "1w", "-5m", "", "1.5h"])
def test_a_time_without_one_or_beyond_the_limits_is_refused_with_what_would_do(given: str) -> None:
    with pytest.raises(click.BadParameter, match="from 30s to 7d, as in 5m or 1h"):
        Interval().convert(given, None, None)
