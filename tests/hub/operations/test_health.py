"""The health port: two questions, answered whatever else is said to it."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from anabranch_hub.errors import ListenRefused, PortInUse, StoreUnavailable
from anabranch_hub.operations import health as health_module
from anabranch_hub.operations.health import CONNECTIONS_MAX, HEAD_BYTES_MAX, Check, Health, Part
from anabranch_hub.operations.listening import check_listenable
from anabranch_hub.settings import Address

ANY_PORT = Address("127.0.0.1", 0)


async def well() -> Part:
    return Part()


async def away() -> Part:
    raise StoreUnavailable("connection refused")


async def hanging() -> Part:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def broken() -> Part:
    raise RuntimeError("a defect")


@asynccontextmanager
async def serving(checks: Mapping[str, Check]) -> AsyncIterator[tuple[Health, Address]]:
    health = Health(checks)
    address = await health.start(ANY_PORT)
    try:
        yield health, address
    finally:
        await health.stop()


async def said(address: Address, request: bytes) -> bytes:
    """Everything the port answers to `request`."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        writer.write(request)
        return await reader.read()
    except ConnectionResetError:  # it closed with part of the request unread
        return b""
    finally:
        writer.close()


async def got(address: Address, path: str) -> tuple[int, Any]:
    head, _, body = (await said(address, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())).partition(
        b"\r\n\r\n"
    )
    return int(head.split()[1]), json.loads(body)


def test_a_hub_whose_parts_are_well_is_ready() -> None:
    async def scenario() -> None:
        async with serving({"postgres": well, "vault": well}) as (_, address):
            status, body = await got(address, "/health/ready")
            assert (status, body["status"]) == (200, "ready")
            assert body["parts"]["vault"] == {
                "state": "ready",
                "reason": None,
                "restarts": 0,
                "warning": None,
            }

    asyncio.run(scenario())


def test_a_hub_with_a_part_away_is_alive_but_not_ready_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "CHECK_S_MAX", 0.05)

    async def scenario() -> None:
        async with serving({"postgres": away, "vault": hanging, "grpc": broken}) as (_, address):
            assert (await got(address, "/health/live"))[0] == 200
            status, body = await got(address, "/health/ready?verbose")
            assert (status, body["status"]) == (503, "not ready")
            reasons = {name: part["reason"] for name, part in body["parts"].items()}
            assert "connection refused" in reasons["postgres"]
            assert reasons["vault"].startswith("no answer within")
            assert reasons["grpc"] == "unexpected RuntimeError"

    asyncio.run(scenario())


def test_many_probes_at_once_are_answered_from_one_look() -> None:
    looks = 0

    async def counted() -> Part:
        nonlocal looks
        looks += 1
        await asyncio.sleep(0.01)
        return Part()

    async def scenario() -> None:
        async with serving({"postgres": counted}) as (_, address):
            answers = await asyncio.gather(*(got(address, "/health/ready") for _ in range(20)))
            assert {status for status, _ in answers} == {200}

    asyncio.run(scenario())
    assert looks == 1


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"HEAD /health/live HTTP/1.1", b"200"),
        (b"GET /metrics HTTP/1.1", b"404"),
        (b"GET /health/ready/../../etc HTTP/1.1", b"404"),
        (b"POST /health/live HTTP/1.1", b"405"),
        (b"\x16\x03\x01\x02\x00", b"405"),
        (b"", b"405"),
    ],
)
def test_whatever_is_asked_is_answered_and_the_connection_closed(request_line: bytes, status: bytes) -> None:
    async def scenario() -> None:
        async with serving({}) as (_, address):
            reply = await said(address, request_line + b"\r\n\r\n")
            assert reply.split()[1] == status
            if request_line.startswith(b"HEAD"):
                assert reply.endswith(b"\r\n\r\n")

    asyncio.run(scenario())


def test_a_request_without_end_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "REQUEST_S_MAX", 0.05)

    async def scenario() -> None:
        async with serving({}) as (_, address):
            assert await said(address, b"GET /health/live HTTP/1.1\r\nX: " + b"x" * HEAD_BYTES_MAX * 2) == b""
            assert await said(address, b"GET /health/live HTTP/1.1\r\n") == b""
            assert (await got(address, "/health/live"))[0] == 200

    asyncio.run(scenario())


def test_more_connections_than_the_limit_are_closed_and_it_goes_on_after_them() -> None:
    async def scenario() -> None:
        async with serving({}) as (_, address):
            silent = [
                await asyncio.open_connection(address.host, address.port) for _ in range(CONNECTIONS_MAX)
            ]
            reader, writer = await asyncio.open_connection(address.host, address.port)
            assert await reader.read() == b""
            for _, other in [*silent, (reader, writer)]:
                other.close()
            while True:
                try:
                    assert (await got(address, "/health/live"))[0] == 200
                except (IndexError, ValueError):  # those who left are not all noticed yet
                    await asyncio.sleep(0.01)
                else:
                    return

    asyncio.run(scenario())


def test_a_taken_port_and_a_foreign_address_are_refused() -> None:
    async def scenario(address: Address) -> None:
        await Health({}).start(address)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(PortInUse, match=f"port {address.port}"):
            asyncio.run(scenario(address))
        with pytest.raises(PortInUse, match=f"port {address.port}"):
            check_listenable(address)
    foreign = Address("192.0.2.1", 80)  # for documentation only, RFC 5737
    with pytest.raises(ListenRefused, match="address of this machine"):
        asyncio.run(scenario(foreign))
    with pytest.raises(ListenRefused, match="address of this machine"):
        check_listenable(foreign)
