"""The benchmark of links runs to its end, on real processes, and answers what it was asked."""

import pytest

from tests.benchmarks.running import printed

PATIENCE_S = 400

FIGURES = [
    "payload_bytes",
    "overhead_mean_break",
    "overhead_cut_64k",
    "idle_bytes_per_day",
    "verify_200_bytes",
    "repair_1_of_200_bytes",
    "catch_up",
]


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 50)
def test_a_tiny_run_prints_one_object_with_every_figure() -> None:
    # when
    figures = printed("benchmarks.links", "--json", "--tiny", patience_s=PATIENCE_S)

    # then
    assert [name for name in FIGURES if not figures.get(name)] == []
    assert list(figures["overhead_mean_break"]) == ["15000", "50000", "200000", "1000000"]
    assert set(figures["idle_bytes_per_day"]) == {"held", "polling_5m", "polling_1h"}
    # a link that carries all at once has nothing to send again
    assert 1 <= figures["overhead_mean_break"]["1000000"] < figures["overhead_mean_break"]["15000"]
