"""A hub's transparency log in memory."""

from collections.abc import Sequence

from anabranch_sync.checkpoint import SignedCheckpoint
from anabranch_sync.merkle import Frontier, Subtree, TreeHead, frontier_at, leaf_hash
from anabranch_sync.witness import Presented, needed, presented

from anabranch_hub.simulation.log_key import LogKey

LOG_TENANT = "acme"


class MemoryLog:
    """A real Merkle tree with a leaf for each decision, and a fixed key. `away`: the key is, for a while."""

    def __init__(self, leaves: Sequence[bytes] = (), key: LogKey | None = None) -> None:
        self.away = False
        self.leaves: list[bytes] = []
        self._key = key or LogKey(LOG_TENANT)
        self._frontier = Frontier()
        self._store: dict[Subtree, bytes] = {}
        for leaf in leaves:
            self.append(leaf)

    def append(self, leaf: bytes) -> None:
        """One more leaf."""
        self.leaves.append(leaf)
        self._frontier, completed = self._frontier.appended([leaf_hash(leaf)])
        self._store.update(completed)

    def head_at(self, size: int) -> TreeHead:
        """The tree as it was at `size`."""
        return frontier_at(size, self._store).head

    @property
    def newest(self) -> SignedCheckpoint:
        """The tree as it is, signed."""
        return self._key.signed(self._frontier.head)

    def presented(self, mark: bytes) -> Presented | None:
        """What to show a replica that has seen this."""
        if self.away or needed(mark, self._frontier.head) is None:
            return None
        return presented(mark, self.newest, self._key.verifier, self._store)
