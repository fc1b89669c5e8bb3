"""Whose turn it is to keep up a tenant, and what came of it: of several hubs one, once in a while."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from anabranch_sync.value import render_json

from anabranch_hub.store.pool import Pool


@dataclass(frozen=True, slots=True)
class Upkept:
    """The newest run of a tenant's upkeep. `ended_ms` None: it is under way, or its process died in it."""

    tenant: str
    begun_ms: int
    ended_ms: int | None
    done: Mapping[str, int]
    failed: Sequence[str]


class UpkeepTurns:
    """Turns are taken by the clock of Postgres, which is one for all hub processes."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def take(self, tenant: str, each_s: int) -> bool:
        """Take the tenant's turn; False where somebody took it within the last `each_s` seconds."""
        async with self._pool.connection() as session:
            return await session.row("take_upkeep", tenant=tenant, each_s=each_s) is not None

    async def note(self, tenant: str, done: Mapping[str, int], failed: Sequence[str]) -> None:
        """Keep what came of the turn."""
        came_of = {"done": render_json(dict(done)), "failed": list(failed)}
        async with self._pool.connection() as session:
            await session.run("note_upkeep", tenant=tenant, **came_of)

    async def newest(self) -> list[Upkept]:
        """The newest run of each tenant that had one, by name."""
        async with self._pool.connection() as session:
            return [Upkept(**row) for row in await session.rows("upkept")]
