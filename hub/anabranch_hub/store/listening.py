"""News of decisions and revocations, from every hub process on the same Postgres."""

import asyncio
import logging
from collections.abc import AsyncIterator

import psycopg
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from anabranch_hub.store.news import CHANNEL, News, news
from anabranch_hub.store.pool import connection_settings, reason
from anabranch_hub.store.queries import HUB_SCHEMA, statement
from anabranch_hub.store.records import Moved, Rescoped, Restored, Revoked

log = logging.getLogger(__name__)

# A silent connection is asked whether it is still there: a firewall may have dropped it.
PROBE_S = 30.0
# Postgres restarts within a second or two; asking more often would only fill its log.
RECONNECT_S = 0.5


async def listen(dsn: str) -> AsyncIterator[News]:
    """Yield news after whatever is decided, revoked or logged, for ever, over one connection of its own.

    When the connection was lost and is there again, every tenant's position, every revoked edge and those
    that lately got another scope or are to be wiped come once, and the tenants that lately began another
    epoch, for what was missed meanwhile. It needs a real session of Postgres: no pooler in transaction mode
    between.
    """
    missed, said = False, ""
    while True:
        try:
            async with await AsyncConnection.connect(dsn, **connection_settings()) as connection:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
                if missed:
                    log.info("listening again")
                    said = ""
                    for each in await _all_news(connection):
                        yield each
                missed = True
                while True:
                    async for notify in connection.notifies(timeout=PROBE_S):
                        heard = news(notify.payload)
                        if heard is not None:
                            yield heard
                    await connection.execute("SELECT 1")
        except psycopg.Error as error:  # a standby that is about to take over refuses LISTEN
            if reason(error) != said:  # an outage of a night would fill the log
                said = reason(error)
                log.warning("not listening", extra={"reason": said, "retry_s": RECONNECT_S})
            missed = True
            await asyncio.sleep(RECONNECT_S)


async def _all_news(connection: AsyncConnection[DictRow]) -> list[News]:
    rows = await connection.execute(sql.SQL("SELECT name FROM {}.tenants").format(sql.Identifier(HUB_SCHEMA)))
    heard: list[News] = []
    for row in await rows.fetchall():
        tenant = str(row["name"])
        position = await (await connection.execute(statement("position", tenant))).fetchone()
        assert position is not None, "a tenant has its state from its first migration on"
        heard.append(Moved(tenant, int(position["hub_seq"])))
        revoked = await (await connection.execute(statement("revoked_edges", tenant))).fetchall()
        heard += [Revoked(tenant, str(each["name"])) for each in revoked]
        rescoped = await (await connection.execute(statement("lately_rescoped", tenant))).fetchall()
        heard += [Rescoped(tenant, str(each["edge"])) for each in rescoped]
        restored = await (await connection.execute(statement("lately_restored", tenant))).fetchone()
        if restored is not None and restored["restored"]:
            heard.append(Restored(tenant))
    return heard
