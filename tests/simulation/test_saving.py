"""Lives of edges that save: metered links, and streams on which only what is urgent goes."""

from itertools import count
from typing import Any

import pytest
from anabranch_hub.simulation import edge, fleet
from anabranch_hub.simulation.running import live
from anabranch_sync.circumstances import Circumstances, LinkClass
from anabranch_sync.edge_effects import EdgeEffect
from anabranch_sync.edge_session import EdgeSession
from anabranch_sync.standing import Standing

from tests.simulation.test_overtaking import urgent_schema

METERED = Circumstances(LinkClass.METERED)


class Saving(EdgeSession):
    """On a metered link; every other stream carries what is urgent only, and ends once it has."""

    made = count()

    def __init__(self, standing: Standing, scope: bytes, *, urgent_only: bool, **rest: Any) -> None:
        is_ahead = urgent_only or next(self.made) % 2 == 0
        super().__init__(standing, scope, circumstances=METERED, urgent_only=is_ahead, **rest)

    def woken(self, now_ms: int) -> list[EdgeEffect]:
        return self._close("saved") if self.is_ahead and self.settled else super().woken(now_ms)


@pytest.mark.parametrize("is_urgent", [True, False])
def test_lives_of_edges_that_save_keep_every_promise(
    is_urgent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    monkeypatch.setattr(edge, "EdgeSession", Saving)
    monkeypatch.setattr(Saving, "made", count())
    if is_urgent:
        monkeypatch.setattr(fleet, "schema", urgent_schema)
    overtaken = 0
    for seed in range(8):
        # when
        told = live(seed, {"urgent": 0, "budgets": 0, "carried": 0})
        overtaken += told.reached.overtaken
        # then
        assert told.broken == "", told.reason
    assert (overtaken > 0) == is_urgent
