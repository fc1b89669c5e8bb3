"""Connections to Postgres, and what a failing one means to a caller.

Every connection refuses to work where acknowledged commits could be lost. Statements run by name
over one tenant's schema; several that do not need each other's results share one round trip.
"""

import logging
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg
from anabranch_sync.ids import check_tenant
from psycopg import AsyncConnection, AsyncCursor
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from anabranch_hub.errors import (
    CommitUncertain,
    EncodingUnfit,
    LogUnwritable,
    StoreAddressRefused,
    StoreDenied,
    StoreFull,
    StoreUnavailable,
    StoreUnsafe,
    TenantUnknown,
)
from anabranch_hub.store.queries import statement

# Its warnings are about connections whose errors are raised here anyway; a command says one line.
logging.getLogger("psycopg").setLevel(logging.ERROR)

# Deciding holds one connection a tenant that is busy, a pull one for its milliseconds; Postgres
# allows 100 in all by default, which leaves room for several hub processes.
CONNECTIONS_MAX = 10
# A restart of Postgres takes a second or two, a failover some more; beyond that the peer had better
# hear that the store is away and come back by itself.
CONNECT_S_MAX = 10
# What each setting must be for a commit to be on disk when Postgres says so.
SAFE_SETTINGS = {"fsync": ("on",), "full_page_writes": ("on",), "synchronous_commit": ("on", "remote_apply")}
# A connection that died silently (a failover, a firewall) is noticed within 30 + 3 x 10 s.
_KEEPALIVES = {"keepalives_idle": 30, "keepalives_interval": 10, "keepalives_count": 3}

# A standby that takes over is read-only at first, and no more a moment later.
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, psycopg.errors.ReadOnlySqlTransaction)

# How the names of the transparency log's tables begin.
LOG_TABLES = "audit_"

NO_TENANT = "-"  # no name of a tenant: for statements over the hub's own tables


class Session:
    """One connection, for statements over one tenant's tables."""

    def __init__(self, connection: AsyncConnection[DictRow], tenant: str) -> None:
        self._connection = connection
        self._tenant = tenant

    def of(self, tenant: str) -> "Session":
        """The same connection and transaction, for the tables of another tenant."""
        return Session(self._connection, tenant)

    async def run(self, name: str, *conditions: str, **parameters: Any) -> AsyncCursor[DictRow]:
        """Run the named statement. Within `pipeline` its result is there when it is fetched."""
        return await self._connection.execute(statement(name, self._tenant, conditions), parameters)

    async def row(self, name: str, *conditions: str, **parameters: Any) -> DictRow | None:
        """The first row of the named statement."""
        return await (await self.run(name, *conditions, **parameters)).fetchone()

    async def one(self, name: str, *conditions: str, **parameters: Any) -> DictRow:
        """The row of a statement that always has one: a count, an upsert, where a tenant stands."""
        row = await self.row(name, *conditions, **parameters)
        assert row is not None, f"{name} has always a row"
        return row

    async def rows(self, name: str, *conditions: str, **parameters: Any) -> list[DictRow]:
        """All rows of the named statement."""
        return await (await self.run(name, *conditions, **parameters)).fetchall()

    def pipeline(self) -> Any:
        """Statements within share round trips; their errors show when results are fetched, or at the end."""
        return self._connection.pipeline()

    async def begin(self, *, snapshot: bool = False) -> None:
        """Open a transaction; `snapshot`: one that only reads, all of it at one moment."""
        mode = b" ISOLATION LEVEL REPEATABLE READ READ ONLY" if snapshot else b""
        await self._connection.execute(b"BEGIN" + mode)

    @asynccontextmanager
    async def committing(self) -> AsyncIterator[None]:
        """The last statements of a transaction and its commit, in one round trip.

        Raises CommitUncertain when the answer was lost.
        """
        try:
            async with self._connection.pipeline():
                yield
                done = await self._connection.execute(b"COMMIT")
        except psycopg.OperationalError as error:
            if self._connection.broken:
                raise CommitUncertain(reason(error)) from error
            raise
        # COMMIT of a transaction that has failed answers ROLLBACK, without an error.
        assert done.statusmessage == "COMMIT", f"COMMIT was answered by {done.statusmessage}"

    async def rollback(self) -> None:
        """Leave a transaction that is open; a lost connection has left it already."""
        with suppress(psycopg.Error):
            await self._connection.rollback()


