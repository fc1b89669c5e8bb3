"""What every replica's readers see of an urgent document that overtook a pull."""

import pytest
from anabranch_sync.document import Object
from anabranch_sync.pull import Pull

from tests.contracts.replica import LIMITS, NOW_MS, ROUTER, SCHEMA, Exchange, ReplicaSuite

URGENT: Object = {
    "namespaces": ["acme/prod/router"],
    "schema": {"x-anabranch-priority": 0, "properties": {"n": {"maximum": 99}}},
}


class OvertakingContract(ReplicaSuite):
    """The suite."""

    @pytest.fixture
    def urgent(self, edge: Exchange) -> Exchange:
        """An edge that has the schema and a document of both kinds."""
        edge.hub.write(SCHEMA, URGENT)
        edge.hub.write(ROUTER, {"n": 1})
        edge.hub.write(LIMITS, {"n": 1})
        edge.exchange()
        return edge

    def _ahead(self, edge: Exchange) -> Pull:
        pull = edge.hub.urgent(edge.incarnation, edge.replica.standing().cursor).pull
        assert pull is not None
        return pull

    def test_what_overtook_is_read_at_once_and_nothing_else_moves(self, urgent: Exchange) -> None:
        # given
        urgent.hub.write(LIMITS, {"n": 2})
        urgent.hub.write(ROUTER, {"n": 2})
        before = urgent.replica.standing()
        # when
        urgent.replica.overtake(self._ahead(urgent))
        # then
        replica = self.again(urgent.replica)
        assert (replica.content(ROUTER), replica.content(LIMITS)) == ({"n": 2}, {"n": 1})
        assert replica.standing() == before

    def test_a_pull_that_was_drawn_before_does_not_take_readers_back(self, urgent: Exchange) -> None:
        # given
        urgent.hub.write(ROUTER, {"n": 2})
        under_way = urgent.pull()
        urgent.hub.write(ROUTER, {"n": 3})
        urgent.replica.overtake(self._ahead(urgent))
        # when
        digest = urgent.replica.apply(under_way)
        # then
        assert digest == under_way.digest
        assert self.again(urgent.replica).content(ROUTER) == {"n": 3}
        # when the pull comes that has it, and a later one
        urgent.exchange()
        assert urgent.replica.content(ROUTER) == {"n": 3}
        urgent.hub.write(ROUTER, {"n": 4})
        urgent.exchange()
        assert self.again(urgent.replica).content(ROUTER) == {"n": 4}

    def test_a_deletion_and_a_new_document_overtake_too(self, urgent: Exchange) -> None:
        # given
        urgent.hub.write(ROUTER, None)
        # when
        urgent.replica.overtake(self._ahead(urgent))
        # then
        assert self.again(urgent.replica).content(ROUTER) is None
        urgent.exchange()
        assert urgent.replica.content(ROUTER) is None

    def test_what_is_written_over_it_is_merged_into_it_and_stands(self, urgent: Exchange) -> None:
        # given
        urgent.hub.write(ROUTER, {"n": 2, "theirs": True})
        under_way = urgent.pull()
        urgent.hub.write(ROUTER, {"n": 3, "theirs": True})
        urgent.replica.overtake(self._ahead(urgent))
        # when
        urgent.replica.commit(ROUTER, {"n": 4, "theirs": True}, now_ms=NOW_MS)
        urgent.replica.apply(under_way)
        # then
        assert self.again(urgent.replica).content(ROUTER) == {"n": 4, "theirs": True}
        urgent.exchange()
        assert urgent.replica.content(ROUTER) == urgent.hub.read(ROUTER) == {"n": 4, "theirs": True}

    def test_a_document_with_a_waiting_change_waits_for_it(self, urgent: Exchange) -> None:
        # given a change that the hub has merged, and the replica does not know
        urgent.replica.commit(ROUTER, {"n": 1, "mine": True}, now_ms=NOW_MS)
        urgent.push()
        urgent.hub.write(ROUTER, {"n": 3, "mine": True})
        # when
        urgent.replica.overtake(self._ahead(urgent))
        # then
        assert urgent.replica.content(ROUTER) == {"n": 1, "mine": True}
        urgent.exchange()
        assert urgent.replica.content(ROUTER) == {"n": 3, "mine": True}

    def test_what_comes_after_the_pull_that_has_it_changes_nothing(self, urgent: Exchange) -> None:
        # given
        urgent.hub.write(ROUTER, {"n": 2})
        late = self._ahead(urgent)
        urgent.hub.write(ROUTER, {"n": 3})
        urgent.exchange()
        # when
        urgent.replica.overtake(late)
        # then
        assert self.again(urgent.replica).content(ROUTER) == {"n": 3}

    def test_a_new_incarnation_and_a_reset_keep_it_until_the_whole_pull(self, urgent: Exchange) -> None:
        # given
        urgent.hub.write(ROUTER, {"n": 2})
        urgent.replica.overtake(self._ahead(urgent))
        urgent.replica.commit(ROUTER, {"n": 3}, now_ms=NOW_MS)
        # when
        urgent.replica.adopt(urgent.hub.open_replica(0).incarnation)
        urgent.replica.reset()
        # then
        replica = self.again(urgent.replica)
        assert replica.content(ROUTER) == {"n": 3}
        pull = urgent.pull()
        assert pull.whole
        assert replica.apply(pull) == pull.digest
        assert replica.content(ROUTER) == {"n": 3}

    def test_a_snapshot_that_has_it_takes_its_place(self, urgent: Exchange) -> None:
        # given
        urgent.hub.write(ROUTER, {"n": 2})
        urgent.replica.overtake(self._ahead(urgent))
        urgent.hub.write(ROUTER, {"n": 3})
        offer = urgent.offer()
        urgent.fetch(*offer.snapshot.parts)
        # when
        urgent.replica.apply(offer.closing)
        # then
        assert self.again(urgent.replica).content(ROUTER) == {"n": 3}
