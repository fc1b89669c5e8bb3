"""Postgres may die at any moment: what was acknowledged stays, and the store goes on by itself."""

import asyncio
import contextlib
import os
import random
import signal
from pathlib import Path

import psycopg
import pytest
from anabranch_hub.audit.verifying import Known, verify
from anabranch_hub.errors import (
    EncodingUnfit,
    StoreAddressRefused,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
    StoreUnsafe,
)
from anabranch_hub.servers.postgres import EmbeddedPostgres
from anabranch_hub.store import Edit, Moved, Store
from anabranch_hub.store.pool import CONNECTIONS_MAX, Pool, translated
from anabranch_sync.ids import document_id

from tests.hub.store.replica import Replica, enrolled, place

pytestmark = pytest.mark.anyio

KILLS = 5


async def test_acknowledged_changes_survive_kills_of_postgres_and_none_is_doubled(tmp_path: Path) -> None:
    postgres = EmbeddedPostgres(tmp_path / "postgres")
    await postgres.start()
    store = await Store.connect(postgres.dsn)
    heard: list[int] = []
    listening = asyncio.create_task(_listen(store, heard))
    try:
        await store.create_tenant("acme")
        replicas = [await enrolled(store, "acme", f"e{number}") for number in range(3)]
        ended = asyncio.Event()
        pushing = [asyncio.create_task(_push_until(ended, replica)) for replica in replicas]
        written = asyncio.create_task(_write_until(ended, store))
        for _ in range(KILLS):
            await asyncio.sleep(0.3)
            assert postgres.pid is not None
            os.kill(postgres.pid, signal.SIGKILL)
            await postgres.died()
            await postgres.start()
        ended.set()
        for task in pushing:
            await asyncio.wait_for(task, 60)

        for replica in replicas:
            stored = await store.read("acme", document_id("acme/counts", replica.edge))
            assert stored is not None
            # One change for each version: none is missing and none was applied twice.
            assert stored.content == {"n": replica.written}
            assert stored.version == replica.written
        for number in await asyncio.wait_for(written, 60):
            assert await store.read("acme", document_id(f"acme/hub/{number}")) is not None
        [(last, gapless)] = _rows(
            postgres.dsn, "SELECT max(hub_seq), max(hub_seq) = count(*) FROM tenant_acme.changes"
        )
        assert gapless
        # And the log has a leaf for each of them, in a tree without a gap.
        async with store.log_snapshot("acme") as log:
            await verify(log, "acme", Known(None))
        async with asyncio.timeout(30):
            while not heard or heard[-1] < int(str(last)):
                await asyncio.sleep(0.05)
    finally:
        listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await listening
        await store.close()
        await postgres.stop()


async def _listen(store: Store, heard: list[int]) -> None:
    async for news in store.listen():
        if isinstance(news, Moved):
            heard.append(news.hub_seq)


async def _push_until(ended: asyncio.Event, replica: Replica) -> None:
    """Write and push; what was not acknowledged is pushed again with all that came since."""
    while not ended.is_set() or replica.pushed < replica.written:
        if not ended.is_set():
            replica.record([(document_id("acme/counts", replica.edge), place("n"), replica.written + 1)])
        try:
            await replica.push()
        except StoreUnavailable:
            await asyncio.sleep(0.02)
        else:
            # As an edge does: acknowledged changes are pushed no more.
            assert replica.pushed == replica.written


async def _write_until(ended: asyncio.Event, store: Store) -> list[int]:
    """Write documents of the hub's own; the numbers of those that were acknowledged."""
    acknowledged = []
    number = 0
    while not ended.is_set():
        number += 1
        try:
            edit = Edit(document_id(f"acme/hub/{number}"), {"n": number})
            await store.write("acme", [edit], author="op", message="")
        except StoreUnavailable:
            await asyncio.sleep(0.02)
        else:
            acknowledged.append(number)
    return acknowledged


async def test_connections_that_postgres_ended_are_replaced_before_they_are_used(postgres_dsn: str) -> None:
    # given
    ours = b"SELECT pid FROM pg_stat_activity WHERE application_name = 'anabranch-hub'"
    async with await psycopg.AsyncConnection.connect(postgres_dsn, autocommit=True) as operator:
        others = {pid for (pid,) in await (await operator.execute(ours)).fetchall()}
        store = await Store.connect(postgres_dsn)
        tenants = await store.tenants()
        # when
        for (pid,) in await (await operator.execute(ours)).fetchall():
            if pid not in others:
                await operator.execute(b"SELECT pg_terminate_backend(%s, 10000)", (pid,))
        # then
        assert await store.tenants() == tenants
        await store.close()


