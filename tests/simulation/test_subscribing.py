"""Lives in which edges ask for less than they were granted, and for all of it again."""

from anabranch_hub.simulation.running import live


def test_lives_of_edges_that_subscribe_keep_every_promise() -> None:
    # given
    subscribed = 0
    for seed in range(12):
        # when
        told = live(seed, {"subscriptions": 6, "carried": 0})
        subscribed += told.reached.subscribed
        # then
        assert told.broken == "", told.reason
    assert subscribed > 0
