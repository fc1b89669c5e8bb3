"""Data directories to spoil."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest
from anabranch_hub.servers.supervise import EmbeddedServers


@pytest.fixture(scope="session")
def stopped_hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory whose hub ran once and stopped; copy it, do not touch it."""
    data_dir = tmp_path_factory.mktemp("stopped")

    async def run_once() -> None:
        async with EmbeddedServers(data_dir):
            pass

    asyncio.run(run_once())
    return data_dir


@pytest.fixture
def data_dir(stopped_hub: Path, tmp_path: Path) -> Path:
    """A data directory of the test's own, which saves it the first start."""
    copy = tmp_path / "hub"
    shutil.copytree(stopped_hub, copy)
    return copy
