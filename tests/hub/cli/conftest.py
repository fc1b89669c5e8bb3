"""One hub for all tests of commands that leave it running."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running_hub import RunningHub, running_hub

_NUMBERS = itertools.count(1)


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningHub]:
    """A hub that runs as long as the session; make a tenant of your own."""
    with running_hub(tmp_path_factory.mktemp("cli") / "hub") as running:
        yield running


@pytest.fixture
def tenant(hub: RunningHub) -> str:
    """A tenant that no other test uses."""
    name = f"t{next(_NUMBERS)}"
    hub.ok("tenant", "create", name)
    return name


@pytest.fixture(scope="session")
def served_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose hub ran once and stopped, with a tenant `acme`; copy it, do not touch it."""
    data_dir = tmp_path_factory.mktemp("served-once") / "hub"
    with running_hub(data_dir) as running:
        running.ok("tenant", "create", "acme")
    return data_dir


@pytest.fixture
def data_dir(served_once: Path, tmp_path: Path) -> Path:
    """A data directory of the test's own, which saves it the first start."""
    copy = tmp_path / "hub"
    shutil.copytree(served_once, copy)
    return copy
