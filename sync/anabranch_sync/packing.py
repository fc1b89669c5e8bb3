"""Bytes that are not believed: bounded msgpack, zstd and deflate. All decoding of them is here.

msgpack's own limits are not enough: a map may repeat a key (the last wins silently), extension types
become Python objects, and a timestamp extension can raise OverflowError. zstandard ignores
`max_output_size` when the frame declares its size (an 8 KB frame gave 256 MB), so expansion streams
with a cap and a bound on the window.
"""

import io
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import msgpack
import zstandard

from anabranch_sync.errors import CorruptFrame, FrameTooLarge

# What one body may expand to. The largest honest one is the first pull of a large scope. As objects a
# body of ill will takes up to 75 times its bytes (measured): pushes are bounded tighter in `push_body`,
# pulls come from the authenticated hub and wait for the planner's parts.
RAW_BYTES_MAX = 32 * 1024 * 1024
# The window of level 19, which no honest sender exceeds.
WINDOW_BYTES_MAX = 8 * 1024 * 1024
# Measured on 1,000 catalogue documents: see docs/decisions/0006.
LEVEL_LARGE, LEVEL_SMALL, LEVEL_STORED = 12, 19, 5
# A part of a snapshot is made once for many: the workload takes 386 kB in place of LEVEL_LARGE's 425, and
# 0.37 s in place of 0.06. Levels beyond find no more.
LEVEL_KEPT = 16
# With a prefix of 1 KiB before 120 bytes: 35 of them are left, 38 at level 19 (docs/decisions/0027).
LEVEL_PREFIXED = 9
# Behind a prefix, a short body takes 10 bytes less as a bare block of deflate than as a frame of zstd, whose
# heads and tables they are, one of 3 KiB 3 % less, one of this length as much (docs/decisions/0027).
DEFLATED_BYTES_MAX = 8 * 1024
# Below this, the best level costs under 5 ms.
SMALL_BYTES = 64 * 1024
# Under about this, zstd's own header eats what it saves.
COMPRESSIBLE_BYTES_MIN = 48

# What msgpack raises for bytes that are not its own; MemoryError for lengths nobody can hold.
_UNPACK_ERRORS = (ValueError, TypeError, OverflowError, MemoryError, RecursionError, msgpack.UnpackException)
_TEXT = frozenset({str})
_RAW, _ZSTD, _PREFIXED, _DEFLATED = 0, 1, 2, 3
# No zlib header, and the largest window.
_DEFLATE_WBITS = -15
# Of 7 bits each: 64 bits of a number fit.
_VARINT_BYTES_MAX = 10
# Against accidents.
_MARK_BYTES = 8


def unpack(body: bytes) -> Any:
    """Decode one msgpack value that fills `body` exactly. Raises CorruptFrame."""
    try:
        return msgpack.unpackb(body, object_pairs_hook=_distinct, strict_map_key=True, max_ext_len=0)
    except _UNPACK_ERRORS as error:
        raise CorruptFrame(f"malformed msgpack: {error or type(error).__name__}") from error


class Dictionary:
    """A prefix of many bodies, made ready once for all of them. Safe for several threads.

    `mark` tells it from others, `idle` are what expands bodies behind it and is in no one's hands.
    """

    def __init__(self, content: bytes) -> None:
        self.mark = blake2b(content, digest_size=_MARK_BYTES).digest()
        self.ready = _raw_content(content)
        self.ready.precompute_compress(level=LEVEL_PREFIXED)
        self.idle: list[zstandard.ZstdDecompressor] = []

    def __len__(self) -> int:
        return len(self.ready)


@dataclass(frozen=True, slots=True)
class Packed:
    """A body, and the same sealed for a link."""

    body: bytes
    sealed: bytes


def pack(body: bytes) -> Packed:
    """`body`, sealed for a link."""
    return Packed(body, seal(body))


def seal(body: bytes, level: int | None = None, dictionary: Dictionary | None = None) -> bytes:
    """`body` behind a codec byte: raw, or zstd with its length in front, whichever is smaller.

    Without a `level`, the one for a link: a store takes LEVEL_STORED, an eighth of the time for 1 % more.
    Behind a `dictionary`, which has a level of its own, all are smaller.
    """
    raw = bytes([_RAW]) + body
    if len(body) < COMPRESSIBLE_BYTES_MIN:
        return raw
    if dictionary is not None:
        return seal_behind(body, dictionary)
    if level is None:
        level = LEVEL_SMALL if len(body) <= SMALL_BYTES else LEVEL_LARGE
    return min(raw, bytes([_ZSTD]) + varint(len(body)) + _compressed(body, level, b""), key=len)


def seal_behind(body: bytes, prefix: bytes | Dictionary) -> bytes:
    """`body` behind a codec byte: raw, or behind what its reader has too and may look like it.

    Whichever is smaller. `prefix` is not empty.
    """
    raw = bytes([_RAW]) + body
    if len(body) <= DEFLATED_BYTES_MAX and not isinstance(prefix, Dictionary):
        behind = bytes([_DEFLATED]) + _deflated(body, prefix)
    else:
        behind = bytes([_PREFIXED]) + varint(len(body)) + _compressed(body, LEVEL_PREFIXED, prefix)
    return min(raw, behind, key=len)


