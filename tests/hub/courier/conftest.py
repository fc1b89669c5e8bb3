"""A hub and edges that meet by files only."""

from tests.hub.api.conftest import anyio_backend, authority, fleet, hub, store

__all__ = ["anyio_backend", "authority", "fleet", "hub", "store"]
