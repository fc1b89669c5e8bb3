"""How a command reaches a hub: straight to its Postgres, which it finds through the data directory.

Commands on the ledger also reach a hub far away, through gRPC with an operator's certificate.

Options beat the environment, and a Postgres beats a data directory:
--postgres, --data-dir, $ANABRANCH_POSTGRES, $ANABRANCH_HUB_DATA.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from anabranch_hub.cli.invocation import DATA_DIR_VARIABLE, Invocation
from anabranch_hub.errors import StoreUnavailable
from anabranch_hub.identity.operator_identity import read_identity
from anabranch_hub.operations import whereabouts
from anabranch_hub.operations.ledger import Ledger, OwnLedger
from anabranch_hub.settings import POSTGRES_VARIABLE, parse_address, postgres_setting
from anabranch_hub.store import Store


@asynccontextmanager
async def store(invocation: Invocation) -> AsyncIterator[Store]:
    """The hub's store. Raises NoHubRuns, NotOurs, StoreUnavailable, SettingRefused."""
    folder, dsn = located(invocation)
    try:
        opened = await Store.connect(dsn)
    except StoreUnavailable:
        if folder is not None:
            whereabouts.find(folder)  # says so when it is the hub that is not there
        raise
    try:
        yield opened
    finally:
        await opened.close()


@dataclass(frozen=True, slots=True)
class Far:
    """A hub far away, asked with an operator's certificate. `address` empty: the one it was enrolled at."""

    identity: Path
    address: str


@asynccontextmanager
async def ledger(invocation: Invocation, far: Far | None) -> AsyncIterator[Ledger]:
    """The ledgers, as seen by who acts: those of the hub here, or one of a hub far away.

    Raises what `store` raises; IdentityUnusable, FarHubError.
    """
    if far is None:
        async with store(invocation) as opened:
            yield OwnLedger(opened, invocation.author)
        return
    from anabranch_hub.operations.operator_link import far_ledger

    async with far_ledger(read_identity(far.identity), far.address) as asked:
        yield asked


def checked_address(option: str, given: str) -> str:
    """The HOST:PORT of an option. Raises UsageError."""
    try:
        return str(parse_address(given))
    except ValueError as error:
        raise click.UsageError(f"{option} is refused: {error}") from error


def located(invocation: Invocation) -> tuple[Path | None, str]:
    """The data directory, when it was that which led there, and the connection string."""
    folder = examined_folder(invocation)
    if folder is not None:
        return folder, whereabouts.postgres_dsn(folder)
    dsn = postgres_setting(invocation.postgres, os.environ)
    assert dsn is not None, "without a data directory a Postgres was named"
    return None, dsn


def examined_folder(invocation: Invocation) -> Path | None:
    """The data directory, or None when a Postgres was named over it."""
    if invocation.postgres is not None:
        return None
    if invocation.data_dir is None and os.environ.get(POSTGRES_VARIABLE):
        return None
    return data_dir(invocation)


def data_dir(invocation: Invocation) -> Path:
    """The data directory that was meant. Raises UsageError when none was named."""
    named = os.environ.get(DATA_DIR_VARIABLE)
    if invocation.data_dir is None and not named:
        raise click.UsageError(f"which hub? Give --data-dir DIR, or set ${DATA_DIR_VARIABLE}")
    return invocation.data_dir or Path(named or "")
