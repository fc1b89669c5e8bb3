"""However replicas write, push and pull: they end equal, and the ledger says all and nothing else."""

import random
from unittest.mock import patch

import pytest
from anabranch_sync import leaf_ancestry, merge
from anabranch_sync.leaf_ancestry import EDITS_MAX

from tests.sync.fleet import Fleet
from tests.sync.steps import Step, drawn, shortest

SEEDS = 1_200
_SEEDS_A_TEST = 100


def _failure(steps: list[Step], replicas: int, *, over_the_wire: bool) -> AssertionError | None:
    try:
        Fleet(replicas, over_the_wire=over_the_wire).run(steps)
    except AssertionError as error:
        return error
    return None


def run_seed(seed: int) -> int:
    """Run one seed; return how many conflicts it decided. A failure shows its shortest story.

    In half of them the hub folds a leaf with more than a few edits, so that many come late.
    """
    few = random.Random(seed).choice([EDITS_MAX, 1, 2, 4])
    with patch.object(leaf_ancestry, "EDITS_MAX", few), patch.object(merge, "PARTS_MAX", few):
        return _run_seed(seed)


def _run_seed(seed: int) -> int:
    rng = random.Random(seed)
    replicas = rng.randint(2, 6)
    steps = drawn(rng, replicas=replicas, length=rng.randint(8, 60))
    over_the_wire = seed % 4 == 0
    fleet = Fleet(replicas, over_the_wire=over_the_wire)
    try:
        fleet.run(steps)
    except AssertionError:
        steps = shortest(
            steps, lambda fewer: _failure(fewer, replicas, over_the_wire=over_the_wire) is not None
        )
        story = "\n".join(f"  {step}" for step in steps)
        failure = _failure(steps, replicas, over_the_wire=over_the_wire)
        pytest.fail(f"seed {seed}: {failure}\n{story}", pytrace=False)
    return fleet.conflicts


@pytest.mark.parametrize("first", range(0, SEEDS, _SEEDS_A_TEST))
def test_replicas_end_equal_and_the_ledger_tells_true_causality(first: int) -> None:
    # given fleets of 2 to 6 replicas and a hub, of all tastes
    seeds = range(first, first + _SEEDS_A_TEST)

    # when each writes, pushes and pulls in its own order (the checks are made at each step)
    conflicts = sum(run_seed(seed) for seed in seeds)

    # then there was something to decide
    assert conflicts > _SEEDS_A_TEST
