"""The promises, over whole lives of fleets drawn from seeds."""

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from anabranch_hub.simulation.fleet import Fleet
from anabranch_hub.simulation.running import live, live_all
from anabranch_hub.simulation.shrinking import Case, parse_case, shrunk
from anabranch_hub.simulation.world import Reached

from tests.simulation.planted import hunt, hunt_all, planted
from tests.simulation.real_disks import live_really

SEEDS = 5_000
ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_life_converges_and_loses_nothing() -> None:
    lives = list(live_all(range(SEEDS), 2))

    assert "\n".join(each.reason for each in lives if each.broken) == ""
    # The lives must have been hard enough to mean something.
    never = [each.name for each in fields(Reached) if not any(getattr(r.reached, each.name) for r in lives)]
    assert never == [], "no life ever came to these"


def test_the_same_seeds_give_the_same_lives_in_any_process_and_under_any_hash_seed() -> None:
    command = (sys.executable, "-m", "tests.simulation", "--seeds", "20", "--json", "--no-planted")

    def hashed(hash_seed: str, jobs: str) -> object:
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        ran = subprocess.run(
            (*command, "--jobs", jobs), cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        return json.loads(ran.stdout)["trace_hash"]

    assert hashed("1", "1") == hashed("2", "2")


def test_the_same_seed_gives_the_same_life() -> None:
    assert Fleet(11).run().timeline == Fleet(11).run().timeline


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_planted_bug_is_found() -> None:
    assert [each.bug for each in hunt_all(2) if each.seed is None] == []


def test_a_change_of_the_life_of_a_seed_is_named_as_it_is_shown() -> None:
    life = Fleet(11).life

    calm = life.changed({"edges": 2, "faults.drop": 0.0, "harm.full": 0.0})

    assert (calm.edges, calm.faults.drop, calm.harm.full) == (2, 0.0, 0.0)
    assert life.changed(life.numbers) == life
    with pytest.raises(KeyError):
        life.changed({"fauls.drop": 0.0})


KEPT = (Path(__file__).parent / "seeds.txt").read_text().splitlines()


@pytest.mark.parametrize("line", [each for each in KEPT if each and not each.startswith("#")])
def test_a_life_that_failed_once_keeps_every_promise_now(line: str) -> None:
    case = parse_case(line.partition("#")[0])

    assert live(case.seed, case.changed).reason == ""


def test_a_failing_life_shrinks_to_what_it_needs_to_fail() -> None:
    def breaks(case: Case) -> str:
        numbers = Fleet(case.seed, case.changed).life.numbers
        return "stuck" if numbers["edges"] >= 2 and numbers["writes"] >= 3 else ""

    case = shrunk(11, breaks)

    numbers = Fleet(case.seed, case.changed).life.numbers
    assert (numbers["edges"], numbers["writes"]) == (2, 3)
    assert {name for name, number in numbers.items() if number} == {
        *("edges", "writes", "busy_ms", "faults.delay_ms_max")
    }
    assert parse_case(str(case)) == case


def test_a_failing_life_that_was_shrunk_still_fails() -> None:
    with planted("acknowledge before fsync"):
        seed = hunt("acknowledge before fsync").seed
        assert seed is not None
        case = shrunk(seed)

        assert live(case.seed, case.changed).broken
        assert Fleet(case.seed, case.changed).life.edges < Fleet(seed).life.edges


@pytest.mark.slow
def test_lives_on_real_replicas_keep_every_promise_and_stand_as_their_models() -> None:
    assert "\n".join(reason for seed in range(10) if (reason := live_really(seed))) == ""
