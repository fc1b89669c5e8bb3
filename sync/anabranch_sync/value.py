"""JSON values with their types kept exactly.

null, bool, integers of 64 bits signed, finite floats, strings without lone surrogates, lists and
objects, at most `DEPTH_MAX` deep. ``1``, ``1.0`` and ``true`` are three values. Whatever cannot be
kept exactly is refused with its place named, never rounded or repaired.

`canonical` is the one byte form of a value: msgpack with the keys of objects sorted by code point.
RFC 8785 is not used: it turns integers beyond 2**53 into an error and 1.0 into 1.
"""

import json
import math
from typing import Any, TypeAlias, TypeGuard

import msgpack

from anabranch_sync.errors import InvalidValue

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"
# What a document holds.
Object: TypeAlias = dict[str, Json]

# 64 bits with a sign: what msgpack, SQLite and Postgres have room for alike.
INT_MIN = -(2**63)
INT_MAX = 2**63 - 1
# Deep enough for any configuration seen (the deepest schema in SchemaStore has 23 levels), shallow
# enough that no recursive walk here or in a peer comes near Python's recursion limit of 1,000.
DEPTH_MAX = 64
# 2**63 has 19 digits and a sign; longer digits need no conversion to be refused (int() is quadratic).
INT_DIGITS_MAX = 20


def check(value: object, place: str = "", depth: int = 1) -> Json:
    """Return `value` as JSON, objects and lists copied.

    Raises InvalidValue naming the JSON Pointer of the first value that cannot be kept exactly.
    """
    if value is None or value is True or value is False:
        return value
    kind = type(value)
    if kind is str:
        return _checked_string(value, place)
    if kind is int:
        return _checked_int(value, place)
    if kind is float:
        return _checked_float(value, place)
    if isinstance(value, _HugeInt):
        raise InvalidValue(
            place, f"{str(value)[:24]}... has more than {INT_DIGITS_MAX} digits, limit 64 bits"
        )
    if depth > DEPTH_MAX:
        raise InvalidValue(place, f"depth {depth}, limit {DEPTH_MAX}: flatten it")
    if isinstance(value, _Pairs):
        return _checked_pairs(value, place, depth)
    if isinstance(value, list | tuple):
        return [
            item if is_exact(item) else check(item, f"{place}/{index}", depth + 1)
            for index, item in enumerate(value)
        ]
    if isinstance(value, dict):
        return {
            _checked_key(key, place): item
            if is_exact(item)
            else check(item, f"{place}/{_escaped(key)}", depth + 1)
            for key, item in value.items()
        }
    if isinstance(value, str | int | float):  # enum members, numpy-like subclasses: plain twins exist
        raise InvalidValue(place, f"{kind.__name__} is not a plain JSON type: convert it first")
    raise InvalidValue(place, f"{kind.__name__} is not JSON")


def is_exact(value: object) -> TypeGuard[Json]:
    """Whether it is a scalar that needs no second look, as most of a document: no place is named for it."""
    kind = type(value)
    if kind is str:
        return value.isascii()  # type: ignore[attr-defined, no-any-return]
    if kind is int:
        return INT_MIN <= value <= INT_MAX  # type: ignore[operator]
    return kind is bool or value is None


def parse_json(text: str | bytes) -> Json:
    """Parse strict JSON (RFC 8259) with exact types.

    Raises InvalidValue for malformed text, duplicate keys, NaN, Infinity, integers beyond 64 bits,
    numbers that overflow a float, lone surrogates and more than DEPTH_MAX levels.
    """
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InvalidValue("", f"not UTF-8 at byte {error.start}") from error
    try:
        raw = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidValue(
            "", f"not JSON: {error.msg} at line {error.lineno} column {error.colno}"
        ) from error
    except RecursionError as error:
        raise InvalidValue("", f"nested beyond {DEPTH_MAX} levels: flatten it") from error
    return check(raw)


def render_json(value: Json, *, indent: int | None = None) -> str:
    """Return `value` as JSON text, keys sorted, non-ASCII kept as it is."""
    if indent is None:
        return _ENCODER.encode(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, indent=indent)


def canonical(value: Json) -> bytes:
    """Return the one byte form of `value`: equal values, and only they, have equal bytes."""
    packed: bytes = msgpack.packb(ordered(value), use_bin_type=True)
    return packed


def ordered(value: Json) -> Json:
    """`value` with the keys of its objects sorted by code point, however deep."""
    # Most of a document are scalars: they are passed by without a call.
    if isinstance(value, dict):
        return {
            key: ordered(item) if isinstance(item := value[key], dict | list) else item
            for key in sorted(value)
        }
    if isinstance(value, list):
        return [ordered(item) if isinstance(item, dict | list) else item for item in value]
    return value


def same(one: Json, other: Json) -> bool:
    """Whether two values are equal in type and content (``1``, ``1.0`` and ``true`` are not)."""
    if one is other:
        return True
    if type(one) is not type(other):
        return False
    if isinstance(one, list | dict | float):
        return canonical(one) == canonical(other)
    return one == other


def kind(value: Json) -> str:
    """What `value` is, in the words of a message to a person."""
    if value is None:
        return "null"
    return _KINDS[type(value)]


def rank(value: Json) -> tuple[int, Any]:
    """A total order over values for the policies `max` and `min`: null, bool, number, string, rest.

    Numbers compare by value across int and float; lists and objects by their canonical bytes.
    """
    if value is None:
        return (0, 0)
    if isinstance(value, bool):
        return (1, value)
    if isinstance(value, int | float):
        return (2, value)
    if isinstance(value, str):
        return (3, value)
    return (4, canonical(value))


_KINDS: dict[type, str] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    list: "a list",
    dict: "an object",
}


class _Pairs(list[tuple[str, object]]):
    """An object as parsed, before its keys are known to be distinct."""


class _HugeInt(str):
    """Digits too long to be worth converting."""


def _parse_int(digits: str) -> object:
    return int(digits) if len(digits) <= INT_DIGITS_MAX else _HugeInt(digits)


# Made once: `json.dumps` makes one for each value, which takes as long as encoding a small one.
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
_DECODER = json.JSONDecoder(object_pairs_hook=_Pairs, parse_int=_parse_int, parse_constant=float)


def _checked_int(value: Any, place: str) -> int:
    if not INT_MIN <= value <= INT_MAX:
        raise InvalidValue(place, f"{value} is beyond 64 bits: write it as a string")
    return int(value)


def _checked_float(value: Any, place: str) -> float:
    if not math.isfinite(value):
        raise InvalidValue(place, f"{value} is not a finite number: write it as a string or null")
    return float(value)


def _checked_string(value: Any, place: str) -> str:
    if not value.isascii():
        try:
            value.encode("utf-8")
        except UnicodeEncodeError as error:
            raise InvalidValue(place, f"lone surrogate at character {error.start}") from error
    return str(value)


def _checked_key(key: object, place: str) -> str:
    if type(key) is not str:
        raise InvalidValue(place, f"object key {key!r} is not a string")
    return key if key.isascii() else _checked_string(key, f"{place}/{key!a}")


def _checked_pairs(pairs: _Pairs, place: str, depth: int) -> Json:
    result: dict[str, Json] = {}
    for key, item in pairs:
        _checked_key(key, place)
        if key in result:
            raise InvalidValue(f"{place}/{_escaped(key)}", "duplicate key: keep one of them")
        result[key] = check(item, f"{place}/{_escaped(key)}", depth + 1)
    return result


def _escaped(key: object) -> str:
    return str(key).replace("~", "~0").replace("/", "~1")
