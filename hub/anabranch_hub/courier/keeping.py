"""What couriers need of a store: `anabranch_hub.store.Store` has it, and so has the simulator's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from anabranch_sync.change import Entry
from anabranch_sync.ids import Cursor, Incarnation
from anabranch_sync.opening import Answer, Opening
from anabranch_sync.pull import Pull

from anabranch_hub.store.parcels import Parcel


class CourierStore(Protocol):
    """The methods of the store, as they are there."""

    async def parcel(self, tenant: str, edge: str) -> Parcel | None: ...
    async def put_parcel(self, tenant: str, edge: str, taken: Parcel) -> None: ...
    async def open_replica(
        self, tenant: str, edge: str, incarnation: Incarnation, mark: bytes = b""
    ) -> Opening: ...
    async def decide(
        self, tenant: str, edge: str, entries: Sequence[Entry], chain_before: bytes
    ) -> Answer: ...
    async def seen(self, tenant: str, incarnation: Incarnation, cursor: Cursor) -> None: ...
    async def pull(
        self, tenant: str, edge: str, incarnation: Incarnation, after: Cursor, *, always: bool = False
    ) -> Pull | None: ...
    async def spool(self, tenant: str, incarnation: Incarnation, batch: bytes, body: bytes) -> None: ...
    async def spooled(self, tenant: str, incarnation: Incarnation, batch: bytes) -> bytes | None: ...
