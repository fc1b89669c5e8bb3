"""Two contents side by side, for people: what was, what is, and where.

::

    ~ /limits/requests  600 -> 800
    + /model  "gpt-4o"
    - /old  null
    ~ /teams
        - "red"
        + "blue"
    ~ /prompt
          You are a shop assistant.
          Always be [-brief-]{+kind+} to customers.

A comparison is lines of spans, each with a mark, so that a terminal can add colours; the text says
everything without them. Patches (`version.patches`) are for programs.
"""

import re
from collections.abc import Hashable, Iterator, Sequence
from enum import Enum
from typing import NamedTuple, TypeAlias, TypeVar

from anabranch_sync.matching import matched
from anabranch_sync.path import ROOT, Path, render_pointer
from anabranch_sync.value import Json, Object, canonical, render_json, same

# A string that is longer, or has several lines, is compared inside: the eye does not find one word
# in two lines of 80 characters.
INLINE_CHARS_MAX = 60
# Comparing is quadratic at worst: 2,000 by 2,000 take some tenths of a second (`matching`). Of more, only the
# common head and tail are found.
COMPARED_MAX = 2_000
# Lines around a change that stay the same are shown for orientation.
CONTEXT_LINES = 2
# Two lines that share less than this are two lines, not one that was edited.
ALIKE_RATIO = 0.5

_WORD = re.compile(r"\s+|\w+|[^\w\s]")
_INDENT = "    "
T = TypeVar("T", bound=Hashable)


class Mark(Enum):
    """What a span tells."""

    PLAIN = "plain"
    PLACE = "place"
    GONE = "gone"
    NEW = "new"


class Span(NamedTuple):
    """A piece of a line."""

    text: str
    mark: Mark = Mark.PLAIN


Line: TypeAlias = tuple[Span, ...]


def compared(before: Object | None, after: Object | None) -> list[Line]:
    """What leads from one content to the other, in the order of the paths; empty where they are equal.

    None is a document that is not there.
    """
    if before is None and after is None:
        return []
    if before is None or after is None:
        return list(_whole(before, Mark.GONE, ROOT) if after is None else _whole(after, Mark.NEW, ROOT))
    return list(_objects(before, after, ROOT))


def _objects(before: Object, after: Object, path: Path) -> Iterator[Line]:
    for key in sorted(before.keys() | after.keys()):
        inner = (*path, key)
        if key not in after:
            yield from _whole(before[key], Mark.GONE, inner)
        elif key not in before:
            yield from _whole(after[key], Mark.NEW, inner)
        elif not same(before[key], after[key]):
            yield from _changed(before[key], after[key], inner)


def _whole(value: Json, mark: Mark, path: Path) -> Iterator[Line]:
    """A value that comes or goes, a line for each leaf."""
    if isinstance(value, dict) and value:
        for key in sorted(value):
            yield from _whole(value[key], mark, (*path, key))
        return
    sign = "-" if mark is Mark.GONE else "+"
    yield (Span(f"{sign} ", mark), _place(path), Span("  "), Span(render_json(value), mark))


def _changed(old: Json, new: Json, path: Path) -> Iterator[Line]:
    heading: Line = (Span("~ "), _place(path))
    if isinstance(old, dict) and isinstance(new, dict):
        yield from _objects(old, new, path)
    elif isinstance(old, str) and isinstance(new, str) and (_is_long(old) or _is_long(new)):
        yield heading
        yield from _texts(old, new)
    elif isinstance(old, list) and isinstance(new, list) and old and new:
        yield heading
        yield from _lists(old, new)
    else:
        said = (Span(render_json(old), Mark.GONE), Span(" -> "), Span(render_json(new), Mark.NEW))
        yield (*heading, Span("  "), *said)


def _place(path: Path) -> Span:
    return Span(render_pointer(path) or "(the document)", Mark.PLACE)


def _is_long(text: str) -> bool:
    return "\n" in text or len(text) > INLINE_CHARS_MAX


def _lists(old: list[Json], new: list[Json]) -> Iterator[Line]:
    """The elements that go and come."""
    for same_ones, gone, come in _steps([canonical(each) for each in old], [canonical(each) for each in new]):
        if not same_ones:
            yield from (_line("-", render_json(each), Mark.GONE) for each in old[gone])
            yield from (_line("+", render_json(each), Mark.NEW) for each in new[come])


def _texts(old: str, new: str) -> Iterator[Line]:
    """The lines that go and come, with a few around them; lines that were edited, word by word."""
    before, after = old.split("\n"), new.split("\n")
    for is_same, gone, come in _steps(before, after):
        if is_same:
            is_first = gone.start == come.start == 0
            is_last = gone.stop == len(before) and come.stop == len(after)
            yield from _context(before[gone], is_first=is_first, is_last=is_last)
            continue
        edited = before[gone], after[come]
        if len(edited[0]) == len(edited[1]):
            for one, other in zip(*edited, strict=True):
                yield from _edited(one, other)
        else:
            yield from (_line("-", text, Mark.GONE) for text in edited[0])
            yield from (_line("+", text, Mark.NEW) for text in edited[1])


def _context(lines: Sequence[str], *, is_first: bool, is_last: bool) -> Iterator[Line]:
    head = 0 if is_first else CONTEXT_LINES
    tail = 0 if is_last else CONTEXT_LINES
    if len(lines) <= head + tail + 1:
        shown: list[str] = list(lines)
    else:
        shown = [*lines[:head], "...", *lines[len(lines) - tail :]]
    yield from (_line(" ", text, Mark.PLAIN) for text in shown)


def _edited(old: str, new: str) -> Iterator[Line]:
    before, after = _WORD.findall(old), _WORD.findall(new)
    steps = list(_steps(before, after))
    common = sum(len("".join(before[gone])) for is_same, gone, _ in steps if is_same)
    if common < ALIKE_RATIO * max(len(old), len(new)):
        yield _line("-", old, Mark.GONE)
        yield _line("+", new, Mark.NEW)
        return
    spans = [Span(f"{_INDENT}  ")]
    for is_same, gone, come in steps:
        if is_same:
            spans.append(Span("".join(before[gone])))
            continue
        if words := "".join(before[gone]):
            spans.append(Span(f"[-{words}-]", Mark.GONE))
        if words := "".join(after[come]):
            spans.append(Span(f"{{+{words}+}}", Mark.NEW))
    yield tuple(spans)


def _line(sign: str, text: str, mark: Mark) -> Line:
    return (Span(f"{_INDENT}{sign} {text}", mark),)


def _steps(before: Sequence[T], after: Sequence[T]) -> Iterator[tuple[bool, slice, slice]]:
    """Stretches of two sequences, in order: whether they are the same, and where each lies."""
    shorter = min(len(before), len(after))
    head = 0
    while head < shorter and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < shorter - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    if head:
        yield True, slice(0, head), slice(0, head)
    if len(old) <= COMPARED_MAX and len(new) <= COMPARED_MAX:
        for tag, low, high, new_low, new_high in matched(old, new):
            yield tag == "equal", slice(head + low, head + high), slice(head + new_low, head + new_high)
    elif old or new:
        yield False, slice(head, head + len(old)), slice(head, head + len(new))
    if tail:
        yield True, slice(len(before) - tail, len(before)), slice(len(after) - tail, len(after))
