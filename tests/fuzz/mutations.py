"""Damage to bytes: blind, as a link does it, and inside msgpack, as an enemy does it."""

import random
from collections.abc import Callable
from typing import Any

import msgpack

# What decoders are wrong about: limits, neighbours of limits, and the wrong type in every place.
ODD: tuple[object, ...] = (
    None, True, False, 0, 1, -1, 2, 63, 64, 65, 127, 128, 255, 256, 2**31, 2**32, 2**62, 2**63 - 1, 2**63,
    2**64 - 1, -(2**63), 0.0, 1.0, -1.5, float("nan"), float("inf"), "", "a", "..", "a\nb", "config", "\x00",
    b"", b"\x00", b"\xff" * 16, [], {}, [[]], [0], [0, 1], [0, 2**62], [0, 4_000_000], {"a": 1}, {"": {}},
    {"a": {"b": [1]}}, ["a"] * 70, [[[[[[[[]]]]]]]],
)  # fmt: skip


def mutated(body: bytes, rng: random.Random) -> bytes:
    """`body` with one to four pieces of damage; now and then none."""
    for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 4))):
        body = rng.choice(_DAMAGES)(body, rng)
    return body


def _flip(body: bytes, rng: random.Random) -> bytes:
    if not body:
        return body
    place = rng.randrange(len(body))
    return body[:place] + bytes([body[place] ^ 1 << rng.randrange(8)]) + body[place + 1 :]


def _overwrite(body: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(body) + 1)
    length = rng.choice((1, 1, 2, 4, 9))
    return body[:place] + rng.randbytes(length) + body[place + length :]


def _insert(body: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(body) + 1)
    return body[:place] + rng.randbytes(rng.choice((1, 2, 5))) + body[place:]


def _cut(body: bytes, rng: random.Random) -> bytes:
    place = rng.randrange(len(body) + 1)
    return body[:place] if rng.random() < 0.5 else body[:place] + body[place + rng.choice((1, 2, 8)) :]


def _repeat(body: bytes, rng: random.Random) -> bytes:
    start = rng.randrange(len(body) + 1)
    end = min(len(body), start + rng.choice((1, 4, 32)))
    return body[:end] + body[start:end] * rng.choice((1, 2, 50)) + body[end:]


def _declare(body: bytes, rng: random.Random) -> bytes:
    """A msgpack header that declares a length, sign or type of its own."""
    place = rng.randrange(len(body) + 1)
    long = (
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\x7f\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
    )
    short = (b"\xdc\xff\xff", b"\xc1", b"\xcf" + b"\xff" * 8)
    extended = (b"\xd6\xff\x00\x00\x00\x00", b"\xc7\x0c\xff" + bytes(12))
    nested = (b"\x91" * rng.choice((70, 600, 2_000)), b"\x81\xa1a" * 100)
    return body[:place] + rng.choice(long + short + extended + nested) + body[place + rng.randrange(2) :]


def _restructure(body: bytes, rng: random.Random) -> bytes:
    """Change one value anywhere inside the msgpack structure, which stays well-formed."""
    try:
        root = msgpack.unpackb(body, strict_map_key=False)
    except (ValueError, TypeError, OverflowError, RecursionError, msgpack.UnpackException):
        return _flip(body, rng)
    holder = [root]
    parent, place = _anywhere(holder, rng)
    match rng.randrange(6):
        case 0 if isinstance(parent, list) and parent is not holder:
            del parent[place]
        case 1 if isinstance(parent, list) and parent is not holder:
            parent.insert(place, parent[place])
        case 2 if isinstance(parent, list) and parent is not holder:
            parent += parent[: rng.choice((1, 5))] * rng.choice((1, 40))
        case 3 if type(parent[place]) is int:
            parent[place] += rng.choice((-2, -1, 1, 2, 1_000))
        case 4:
            other, where = _anywhere(holder, rng)
            parent[place] = other[where] if other is not holder else None
        case _:
            parent[place] = rng.choice(ODD)
    try:
        packed: bytes = msgpack.packb(holder[0])
    except (ValueError, TypeError, OverflowError, RecursionError):  # it came to contain itself, or 2**64
        return body
    return packed


def _anywhere(holder: list[Any], rng: random.Random) -> tuple[Any, Any]:
    """A place in a nested structure: the container and the index or key. Shallow places are likelier."""
    parent: Any = holder
    place: Any = 0
    while rng.random() < 0.85:
        child = parent[place]
        if not isinstance(child, list | dict) or not child:
            break
        parent = child
        place = rng.choice(list(child)) if isinstance(child, dict) else rng.randrange(len(child))
    return parent, place


_DAMAGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    _flip, _overwrite, _insert, _cut, _repeat, _declare, *(_restructure,) * 4,
)  # fmt: skip
