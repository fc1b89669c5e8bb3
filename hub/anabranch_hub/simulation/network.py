"""A network that drops, duplicates, reorders, corrupts, delays and cuts, on a clock of its own."""

import heapq
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Faults:
    """How often what goes wrong; drawn anew for every seed (swarm testing, Groce et al. 2012)."""

    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    cut: float = 0.0
    delay_ms_max: int = 20
    late: float = 0.0  # hours, not milliseconds


CALM = Faults()
SILENCE = Faults(drop=1.0)
LATE_MS_MAX = 6 * 3_600_000


class Clock:
    """Virtual time and what is due in it. Events of one moment run in the order they were made."""

    def __init__(self) -> None:
        self.now_ms = 1_800_000_000_000
        self.events = 0
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._made = 0

    def after(self, delay_ms: int, event: Callable[[], None]) -> None:
        """Run `event` this much later."""
        self._made += 1
        heapq.heappush(self._due, (self.now_ms + delay_ms, self._made, event))

    @property
    def next_ms(self) -> int | None:
        """When the next thing is due."""
        return self._due[0][0] if self._due else None

    def run(self, until_ms: int) -> None:
        """Run everything due until then."""
        while self._due and self._due[0][0] <= until_ms:
            at_ms, _, event = heapq.heappop(self._due)
            self.now_ms = max(self.now_ms, at_ms)
            self.events += 1
            event()
        self.now_ms = max(self.now_ms, until_ms)


@dataclass(slots=True)
class Line:
    """A machine's way to the hub, and what is wrong with it.

    `edge` is whom its certificate names; `relayed`: it calls the site's relay, which passes its frames on.
    """

    name: str
    edge: str
    online: bool = True
    silenced: str = ""  # frames vanish: "up", "down" or "both"
    revoked: bool = False
    relayed: bool = False

    def heal(self) -> None:
        """Nothing is wrong with it any more."""
        self.online, self.silenced, self.revoked = True, "", False

    def faults(self, pipe: "Pipe", otherwise: Faults) -> Faults:
        """What befalls a frame in one direction."""
        is_silent = self.silenced in ("both", "up" if pipe.is_up else "down")
        return SILENCE if self.silenced and is_silent else otherwise


@dataclass
class Pipe:
    """One direction of a connection. `is_checked`: damage ends it, as TLS does; frames have checksums."""

    deliver: Callable[[bytes], None]
    last_ms: int = 0
    is_up: bool = False
    is_checked: bool = False


@dataclass
class Connection:
    """Both directions between one edge session and one hub session."""

    clock: Clock
    chance: random.Random
    faults: Callable[[Pipe], Faults]
    happened: Counter[str]
    on_cut: list[Callable[[], None]] = field(default_factory=list)
    open: bool = True
    frames: int = 0
    payload_bytes: int = 0

    def send(self, pipe: Pipe, frame: bytes) -> None:
        """Put a frame on its way, whatever becomes of it."""
        if not self.open:
            return
        self.frames += 1
        self.payload_bytes += len(frame)
        faults, chance = self.faults(pipe), self.chance
        if chance.random() < faults.cut:
            self.happened["link cut"] += 1
            self.cut()
            return
        if chance.random() < faults.drop:
            self.happened["frame dropped"] += 1
            return
        if frame and chance.random() < faults.corrupt:
            self.happened["frame corrupted"] += 1
            if pipe.is_checked:
                self.cut()
                return
            damaged = bytearray(frame)
            damaged[chance.randrange(len(damaged))] ^= 1 << chance.randrange(8)
            frame = bytes(damaged)
        copies = 2 if chance.random() < faults.duplicate else 1
        if copies > 1:
            self.happened["frame duplicated"] += 1
        for _ in range(copies):
            at_ms = self.clock.now_ms + 1 + chance.randrange(faults.delay_ms_max)
            if faults.late and chance.random() < faults.late:
                self.happened["frame late by hours"] += 1
                at_ms += chance.randrange(LATE_MS_MAX)
            elif chance.random() >= faults.reorder:
                at_ms = max(at_ms, pipe.last_ms)
                pipe.last_ms = at_ms
            else:
                self.happened["frame out of order"] += 1
            self.clock.after(at_ms - self.clock.now_ms, self._delivery(pipe, frame))

    def cut(self) -> None:
        """Break the connection; both ends notice."""
        if self.open:
            self.open = False
            for notice in self.on_cut:
                self.clock.after(1, notice)

    def _delivery(self, pipe: Pipe, frame: bytes) -> Callable[[], None]:
        def deliver() -> None:
            if self.open:
                pipe.deliver(frame)

        return deliver