def unseal(sealed: bytes, limit_bytes: int = RAW_BYTES_MAX, prefix: bytes | Dictionary = b"") -> bytes:
    """The body of `seal`'s bytes. Raises CorruptFrame, FrameTooLarge before it is expanded."""
    if not sealed:
        raise CorruptFrame("no codec")
    codec = sealed[0]
    if codec == _RAW:
        if len(sealed) - 1 > limit_bytes:
            raise FrameTooLarge("body", len(sealed) - 1, limit_bytes)
        return sealed[1:]
    if codec == _DEFLATED and not isinstance(prefix, Dictionary):
        return _inflated(sealed[1:], min(limit_bytes, DEFLATED_BYTES_MAX), prefix)
    if codec not in (_ZSTD, _PREFIXED):
        raise CorruptFrame(f"unknown codec {codec}")
    size, start = read_varint(sealed, 1)
    if size > limit_bytes:
        raise FrameTooLarge("expanded body", size, limit_bytes)
    behind = prefix if codec == _PREFIXED else b""
    try:
        with (
            _decompressor(behind) as decompressor,
            decompressor.stream_reader(io.BytesIO(sealed[start:])) as reader,
        ):
            body = reader.read(size + 1)
    except (zstandard.ZstdError, MemoryError) as error:
        raise CorruptFrame(f"zstd: {error}") from error
    if len(body) != size:
        raise CorruptFrame(f"expands to other than the {size} bytes it declares")
    return bytes(body)


def is_prefixed(sealed: bytes) -> bool:
    """Whether these bytes can be read with their prefix alone."""
    return sealed[:1] in (bytes([_PREFIXED]), bytes([_DEFLATED]))


def _deflated(body: bytes, prefix: bytes) -> bytes:
    deflating = zlib.compressobj(zlib.Z_BEST_COMPRESSION, wbits=_DEFLATE_WBITS, zdict=prefix)
    return deflating.compress(body) + deflating.flush()


def _inflated(deflated: bytes, limit_bytes: int, prefix: bytes) -> bytes:
    """The body of `_deflated`. It says no length, so this bounds it. Raises CorruptFrame, FrameTooLarge."""
    inflating = zlib.decompressobj(_DEFLATE_WBITS, zdict=prefix)
    try:
        body = inflating.decompress(deflated, limit_bytes + 1)
    except zlib.error as error:
        raise CorruptFrame(f"deflate: {error}") from error
    if len(body) > limit_bytes:
        raise FrameTooLarge("expanded body", len(body), limit_bytes)
    if not inflating.eof or inflating.unused_data:
        raise CorruptFrame("deflate: it does not end where its bytes do")
    return body


def _compressed(body: bytes, level: int, prefix: bytes | Dictionary) -> bytes:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=len(prefix) + len(body),
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        write_content_size=False,
        write_checksum=False,
    )
    compressor = zstandard.ZstdCompressor(compression_params=parameters, dict_data=_known(prefix))
    return compressor.compress(body)


@contextmanager
def _decompressor(prefix: bytes | Dictionary) -> Iterator[zstandard.ZstdDecompressor]:
    """One for the block alone. A dictionary's are kept: making one takes as long as five documents."""
    idle = prefix.idle if isinstance(prefix, Dictionary) else []
    try:
        decompressor = idle.pop()
    except IndexError:
        decompressor = zstandard.ZstdDecompressor(
            dict_data=_known(prefix),
            max_window_size=WINDOW_BYTES_MAX,
            format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        )
    yield decompressor
    idle.append(decompressor)


def _known(prefix: bytes | Dictionary) -> zstandard.ZstdCompressionDict | None:
    if isinstance(prefix, Dictionary):
        return prefix.ready
    return _raw_content(prefix) if prefix else None


def _raw_content(prefix: bytes) -> zstandard.ZstdCompressionDict:
    """Bytes as they are, also where they begin as a trained dictionary would."""
    return zstandard.ZstdCompressionDict(prefix, dict_type=zstandard.DICT_TYPE_RAWCONTENT)


def varint(number: int) -> bytes:
    """A natural number, 7 bits a byte, low bits first (LEB128)."""
    result = bytearray()
    while number > 0x7F:
        result.append(number & 0x7F | 0x80)
        number >>= 7
    result.append(number)
    return bytes(result)


def read_varint(body: bytes, start: int) -> tuple[int, int]:
    """The number at `start` and the position after it. Raises CorruptFrame."""
    number = 0
    for count in range(_VARINT_BYTES_MAX):
        if start + count >= len(body):
            break
        byte = body[start + count]
        number |= (byte & 0x7F) << (7 * count)
        if byte < 0x80:
            return number, start + count + 1
    raise CorruptFrame("unfinished number")


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a map repeats a key")
    if not _TEXT.issuperset(map(type, result)):
        raise ValueError("a map has a key that is not a string")
    return result
