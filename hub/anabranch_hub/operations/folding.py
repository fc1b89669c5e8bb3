"""Once a day a hub folds what its tenants keep no longer. One line of the log for each run."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anabranch_sync.errors import AnabranchError

from anabranch_hub.errors import HubError
from anabranch_hub.store import Store

log = logging.getLogger(__name__)

# A hub that has just started has edges that come back to do.
FIRST_S = 600
EVERY_S = 86_400


@asynccontextmanager
async def folding(store: Store) -> AsyncIterator[None]:
    """Fold once a day, until this is left."""
    task = asyncio.create_task(_daily(store), name="folding")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _daily(store: Store) -> None:
    await asyncio.sleep(FIRST_S)
    while True:
        try:
            await fold_all(store, time.time_ns() // 1_000_000)
        except Exception:  # whatever it is, there is another day
            log.exception("folding failed")
        await asyncio.sleep(EVERY_S)


async def fold_all(store: Store, now_ms: int) -> None:
    """Fold the histories of all tenants; one that fails does not keep the others from it."""
    documents = versions = patch_bytes = 0
    damaged: list[str] = []
    failed: list[str] = []
    for tenant in await store.tenants():
        try:
            folded = await store.fold(tenant.name, now_ms)
        except (HubError, AnabranchError) as error:
            failed.append(f"{tenant.name}: {error}")
            continue
        documents += folded.documents
        versions += folded.versions
        patch_bytes += folded.patch_bytes
        damaged += [f"{tenant.name}: {document}" for document in folded.damaged]
    level = logging.WARNING if damaged or failed else logging.INFO
    facts = {"documents": documents, "versions": versions, "patch_bytes": patch_bytes}
    more = {name: each for name, each in (("damaged", damaged), ("failed", failed)) if each}
    log.log(level, "histories folded", extra={**facts, **more})
