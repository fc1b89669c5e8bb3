"""`anabranch-hub simulate`: an incident lived again."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest
from anabranch_hub.simulation.memory import MemoryHub

from tests.hub.cli.conftest import run_far
from tests.running_hub import PATIENCE_S, hub_command, surroundings

FLEET = 'lasts = "1h"\n[link]\ndrop = 0.05\n[[edge]]\nname = "a"\n[[edge]]\nname = "b"\n'


@pytest.fixture
def fleet(tmp_path: Path) -> str:
    file = tmp_path / "fleet.toml"
    file.write_text(FLEET)
    return str(file)


def test_one_seed_shows_its_timeline_and_gives_the_same_life_again(fleet: str) -> None:
    first, again = (run_far("simulate", "--topology", fleet, "--seed", "7") for _ in range(2))

    assert first == again
    assert first.code == 0
    assert "everything heals" in first.err
    assert first.out.endswith("all replicas equal, nothing lost, nothing stuck\n")


def test_many_seeds_are_counted(fleet: str) -> None:
    ran = run_far("simulate", "--topology", fleet, "--seeds", "3", "--json")

    counted = json.loads(ran.out)
    assert (ran.code, counted["seeds"], counted["divergences"]) == (0, 3, 0)


def test_a_broken_promise_ends_with_8(fleet: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(MemoryHub, "merged", frozenset())
    monkeypatch.setattr(MemoryHub, "_merge", lambda *_: None)

    ran = run_far("simulate", "--topology", fleet, "--seeds", "1")

    assert ran.code == 8
    assert "broken: " in ran.out


def test_a_file_that_is_no_fleet_is_refused_in_a_line(tmp_path: Path) -> None:
    file = tmp_path / "fleet.toml"
    file.write_text("[[edge]]\n")

    ran = run_far("simulate", "--topology", str(file))

    assert ran.code == 2
    assert ran.err.startswith(f"anabranch-hub: {file}: edge 1.name: ")
    assert len(ran.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("fleet.toml", '[edge]\nname = "a"\n', "edge: edges are tables: [[edge]]"),
        ("fleet.json", '{"edge": [{"name": "a"}], "edge": [{"name": "b"}]}', "is not JSON: "),
    ],
)
def test_what_is_easily_miswritten_is_told(tmp_path: Path, name: str, text: str, said: str) -> None:
    file = tmp_path / name
    file.write_text(text)

    ran = run_far("simulate", "--topology", str(file))

    assert ran.code == 2
    assert said in ran.err


def test_a_person_may_break_off_many_lives_at_any_moment(fleet: str) -> None:
    command = hub_command("simulate", "--topology", fleet, "--seeds", "100000")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings()
    ) as process:
        assert process.stderr is not None
        assert "seeds, 0 broke a promise" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        try:
            code = process.wait(PATIENCE_S)
        finally:
            process.kill()
    assert code == 130


def test_a_file_without_end_is_refused_before_it_is_read() -> None:
    ran = run_far("simulate", "--topology", "/dev/zero")

    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "is longer than 1048576 bytes" in ran.err
