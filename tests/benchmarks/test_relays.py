"""The benchmark of relays runs to its end, on real processes, and five children cost what one costs."""

import pytest

from tests.benchmarks.running import printed

PATIENCE_S = 300


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE_S + 50)
def test_a_tiny_run_prints_one_object_with_every_figure() -> None:
    # when
    figures = printed("benchmarks.relays", "--json", "--tiny", patience_s=PATIENCE_S)

    # then
    assert figures["one_child_bytes_down"] > 10_000
    assert figures["five_children_over_one"] < 2
    assert figures["five_children_over_five_direct"] < 0.5
