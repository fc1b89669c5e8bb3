"""No bytes from outside crash, hang or bloat what decodes them."""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.coverage import CORPUS, CRASHERS, folder
from tests.fuzz.targets import Target, targets

FRAMES = 20_000
ROOT = Path(__file__).parents[2]


def test_mutated_frames_are_decoded_or_refused_within_bounds_and_nothing_else() -> None:
    # given the command that `make fuzz` runs
    command = [sys.executable, "-m", "tests.fuzz", "--frames", str(FRAMES), "--seed", "20"]

    # when it tries mutations of every encoding
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    # then every decoder has refused some, accepted some, and done nothing else
    assert ended.returncode == 0, ended.stderr[-2000:]
    outcomes = json.loads(ended.stdout[ended.stdout.index("{") :])
    assert sum(outcomes.values()) == FRAMES
    assert set(outcomes) == {f"{each.name} {end}" for each in targets() for end in ("accepted", "refused")}


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_what_coverage_guided_fuzzing_found_is_decoded_or_refused(target: Target) -> None:
    for root in (CORPUS, CRASHERS):
        for path in sorted(folder(root, target.name).glob("*")):
            with contextlib.suppress(*target.refusals):
                target.take(path.read_bytes())


def test_what_is_valid_is_accepted_by_every_decoder() -> None:
    for target in targets():
        for sample in target.samples:
            target.take(sample)
