"""What one hub process decides, every other one hears."""

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest
from anabranch_hub.store import Edit, Logged, Moved, Rescoped, Revoked, Store
from anabranch_hub.store.listening import listen
from anabranch_hub.store.news import News

from tests.hub.store.replica import ROUTER, enrolled, place

pytestmark = pytest.mark.anyio


async def _until(news: AsyncIterator[News], wanted: News) -> list[News]:
    heard: list[News] = []
    async with asyncio.timeout(30):
        async for each in news:
            heard.append(each)
            if each == wanted:
                return heard
    return heard


async def test_a_decision_is_heard_in_another_process(store: Store, tenant: str, postgres_dsn: str) -> None:
    other = await Store.connect(postgres_dsn)
    news = other.listen()
    listening = asyncio.create_task(_until(news, Moved(tenant, 3)))
    await asyncio.sleep(0.2)
    replica = await enrolled(store, tenant, "e1")

    for number in range(2):
        replica.record([(ROUTER, place("a"), number)])
        await replica.push()
    await store.write(tenant, [Edit(ROUTER, {"a": "hub"})], author="op", message="")

    heard = [each for each in await listening if isinstance(each, Moved) and each.tenant == tenant]
    assert heard == [Moved(tenant, 1), Moved(tenant, 2), Moved(tenant, 3)]
    await other.close()


async def test_a_lost_connection_is_made_up_for(store: Store, tenant: str, postgres_dsn: str) -> None:
    replica = await enrolled(store, tenant, "e1")
    listening = asyncio.create_task(_until(store.listen(), Moved(tenant, 2)))
    await asyncio.sleep(0.2)
    replica.record([(ROUTER, place("a"), 1)])
    await replica.push()

    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )
    replica.record([(ROUTER, place("a"), 2)])
    await replica.push()

    assert Moved(tenant, 1) in await listening


async def test_a_postgres_that_refuses_for_a_while_is_listened_to_again(
    store: Store, tenant: str, postgres_dsn: str, caplog: pytest.LogCaptureFixture
) -> None:
    # given: a role that may not read what was missed, as a standby refuses LISTEN before it takes over
    name = f"role_{tenant}"
    with psycopg.connect(postgres_dsn, autocommit=True) as operator:
        operator.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'x'".encode())
        dsn = f"postgresql://{name}:x@{postgres_dsn.rpartition('@')[2]}"
        listening = asyncio.create_task(_until(listen(dsn), Moved(tenant, 0)))
        await asyncio.sleep(0.2)
        operator.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", (name,))
        await asyncio.sleep(1.0)
        assert not listening.done()
        # when
        operator.execute(f"ALTER ROLE {name} SUPERUSER".encode())
    # then
    await asyncio.wait_for(listening, 30)
    # and what it waited for is not told at each attempt
    reasons = [each.__dict__["reason"] for each in caplog.records if each.message == "not listening"]
    assert any("permission denied" in each for each in reasons)
    assert len(reasons) == len(set(reasons))


async def test_what_is_logged_without_a_decision_is_heard_too(store: Store, tenant: str) -> None:
    listening = asyncio.create_task(_until(store.listen(), Logged(tenant)))
    await asyncio.sleep(0.2)

    await store.invite(tenant, "e1", ("acme",), b"hash", 2**50, "op")

    assert Moved(tenant, 0) not in await listening


async def test_a_revocation_is_heard(store: Store, tenant: str) -> None:
    await enrolled(store, tenant, "e1")
    listening = asyncio.create_task(_until(store.listen(), Revoked(tenant, "e1")))
    await asyncio.sleep(0.2)

    await store.revoke(tenant, "e1")

    assert (await listening)[-1] == Revoked(tenant, "e1")


@pytest.mark.parametrize("told", ["another scope", "a wipe"])
async def test_what_an_edge_is_to_be_told_and_was_not_heard_is_made_up_for(
    store: Store, tenant: str, postgres_dsn: str, told: str
) -> None:
    # given
    await enrolled(store, tenant, "e1")
    if told == "a wipe":
        await store.order_wipe(tenant, "e1", at_once=True, author="op")
    else:
        await store.rescope(tenant, "e1", ("acme/dev",), author="op")
    listening = asyncio.create_task(_until(store.listen(), Rescoped(tenant, "e1")))
    await asyncio.sleep(0.2)
    # when
    with psycopg.connect(postgres_dsn) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )
    # then
    assert (await listening)[-1] == Rescoped(tenant, "e1")
