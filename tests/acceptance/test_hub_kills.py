"""What the hub acknowledged as merged survives its death, and is applied once."""

import asyncio
import os
import signal
from pathlib import Path

import anabranch
import pytest
from anabranch.agent import run_agent
from anabranch.enrol import init

from tests.running_hub import RunningHub, running_hub

KILLS = 50
NAMESPACE = "acme/prod/router"


async def _killed_once_merged(hub: RunningHub, replica: Path) -> None:
    """Exchange, and kill -9 the hub the moment the replica has noted that its changes are merged."""
    exchange = asyncio.create_task(run_agent(replica, once=True))
    with anabranch.open(replica) as client:
        while client.status().unsent:
            if exchange.done():  # on a busy machine a person's patience ends before the hub answers
                exchange = asyncio.create_task(run_agent(replica, once=True))
            await asyncio.sleep(0.001)
    os.kill(hub.process.pid, signal.SIGKILL)
    # The hub died under the exchange, or just after it: nothing more is asked of it.
    exchange.cancel()
    await asyncio.gather(exchange, return_exceptions=True)


@pytest.mark.timeout(900)
def test_nothing_merged_is_lost_or_doubled_by_kills_of_the_hub(tmp_path: Path) -> None:
    # Given an edge of a hub
    replica = tmp_path / "edge.db"
    with running_hub(tmp_path / "hub") as hub:
        hub.ok("tenant", "create", "acme")
        init(replica, hub.listen, hub.invite("acme", "edge-1"))
        listen = hub.listen
        hub.kill()

    # When each of its writes is acknowledged as merged, and the hub and its servers die at that moment
    for number in range(KILLS):
        with running_hub(tmp_path / "hub", "--listen", listen, "--enrol-port", "0") as hub:
            with anabranch.open(replica) as client:
                client.set(NAMESPACE, f"/n{number}", number)
                client.set(NAMESPACE, "/last", number)
            asyncio.run(_killed_once_merged(hub, replica))
            with anabranch.open(replica) as client:
                assert client.status().unsent == 0, f"kill {number}: not merged"
            hub.kill()

    # Then the hub has every one of them, once
    with running_hub(tmp_path / "hub", "--listen", listen, "--enrol-port", "0") as hub:
        stored = hub.json("get", "acme", NAMESPACE)
        asyncio.run(run_agent(replica, once=True))
        digest = hub.json("digest", "acme")["digest"]
    assert stored["value"] == {"last": KILLS - 1, **{f"n{number}": number for number in range(KILLS)}}
    assert stored["hub_seq"] == stored["version"] == 2 * KILLS
    with anabranch.open(replica) as client:
        assert client.status().digest == digest
        assert client.status().outbox == 0
