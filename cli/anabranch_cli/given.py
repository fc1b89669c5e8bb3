"""Values and texts that the user gives: on the command line, in a file, on standard input.

The rule for a VALUE, in the order in which it is applied:

- ``-`` is the text of standard input and ``@FILE`` that of a file; it must be JSON;
- a text that begins like JSON (``{ [ "``, a digit or a sign) or is one of its words in any spelling
  (``True``, ``NaN``) must be JSON: it is refused otherwise, so that a slip is never stored as text;
- any other text is a string: ``gpt-4o`` is ``"gpt-4o"``.

With `as_text` the text is a string as it is, wherever it comes from.
"""

import re
import sys
from pathlib import Path

from anabranch_sync.errors import InvalidValue
from anabranch_sync.value import Json, check, parse_json

from anabranch_cli.failure import UnusableInput

# A document has at most 256 KiB of content; escaped as \uXXXX it takes six times as many bytes of
# text, and indentation a part of that again.
VALUE_BYTES_MAX = 4 * 1024 * 1024
# Some 30,000 documents of 2 KB; parsed, they take about ten times as much memory. A directory has no
# such limit, as its files are read one by one.
IMPORT_BYTES_MAX = 64 * 1024 * 1024

_LIKE_JSON = re.compile(r"""[{\["0-9+.-]|(true|false|null|none|nan|inf|infinity)$""", re.IGNORECASE)


def given_value(given: str, *, as_text: bool) -> Json:
    """The JSON value of a VALUE argument. Raises InvalidValue, UnusableInput."""
    source = _source(given)
    text = given if source is None else read_text(source, VALUE_BYTES_MAX)
    if as_text:
        return check(text)
    if source is None and text and not _LIKE_JSON.match(text):
        return check(text)
    try:
        return parse_json(text)
    except InvalidValue as error:
        if error.reason.startswith("not JSON"):
            raise InvalidValue(error.place, f"{error.reason}; to store it as text: --string") from error
        raise


def given_json(source: str, bytes_max: int) -> Json:
    """The JSON in the file `source` or, for ``-``, on standard input. Raises InvalidValue, UnusableInput."""
    return parse_json(read_text(source, bytes_max))


def read_text(source: str, bytes_max: int) -> str:
    """The UTF-8 text of the file `source` or, for ``-``, of standard input. Raises UnusableInput."""
    name = "standard input" if source == "-" else source
    try:
        content = _read(source, bytes_max + 1)
    except OSError as error:
        raise UnusableInput(name, error.strerror or str(error)) from error
    if len(content) > bytes_max:
        raise UnusableInput(name, f"more than {bytes_max} bytes, which is the limit")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnusableInput(name, f"not UTF-8 at byte {error.start}") from error


def _source(given: str) -> str | None:
    """Where a VALUE says its text is; None when it is the text itself."""
    if given == "-":
        return "-"
    return given[1:] if given.startswith("@") and len(given) > 1 else None


def _read(source: str, limit: int) -> bytes:
    if source == "-":
        return b"" if sys.stdin is None else sys.stdin.buffer.read(limit)
    with Path(source).open("rb") as file:
        return file.read(limit)
