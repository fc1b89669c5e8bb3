"""The edges connected to this process, and who among them is to hear what.

A decided change reaches the streams of its tenant through the store's notifications, whichever hub process
decided it; so does a revocation. Nothing is queued here: a stream keeps the highest position it was told and
looks for itself when it has time.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from anabranch_hub.api.exchange import Exchange, Interruption

# A ghost of a broken connection, and the one that replaces it. More at once is not an edge.
STREAMS_PER_EDGE_MAX = 2

# The edge comes back at once, to be greeted in the epoch that has begun.
RESTORED = Interruption("stopping", "the hub was restored from a backup: another epoch has begun")
CUT_OFF = Interruption("away", "a relay on the way was shut out: take another way")
SUPERSEDED = Interruption("superseded", "a newer stream of this edge took over")


@dataclass(frozen=True, slots=True)
class EdgeName:
    """Who is connected."""

    tenant: str
    edge: str


class Streams:
    """A registry for one process and one event loop."""

    def __init__(self) -> None:
        self._by_tenant: dict[str, dict[str, list[Exchange]]] = {}

    def join(self, stream: Exchange) -> None:
        """Let `stream` hear of its tenant from now on. The oldest of too many gives way to it:

        it may be the ghost of a connection that broke unnoticed, and must not lock its own edge out.
        """
        streams = self._by_tenant.setdefault(stream.peer.tenant, {}).setdefault(stream.peer.edge, [])
        streams.append(stream)
        for oldest in streams[:-STREAMS_PER_EDGE_MAX]:
            oldest.interrupt(SUPERSEDED)

    def leave(self, stream: Exchange) -> None:
        """Forget `stream`; nothing when it is forgotten already."""
        edges = self._by_tenant.get(stream.peer.tenant, {})
        streams = edges.get(stream.peer.edge, [])
        if stream in streams:
            streams.remove(stream)
        if not streams:
            edges.pop(stream.peer.edge, None)
        if not edges:
            self._by_tenant.pop(stream.peer.tenant, None)

    def opened(self, stream: Exchange, incarnation: int) -> None:
        """`stream` speaks for `incarnation`: an earlier one that does is its ghost, or its clone."""
        for other in self._of(stream.peer.tenant, stream.peer.edge):
            if other is not stream and other.incarnation == incarnation:
                other.interrupt(SUPERSEDED)

    def moved(self, tenant: str, hub_seq: int) -> None:
        """The tenant's order has come to `hub_seq`."""
        for streams in self._by_tenant.get(tenant, {}).values():
            for stream in streams:
                stream.notice(hub_seq)

    def end(self, tenant: str, edge: str, interruption: Interruption) -> None:
        """End the streams of one edge; those that come through it must find another way."""
        for stream in self._of(tenant, edge):
            stream.interrupt(interruption)
        for streams in self._by_tenant.get(tenant, {}).values():
            for stream in streams:
                if edge in stream.peer.via:
                    stream.interrupt(CUT_OFF)

    def end_tenant(self, tenant: str, interruption: Interruption) -> None:
        """End the streams of one tenant."""
        for streams in list(self._by_tenant.get(tenant, {}).values()):
            for stream in list(streams):
                stream.interrupt(interruption)

    def end_all(self, interruption: Interruption) -> None:
        """End every stream."""
        for stream in list(self._all()):
            stream.interrupt(interruption)

    def names(self) -> set[EdgeName]:
        """Who is connected."""
        return {EdgeName(tenant, edge) for tenant, edges in self._by_tenant.items() for edge in edges}

    def _of(self, tenant: str, edge: str) -> list[Exchange]:
        return list(self._by_tenant.get(tenant, {}).get(edge, ()))

    def _all(self) -> Iterator[Exchange]:
        for edges in self._by_tenant.values():
            for streams in edges.values():
                yield from streams
