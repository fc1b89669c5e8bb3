"""A server gets the port it had, or another one; never somebody else's."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from anabranch_hub.errors import PortInUse, ServerFailed
from anabranch_hub.servers.ports import LOOPBACK, launch_on_port


@pytest.fixture
def taken() -> Iterator[int]:
    """A port something else listens on."""
    with socket.create_server((LOOPBACK, 0)) as listener:
        port: int = listener.getsockname()[1]
        yield port


async def starts(port: int) -> None:
    """A server with which nothing is wrong."""


def test_a_free_port_is_taken_again(tmp_path: Path) -> None:
    first = asyncio.run(launch_on_port(tmp_path / "port", starts, pinned=None))
    again = asyncio.run(launch_on_port(tmp_path / "port", starts, pinned=None))
    assert again == first


def test_a_port_that_was_taken_meanwhile_is_replaced_and_the_new_one_remembered(
    tmp_path: Path, taken: int
) -> None:
    (tmp_path / "port").write_text(str(taken))
    port = asyncio.run(launch_on_port(tmp_path / "port", starts, pinned=None))
    assert port != taken
    assert (tmp_path / "port").read_text() == str(port)


def test_a_port_that_clients_hold_is_not_replaced(tmp_path: Path, taken: int) -> None:
    with pytest.raises(PortInUse, match=f"port {taken} on {LOOPBACK} is in use"):
        asyncio.run(launch_on_port(tmp_path / "port", starts, pinned=taken))


def test_losing_the_race_for_a_port_is_answered_with_another_one(tmp_path: Path) -> None:
    tried: list[int] = []
    with socket.socket() as rival:

        async def loses_once(port: int) -> None:
            tried.append(port)
            if len(tried) == 1:
                rival.bind((LOOPBACK, port))
                rival.listen()
                raise ServerFailed("postgres", "could not bind", tmp_path / "log")

        port = asyncio.run(launch_on_port(tmp_path / "port", loses_once, pinned=None))
    assert tried[0] != port == tried[1]


def test_a_server_that_fails_on_a_free_port_is_not_tried_again(tmp_path: Path) -> None:
    tried: list[int] = []

    async def fails(port: int) -> None:
        tried.append(port)
        raise ServerFailed("postgres", "out of memory", tmp_path / "log")

    with pytest.raises(ServerFailed, match="out of memory"):
        asyncio.run(launch_on_port(tmp_path / "port", fails, pinned=None))
    assert len(tried) == 1


@pytest.mark.parametrize("memory", ["", "nonsense", "0", "70000", "-1"])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, memory: str) -> None:
    (tmp_path / "port").write_text(memory)
    port = asyncio.run(launch_on_port(tmp_path / "port", starts, pinned=None))
    assert 0 < port < 65536
