"""How the command line fails: one clear line on standard error and a documented exit code.

::

    HubError (of anabranch_hub.errors)
    ├── UnusableInput   2   a file, a folder or standard input that a command was told to read
    ├── NotFound        3   no such document, value, edge or ledger row
    └── Precondition    5   the document is not as the caller said it was
"""

import json
import os
import sys
import tempfile
import traceback
from enum import IntEnum
from pathlib import Path

import click
from anabranch_sync.errors import AnabranchError
from anabranch_sync.violation import Violation

from anabranch_hub.cli import terminal
from anabranch_hub.errors import HubError


class ExitCode(IntEnum):
    """What the process says to its caller; docs/operator-guide.md lists the causes."""

    OK = 0
    OTHER = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    CONFLICT = 5
    UNREACHABLE = 7
    UNVERIFIED = 8
    INTERRUPTED = 130
    # As a shell reports a process that SIGPIPE ended, which is what other tools die of here.
    BROKEN_PIPE = 141


class UnusableInput(HubError):
    """Something a command was told to read and cannot use: missing, too large, not what it should be."""

    exit_code = ExitCode.USAGE

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self.reason = reason
        super().__init__(f"cannot use {source}: {reason}")


class NotFound(HubError):
    """What was asked for does not exist."""

    exit_code = ExitCode.NOT_FOUND

    def __init__(self, what: str, way_out: str) -> None:
        self.what = what
        super().__init__(f"{what} does not exist: {way_out}")


class Precondition(HubError):
    """Something is not as the caller said it was; nothing was changed."""

    exit_code = ExitCode.CONFLICT


def report(error: BaseException, *, as_json: bool, debug: bool) -> int:
    """Tell the operator about `error` in one line (or one JSON object) and return the exit code."""
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        terminal.say(error.format_message())
        return ExitCode.USAGE
    if isinstance(error, BrokenPipeError):
        _discard_output()
        return ExitCode.BROKEN_PIPE
    if debug:
        traceback.print_exception(error)
    message, code, facts = _described(error, debug=debug)
    if as_json:
        kind = "Interrupted" if code == ExitCode.INTERRUPTED else type(error).__name__
        body = {"kind": kind, "message": message, "exit_code": int(code), "facts": facts}
        terminal.say(json.dumps({"error": body}))
    else:
        terminal.say(f"{terminal.painted('anabranch-hub:', 'red', sys.stderr)} {terminal.one_line(message)}")
    return code


def _described(error: BaseException, *, debug: bool) -> tuple[str, int, dict[str, object]]:
    match error:
        case HubError() | AnabranchError():
            return str(error), error.exit_code, _facts(error)
        case click.UsageError():
            way_out = f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""
            return error.format_message().rstrip(".") + way_out, ExitCode.USAGE, {}
        case click.ClickException():
            return error.format_message(), ExitCode.OTHER, {}
        case KeyboardInterrupt() | click.Abort():
            return "interrupted: nothing is half done", ExitCode.INTERRUPTED, {}
        case OSError():
            return _os_line(error), ExitCode.OTHER, {"errno": error.errno}
        case BaseExceptionGroup() if len(error.exceptions) == 1:
            return _described(error.exceptions[0], debug=debug)
        case _:
            return _unexpected_line(error, debug=debug), ExitCode.OTHER, {}


def _facts(error: HubError | AnabranchError) -> dict[str, object]:
    """The error's attributes, those that JSON has words for."""
    return {name: _plain(value) for name, value in vars(error).items() if not name.startswith("_")}


def _plain(value: object) -> object:
    if isinstance(value, Violation):
        return value.facts()
    if isinstance(value, tuple) and value and isinstance(value[0], Violation):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _os_line(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _unexpected_line(error: BaseException, *, debug: bool) -> str:
    what = f"unexpected {type(error).__name__}: this is a defect of anabranch, nothing is half done"
    if debug:
        return what
    kept = _kept(error)
    where = f"details are in {kept}" if kept is not None else "run it again with --debug to see where"
    return f"{what}; {where}"


def _kept(error: BaseException) -> Path | None:
    """Write the traceback to a new file of its owner's; None where that fails."""
    try:
        handle, name = tempfile.mkstemp(prefix="anabranch-hub-", suffix=".log")  # 0600 by itself
        with os.fdopen(handle, "w", encoding="utf-8") as log:
            log.writelines(traceback.format_exception(error))
    except OSError:
        return None
    return Path(name)


def _discard_output() -> None:
    """Point standard output at nothing, so that the interpreter's last flush meets no closed pipe."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        pass  # no real standard output: nothing is left to flush
    finally:
        os.close(nothing)
