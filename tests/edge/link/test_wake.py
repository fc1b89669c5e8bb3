"""Hearing of writes to a file."""

import asyncio
import sys
from pathlib import Path

import pytest
from anabranch.wake import woken_by_writes


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells, others do not")
def test_a_commit_that_is_noted_beside_the_replica_is_heard_of(tmp_path: Path) -> None:
    async def scenario() -> None:
        # given
        heard = asyncio.Event()
        noted = tmp_path / "replica.db.lock"
        noted.write_bytes(b"")
        with woken_by_writes(tmp_path / "replica.db", heard.set) as is_told:
            assert is_told
            # when
            noted.write_bytes(b"a commit")
            # then
            async with asyncio.timeout(10):
                await heard.wait()

    asyncio.run(scenario())


def test_without_notes_there_is_only_looking(tmp_path: Path) -> None:
    async def scenario() -> None:
        with woken_by_writes(tmp_path / "replica.db", lambda: None) as is_told:
            assert not is_told

    asyncio.run(scenario())
