"""To declare that a hub was restored from a backup: another epoch, and another beginning for its anchor.

Up to which position the backup went is what matters: edges offer what they have from behind it. Said too
high, something is lost; said too low, edges offer more than they need. A hub that ran on since has
decided other things behind the backup's end, so the anchor is asked: where it shows that the log went
back, only what was signed and is still there counts as known. That is remembered before the anchor
is set aside: a hub that runs signs what it decided meanwhile as soon as it finds none, and a declaration
that was killed and is repeated could show nothing any more.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from anabranch_sync.ids import HubSeq

from anabranch_hub.audit.anchors import Anchor, Anchors
from anabranch_hub.errors import LogTampered
from anabranch_hub.store import NewEpoch, Store


@dataclass(frozen=True, slots=True)
class Declared:
    """What was declared of one tenant. `leaves_before`: what its anchor had seen, 0 without one."""

    tenant: str
    begun: NewEpoch
    leaves_before: int
    leaves: int


async def declare_restored(
    store: Store, anchors: Anchors, tenant: str, *, author: str, known: HubSeq | None = None
) -> Declared:
    """Begin another epoch for the tenant, and let its log be signed again from where it now is.

    `known` is the backup's position where the caller knows it. Raises PositionAhead, AnchorDamaged,
    DataDirNotWritable, and what the store does.
    """
    anchor = anchors.read(tenant)
    if known is None:
        shown = None if anchor is None else await _shown(store, tenant, anchor)
        found = (anchors.known_before(tenant), shown)
        known = min((each for each in found if each is not None), default=None)
    position = await store.position(tenant, None)
    remembered = position if known is None else min(known, position)
    now_ms = time.time_ns() // 1_000_000
    with anchors.restoring(tenant, remembered), anchors.setting_aside(tenant, now_ms // 1_000):
        begun = await store.restored(tenant, author=author, known=known, now_ms=now_ms)
    leaves = (await store.log(tenant)).frontier.size
    return Declared(tenant, begun, 0 if anchor is None else anchor.tree.size, leaves)


async def _shown(store: Store, tenant: str, anchor: Anchor) -> HubSeq | None:
    """Up to where the tenant is as it was signed; None where its log does not show that it went back."""
    try:
        await store.proven_head(tenant, [anchor.tree])
    except LogTampered:
        newest = (await store.log(tenant)).newest
        size = 0 if newest is None else newest.tree.size
        return await store.position_of_leaf(tenant, size - 1)
    return None
