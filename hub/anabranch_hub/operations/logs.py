"""Logs are events with fields, one line each on standard error.

::

    text   09:12:44 warning: server restarted server=postgres restarts=1
    json   {"at": "2026-11-05T09:12:44.031Z", "level": "warning", "event": "server restarted",
            "logger": "anabranch_hub.servers.supervise", "server": "postgres", "restarts": 1}

Fields come through `extra`. They name things; a configuration value or a secret is never one of them.
What is not printable is escaped in both formats, so that an edge's name or a library's message can
neither forge a second line nor drive a terminal.
"""

import json
import logging
import sys
import time
from enum import StrEnum
from typing import TextIO

# What every LogRecord has; whatever else it carries was given as `extra`.
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

# A field is a name or a reason; a library that puts a page there must not fill the disk with it.
FIELD_CHARS_MAX = 1_000


class LogFormat(StrEnum):
    """How a line looks."""

    TEXT = "text"
    JSON = "json"


def configure(log_format: LogFormat, *, verbose: bool, stream: TextIO | None = None) -> None:
    """Send the log to `stream` (standard error by default); replaces what was configured before."""
    writer = logging.StreamHandler(sys.stderr if stream is None else stream)
    writer.setFormatter(JsonLines() if log_format is LogFormat.JSON else TextLines())
    root = logging.getLogger()
    root.handlers[:] = [writer]
    root.setLevel(logging.WARNING)
    logging.getLogger("anabranch_hub").setLevel(logging.DEBUG if verbose else logging.INFO)


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "at": f"{seconds}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "event": record.getMessage()[:FIELD_CHARS_MAX],
            "logger": record.name,
            **_fields(record),
        }
        return json.dumps(line)  # ASCII only: nothing in it can drive a terminal


class TextLines(logging.Formatter):
    """A line for a person."""

    def format(self, record: logging.LogRecord) -> str:
        fields = "".join(f" {name}={_shown(value)}" for name, value in _fields(record).items())
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        level = "" if record.levelno == logging.INFO else f"{record.levelname.lower()}: "
        return f"{clock} {level}{_printable(record.getMessage()[:FIELD_CHARS_MAX])}{fields}"


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """The record's own fields, and the kind and place of an exception: its frames, never its values."""
    fields: dict[str, object] = {
        name: value if isinstance(value, int | float) or value is None else str(value)[:FIELD_CHARS_MAX]
        for name, value in vars(record).items()
        if name not in _STANDARD
    }
    if record.exc_info and record.exc_info[0] is not None:
        fields["error"] = record.exc_info[0].__name__
        trace = record.exc_info[2]
        places = []
        while trace is not None:
            places.append(f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}")
            trace = trace.tb_next
        fields["places"] = " > ".join(places)[-FIELD_CHARS_MAX:]
    return fields


def _shown(value: object) -> str:
    text = _printable(str(value))
    return text if text and " " not in text else json.dumps(text, ensure_ascii=False)


def _printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode("ascii") for each in text
    )
