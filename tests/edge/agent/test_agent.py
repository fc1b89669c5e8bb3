"""The agent where things go wrong; that it exchanges is tested with a real hub."""

import asyncio
import logging
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from anabranch.agent import Progress, Waiting, run_agent
from anabranch.errors import (
    HubDenied,
    HubLogRefused,
    HubUnreachable,
    HubUnverified,
    IdentityUnusable,
    ReplicaInUse,
    ReplicaMissing,
)
from anabranch.exchange import Exchange
from anabranch.identity import Identity, identity_folder, write_identity
from anabranch.replica import Link, Replica
from anabranch.supervision import Supervisor
from anabranch_protos.sync.v1.sync_pb2 import ExchangeFrame
from anabranch_sync.backoff import CAP_MS
from anabranch_sync.change import CHAIN_START
from anabranch_sync.messages import Control, Message, SlowDown, Welcome
from anabranch_sync.stream import Stream
from anabranch_sync.witness import Witnessed, mark_of, presented

from tests.edge.link.scripted_hub import Root, refusing, scripted_hub
from tests.sync.logs import log_with

NOBODY = Supervisor()


def replica_of(folder: Path, identity: Identity | None) -> Path:
    """An enrolled edge that has not exchanged yet."""
    path = folder / "replica.db"
    Replica.create(
        path, tenant="acme", edge="one", prefixes=("acme/prod",), incarnation=1, author="ada"
    ).close()
    if identity is not None:
        identity_folder(path).mkdir(mode=0o700)
        write_identity(identity_folder(path), identity)
    return path


def nobody_there() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def stopped_at(
    path: Path, is_enough: Callable[[Progress], bool], *, supervisor: Supervisor = NOBODY
) -> list[Progress]:
    """Run an agent until it says this, and end it."""
    steps: list[Progress] = []
    enough = asyncio.Event()

    def hear(step: Progress) -> None:
        steps.append(step)
        if is_enough(step):
            enough.set()

    agent = asyncio.create_task(run_agent(path, progress=hear, supervisor=supervisor))
    async with asyncio.timeout(30):
        await enough.wait()
    agent.cancel()
    await asyncio.gather(agent, return_exceptions=True)
    return steps


def saying(message: Message) -> Callable[[Any], Any]:
    """An exchange in which the hub says this to whatever comes first."""

    async def exchange(context: Any) -> None:
        await context.read()
        await context.write(ExchangeFrame(frame=Stream().frame(message)))
        await context.read()

    return exchange


def test_without_a_replica_or_an_identity_it_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ReplicaMissing, match="anabranch init"):
        asyncio.run(run_agent(tmp_path / "nothing.db"))
    with pytest.raises(IdentityUnusable, match="anabranch init"):
        asyncio.run(run_agent(replica_of(tmp_path, None)))


def test_one_agent_is_enough(tmp_path: Path) -> None:
    path = replica_of(tmp_path, Root().identity(nobody_there()))
    with Replica.open(path) as other, other.lock_agent(), pytest.raises(ReplicaInUse):
        asyncio.run(run_agent(path))


def test_an_attempt_that_reaches_nobody_is_no_exchange_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    path = replica_of(tmp_path, Root().identity(nobody_there()))
    logger = logging.getLogger("anabranch.agent")
    logger.addHandler(caplog.handler)

    # when
    try:
        with caplog.at_level(logging.INFO, "anabranch.agent"):
            steps = asyncio.run(stopped_at(path, lambda step: isinstance(step, Waiting)))
    finally:
        logger.removeHandler(caplog.handler)

    # then why is told once, with the wait
    assert [each.reason for each in steps if isinstance(each, Waiting)] == ["Connection refused"]
    assert "exchange finished" not in caplog.messages
    assert "condition" in caplog.messages


def test_where_nobody_listens_one_exchange_gives_up_and_says_so(tmp_path: Path) -> None:
    # given
    path = replica_of(tmp_path, Root().identity(nobody_there()))
    # when
    with pytest.raises(HubUnreachable) as told:
        asyncio.run(run_agent(path, once=True))
    # then
    assert told.value.exit_code == 7
    with Replica.open(path) as replica:
        assert replica.link().link is Link.DOWN


def test_a_clock_that_cannot_be_right_is_to_be_set_and_nobody_to_be_enrolled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: ten years on, and no hub in reach
    path = replica_of(tmp_path, Root().identity(nobody_there()))
    later_ns = time.time_ns() + 3_650 * 86_400 * 1_000_000_000
    monkeypatch.setattr(time, "time_ns", lambda: later_ns)
    # when, then
    with pytest.raises(HubUnreachable, match="years after this edge's certificate ended: set the clock"):
        asyncio.run(run_agent(path, once=True))


def test_where_nobody_answers_one_exchange_gives_up_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given: connections are taken and nothing is ever said
    monkeypatch.setattr("anabranch.patience.CONNECT_S_MAX", 1.0)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        path = replica_of(tmp_path, Root().identity(f"127.0.0.1:{silent.getsockname()[1]}"))
        # when, then
        with pytest.raises(HubUnreachable, match="no connection within 1 s"):
            asyncio.run(run_agent(path, once=True))


def test_an_agent_tries_again_for_ever_with_growing_waits(tmp_path: Path) -> None:
    # given
    path = replica_of(tmp_path, Root().identity(nobody_there()))
    waits: list[Waiting] = []

    def is_enough(step: Progress) -> bool:
        assert isinstance(step, Waiting)
        waits.append(step)
        return len(waits) >= 4

    # when
    asyncio.run(stopped_at(path, is_enough))
    # then
    assert all(wait.delay_ms <= CAP_MS for wait in waits)
    assert all(wait.delay_ms <= 500 * 2**attempt for attempt, wait in enumerate(waits))