class Pool:
    """The connections of one hub process."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self._pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
            dsn,
            connection_class=AsyncConnection[DictRow],
            kwargs=connection_settings(),
            min_size=1,
            max_size=CONNECTIONS_MAX,
            timeout=CONNECT_S_MAX,
            check=_ask_if_it_stirs,
            reset=_check_left,
            open=False,
            name="anabranch-hub",
        )

    async def open(self) -> None:
        """Connect. Raises StoreAddressRefused, StoreUnavailable, StoreDenied, StoreUnsafe."""
        try:
            conninfo_to_dict(self.dsn)
        except psycopg.ProgrammingError:
            raise StoreAddressRefused from None
        # The pool would try again and again and hide why: ask once, plainly, first.
        with translated():
            async with await AsyncConnection.connect(self.dsn, **connection_settings()) as connection:
                for setting, safe in SAFE_SETTINGS.items():
                    row = await (
                        await connection.execute(b"SELECT current_setting(%s)", (setting,))
                    ).fetchone()
                    found = row["current_setting"] if row else ""
                    if found not in safe:
                        raise StoreUnsafe(setting, found, safe[0])
                if (encoding := connection.info.parameter_status("server_encoding")) != "UTF8":
                    raise EncodingUnfit(encoding or "unknown")
            await self._pool.open(wait=True, timeout=CONNECT_S_MAX)

    async def close(self) -> None:
        """Close all connections; those in use when they come back."""
        await self._pool.close()

    @asynccontextmanager
    async def session(self, tenant: str) -> AsyncIterator[Session]:
        """A connection for one tenant; each statement commits by itself.

        Raises InvalidName, TenantUnknown, StoreUnavailable.
        """
        with translated(check_tenant(tenant)):
            async with self._pool.connection() as connection:
                yield Session(connection, tenant)

    @asynccontextmanager
    async def undoing(self, tenant: str) -> AsyncIterator[Session]:
        """A connection for one tenant; what is left uncommitted at the end is undone.

        Raises InvalidName, TenantUnknown, StoreUnavailable.
        """
        async with self.session(tenant) as session:
            try:
                yield session
            finally:
                await session.rollback()

    @asynccontextmanager
    async def transaction(self, tenant: str, *, snapshot: bool = False) -> AsyncIterator[Session]:
        """A connection for one tenant in a transaction that commits at the end.

        Raises InvalidName, TenantUnknown, StoreUnavailable; CommitUncertain from the commit alone.
        """
        async with self.undoing(tenant) as session:
            await session.begin(snapshot=snapshot)
            yield session
            async with session.committing():
                pass

    @asynccontextmanager
    async def hub_transaction(self) -> AsyncIterator[Session]:
        """A connection for the hub's own tables, in a transaction that commits at the end."""
        async with self.connection() as session:
            try:
                await session.begin()
                yield session
                async with session.committing():
                    pass
            finally:
                await session.rollback()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Session]:
        """A connection for the hub's own tables. Raises StoreUnavailable."""
        with translated():
            async with self._pool.connection() as connection:
                yield Session(connection, NO_TENANT)


async def _ask_if_it_stirs(connection: AsyncConnection[DictRow]) -> None:
    """Raises psycopg.OperationalError for a connection that Postgres ended.

    Its end, and hardly anything else, can be read of one that was asked nothing. To ask each before its use
    would be a round trip more for all that the store does.
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        await AsyncConnectionPool.check_connection(connection)


async def _check_left(connection: AsyncConnection[DictRow]) -> None:
    """Let no connection go back that a cancelled caller left within a pipeline: it goes on for the next.

    As the pool has this to do, a task of its own takes connections back. Else callers would, and one that is
    cancelled while it waits for its turn, as with the link of an edge that breaks, would lose its connection:
    after ten such there was none.
    """
    if connection.pgconn.pipeline_status != psycopg.pq.PipelineStatus.OFF:
        raise psycopg.OperationalError("left within a pipeline")


def connection_settings() -> dict[str, Any]:
    """What every connection of the hub has in common."""
    return {
        "autocommit": True,
        "row_factory": dict_row,
        "application_name": "anabranch-hub",
        "client_encoding": "utf8",  # whatever the environment says
        "connect_timeout": CONNECT_S_MAX,
        **_KEEPALIVES,
    }


class translated:  # noqa: N801  # reads as a participle: with translated(tenant)
    """Turn what psycopg raises into the hub's errors."""

    def __init__(self, tenant: str = "") -> None:
        self._tenant = tenant

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, psycopg.Error) and _is_of_log(error):
            raise LogUnwritable(reason(error)) from error
        if self._tenant and isinstance(error, psycopg.errors.UndefinedTable):
            raise TenantUnknown(self._tenant) from error
        if isinstance(error, psycopg.errors.DiskFull):
            raise StoreFull(reason(error)) from error
        if isinstance(error, psycopg.errors.InsufficientPrivilege):
            raise StoreDenied(reason(error)) from error
        if isinstance(error, _AWAY):
            raise StoreUnavailable(reason(error)) from error


def _is_of_log(error: psycopg.Error) -> bool:
    """Whether a table of the transparency log is in the way: Postgres names it in one of two places."""
    return LOG_TABLES in f"{error.diag.table_name} {reason(error)}"


def reason(error: psycopg.Error) -> str:
    """The first line of what Postgres said: the others quote rows."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
