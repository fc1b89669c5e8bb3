"""What every replica's readers see of documents that are invalid, and whom it refuses to write them."""

import pytest
from anabranch_sync.document import Object
from anabranch_sync.errors import Invalid

from tests.contracts.replica import NOW_MS, ROUTER, SCHEMA, Exchange, ReplicaSuite

RULED: Object = {
    "namespaces": ["acme/prod/*"],
    "schema": {"properties": {"min": {"type": "integer"}, "max": {"type": "integer", "maximum": 600}}},
    "rules": [{"name": "min below max", "require": ["/min", "<=", "/max"]}],
}
STANDING: Object = {"min": 1, "max": 9}


class ValidityContract(ReplicaSuite):
    """The suite."""

    @pytest.fixture
    def ruled(self, edge: Exchange) -> Exchange:
        """An edge that has the schema and a valid document."""
        edge.hub.write(SCHEMA, RULED)
        edge.hub.write(ROUTER, STANDING)
        edge.exchange()
        return edge

    @pytest.fixture
    def quarantined(self, ruled: Exchange) -> Exchange:
        """An edge that raised min while the hub lowered max: each valid, and invalid together."""
        ruled.replica.commit(ROUTER, {"min": 8, "max": 9}, now_ms=NOW_MS)
        ruled.hub.write(ROUTER, {"min": 1, "max": 5})
        ruled.exchange()
        return ruled

    def test_a_write_that_breaks_a_rule_is_refused_and_nothing_is_changed(self, ruled: Exchange) -> None:
        # when
        with pytest.raises(Invalid) as caught:
            ruled.replica.commit(ROUTER, {"min": 10, "max": 9}, now_ms=NOW_MS)
        # then
        [violation] = caught.value.violations
        assert (violation.place, violation.rule) == ("/min", "min below max")
        assert violation.passes == "/min at most 9, or /max at least 10"
        replica = self.again(ruled.replica)
        assert list(replica.pending(0)) == []
        assert replica.content(ROUTER) == STANDING

    def test_a_write_that_passes_is_read_at_once(self, ruled: Exchange) -> None:
        # when
        ruled.replica.commit(ROUTER, {"min": 9, "max": 9}, now_ms=NOW_MS)
        # then
        assert self.again(ruled.replica).content(ROUTER) == {"min": 9, "max": 9}

    def test_readers_get_live_while_the_head_is_quarantined(self, quarantined: Exchange) -> None:
        # then
        replica = self.again(quarantined.replica)
        assert quarantined.hub.read(ROUTER) == {"min": 1, "max": 5}
        assert replica.content(ROUTER) == {"min": 1, "max": 5}
        assert list(replica.pending(0)) == []

    def test_what_waits_here_and_breaks_a_rule_with_what_came_is_not_read(self, ruled: Exchange) -> None:
        # given
        ruled.replica.commit(ROUTER, {"min": 8, "max": 9}, now_ms=NOW_MS)
        ruled.hub.write(ROUTER, {"min": 1, "max": 5})
        # when: the pull comes before the push
        ruled.replica.apply(ruled.pull())
        # then: what is confirmed is read, as on the hub
        replica = self.again(ruled.replica)
        assert replica.content(ROUTER) == {"min": 1, "max": 5}
        assert len(replica.pending(0)) == 1
        # when
        replica.commit(ROUTER, {"min": 4, "max": 5}, now_ms=NOW_MS)
        # then
        assert self.again(replica).content(ROUTER) == {"min": 4, "max": 5}

    def test_an_edit_is_made_over_the_head(self, quarantined: Exchange) -> None:
        # when: the head is min 8, max 5, and no rule is broken that was not broken
        quarantined.replica.commit(ROUTER, {"min": 8, "max": 5, "name": "x"}, now_ms=NOW_MS)
        # then
        assert quarantined.replica.content(ROUTER) == {"min": 1, "max": 5}
        quarantined.exchange()
        assert self.again(quarantined.replica).content(ROUTER) == {"min": 1, "max": 5}
        quarantined.hub.write(ROUTER, {"min": 2, "max": 5, "name": "x"})
        quarantined.exchange()
        assert self.again(quarantined.replica).content(ROUTER) == {"min": 2, "max": 5, "name": "x"}

    def test_a_repair_is_read_here_before_the_hub_has_it(self, quarantined: Exchange) -> None:
        # when
        quarantined.replica.commit(ROUTER, {"min": 3, "max": 5}, now_ms=NOW_MS)
        # then
        assert self.again(quarantined.replica).content(ROUTER) == {"min": 3, "max": 5}

    def test_an_own_repair_that_comes_back_as_a_position_only_releases(self, quarantined: Exchange) -> None:
        # given
        quarantined.replica.commit(ROUTER, {"min": 3, "max": 5}, now_ms=NOW_MS)
        # when
        quarantined.exchange()
        # then
        replica = self.again(quarantined.replica)
        assert quarantined.hub.read(ROUTER) == {"min": 3, "max": 5}
        assert replica.content(ROUTER) == {"min": 3, "max": 5}

    def test_deleting_what_is_quarantined_deletes_it(self, quarantined: Exchange) -> None:
        # when
        quarantined.replica.commit(ROUTER, None, now_ms=NOW_MS)
        # then
        assert self.again(quarantined.replica).content(ROUTER) is None
        quarantined.exchange()
        assert self.again(quarantined.replica).content(ROUTER) is None

    def test_a_whole_pull_says_anew_what_is_quarantined(self, quarantined: Exchange) -> None:
        # given
        quarantined.replica.reset()
        # when
        quarantined.exchange()
        still = self.again(quarantined.replica).content(ROUTER)
        quarantined.hub.write(ROUTER, {"min": 2, "max": 5})
        quarantined.replica.reset()
        quarantined.exchange()
        # then
        assert still == {"min": 1, "max": 5}
        assert self.again(quarantined.replica).content(ROUTER) == {"min": 2, "max": 5}

    def test_a_change_under_an_older_schema_holds_up_nothing(self, ruled: Exchange) -> None:
        # given
        ruled.replica.commit(ROUTER, {"min": 1, "max": 500}, now_ms=NOW_MS)
        strict: Object = {"properties": {"max": {"type": "integer", "maximum": 100}}}
        ruled.hub.write(SCHEMA, {**RULED, "schema": strict})
        # when
        ruled.exchange()
        # then
        replica = self.again(ruled.replica)
        assert list(replica.pending(0)) == []
        assert replica.content(ROUTER) == ruled.hub.read(ROUTER) == STANDING

    def test_a_newer_schema_judges_what_waits(self, ruled: Exchange) -> None:
        # given
        ruled.replica.commit(ROUTER, {"min": 1, "max": 500}, now_ms=NOW_MS)
        strict: Object = {"properties": {"max": {"type": "integer", "maximum": 100}}}
        ruled.hub.write(SCHEMA, {**RULED, "schema": strict})
        # when: it comes before the change is sent
        ruled.replica.apply(ruled.pull())
        stricter = self.again(ruled.replica).content(ROUTER)
        ruled.hub.write(SCHEMA, RULED)
        ruled.replica.apply(ruled.pull())
        # then
        assert stricter == STANDING
        assert self.again(ruled.replica).content(ROUTER) == {"min": 1, "max": 500}

    def test_what_was_never_valid_is_not_read(self, ruled: Exchange) -> None:
        # given
        ruled.hub.write(ROUTER, None)
        ruled.exchange()
        ruled.replica.commit(ROUTER, {"min": 1, "max": 500}, now_ms=NOW_MS)
        ruled.hub.write(SCHEMA, {**RULED, "schema": {"required": ["owner"]}})
        # when
        ruled.exchange()
        # then
        replica = self.again(ruled.replica)
        assert replica.content(ROUTER) is None
        replica.commit(ROUTER, {"min": 1, "max": 500, "owner": "ada"}, now_ms=NOW_MS)
        assert self.again(replica).content(ROUTER) == {"min": 1, "max": 500, "owner": "ada"}

    def test_under_a_new_incarnation_readers_see_what_they_saw(self, quarantined: Exchange) -> None:
        # given
        quarantined.replica.commit(ROUTER, {"min": 8, "max": 5, "name": "x"}, now_ms=NOW_MS)
        # when
        quarantined.replica.adopt(7)
        # then
        assert self.again(quarantined.replica).content(ROUTER) == {"min": 1, "max": 5}