def test_a_busy_hub_is_left_alone_as_long_as_it_asks_for(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scripted_hub(exchange=saying(SlowDown(60_000))) as hub:
            path = replica_of(tmp_path, hub.root.identity(hub.address))
            # when: on a busy machine a link may seem to break before what the hub said is read
            steps = await stopped_at(path, lambda step: isinstance(step, Waiting) and step.delay_ms >= 60_000)
        # then
        assert isinstance(steps[-1], Waiting)
        assert steps[-1].delay_ms <= 120_000

    asyncio.run(scenario())


@pytest.mark.parametrize("way", ["frame", "status"])
def test_a_denied_edge_is_told_at_once_and_asks_again_rarely(tmp_path: Path, way: str) -> None:
    async def deny(context: Any) -> None:
        await refusing("PERMISSION_DENIED", "edge one is revoked", context)

    async def scenario() -> None:
        exchange = saying(Control("revoked", "edge one is revoked")) if way == "frame" else deny
        async with scripted_hub(exchange=exchange) as hub:
            path = replica_of(tmp_path, hub.root.identity(hub.address))
            # when, then
            with pytest.raises(HubDenied, match="edge one is revoked") as told:
                await run_agent(path, once=True)
            assert told.value.exit_code == 4
            # when, then: on a busy machine a link may seem to break before what the hub said is read
            await stopped_at(path, lambda step: isinstance(step, Waiting) and step.delay_ms >= 5 * 60_000)

    asyncio.run(scenario())


def test_a_hub_whose_log_was_rewritten_is_refused_told_and_remembered(tmp_path: Path) -> None:
    # given: an edge that has seen a log of 9 leaves, and a hub that shows another one
    seen, other = log_with(9), log_with(12, what="again")
    shown = presented(mark_of(seen.signed(9).tree), other.signed(12), other.key.verifier, other.store)
    welcome = Welcome(
        *(1, 1, 40, 1, 0, CHAIN_START, 0),
        checkpoint=shown.checkpoint.packed,
        consistency=b"".join(shown.consistency),
    )
    heard: list[Message | None] = []

    async def exchange(context: Any) -> None:
        stream = Stream()
        stream.message((await context.read()).frame)
        await context.write(ExchangeFrame(frame=Stream().frame(welcome)))
        heard.append(stream.message((await context.read()).frame))

    async def scenario() -> None:
        async with scripted_hub(exchange=exchange) as hub:
            path = replica_of(tmp_path, hub.root.identity(hub.address))
            with Replica.open(path) as replica:
                replica.witness(Witnessed(seen.key.verifier, seen.signed(9)), 30, 1, epoch=1)
            # when, then
            with pytest.raises(HubLogRefused, match="nothing was exchanged") as told:
                await run_agent(path, once=True)
            assert told.value.exit_code == 8
            # when, then
            await stopped_at(path, lambda step: isinstance(step, Waiting) and step.delay_ms >= 5 * 60_000)
        with Replica.open(path) as replica:
            (refusal,) = replica.log_state().refusals
            assert replica.link().link is Link.DISTRUSTED
        assert (refusal.checkpoint, refusal.times) == (welcome.checkpoint, 2)
        assert heard[0] == Control("distrust", refusal.reason)

    asyncio.run(scenario())


def test_an_impostor_ends_one_exchange_at_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with scripted_hub(exchange=saying(SlowDown(1))) as impostor:
            path = replica_of(tmp_path, Root().identity(impostor.address))
            with pytest.raises(HubUnverified):
                await run_agent(path, once=True)

    asyncio.run(scenario())


def test_bytes_that_are_no_frame_end_an_exchange_and_not_the_agent(tmp_path: Path) -> None:
    async def babble(context: Any) -> None:
        await context.read()
        await context.write(ExchangeFrame(frame=b"\xff" * 100))
        await context.read()

    async def scenario() -> None:
        async with scripted_hub(exchange=babble) as hub:
            path = replica_of(tmp_path, hub.root.identity(hub.address))
            await stopped_at(path, lambda step: isinstance(step, Waiting) and "corrupt frame" in step.reason)

    asyncio.run(scenario())


def test_a_defect_is_logged_and_does_not_end_the_agent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # given
    path = replica_of(tmp_path, Root().identity(nobody_there()))

    async def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Exchange, "run", broken)
    waits: list[Progress] = []

    def is_enough(step: Progress) -> bool:
        waits.append(step)
        return len(waits) >= 2

    # when
    with caplog.at_level(logging.ERROR):
        asyncio.run(stopped_at(path, is_enough))
    # then
    assert [record.message for record in caplog.records] == ["exchange failed"] * 2
    with pytest.raises(ZeroDivisionError):
        asyncio.run(run_agent(path, once=True))


AGENT = """
import asyncio, sys
from anabranch.agent import run_agent
outcome = asyncio.run(run_agent(sys.argv[1], progress=lambda step: print(type(step).__name__, flush=True)))
print(outcome.reason, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_good_order(tmp_path: Path, number: signal.Signals) -> None:
    # given
    path = replica_of(tmp_path, Root().identity(nobody_there()))
    command = [sys.executable, "-c", AGENT, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == "Waiting\n"
        # when
        agent.send_signal(number)
        # then
        assert agent.stdout.read().splitlines()[-1] == "stopped"
        assert agent.wait() == 0
    assert not path.with_name("replica.db-wal").exists()
