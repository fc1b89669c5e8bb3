"""The wheel, installed without [hub] into an empty environment: the edge works there by itself."""

import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.house.checkout import CHECKOUT, LOCKS, clean_environment, pins

# Building, an environment and two installations: half a minute here, several on a small device.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

PACKAGES = ["anabranch", "anabranch_cli", "anabranch_hub", "anabranch_sync", "anabranch_protos"]
NO_NETWORK = ("Failed to establish a new connection", "name resolution", "Network is unreachable")


@dataclass(frozen=True, slots=True)
class EdgeEnvironment:
    """An environment with the wheel and the locked dependencies of the edge, and nothing else."""

    bin: Path
    distributions: frozenset[str]


def run(*command: str | Path, cwd: Path, timeout_s: int = 600) -> subprocess.CompletedProcess[str]:
    """Run a child that cannot see the checkout's modules; its streams are joined in stdout."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    # No isolation: the build backend is locked too, and nothing is fetched behind the lock's back.
    built = run(
        sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, CHECKOUT, cwd=folder
    )
    assert built.returncode == 0, built.stdout
    (found,) = folder.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def edge(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EdgeEnvironment]:
    folder = tmp_path_factory.mktemp("edge")
    venv.create(folder / "venv", with_pip=True)
    bin_folder = folder / "venv" / "bin"
    pip_install(bin_folder, "--require-hashes", "-r", str(LOCKS / "edge.txt"))
    pip_install(bin_folder, "--no-deps", "--no-index", str(wheel))
    listed = run(bin_folder / "python", "-m", "pip", "list", "--format=freeze", cwd=folder).stdout
    names = frozenset(line.partition("==")[0].lower().replace("_", "-") for line in listed.splitlines())
    yield EdgeEnvironment(bin_folder, names)
    shutil.rmtree(folder)  # 150 MB that pytest would keep for three sessions


def pip_install(bin_folder: Path, *arguments: str) -> None:
    installed = run(
        bin_folder / "python",
        "-m",
        "pip",
        "--disable-pip-version-check",
        "install",
        *arguments,
        cwd=bin_folder,
    )
    if installed.returncode != 0 and any(sign in installed.stdout for sign in NO_NETWORK):
        pytest.skip("the package index does not answer: the wheel was not tried in an empty environment")
    assert installed.returncode == 0, installed.stdout


def test_the_wheel_holds_the_five_packages_typed_and_licensed_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.partition("/")[0] for name in names}

    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)
    for package in PACKAGES:
        assert f"{package}/py.typed" in names
    assert any(name.endswith("/licenses/LICENSE") for name in names)


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    rooms = [CHECKOUT / room for room in ("edge", "hub", "cli", "sync", "protos")]

    missing = [
        path.relative_to(CHECKOUT)
        for room in rooms
        for path in room.rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.relative_to(room).parts[0] in PACKAGES
        and str(path.relative_to(room)) not in names
    ]

    assert not missing


def test_the_edge_brings_no_dependency_of_the_hub(edge: EdgeEnvironment) -> None:
    only_hub = set(pins("hub.txt")) - set(pins("edge.txt"))

    assert "anabranch" in edge.distributions
    assert only_hub
    assert only_hub.isdisjoint(edge.distributions)


def test_the_edge_command_runs_without_the_hub(edge: EdgeEnvironment, tmp_path: Path) -> None:
    if not any((CHECKOUT / "edge" / "anabranch" / name).exists() for name in ("cli", "cli.py")):
        pytest.skip("the edge has no command line yet")
    shown = run(edge.bin / "anabranch", "--help", cwd=tmp_path)

    assert shown.returncode == 0, shown.stdout
    assert "Usage: anabranch" in shown.stdout


def test_the_tests_of_the_edge_and_the_core_pass_without_the_hub(
    edge: EdgeEnvironment, tmp_path: Path
) -> None:
    # given: the tests alone, far from the checkout, and the locked test tools beside the edge
    shutil.copytree(
        CHECKOUT / "tests", tmp_path / "tests", ignore=shutil.ignore_patterns("__pycache__", "house", "hub")
    )
    shutil.copytree(CHECKOUT / "docs", tmp_path / "docs")  # whose examples are run
    shutil.copy(CHECKOUT / "pyproject.toml", tmp_path)
    pip_install(edge.bin, "--require-hashes", "-r", str(LOCKS / "test.txt"))

    # when
    command = ("python", "-m", "pytest", "-q", "-m", "not slow", "--hypothesis-profile=few")
    folders = [f"tests/{suite}" for suite in ("cli", "edge", "sync")]
    done = run(edge.bin / command[0], *command[1:], *folders, cwd=tmp_path, timeout_s=1500)

    # then
    assert done.returncode == 0, done.stdout[-8_000:]
