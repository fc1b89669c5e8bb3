"""One draw for all replicas that stand alike.

What is decided wakes the streams of all edges in whose scope it is. Those that stand at one cursor lack the
same, but for who wrote it, or is in a conflict there, or may not see it any more. So those that wait at once
with the same question share one reading, begun after they asked: it tells who stands alike, and what these
lack. Each of the others draws by itself, and hears from its own draw why. Nothing is kept from one reading to
the next, so nothing can be stale.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import partial
from typing import TypeAlias

from anabranch_sync.ids import Incarnation
from anabranch_sync.pull import Pull
from anabranch_sync.pull_body import packed_pull
from anabranch_sync.snapshot import Offer

from anabranch_hub.store import pulls
from anabranch_hub.store.catching_up import CatchingUp
from anabranch_hub.store.lanes import Lanes
from anabranch_hub.store.pool import Session
from anabranch_hub.store.pulls import Question
from anabranch_hub.store.records import replicated

# A reading of so many takes some milliseconds; with a tenant's 10,000 edges others get their turn between.
ALIKE_MAX = 1_000
# Packing a pull of this many documents takes a millisecond; a larger one leaves the event loop to others.
INLINE_DOCUMENTS_MAX = 20


class _Apart(Enum):
    """What one is told that has to draw by itself."""

    APART = auto()


_Answer: TypeAlias = Pull | _Apart | None


@dataclass(frozen=True, slots=True)
class _Asking:
    """A replica that asks a question, and whose it says it is."""

    edge: str
    incarnation: Incarnation


class Drawing:
    """The draws of one hub process."""

    def __init__(self, catching_up: CatchingUp) -> None:
        self._alone = catching_up
        self._together: Lanes[Question, _Asking, _Answer] = Lanes(
            self._answers, size=lambda _: 1, size_max=ALIKE_MAX
        )

    async def draw(self, edge: str, incarnation: Incarnation, question: Question) -> Pull | Offer | None:
        """The answer for one replica, as of `Store.draw`. Raises EdgeRevoked, Fenced, ScopeChanged."""
        # What is held or replaced is one's own; without a scope that it was told of, it is not known yet.
        if question.told is not None and not (question.held or question.replaced):
            answer = await self._together.submit(question, _Asking(edge, incarnation))
            if not isinstance(answer, _Apart):
                return answer
        return await self._alone.draw(edge, incarnation, question)

    async def close(self) -> None:
        """Let what waits be drawn."""
        await self._together.close()

    async def _answers(self, question: Question, asking: Sequence[_Asking]) -> list[_Answer]:
        """What each of them lacks, or that it has to draw by itself."""
        apart: list[_Answer] = [_Apart.APART] * len(asking)
        if len(asking) == 1:
            return apart
        async with self._alone.pool.undoing(question.tenant) as session:
            async with session.pipeline():
                await session.begin(snapshot=True)
                alike = await _alike(session, question, asking)
            if len(alike) < 2:  # a pair is the least that can share
                return apart
            one = min(alike, key=lambda each: each.incarnation)
            pulling = await pulls.found(session, one.edge, one.incarnation, question)
            if await self._alone.is_for_a_snapshot(session, pulling, question):
                return apart
            # There is nothing of its own in it: what one of them lacks is what all of them lack.
            pull = await self._alone.delta(session, pulling, question)
        if pull is not None:
            pack = partial(packed_pull, pull, question.protocol)
            is_large = len(pull.documents) > INLINE_DOCUMENTS_MAX
            pull = replace(pull, packed=await asyncio.to_thread(pack) if is_large else pack())
        return [pull if each in alike else _Apart.APART for each in asking]


async def _alike(session: Session, question: Question, asking: Sequence[_Asking]) -> set[_Asking]:
    """Those who may see what they were told of, and lack nothing but what others did."""
    rows = await session.rows(
        "standing_alike",
        incarnations=[each.incarnation for each in asking],
        epoch=question.after.epoch,
        after=question.after.hub_seq,
    )
    stand = {_Asking(row["edge"], row["incarnation"]) for row in rows if replicated(row) == question.told}
    return stand.intersection(asking)
