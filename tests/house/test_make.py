"""The Makefile: what it offers, and what it says to a machine that is not ready."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.checkout import CHECKOUT, clean_environment


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-C", str(CHECKOUT), "--no-print-directory", *arguments],
        capture_output=True,
        text=True,
        env=clean_environment(),
        check=False,
    )


def test_help_names_every_command_of_the_readme() -> None:
    shown = make("help").stdout

    for target in ("demo", "test", "lint", "bench", "fuzz", "clean"):
        assert f"make {target} " in shown


def test_a_machine_without_a_usable_python_is_told_what_to_install() -> None:
    done = make("setup", "PYTHON=no-such-python")

    assert done.returncode != 0
    assert "no usable Python among: no-such-python" in done.stderr
    assert "3.11 or newer" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(
    not Path(sys.prefix, ".anabranch-ready").is_file(), reason="this .venv was not set up by make"
)
def test_a_second_set_up_does_nothing_and_says_nothing() -> None:
    done = make("setup")

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
