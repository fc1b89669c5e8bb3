"""The promises, over whole lives of fleets drawn from seeds."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from anabranch_hub.simulation import memory
from anabranch_hub.simulation.fleet import Fleet, Violation
from anabranch_hub.simulation.memory import MemoryHub, MemoryLog, MemoryReplica
from anabranch_hub.simulation.running import live_all
from anabranch_sync import edge_session
from anabranch_sync.change import Entry
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.ids import DocumentId
from anabranch_sync.live import Quarantined
from anabranch_sync.pull import Pull

SEEDS = 5_000
ROOT = Path(__file__).parents[2]
# A planted bug must show within this many seeds, or the simulator is blind to its kind.
SEEDS_TO_FIND_A_BUG = 150


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_life_converges_and_loses_nothing() -> None:
    lives = list(live_all(range(SEEDS), 2))

    assert [each.reason for each in lives if each.broken] == []
    # The lives must have been hard enough to mean something.
    assert sum(each.resumed_pulls for each in lives) > 0, "no pull was ever resumed inside its batch"
    assert sum(each.resumed_pushes for each in lives) > 0, "no push was ever resumed inside its batch"
    assert sum(each.fences for each in lives) > 0, "no restored or cloned replica was ever fenced"
    assert sum(each.continued for each in lives) > 0, "no edge ever saw the log go on from what it had seen"
    assert sum(each.refusals for each in lives) > 0, "no write was ever refused by the schema"
    assert sum(each.quarantines for each in lives) > 0, "no document was ever quarantined at rest"


def test_the_same_seeds_give_the_same_lives_in_any_process_and_under_any_hash_seed() -> None:
    command = (sys.executable, "-m", "tests.simulation", "--seeds", "20", "--json")

    def hashed(hash_seed: str, jobs: str) -> object:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        ran = subprocess.run(
            (*command, "--jobs", jobs), cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        return json.loads(ran.stdout)["trace_hash"]

    assert hashed("1", "1") == hashed("2", "2")


def test_the_same_seed_gives_the_same_life() -> None:
    assert Fleet(11).run().timeline == Fleet(11).run().timeline


def _found(**fleet_arguments: bool) -> bool:
    for seed in range(SEEDS_TO_FIND_A_BUG):
        try:
            Fleet(seed, **fleet_arguments).run()
        except (Violation, AssertionError):
            return True
    return False


@pytest.mark.timeout(600)
def test_an_acknowledgement_before_its_fsync_is_found() -> None:
    assert _found(lazy_disk=True)


@pytest.mark.timeout(600)
def test_a_hub_that_lets_an_invalid_head_go_live_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryHub, "_judge", lambda self, document, state, policies: None)

    assert _found()


@pytest.mark.timeout(600)
def test_an_edge_that_is_not_told_of_a_release_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def only_added(known: object, own: object, pull: Pull) -> dict[DocumentId, Quarantined]:
        assert isinstance(known, dict)
        return {**known, **pull.quarantined}

    monkeypatch.setattr(memory, "quarantined_after", only_added)

    assert _found()


@pytest.mark.timeout(600)
def test_a_hub_that_applies_a_change_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    merge = MemoryHub._merge

    def forgetful(self: MemoryHub, each: Entry, timestamp: int) -> None:
        merge(self, each, timestamp)
        self._merged.clear()

    monkeypatch.setattr(MemoryHub, "_merge", forgetful)

    assert _found()


@pytest.mark.timeout(600)
def test_a_replica_that_trusts_any_history_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge_session, "is_continued", lambda *_: True)

    assert _found()


@pytest.mark.timeout(600)
def test_a_cursor_stored_before_its_documents_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    apply = MemoryReplica.apply

    def hasty(self: MemoryReplica, pull: Pull) -> ScopeDigest:
        before = self.disk.confirmed
        digest = apply(self, pull)
        self.disk = replace(self.disk, confirmed=before)
        return digest

    monkeypatch.setattr(MemoryReplica, "apply", hasty)

    assert _found()


@pytest.mark.timeout(600)
def test_a_hub_whose_log_was_rewritten_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    crash = Fleet._crash_hub

    def rewrites(self: Fleet) -> None:
        crash(self)
        self.hub.tree = MemoryLog([b"nothing happened", *self.hub.tree.leaves[1:]])

    monkeypatch.setattr(Fleet, "_crash_hub", rewrites)

    assert _found()
