"""One direction each of a stream: messages to numbered frames and back."""

from dataclasses import dataclass

from anabranch_sync import frame
from anabranch_sync.context import Context
from anabranch_sync.errors import ProtocolViolation
from anabranch_sync.frame import Frame
from anabranch_sync.messages import Message, decode_message, encode_message
from anabranch_sync.pacing import NOTHING_LEARNED, Pacing


@dataclass(frozen=True, slots=True)
class Send:
    """An effect of either session: put this frame on the wire."""

    frame: bytes


class Stream:
    """Numbers what goes out and checks the numbers of what comes in.

    `learned` is what was known of the link before this stream. `said` and `heard` are what both ends have of
    its two directions.
    """

    def __init__(self, learned: Pacing = NOTHING_LEARNED) -> None:
        self.learned = learned
        self.said = Context()
        self.heard = Context()
        self._sent = 0
        self._received = 0
        self._bytes = 0

    @property
    def pacing(self) -> Pacing:
        """What is known of the link, this stream included."""
        return self.learned.passed(self._bytes)

    def frame(self, message: Message) -> bytes:
        """The next outgoing frame."""
        self._sent += 1
        kind, body = encode_message(message)
        raw = frame.encode(Frame(kind, self._sent, body))
        self._bytes += len(raw)
        return raw

    def message(self, raw: bytes) -> Message | None:
        """The message of an incoming frame; None for a repeated one or an unknown type.

        Raises CorruptFrame, FrameTooLarge, ProtocolViolation.
        """
        incoming = frame.decode(raw)
        self._bytes += len(raw)
        if incoming.stream_seq <= self._received:
            return None
        if incoming.stream_seq != self._received + 1:
            raise ProtocolViolation(
                f"frame {incoming.stream_seq} after {self._received}: something was lost between"
            )
        self._received = incoming.stream_seq
        return decode_message(incoming.kind, incoming.body)
