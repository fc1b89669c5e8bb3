"""Frames: what one message looks like between the two sides.

::

    type u8 | stream_seq varint | sealed body (codec u8, ...) | crc32c u32 little-endian

`stream_seq` counts the frames of one direction of one stream from 1: a frame that comes twice is
dropped, a gap ends the stream. The checksum covers everything before it; TLS would notice damage
too, but the same frames also travel in files and through relays.
"""

from dataclasses import dataclass

import google_crc32c

from anabranch_sync.errors import CorruptFrame, FrameTooLarge
from anabranch_sync.packing import LEVEL_STORED, read_varint, seal, unseal, varint

# One chunk of the largest size and its header, with room; gRPC's own limit is set to the same.
FRAME_BYTES_MAX = 128 * 1024
# A message that is not a piece of a batch is small; its longest honest form is a Range that names documents,
# 120 KB of addresses at most.
BODY_BYTES_MAX = 256 * 1024
# What is larger carries a piece that was sealed before: the best level would look for 1 to 3 ms at what has
# nothing left to be found, this one for 20 to 40 us.
SEALED_BYTES_MIN = 4 * 1024
_CRC_BYTES = 4


@dataclass(frozen=True, slots=True)
class Frame:
    """A message's type and body, and its number in the stream."""

    kind: int
    stream_seq: int
    body: bytes


def encode(frame: Frame) -> bytes:
    """The bytes of `frame`."""
    level = LEVEL_STORED if len(frame.body) > SEALED_BYTES_MIN else None
    head = bytes([frame.kind]) + varint(frame.stream_seq) + seal(frame.body, level)
    return head + _checksum(head)


def decode(raw: bytes) -> Frame:
    """The frame of `raw`. Raises FrameTooLarge, CorruptFrame."""
    if len(raw) > FRAME_BYTES_MAX:
        raise FrameTooLarge("frame", len(raw), FRAME_BYTES_MAX)
    if len(raw) < _CRC_BYTES + 3:
        raise CorruptFrame(f"{len(raw)} bytes are no frame")
    head = raw[:-_CRC_BYTES]
    if _checksum(head) != raw[-_CRC_BYTES:]:
        raise CorruptFrame("checksum does not match")
    stream_seq, start = read_varint(head, 1)
    return Frame(head[0], stream_seq, unseal(head[start:], BODY_BYTES_MAX))


def _checksum(head: bytes) -> bytes:
    checksum: int = google_crc32c.value(head)
    return checksum.to_bytes(_CRC_BYTES, "little")
