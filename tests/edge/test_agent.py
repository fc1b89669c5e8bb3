"""The agent around its exchanges: how long it tries, and for whom."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from anabranch import agent, patience
from anabranch.errors import HubAway, HubUnreachable, IdentityForeign
from anabranch.exchange import Connected, Ended
from anabranch.identity import write_identity
from anabranch.meter import Meter
from anabranch.replica import Replica
from anabranch_sync.ids import START
from anabranch_sync.messages import CHUNK_BYTES_MIN

from tests.edge.identities import an_identity


@pytest.fixture
def replica(tmp_path: Path) -> Path:
    path = tmp_path / "replica.db"
    Replica.create(
        path, tenant="acme", edge="shop", prefixes=("acme",), incarnation=1, hub_epoch=1, author="ada"
    ).close()
    return path


def enrolled(replica: Path, tenant: str, edge: str) -> None:
    folder = Path(f"{replica}.identity")
    folder.mkdir(mode=0o700)
    write_identity(folder, an_identity(tenant, edge))


class BreakingExchange:
    """With a hub that takes every connection, and breaks each before it brings anything forward."""

    lacks = False
    overtaken = START

    def __init__(self, *given: Any, **_named: Any) -> None:
        self._tell, self.learned = given[5:7]
        self.meter = Meter(lambda: 0, 1)

    async def count(self) -> None:
        pass

    async def run(self, **_: Any) -> None:
        self._tell(Connected("127.0.0.1:9", 0))
        raise HubUnreachable("127.0.0.1:9", "it broke off")


def test_a_hub_that_breaks_every_connection_does_not_keep_a_person_waiting_for_ever(
    replica: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # given
    enrolled(replica, "acme", "shop")
    monkeypatch.setattr(agent, "Exchange", BreakingExchange)
    monkeypatch.setattr(patience, "STANDSTILL_S_MAX", 0.2)
    monkeypatch.setattr(agent, "_pause_ms", lambda ended, attempt: 20)

    # when, then
    with pytest.raises(HubUnreachable, match=r"it broke off|nothing came forward"):
        asyncio.run(agent.run_agent(replica, once=True))


class AwayExchange(BreakingExchange):
    """With a hub that hears a chunk and says each time that its store is away."""

    async def run(self, **_: Any) -> None:
        self.meter.sent(CHUNK_BYTES_MIN)
        self._tell(Connected("127.0.0.1:9", 0))
        raise HubAway("127.0.0.1:9", "the disk of Postgres is full")


@pytest.mark.parametrize("exchange", [AwayExchange, BreakingExchange])
def test_a_hub_that_cannot_serve_is_asked_ever_less_often(
    replica: Path, monkeypatch: pytest.MonkeyPatch, exchange: type[BreakingExchange]
) -> None:
    # given
    enrolled(replica, "acme", "shop")
    attempts: list[int] = []
    monkeypatch.setattr(agent, "Exchange", exchange)
    monkeypatch.setattr(patience, "STANDSTILL_S_MAX", 0.5)

    def pause_ms(ended: Ended, attempt: int) -> int:
        attempts.append(attempt)
        return 10

    monkeypatch.setattr(agent, "_pause_ms", pause_ms)

    # when
    with pytest.raises(HubUnreachable):
        asyncio.run(agent.run_agent(replica, once=True))

    # then
    assert attempts[:3] == [0, 1, 2]


def test_an_agent_never_goes_to_the_hub_under_another_name(replica: Path) -> None:
    enrolled(replica, "beta", "shop")
    with pytest.raises(IdentityForeign, match="is of beta/shop, the replica beside it of acme/shop"):
        asyncio.run(agent.run_agent(replica, once=True))
