"""News of decisions, from every hub process on the same Postgres."""

import asyncio
import logging
from collections.abc import AsyncIterator

import psycopg
from anabranch_sync.ids import HubSeq
from psycopg import AsyncConnection, sql
from psycopg.rows import DictRow

from anabranch_hub.store.deciding import CHANNEL
from anabranch_hub.store.pool import connection_settings, reason
from anabranch_hub.store.queries import HUB_SCHEMA, statement

log = logging.getLogger(__name__)

# A silent connection is asked whether it is still there: a firewall may have dropped it.
PROBE_S = 30.0
# Postgres restarts within a second or two; asking more often would only fill its log.
RECONNECT_S = 0.5


async def listen(dsn: str) -> AsyncIterator[tuple[str, HubSeq]]:
    """Yield (tenant, position) after each decision, for ever, over one connection of its own.

    When the connection was lost and is there again, every tenant's position comes once, for what
    was missed meanwhile. It needs a real session of Postgres: no pooler in transaction mode between.
    """
    missed = False
    while True:
        try:
            async with await AsyncConnection.connect(dsn, **connection_settings()) as connection:
                await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(CHANNEL)))
                if missed:
                    log.info("listening again")
                    for position in await _positions(connection):
                        yield position
                missed = True
                while True:
                    async for notify in connection.notifies(timeout=PROBE_S):
                        tenant, _, hub_seq = notify.payload.rpartition(":")
                        yield tenant, int(hub_seq)
                    await connection.execute("SELECT 1")
        except psycopg.OperationalError as error:
            log.warning("not listening", extra={"reason": reason(error), "retry_s": RECONNECT_S})
            missed = True
            await asyncio.sleep(RECONNECT_S)


async def _positions(connection: AsyncConnection[DictRow]) -> list[tuple[str, HubSeq]]:
    rows = await connection.execute(sql.SQL("SELECT name FROM {}.tenants").format(sql.Identifier(HUB_SCHEMA)))
    positions = []
    for row in await rows.fetchall():
        found = await (await connection.execute(statement("position", row["name"]))).fetchone()
        if found is not None:
            positions.append((str(row["name"]), int(found["hub_seq"])))
    return positions
