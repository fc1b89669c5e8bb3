"""The frozen recordings, read: streams of frames, replicas, tables."""

import base64
import gzip
import json
from dataclasses import dataclass
from pathlib import Path

from anabranch_sync import frame
from anabranch_sync.change import Entry
from anabranch_sync.messages import Batch, Chunk, Hello, Message, Welcome, decode_message
from anabranch_sync.packing import unseal
from anabranch_sync.pull import Pull
from anabranch_sync.pull_body import decode_pull
from anabranch_sync.push_body import decode_entries
from anabranch_sync.transfer import Receiving

FOLDER = Path(__file__).with_name("recordings")
RELEASES = ("n-2", "n-1")
# Releases whose courier files are recorded.
COURIERS = ("n",)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One frame of an exchange: ``up`` from the edge, ``down`` from the hub."""

    direction: str
    frame: bytes

    @property
    def message(self) -> Message:
        """What it says, to this release."""
        parsed = frame.decode(self.frame)
        message = decode_message(parsed.kind, parsed.body)
        assert message is not None, f"type {parsed.kind} of an earlier release is not known any more"
        return message


@dataclass(frozen=True, slots=True)
class Recording:
    """One stream, from its Hello to its end."""

    name: str
    frames: tuple[Recorded, ...]

    def messages(self, direction: str) -> list[Message]:
        """What one side said, in order."""
        return [each.message for each in self.frames if each.direction == direction]

    @property
    def hello(self) -> Hello:
        """How it began."""
        first = self.frames[0].message
        assert isinstance(first, Hello)
        return first

    @property
    def welcome(self) -> Welcome:
        """What the hub answered."""
        answer = self.frames[1].message
        assert isinstance(answer, Welcome)
        return answer

    @property
    def pushed(self) -> list[Entry]:
        """The changes the edge sent."""
        return [each for sealed in self._batches("up") for each in decode_entries(unseal(sealed))]

    @property
    def pulls(self) -> list[Pull]:
        """The pulls the hub sent."""
        return [decode_pull(unseal(sealed)) for sealed in self._batches("down")]

    def _batches(self, direction: str) -> list[bytes]:
        whole: list[bytes] = []
        receiving: Receiving | None = None
        for message in self.messages(direction):
            if isinstance(message, Batch):
                receiving = Receiving(message, None)
            if isinstance(message, Batch | Chunk) and receiving is not None:
                receiving.add(message.offset, message.piece)
                if receiving.complete:
                    whole.append(receiving.sealed())
        return whole


def recordings(release: str) -> dict[str, Recording]:
    """The streams of a release, by name; of an exchange of several streams the later ones have a number."""
    found = {}
    for path in sorted((FOLDER / release).glob("*.jsonl.gz")):
        streams: dict[int, list[Recorded]] = {}
        for line in gzip.decompress(path.read_bytes()).splitlines():
            stream, direction, raw = json.loads(line)
            streams.setdefault(stream, []).append(Recorded(direction, base64.b64decode(raw)))
        for number, frames in streams.items():
            name = path.name.removesuffix(".jsonl.gz") + (f" {number}" if number else "")
            found[name] = Recording(name, tuple(frames))
    return found


def unpacked(release: str, name: str) -> bytes:
    """A file of the recording."""
    return gzip.decompress((FOLDER / release / f"{name}.gz").read_bytes())
