"""What every replica does when its hub comes back from a backup: it offers what only it may know."""

from pathlib import Path

import pytest
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId
from anabranch_sync.reoffer import AUTHOR, Reoffer
from anabranch_sync.scope import scope

from tests.contracts.replica import (
    LIMITS,
    NOW_MS,
    ROUTER,
    SCHEMA,
    SCOPE,
    Exchange,
    ReplicaStore,
    ReplicaSuite,
)

COUNTED: Object = {
    "namespaces": ["acme/prod/*"],
    "schema": {"properties": {"n": {"x-anabranch-merge": "counter"}}},
}


class ReofferContract(ReplicaSuite):
    """The suite."""

    @pytest.fixture
    def lost(self, edge: Exchange) -> Exchange:
        """An edge that has confirmed what its hub, restored from a backup, does not have."""
        edge.hub.write(LIMITS, {"a": 1})
        edge.exchange()
        backup = edge.hub.backup()
        edge.hub.write(ROUTER, {"theirs": 1})
        edge.replica.commit(LIMITS, {"a": 2, "mine": 2}, now_ms=NOW_MS)
        edge.exchange()
        edge.hub = edge.hub.restored(backup)
        return edge

    def _meet(self, edge: Exchange) -> ReplicaStore:
        """Let the replica meet the restored hub: as a session would, under a new incarnation."""
        past = edge.replica.standing().epoch
        edge.incarnation = edge.hub.open_replica(0).incarnation
        edge.replica.adopt(edge.incarnation)
        reoffer = Reoffer(past, edge.hub.epochs.known(past), edge.hub.epoch)
        pull = edge.pull()
        assert edge.replica.apply(pull, reoffer) == pull.digest
        return edge.replica

    def test_what_the_hub_lost_is_read_all_the_time_and_comes_back(self, lost: Exchange) -> None:
        replica = self.again(self._meet(lost))
        lost.replica = replica

        assert replica.content(ROUTER) == {"theirs": 1}
        assert replica.content(LIMITS) == {"a": 2, "mine": 2}
        lost.exchange()
        assert lost.hub.read(ROUTER) == {"theirs": 1}
        assert lost.hub.read(LIMITS) == {"a": 2, "mine": 2}
        assert lost.hub.ledger == []
        assert list(replica.pending(0)) == []

    def test_offers_stand_in_front_of_what_was_written_over_them(self, lost: Exchange) -> None:
        lost.replica.commit(LIMITS, {"a": 3, "mine": 2}, now_ms=NOW_MS)

        replica = self.again(self._meet(lost))
        lost.replica = replica

        assert [each.change.author == AUTHOR for each in replica.pending(0)] == [True, True, False]
        assert replica.content(LIMITS) == {"a": 3, "mine": 2}
        lost.exchange()
        assert lost.hub.read(LIMITS) == {"a": 3, "mine": 2}

    def test_what_the_hub_has_is_not_offered(self, edge: Exchange) -> None:
        edge.hub.write(LIMITS, {"a": 1})
        edge.exchange()
        edge.hub = edge.hub.restored(edge.hub.backup())

        replica = self._meet(edge)

        assert list(replica.pending(0)) == []
        assert replica.standing().epoch == edge.hub.epoch

    def test_a_newer_decision_is_concurrent_and_the_ledger_has_both(self, lost: Exchange) -> None:
        lost.hub.write(LIMITS, {"a": 9})

        self._meet(lost)
        lost.exchange()

        ((_, conflict),) = lost.hub.ledger
        assert {candidate.value for candidate in conflict.candidates} == {2, 9}

    def test_what_leaves_as_less_is_asked_for_meanwhile_is_offered_before_it_goes(
        self, lost: Exchange
    ) -> None:
        # given
        less = scope((ROUTER.namespace,))
        lost.incarnation = lost.hub.open_replica(0, wanted=less).incarnation
        lost.replica.adopt(lost.incarnation)
        reoffer = Reoffer(1, lost.hub.epochs.known(1), lost.hub.epoch, SCOPE)

        # when
        lost.replica.apply(lost.pull(), reoffer, SCOPE.narrowed(less))
        lost.replica = self.again(lost.replica)
        lost.exchange()

        # then
        assert lost.hub.read(LIMITS) == {"a": 2, "mine": 2}
        assert lost.hub.read(ROUTER) == {"theirs": 1}
        assert lost.replica.content(LIMITS) is None

    def test_increments_are_offered_by_who_made_them_and_count_once(
        self, tmp_path: Path, hub: MemoryHub
    ) -> None:
        # given a counter that two edges added to, each behind the backup too
        (tmp_path / "other").mkdir()
        first, second = (Exchange(self.make(folder), hub) for folder in (tmp_path, tmp_path / "other"))
        hub.write(SCHEMA, COUNTED)
        hub.write(ROUTER, {"n": 100})
        for each, step in ((first, 1), (second, 10)):
            each.exchange()
            self._add(each.replica, ROUTER, step)
            each.exchange()
        backup = hub.backup()
        for each, step in ((first, 2), (second, 20)):
            each.exchange()
            self._add(each.replica, ROUTER, step)
            each.exchange()
        first.exchange()
        # when
        restored = hub.restored(backup)
        for each in (first, second):
            each.hub = restored
            self._meet(each)
            each.exchange()
        first.exchange()
        # then
        assert restored.read(ROUTER) == {"n": 133}
        assert first.replica.content(ROUTER) == {"n": 133}

    def _add(self, replica: ReplicaStore, document: DocumentId, step: int) -> None:
        content = replica.content(document) or {}
        count = content["n"]
        assert isinstance(count, int)
        replica.commit(document, {"n": count + step}, now_ms=NOW_MS)
