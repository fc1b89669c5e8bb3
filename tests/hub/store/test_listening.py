"""What one hub process decides, every other one hears."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from anabranch_hub.store import Edit, Logged, Moved, Rescoped, Restored, Revoked, Store
from anabranch_hub.store.listening import listen
from anabranch_hub.store.news import News

from tests.hub.store.replica import NOON_MS, ROUTER, enrolled, place

pytestmark = pytest.mark.anyio


async def _until(news: AsyncIterator[News], wanted: News) -> list[News]:
    heard: list[News] = []
    async with asyncio.timeout(30):
        async for each in news:
            heard.append(each)
            if each == wanted:
                return heard
    return heard


async def listening(news: AsyncIterator[News], dsn: str, wanted: News) -> asyncio.Task[list[News]]:
    """The task of one that listens by now, to whatever is done from here on, until it hears `wanted`."""
    before = _listeners(dsn)
    hearing = asyncio.create_task(_until(news, wanted))
    async with asyncio.timeout(30):
        while _listeners(dsn) <= before:
            await asyncio.sleep(0.01)
    return hearing


def _listeners(dsn: str) -> set[int]:
    """The processes of Postgres that have done what they were asked last, which was to listen."""
    with psycopg.connect(dsn) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND state = 'idle'"
        )
        return {pid for (pid,) in rows}


def _break_off(dsn: str) -> None:
    """End the connection of everybody who listens."""
    with psycopg.connect(dsn) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )


async def test_a_decision_is_heard_in_another_process(store: Store, tenant: str, postgres_dsn: str) -> None:
    other = await Store.connect(postgres_dsn)
    hearing = await listening(other.listen(), postgres_dsn, Moved(tenant, 3))
    replica = await enrolled(store, tenant, "e1")

    for number in range(2):
        replica.record([(ROUTER, place("a"), number)])
        await replica.push()
    await store.write(tenant, [Edit(ROUTER, {"a": "hub"})], author="op", message="")

    heard = [each for each in await hearing if isinstance(each, Moved) and each.tenant == tenant]
    assert heard == [Moved(tenant, 1), Moved(tenant, 2), Moved(tenant, 3)]
    await other.close()


async def test_a_lost_connection_is_made_up_for(store: Store, tenant: str, postgres_dsn: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    hearing = await listening(store.listen(), postgres_dsn, Moved(tenant, 2))
    replica.record([(ROUTER, place("a"), 1)])
    await replica.push()

    _break_off(postgres_dsn)
    replica.record([(ROUTER, place("a"), 2)])
    await replica.push()

    assert Moved(tenant, 1) in await hearing


async def test_a_postgres_that_refuses_for_a_while_is_listened_to_again(
    store: Store, tenant: str, postgres_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    # given: a role that may not read what was missed, as a standby refuses LISTEN before it takes over
    name = f"role_{tenant}"
    with psycopg.connect(postgres_dsn, autocommit=True) as operator:
        operator.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'".encode())
        dsn = f"postgresql://{name}:x@{postgres_dsn.rpartition('@')[2]}"
        hearing = await listening(listen(dsn), postgres_dsn, Moved(tenant, 0))
        operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))
        await asyncio.sleep(1.0)
        assert not hearing.done()
        # when
        operator.execute(f"ALTER ROLE {name} SUPERUSER".encode())
    # then
    await asyncio.wait_for(hearing, 30)
    # and what it waited for is not told at each attempt
    reasons = [each.__dict__["reason"] for each in caplog.records if each.message == "not listening"]
    assert any("permission denied" in each for each in reasons)
    assert len(reasons) == len(set(reasons))


async def test_what_is_logged_without_a_decision_is_heard_too(
    store: Store, tenant: str, postgres_dsn: str
) -> None:
    hearing = await listening(store.listen(), postgres_dsn, Logged(tenant))

    await store.invite(tenant, "e1", ("acme",), b"hash", 2**50, "op")

    assert Moved(tenant, 0) not in await hearing


async def test_a_revocation_is_heard(store: Store, tenant: str, postgres_dsn: str) -> None:
    await enrolled(store, tenant, "e1")
    hearing = await listening(store.listen(), postgres_dsn, Revoked(tenant, "e1"))

    await store.revoke(tenant, "e1")

    assert (await hearing)[-1] == Revoked(tenant, "e1")


@pytest.mark.parametrize("told", ["another scope", "a wipe", "a restore"])
async def test_what_an_edge_is_to_be_told_and_was_not_heard_is_made_up_for(
    store: Store, tenant: str, postgres_dsn: str, told: str
) -> None:
    # given
    await enrolled(store, tenant, "e1")
    news: News = Rescoped(tenant, "e1")
    if told == "a wipe":
        await store.order_wipe(tenant, "e1", at_once=True, author="op")
    elif told == "a restore":
        await store.restored(tenant, author="op", known=None, now_ms=NOON_MS)
        news = Restored(tenant)
    else:
        await store.rescope(tenant, "e1", ("acme/dev",), author="op")
    hearing = await listening(store.listen(), postgres_dsn, news)
    # when
    _break_off(postgres_dsn)
    # then
    assert (await hearing)[-1] == news