async def test_callers_that_are_cancelled_leave_all_connections_to_the_others(postgres_dsn: str) -> None:
    # given a pool that many wait for
    pool, chance = Pool(postgres_dsn), random.Random(1)
    await pool.open()

    async def ask() -> None:
        for _ in range(20):
            async with pool.connection() as session:
                await session.begin()
                await session.rollback()

    asking = [asyncio.create_task(ask()) for _ in range(3 * CONNECTIONS_MAX)]
    # when one after the other is cancelled, wherever it is
    for _ in range(3_000):
        await asyncio.sleep(0)
        asking.append(asyncio.create_task(ask()))
        asking.pop(chance.randrange(3 * CONNECTIONS_MAX)).cancel()
    await asyncio.gather(*asking)
    # then
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(CONNECTIONS_MAX):
            await stack.enter_async_context(pool.connection())
    await pool.close()


async def test_who_is_cancelled_while_it_leaves_a_pipeline_leaves_none_of_it_to_the_next(
    postgres_dsn: str,
) -> None:
    # given
    await (await Store.connect(postgres_dsn)).close()
    pool = Pool(postgres_dsn)
    await pool.open()
    # when
    async with pool.connection() as session:
        await session.pipeline().__aenter__()
        await session.run("tenants")
    # then
    async with pool.connection() as session:
        async with session.pipeline():
            await session.begin(snapshot=True)
            await session.rows("tenants")
        await session.rollback()
    await pool.close()


async def test_a_store_that_cannot_connect_says_why_and_never_the_password(postgres_dsn: str) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        await Store.connect("postgresql://postgres:hunter2secret@127.0.0.1:1/postgres")
    with pytest.raises(StoreUnavailable, match="authentication") as denied:
        await Store.connect(postgres_dsn.replace("@", "hunter2secret@"))

    assert "hunter2secret" not in str(refused.value) + str(denied.value)
    assert "\n" not in str(refused.value)


async def test_a_full_disk_of_postgres_is_told_with_the_way_out(postgres_dsn: str) -> None:
    # given a session that meets what Postgres says when it cannot extend a file
    full = "DO $$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = 'disk_full'; END $$"

    # when
    with (
        psycopg.connect(postgres_dsn) as connection,
        pytest.raises(StoreFull, match=r"No space left on device\): nothing was changed; make room"),
        translated(),
    ):
        connection.execute(full)


async def test_a_postgres_that_may_forget_commits_is_refused(postgres_dsn: str) -> None:
    with pytest.raises(StoreUnsafe, match="synchronous_commit=off"):
        await Store.connect(postgres_dsn + "&options=-c%20synchronous_commit%3Doff")


async def test_a_database_that_cannot_store_every_text_is_refused(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as operator:
        operator.execute("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    with pytest.raises(EncodingUnfit, match="LATIN1, in which not every text can be stored"):
        await Store.connect(postgres_dsn.replace("/postgres?", "/latin?"))


@pytest.mark.parametrize("dsn", ["host=db password=hunter2 secret", "postgresql://[::1/x", "hosts=hunter2"])
async def test_a_connection_string_that_is_none_is_refused_and_not_repeated(dsn: str) -> None:
    with pytest.raises(StoreAddressRefused) as refused:
        await Store.connect(dsn)
    assert "hunter2" not in str(refused.value)
    assert "secret" not in str(refused.value)


async def test_a_role_that_may_not_is_denied_and_a_standby_is_away(postgres_dsn: str) -> None:
    with psycopg.connect(postgres_dsn, autocommit=True) as operator:
        operator.execute("CREATE ROLE stranger LOGIN PASSWORD 'x'")
        operator.execute("CREATE DATABASE foreign_one")
    database = postgres_dsn.replace("/postgres?", "/foreign_one?")
    with pytest.raises(StoreDenied, match="permission denied for database foreign_one"):
        await Store.connect(f"postgresql://stranger:x@{database.rpartition('@')[2]}")
    with pytest.raises(StoreUnavailable, match="read-only transaction"):
        await Store.connect(database + "&options=-c%20default_transaction_read_only%3Don")


def _rows(dsn: str, text: str) -> list[tuple[object, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(text.encode()).fetchall()
