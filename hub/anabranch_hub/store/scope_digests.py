"""Digests of scopes, kept at hand: only what changed since is read again.

Each process remembers, for each scope it serves, the digest at the last few positions it computed.
Several, because a pull that looks at an older snapshot must not start from a newer digest.
"""

from collections import OrderedDict, deque
from collections.abc import Iterable

from anabranch_sync.digest import MODULUS, ScopeDigest
from anabranch_sync.ids import Cursor, HubSeq
from anabranch_sync.scope import Scope

from anabranch_hub.store.pool import Session
from anabranch_hub.store.records import stored_number
from anabranch_hub.store.scope_filter import reading

# Pulls of one scope that overlap in one process; an older one only costs a full sum.
_POSITIONS_MAX = 8
# Scopes that one process serves at once; 8 positions of 64 bytes each make 2 MB in all.
_SCOPES_MAX = 4_096


class ScopeDigests:
    """The digests that one process remembers."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int, tuple[str, ...]], deque[tuple[HubSeq, ScopeDigest]]] = (
            OrderedDict()
        )

    async def at(self, session: Session, tenant: str, scope: Scope, cursor: Cursor) -> ScopeDigest:
        """The digest of `scope` at the position of `session`'s snapshot, which is `cursor`."""
        positions = self._positions((tenant, cursor.epoch, scope.prefixes))
        earlier = [known for known in positions if known[0] <= cursor.hub_seq]
        within = reading(scope)
        if earlier:
            position, digest = max(earlier, key=lambda known: known[0])
            if position < cursor.hub_seq:
                rows = await session.rows("digest_steps", after=position, upto=cursor.hub_seq, **within)
                for row in rows:
                    digest = digest.replaced(
                        stored_number(row["digest_before"]), stored_number(row["digest_after"])
                    )
        else:
            rows = await session.rows("digests", **within)
            digest = _summed(row["digest"] for row in rows)
        positions.append((cursor.hub_seq, digest))
        return digest

    def _positions(self, scope: tuple[str, int, tuple[str, ...]]) -> deque[tuple[HubSeq, ScopeDigest]]:
        positions = self._known.setdefault(scope, deque(maxlen=_POSITIONS_MAX))
        self._known.move_to_end(scope)
        if len(self._known) > _SCOPES_MAX:
            self._known.popitem(last=False)
        return positions


def _summed(digests: Iterable[bytes]) -> ScopeDigest:
    numbers = [stored_number(digest) for digest in digests]
    return ScopeDigest(len(numbers), sum(numbers) % MODULUS)
