"""The relay of a simulated site: it passes frames on and keeps parts of snapshots, as `anabranch.relay` does.

It may die, and its disk may lose what it keeps. Children do not wait for one another as they do there.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from anabranch_sync.offering import Ask, overheard
from anabranch_sync.snapshot import Part, name_of

from anabranch_hub.simulation.network import Connection, Line, Pipe
from anabranch_hub.simulation.world import World


class KeptParts:
    """What a relay has on its disk: the contract of `anabranch.part_cache`."""

    def __init__(self) -> None:
        self.whole: dict[bytes, bytes] = {}
        self.heads: dict[bytes, bytes] = {}

    def piece(self, name: bytes, offset: int, bytes_max: int) -> bytes:
        """Bytes of a part from `offset` on; empty where they are not here. Its first and last verify it."""
        whole = self.whole.get(name)
        if whole is not None and (not offset or offset + bytes_max >= len(whole)) and name_of(whole) != name:
            del self.whole[name]
        kept = self.whole.get(name, self.heads.get(name, b""))
        return kept[offset : offset + bytes_max]

    def add(self, part: Part, offset: int, piece: bytes) -> None:
        """Keep a piece that was fetched for somebody, where it goes on from what is here."""
        head = self.heads.get(part.name, b"")
        if part.name in self.whole or offset != len(head):
            return
        self.heads[part.name] = head + piece
        if offset + len(piece) >= part.size_bytes:
            sealed = self.heads.pop(part.name)
            if name_of(sealed) == part.name:
                self.whole[part.name] = sealed

    def harm(self, chance: random.Random) -> str:
        """Some part or head of one is gone, shorter or another; what happened, "" where none is here."""
        kept = [(each, name) for each in (self.whole, self.heads) for name, body in each.items() if body]
        if not kept:
            return ""
        parts, name = chance.choice(kept)
        at, harm = chance.randrange(len(parts[name])), chance.choice(("lost", "cut short", "damaged"))
        match harm:
            case "lost":
                del parts[name]
            case "cut short":
                parts[name] = parts[name][:at]
            case "damaged":
                parts[name] = parts[name][:at] + bytes([parts[name][at] ^ 1]) + parts[name][at + 1 :]
        return harm


@dataclass(eq=False, slots=True)
class _Stream:
    """A child's, with what the hub has offered on it."""

    line: Line
    far: Connection
    offered: dict[bytes, Part] = field(default_factory=dict)


class Relay:
    """The process of a site's relay, and its disk. `above` gives a child bytes of a part at the hub."""

    def __init__(self, world: World, above: Callable[[Line, bytes, int, int], bytes]) -> None:
        self.parts = KeptParts()
        self._world = world
        self._above = above
        self._streams: list[_Stream] = []
        self._asking: list[Connection] = []

    def passed_on(self, line: Line, near: Connection, down: Pipe) -> tuple[Connection, Pipe]:
        """The relay's own connection for this stream: what comes down passes on, and both break together."""
        far = self._world.connection(line)
        near.on_cut.append(far.cut)
        far.on_cut.append(near.cut)
        stream = _Stream(line, far)
        self._streams = [*(each for each in self._streams if each.far.open), stream]
        self._world.reached.relayed += 1

        def passing(frame: bytes) -> None:
            stream.offered = {part.name: part for part in overheard(frame)} or stream.offered
            near.send(down, frame)

        return far, Pipe(passing)

    def ask(self, line: Line, ask: Ask, answered: Callable[[bytes], None]) -> None:
        """A child's question; `answered` hears of bytes, of none where there are none, or of nothing."""
        near = self._world.connection(line)
        near.on_cut.append(partial(answered, b""))
        answer = partial(near.send, Pipe(answered, is_checked=True))
        self._asking = [*(each for each in self._asking if each.open), near]

        def asked(name: bytes) -> None:
            part = self._offered_to(line, name)
            if part is None or ask.offset >= part.size_bytes:
                answer(b"")
            elif kept := self.parts.piece(name, ask.offset, ask.bytes_max):
                self._world.reached.shared += 1
                answer(kept)
            else:
                self._fetch(line, part, ask, answer)

        near.send(Pipe(asked, is_up=True, is_checked=True), ask.part.name)

    def crash(self) -> None:
        """It is gone, and there again at once: with all that was on its way."""
        self._world.happened["relay crash"] += 1
        self._world.note("the relay dies")
        for each in (*(stream.far for stream in self._streams), *self._asking):
            each.cut()

    def harm(self, chance: random.Random) -> None:
        """Its disk loses something of what it keeps."""
        if harm := self.parts.harm(chance):
            self._world.happened[f"relay's part {harm}"] += 1
            self._world.note(f"a part at the relay is {harm}")

    def _fetch(self, line: Line, part: Part, ask: Ask, answer: Callable[[bytes], None]) -> None:
        """Ask the hub in the child's name, and keep what it gives."""
        far = self._world.connection(line)
        far.on_cut.append(partial(answer, b""))
        self._asking.append(far)

        def fetched(piece: bytes) -> None:
            if piece:
                self.parts.add(part, ask.offset, piece)
            answer(piece)

        def at_hub(name: bytes) -> None:
            piece = self._above(line, name, ask.offset, ask.bytes_max)
            far.send(Pipe(fetched, is_checked=True), piece)

        far.send(Pipe(at_hub, is_up=True, is_checked=True), part.name)

    def _offered_to(self, line: Line, name: bytes) -> Part | None:
        """The part of this name, if the hub has offered it to the edge on a stream that stands."""
        streams = (each for each in self._streams if each.far.open and each.line.edge == line.edge)
        return next((each.offered[name] for each in streams if name in each.offered), None)
