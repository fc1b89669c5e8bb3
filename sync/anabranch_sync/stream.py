"""One direction each of a stream: messages to numbered frames and back."""

from dataclasses import dataclass

from anabranch_sync import frame
from anabranch_sync.errors import ProtocolViolation
from anabranch_sync.frame import Frame
from anabranch_sync.messages import Message, decode_message, encode_message


@dataclass(frozen=True, slots=True)
class Send:
    """An effect of either session: put this frame on the wire."""

    frame: bytes


class Stream:
    """Numbers what goes out and checks the numbers of what comes in."""

    def __init__(self) -> None:
        self._sent = 0
        self._received = 0

    def frame(self, message: Message) -> bytes:
        """The next outgoing frame."""
        self._sent += 1
        kind, body = encode_message(message)
        return frame.encode(Frame(kind, self._sent, body))

    def message(self, raw: bytes) -> Message | None:
        """The message of an incoming frame; None for a repeated one or an unknown type.

        Raises CorruptFrame, FrameTooLarge, ProtocolViolation.
        """
        incoming = frame.decode(raw)
        if incoming.stream_seq <= self._received:
            return None
        if incoming.stream_seq != self._received + 1:
            raise ProtocolViolation(
                f"frame {incoming.stream_seq} after {self._received}: something was lost between"
            )
        self._received = incoming.stream_seq
        return decode_message(incoming.kind, incoming.body)
