"""What a person or a program sees: data on standard output, everything else on standard error.

Values come from other people's machines. Whatever is not printable in them is written as an escape,
so that a value can never move the cursor, change colours or set a title in somebody's terminal. In
JSON that escape is JSON's own, and the text stays equal to the value.
"""

import contextlib
import os
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, TextIO

from anabranch_sync.value import Json, render_json

_COLOURS = {"red": "31", "green": "32", "yellow": "33", "cyan": "36", "dim": "2", "bold": "1"}


def prepare_streams() -> None:
    """Write UTF-8 where a program reads, and never fail to write a character where a person does."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(encoding=None if is_terminal(stream) else "utf-8", errors="backslashreplace")


def write(text: str = "") -> None:
    """Write a line of data to standard output."""
    if sys.stdout is not None:
        sys.stdout.write(text + "\n")


def write_json(value: Any, *, indent: int | None = 2) -> None:
    """Write one JSON value to standard output."""
    write(json_text(value, indent=indent))


def flush() -> None:
    """Hand everything written so far to the reader. Raises OSError (BrokenPipeError: nobody reads)."""
    if sys.stdout is not None:
        sys.stdout.flush()


def say(text: str) -> None:
    """Write a line to standard error; a closed one loses it silently, as nobody is left to tell."""
    with contextlib.suppress(OSError):  # in the order of writing, where both go to one place
        flush()
    if sys.stderr is not None:
        with contextlib.suppress(OSError):
            sys.stderr.write(text + "\n")
            sys.stderr.flush()


class Progress:
    """One line on standard error that is written over; only where a person looks.

    Use it as a context manager: the line is gone afterwards.
    """

    # Ten a second look continuous; more only costs the terminal's time.
    REDRAW_S = 0.1

    def __init__(self, *, shown: bool = True) -> None:
        self._shown = shown and is_terminal(sys.stderr)
        self._drawn_s = float("-inf")

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            self._draw("")

    def tell(self, text: str) -> None:
        """Show `text` unless another was shown a moment ago."""
        now_s = time.monotonic()
        if self._shown and now_s - self._drawn_s >= self.REDRAW_S:
            self._drawn_s = now_s
            self._draw(one_line(text)[: width() - 1])

    def _draw(self, text: str) -> None:
        with contextlib.suppress(OSError):
            sys.stderr.write(f"\r{text}\x1b[K")
            sys.stderr.flush()


def width() -> int:
    """How many characters a line of the terminal holds."""
    from shutil import get_terminal_size  # 3 ms that most commands need not pay

    return get_terminal_size().columns


def json_text(value: Json, *, indent: int | None = None) -> str:
    """JSON text of `value`, equal to it, with every character a terminal might obey escaped."""
    return json_escaped(render_json(value, indent=indent))


def json_escaped(text: str) -> str:
    """JSON text with every character a terminal might obey as an escape of JSON's own."""
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(each if each == "\n" or each.isprintable() else _json_escape(each) for each in text)


def one_line(text: str) -> str:
    """`text` as a person may see it on one line: what is not printable is shown as an escape."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else _escape(each) for each in text)


def printable(text: str) -> str:
    """`text` as a person may see it, its line breaks kept."""
    return "\n".join(one_line(line) for line in text.split("\n"))


def shortened(text: str, chars_max: int) -> str:
    """`text` cut to a cell of a table, the cut shown."""
    return text if len(text) <= chars_max else text[: chars_max - 1] + "…"


def is_terminal(stream: TextIO | None) -> bool:
    """Whether a person looks at `stream`."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def painted(text: str, colour: str, stream: TextIO | None = None) -> str:
    """`text` in `colour` if `stream` (standard output by default) is a terminal that wants colours."""
    stream = sys.stdout if stream is None else stream
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not is_terminal(stream)
    return text if plain else f"\x1b[{_COLOURS[colour]}m{text}\x1b[0m"


def columns(rows: Sequence[Sequence[str]], *, heading: Sequence[str] = ()) -> list[str]:
    """The rows as aligned lines; the last column is not padded. Cells are made safe to show."""
    safe = [[one_line(cell) for cell in row] for row in (*([heading] if heading else []), *rows)]
    widths = [max(map(len, column)) for column in zip(*safe, strict=True)]
    lines = [
        "  ".join(
            [cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)] + [row[-1]]
        ).rstrip()
        for row in safe
    ]
    if heading:
        lines[0] = painted(lines[0], "dim")
    return lines


def duration(seconds: float) -> str:
    """A length of time in its two most telling units: ``3 s``, ``5 min``, ``2 h 10 min``, ``12 d 4 h``."""
    whole = max(0, round(seconds))
    for unit_s, unit, lesser_s, lesser in ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "min")):
        if whole >= unit_s:
            rest = whole % unit_s // lesser_s
            return f"{whole // unit_s} {unit}" + (f" {rest} {lesser}" if rest else "")
    return f"{whole // 60} min" if whole >= 60 else f"{whole} s"


def count(number: int, noun: str) -> str:
    """``1 document``, ``1,024 documents``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def size(size_bytes: int) -> str:
    """``512 B``, ``1.5 kB``, ``1.2 MB``, ``77.6 GB``; a kB is 1,000 bytes."""
    for unit_bytes, unit in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if size_bytes >= unit_bytes:
            return f"{size_bytes / unit_bytes:.1f} {unit}"
    return f"{size_bytes} B"


def moment(wall_ms: int) -> str:
    """Milliseconds since 1970 as ``2026-11-23T05:17:11Z``; ``-`` for 0, which is never."""
    if wall_ms == 0:
        return "-"
    try:
        return datetime.fromtimestamp(wall_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (OverflowError, ValueError, OSError):  # a writer's clock may have claimed any year
        return f"{wall_ms} ms"


def _json_escape(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
