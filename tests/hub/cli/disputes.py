"""A tenant where the hub and an edge wrote three values concurrently: model, cap and tone."""

from __future__ import annotations

import asyncio
import json
import secrets

from anabranch_hub.operations import whereabouts
from anabranch_hub.store import Store
from anabranch_sync.change import CHAIN_START, Change, Entry, Op, entry
from anabranch_sync.clock import stamped
from anabranch_sync.ids import Cursor, Dot, document_id
from anabranch_sync.register import Slot
from anabranch_sync.value import Json

from tests.running_hub import RunningHub

ROUTER = document_id("acme/prod/router")
SCHEMA = json.dumps(
    {
        "namespaces": ["acme/*"],
        "schema": {
            "properties": {"cap": {"x-anabranch-merge": "min"}, "tone": {"x-anabranch-merge": "manual"}}
        },
    }
)


def dispute(hub: RunningHub, tenant: str) -> None:
    """Let it come to three conflicts in a fresh tenant: /cap by `min`, /model by `latest`, /tone waits."""
    hub.ok("set", tenant, "system/schemas", "", SCHEMA, "--key", "router")
    hub.ok("set", tenant, "acme/prod/router", "", '{"model": "a", "cap": 100, "tone": "plain"}')
    push_what_never_saw_the_hub(hub, tenant)


def push_what_never_saw_the_hub(hub: RunningHub, tenant: str) -> None:
    """What edge store-1 wrote offline on 2026-09-21, by Grace."""
    asyncio.run(_push(hub, tenant))


async def _push(hub: RunningHub, tenant: str) -> None:
    store = await Store.connect(whereabouts.postgres_dsn(hub.data_dir))
    try:
        await store.invite(tenant, "store-1", ("acme",), secrets.token_bytes(32), 2**40, "ada")
        incarnation = (await store.open_replica(tenant, "store-1", 0)).incarnation
        values: dict[str, Json] = {"model": "\x1b[31mb", "cap": 50, "tone": "warm"}
        ops = tuple(Op(ROUTER, Slot((key,)), value) for key, value in values.items())
        change = Change(stamped(1_790_000_000_000), Cursor(1, 0), "grace", "offline", ops)
        pushed: list[Entry] = [entry(Dot(incarnation, 1), change)]
        await store.decide(tenant, "store-1", pushed, CHAIN_START)
    finally:
        await store.close()
