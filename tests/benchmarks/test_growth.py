"""A crowd of edges holds its exchanges at a real hub, and a change reaches all of them."""

from tests.benchmarks.running import printed

PATIENCE_S = 200


def test_a_hub_holds_a_small_crowd() -> None:
    # when
    figures = printed("benchmarks.growth", "--tiny", "--documents", "0", patience_s=PATIENCE_S)

    # then
    held = figures["edges"]
    assert list(held) == ["1", "4"]
    assert all(each["hub_resident_bytes"] > 0 and each["join_seconds"] > 0 for each in held.values())
