"""Lives in which every change is urgent: whatever overtakes, the promises hold."""

import pytest
from anabranch_hub.simulation import fleet, validity
from anabranch_hub.simulation.running import live
from anabranch_sync.document import Object


def urgent_schema(high_max: int) -> Object:
    document = validity.schema(high_max)
    policies = document["schema"]
    assert isinstance(policies, dict)
    return {**document, "schema": {**policies, "x-anabranch-priority": 0}}


def test_lives_in_which_all_is_urgent_keep_every_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    # given
    monkeypatch.setattr(fleet, "schema", urgent_schema)
    overtaken = 0
    for seed in range(12):
        # when
        told = live(seed, {"budgets": 0})
        overtaken += told.reached.overtaken
        # then
        assert told.broken == "", told.reason
    assert overtaken > 0
