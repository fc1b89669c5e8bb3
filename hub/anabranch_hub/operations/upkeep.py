"""What a hub does by itself once a day for each tenant: fold, collect, trim. One line of the log a run.

Of several hub processes the first that finds a tenant due takes it (`store.upkeep`); each step is safe to
break off, to repeat and to run twice at once, so that a process that dies in it costs nothing but a day.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from anabranch_sync.errors import AnabranchError

from anabranch_hub.settings import Upkeep
from anabranch_hub.store import Store

log = logging.getLogger(__name__)

# A hub that has just started has edges that come back to do.
FIRST_S = 600
# How often a hub looks which tenants are due: another process may have died in its turn.
LOOK_S = 3_600
# A day, less what lets it stay at its time of day.
EACH_S = 86_400 - LOOK_S


@dataclass(frozen=True, slots=True)
class Kept:
    """What the upkeep of one tenant did, in numbers by name, and what failed or was found damaged."""

    done: Mapping[str, int]
    failed: tuple[str, ...]


@asynccontextmanager
async def upkeep(store: Store, wanted: Upkeep) -> AsyncIterator[None]:
    """Keep up what is due, until this is left."""
    task = asyncio.create_task(_for_ever(store, wanted), name="upkeep")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _for_ever(store: Store, wanted: Upkeep) -> None:
    await asyncio.sleep(FIRST_S)
    while True:
        try:
            await keep_up(store, wanted, time.time_ns() // 1_000_000)
        except Exception:  # whatever it is, there is another time
            log.exception("upkeep failed")
        await asyncio.sleep(LOOK_S)


async def keep_up(store: Store, wanted: Upkeep, now_ms: int) -> None:
    """Do what is due of all tenants; one that fails does not keep the others from it."""
    total = Counter[str]()
    failed: list[str] = []
    for tenant in await store.tenants():
        if not await store.upkeep.take(tenant.name, EACH_S):
            continue
        kept = await _of_tenant(store, tenant.name, wanted, now_ms)
        await store.upkeep.note(tenant.name, kept.done, kept.failed)
        total.update(kept.done, tenants=1)
        failed += [f"{tenant.name}: {each}" for each in kept.failed]
    if total or failed:
        more = {"failed": failed} if failed else {}
        level = logging.WARNING if failed else logging.INFO
        log.log(level, "upkeep done", extra={**total, **more})


async def _of_tenant(store: Store, tenant: str, wanted: Upkeep, now_ms: int) -> Kept:
    done: dict[str, int] = {}
    failed: list[str] = []

    async def fold() -> None:
        folded = await store.fold(tenant, now_ms)
        done.update(folded_documents=folded.documents, folded_versions=folded.versions)
        failed.extend(f"fold: the history of {document} is damaged" for document in folded.damaged)

    async def collect() -> None:
        collected = await store.collect(tenant)
        done.update(collected_tombstones=collected.tombstones, forgotten_tombstones=collected.forgotten)

    async def trim() -> None:
        if wanted.trim_after_days is not None:
            trimmed = await store.trim(tenant, now_ms, keep_days=wanted.trim_after_days)
            done.update(trimmed_changes=trimmed.changes, trimmed_bytes=trimmed.body_bytes)

    steps: tuple[Callable[[], Awaitable[None]], ...] = (fold, *((collect,) if wanted.collects else ()), trim)
    for step in steps:
        try:
            await step()
        except AnabranchError as error:
            failed.append(f"{step.__name__}: {error}")
        except Exception as defect:  # the other steps and tenants are to have their turn
            log.exception("upkeep of %s failed", tenant)
            failed.append(f"{step.__name__}: {defect!r}; the hub's log tells where")
    return Kept(done, tuple(failed))
