"""The link between real sockets: what passes is whole and counted, what breaks breaks as announced."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from anabranch_hub.demo.link import Carried, CutAround, CutEvery, Cuts, FlakyLink

PAYLOAD = bytes(range(256)) * 4_096  # 1 MiB


@asynccontextmanager
async def echo_server() -> AsyncIterator[int]:
    """Answer every byte with itself; yield the port."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while chunk := await reader.read(65_536):
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def exchanged(link: FlakyLink, payload: bytes) -> bytes:
    """Send `payload` through, say that it is the end, return the answer. Raises OSError if cut."""
    reader, writer = await asyncio.open_connection(link.host, link.port)

    async def send() -> None:
        writer.write(payload)
        await writer.drain()
        writer.write_eof()

    try:
        sending = asyncio.create_task(send())
        received = bytearray()
        try:
            while chunk := await reader.read(65_536):
                received += chunk
        finally:
            await asyncio.gather(sending, return_exceptions=True)
        return bytes(received)
    finally:
        writer.transport.abort()


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0.001)


def run(scene: Callable[[int], Awaitable[None]]) -> None:
    async def with_server() -> None:
        async with echo_server() as port:
            await scene(port)

    asyncio.run(with_server())


def test_what_passes_is_whole_and_counted_in_each_direction() -> None:
    async def scene(port: int) -> None:
        async with FlakyLink("127.0.0.1", port) as link:
            answer = await exchanged(link, PAYLOAD)
            assert answer == PAYLOAD
            assert link.carried == Carried(
                bytes_up=len(PAYLOAD), bytes_down=len(PAYLOAD), connections=1, cuts=0
            )

    run(scene)


def test_up_and_down_are_told_apart() -> None:
    async def scene() -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.write(b"12345")
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        async with FlakyLink("127.0.0.1", server.sockets[0].getsockname()[1]) as link:
            assert await exchanged(link, b"123") == b"12345"
            assert (link.carried.bytes_up, link.carried.bytes_down) == (3, 5)
        server.close()

    asyncio.run(scene())


def test_delay_and_rate_lose_and_reorder_nothing() -> None:
    async def scene(port: int) -> None:
        async with FlakyLink("127.0.0.1", port, delay_s=0.01, bytes_per_s=4_000_000) as link:
            assert await exchanged(link, PAYLOAD[:200_000]) == PAYLOAD[:200_000]

    run(scene)


@pytest.mark.parametrize("limit", [1, 1_000, 65_536])
def test_a_connection_is_cut_after_exactly_so_many_bytes(limit: int) -> None:
    async def scene(port: int) -> None:
        async with FlakyLink("127.0.0.1", port, cuts=CutEvery(limit)) as link:
            with pytest.raises(ConnectionResetError):
                await exchanged(link, PAYLOAD)
            await until(lambda: link.carried.cuts == 1)
            assert 0 < link.carried.bytes_up + link.carried.bytes_down <= limit
            assert link.carried.bytes_up > 0

    run(scene)


def test_a_one_way_stream_gets_exactly_the_limit_through() -> None:
    async def scene() -> None:
        received = bytearray()
        ended = asyncio.Event()

        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                while chunk := await reader.read(65_536):
                    received.extend(chunk)
            except ConnectionResetError:
                pass
            ended.set()
            writer.close()

        server = await asyncio.start_server(swallow, "127.0.0.1", 0)
        async with FlakyLink("127.0.0.1", server.sockets[0].getsockname()[1], cuts=CutEvery(50_001)) as link:
            with pytest.raises(ConnectionResetError):
                await exchanged(link, PAYLOAD)
            await ended.wait()
            assert link.carried.bytes_up == 50_001
            assert PAYLOAD.startswith(bytes(received))
        server.close()

    asyncio.run(scene())


def test_each_new_connection_has_a_limit_of_its_own() -> None:
    async def scene(port: int) -> None:
        async with FlakyLink("127.0.0.1", port, cuts=CutEvery(10_000)) as link:
            for _ in range(5):
                with pytest.raises(ConnectionResetError):
                    await exchanged(link, PAYLOAD)
            assert await exchanged(link, b"small enough") == b"small enough"
            assert link.carried.connections == 6
            assert link.carried.cuts == 5

    run(scene)


def drawn(cuts: Cuts, times: int) -> list[int]:
    async def scene() -> list[int]:
        link = FlakyLink("127.0.0.1", 1, cuts=cuts)
        limits = [link._drawn_limit() for _ in range(times)]
        await link.aclose()
        return limits

    return asyncio.run(scene())


def test_the_same_seed_draws_the_same_cuts_around_the_mean() -> None:
    first, again = drawn(CutAround(50_000, seed=7), 4_000), drawn(CutAround(50_000, seed=7), 4_000)
    other = drawn(CutAround(50_000, seed=8), 4_000)

    assert first == again
    assert first != other
    assert 45_000 < sum(first) / len(first) < 55_000
    assert min(first) >= 1


