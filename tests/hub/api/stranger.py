"""An edge's end of a stream, driven by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from anabranch.identity import Identity
from anabranch.link import FrameStream, HubLink
from anabranch_sync.change import CHAIN_START, Change, Op, entry
from anabranch_sync.clock import tick
from anabranch_sync.digest import ScopeDigest
from anabranch_sync.ids import START, DocumentId, Dot
from anabranch_sync.messages import Hello, Merged, Message
from anabranch_sync.pacing import NOTHING_LEARNED
from anabranch_sync.packing import seal
from anabranch_sync.push_body import encode_entries
from anabranch_sync.register import Slot
from anabranch_sync.stream import Stream
from anabranch_sync.transfer import Sending

from tests.hub.api.fleet import now_ms


@dataclass
class Stranger:
    """Speaks the protocol by hand, and so says whatever it likes."""

    frames: FrameStream
    stream: Stream

    async def says(self, message: Message) -> None:
        await self.frames.write(self.stream.frame(message))

    async def hears(self) -> Message | None:
        raw = await self.frames.read()
        return None if raw is None else self.stream.message(raw)

    async def listens(self) -> None:
        """Take whatever comes until the end, or until it is merged."""
        while not isinstance(await self.hears(), Merged | None):
            pass

    async def greets(self, incarnation: int) -> Message | None:
        hello = Hello(1, 1, incarnation, START, 0, CHAIN_START, ScopeDigest(), now_ms())
        await self.says(hello)
        return await self.hears()

    async def pushes(self, incarnation: int, document: DocumentId, author: str = "ada") -> None:
        change = Change(tick(0, now_ms()), START, author, "", (Op(document, Slot(("stolen",)), True),))
        entries = [entry(Dot(incarnation, 1), change)]
        sending = Sending(seal(encode_entries(entries)), last=1, chain=CHAIN_START)
        for piece in sending.pieces(NOTHING_LEARNED):
            await self.says(piece)


@asynccontextmanager
async def stranger(identity: Identity) -> AsyncIterator[Stranger]:
    async with HubLink(identity) as link:
        frames = link.exchange()
        yield Stranger(frames, Stream())
        frames.cancel()
