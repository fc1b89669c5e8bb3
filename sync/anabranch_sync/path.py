"""Paths inside a document: tuples of object keys, JSON Pointer (RFC 6901) in text."""

import re
from typing import TypeAlias

from anabranch_sync.errors import InvalidPath
from anabranch_sync.value import DEPTH_MAX

Path: TypeAlias = tuple[str, ...]

ROOT: Path = ()

_BAD_ESCAPE = re.compile(r"~(?![01])")


def parse_pointer(pointer: str) -> Path:
    """Return the path of an RFC 6901 pointer; ``""`` is the root. Raises InvalidPath."""
    if pointer == "":
        return ROOT
    if not pointer.startswith("/"):
        raise InvalidPath(pointer, "it must start with '/', as in /limits/requests")
    if _BAD_ESCAPE.search(pointer):
        raise InvalidPath(pointer, "'~' must be written ~0 and '/' inside a key ~1")
    try:
        pointer.encode()
    except UnicodeEncodeError as error:
        raise InvalidPath(pointer, f"lone surrogate at character {error.start}") from error
    path = tuple(key.replace("~1", "/").replace("~0", "~") for key in pointer[1:].split("/"))
    if len(path) > DEPTH_MAX:
        raise InvalidPath(pointer, f"depth {len(path)}, limit {DEPTH_MAX}")
    return path


def render_pointer(path: Path) -> str:
    """Return the RFC 6901 text of `path`; the root is ``""``."""
    return "".join("/" + key.replace("~", "~0").replace("/", "~1") for key in path)