def test_a_random_cut_resets_the_connection_and_the_next_ones_get_through_in_the_end() -> None:
    async def scene(port: int) -> None:
        async with FlakyLink("127.0.0.1", port, cuts=CutAround(100_000, seed=1)) as link:
            answers = 0
            while answers < 3:
                try:
                    answers += await exchanged(link, PAYLOAD[:50_000]) == PAYLOAD[:50_000]
                except ConnectionResetError:
                    continue
            assert link.carried.cuts > 0
            assert link.carried.connections == link.carried.cuts + 3

    run(scene)


def test_a_refusing_link_cuts_what_lives_and_refuses_what_comes_until_it_is_opened() -> None:
    async def scene(port: int) -> None:
        async with FlakyLink("127.0.0.1", port) as link:
            reader, writer = await asyncio.open_connection(link.host, link.port)
            writer.write(b"hello")
            assert await reader.readexactly(5) == b"hello"

            link.refuse()
            link.refuse()

            with pytest.raises(ConnectionResetError):
                await reader.readexactly(1)
            writer.transport.abort()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(link.host, link.port)
            assert link.carried.cuts == 1

            await link.open()
            await link.open()
            assert await exchanged(link, b"back") == b"back"

    run(scene)


def test_a_silent_link_answers_nobody_and_delivers_late_once_opened() -> None:
    async def scene(port: int) -> None:
        async with FlakyLink("127.0.0.1", port) as link:
            link.silence()
            answer = asyncio.create_task(exchanged(link, b"patience"))
            await until(lambda: link.carried.connections == 1)
            done, _ = await asyncio.wait([answer], timeout=0.05)
            assert not done
            assert link.carried == Carried(connections=1)

            await link.open()

            assert await answer == b"patience"

    run(scene)


def test_cut_resets_every_live_connection_and_says_how_many() -> None:
    async def scene(port: int) -> None:
        async with FlakyLink("127.0.0.1", port) as link:
            pairs = [await asyncio.open_connection(link.host, link.port) for _ in range(3)]
            for reader, writer in pairs:
                writer.write(b"x")
                assert await reader.readexactly(1) == b"x"

            assert link.cut() == 3
            assert link.cut() == 0

            for reader, writer in pairs:
                with pytest.raises(ConnectionResetError):
                    await reader.readexactly(1)
                writer.transport.abort()
            await until(lambda: not link._connections)
            assert link.carried.cuts == 3

    run(scene)


def test_a_target_that_does_not_listen_resets_the_client_and_is_no_cut() -> None:
    async def scene() -> None:
        with socket.socket() as closed:
            closed.bind(("127.0.0.1", 0))
            async with FlakyLink("127.0.0.1", closed.getsockname()[1]) as link:
                with pytest.raises(ConnectionResetError):
                    await exchanged(link, b"anyone?")
                assert link.carried.cuts == 0

    asyncio.run(scene())


def test_closing_the_link_ends_its_connections_and_frees_the_port() -> None:
    async def scene(port: int) -> None:
        link = FlakyLink("127.0.0.1", port)
        await link.open()
        reader, writer = await asyncio.open_connection(link.host, link.port)
        writer.write(b"x")
        assert await reader.readexactly(1) == b"x"

        await link.aclose()
        await link.aclose()

        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1)
        writer.transport.abort()
        assert not link._connections
        with socket.socket() as taken_again:
            taken_again.bind((link.host, link.port))

    run(scene)


def test_closing_the_link_amid_its_connections_is_no_error_that_anybody_is_shown() -> None:
    async def scenario() -> list[dict[str, object]]:
        told: list[dict[str, object]] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
        async with echo_server() as port, FlakyLink("127.0.0.1", port) as link:
            _, under_way = await asyncio.open_connection(link.host, link.port)
            await until(lambda: link.carried.connections == 1)
            link.silence()
            _, silenced = await asyncio.open_connection(link.host, link.port)
            # when
            await link.aclose()
            # then
            assert not link._connections
            for writer in (under_way, silenced):
                writer.transport.abort()
            await asyncio.sleep(0)
        return told

    assert asyncio.run(scenario()) == []


def test_a_client_that_vanishes_is_told_to_the_target() -> None:
    async def scene() -> None:
        gone = asyncio.Event()

        async def wait_for_reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                await reader.read()
            except ConnectionResetError:
                gone.set()
            writer.close()

        server = await asyncio.start_server(wait_for_reset, "127.0.0.1", 0)
        async with FlakyLink("127.0.0.1", server.sockets[0].getsockname()[1]) as link:
            with socket.create_connection((link.host, link.port)) as client:
                await until(lambda: link.carried.connections == 1)
                client.sendall(b"x")
                await until(lambda: link.carried.bytes_up == 1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
            await gone.wait()
            assert link.carried.cuts == 0
        server.close()

    asyncio.run(scene())
