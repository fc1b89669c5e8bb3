"""Logs: events with fields, one line each, nothing in them that could drive a terminal."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
from anabranch_hub.operations.logs import FIELD_CHARS_MAX, LogFormat, configure

log = logging.getLogger("anabranch_hub.tests")


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level, ours = root.handlers[:], root.level, logging.getLogger("anabranch_hub").level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("anabranch_hub").setLevel(ours)


def written(log_format: LogFormat, *, verbose: bool = False) -> io.StringIO:
    stream = io.StringIO()
    configure(log_format, verbose=verbose, stream=stream)
    return stream


def test_an_event_is_one_json_object_with_its_fields() -> None:
    stream = written(LogFormat.JSON)

    log.warning("server restarted", extra={"server": "postgres", "restarts": 1})

    event = json.loads(stream.getvalue())
    assert event.pop("at").endswith("Z")
    assert event == {
        "level": "warning",
        "event": "server restarted",
        "logger": "anabranch_hub.tests",
        "server": "postgres",
        "restarts": 1,
    }


def test_an_event_is_one_line_for_a_person() -> None:
    stream = written(LogFormat.TEXT)

    log.info("exchange finished", extra={"edge": "store-1", "reason": "the link broke"})

    assert stream.getvalue().split(" ", 1)[1] == ('exchange finished edge=store-1 reason="the link broke"\n')


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_no_field_forges_a_line_or_drives_a_terminal(log_format: LogFormat) -> None:
    stream = written(log_format)

    log.info("edge \x1b[31m refused\n12:00:00 all is well", extra={"edge": "a\r\nb\u202e"})

    (line,) = stream.getvalue().splitlines()
    assert line.isprintable()


@pytest.mark.parametrize("log_format", list(LogFormat))
def test_an_exception_shows_its_places_and_never_its_values(log_format: LogFormat) -> None:
    stream = written(log_format)
    try:
        raise ValueError("password geheim")
    except ValueError:
        log.exception("health check failed")

    assert "ValueError" in stream.getvalue()
    assert "test_an_exception_shows_its_places" in stream.getvalue()
    assert "geheim" not in stream.getvalue()
    assert len(stream.getvalue().splitlines()) == 1


def test_a_long_field_is_cut() -> None:
    stream = written(LogFormat.JSON)
    log.info("x", extra={"reason": "y" * FIELD_CHARS_MAX * 2})
    assert len(json.loads(stream.getvalue())["reason"]) == FIELD_CHARS_MAX


def test_details_come_only_when_asked_for_and_libraries_only_when_they_warn() -> None:
    for verbose, lines in ((False, ["asked"]), (True, ["detail", "asked"])):
        stream = written(LogFormat.JSON, verbose=verbose)
        log.debug("detail")
        log.info("asked")
        logging.getLogger("httpx").info("GET /")
        assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == lines
