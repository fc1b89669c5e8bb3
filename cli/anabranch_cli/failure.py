"""How a command line fails: one clear line on standard error and a documented exit code.

::

    InvalidInput (of anabranch_sync.errors)
    └── UnusableInput   a file, a directory or standard input that a command was told to read
"""

import json
import os
import sys
from enum import IntEnum
from pathlib import Path

import click
from anabranch_sync.errors import AnabranchError, InvalidInput
from anabranch_sync.violation import Violation

from anabranch_cli import terminal

# A crash file keeps the last few failures; more would only hide them.
CRASH_FILE_BYTES_MAX = 256 * 1024


class ExitCode(IntEnum):
    """What a process says to its caller; docs/edge-guide.md and docs/operator-guide.md list the causes."""

    OK = 0
    OTHER = 1
    USAGE = 2
    NOT_FOUND = 3
    DENIED = 4
    CONFLICT = 5
    NOT_ACKNOWLEDGED = 6
    UNREACHABLE = 7  # and nothing is cached, where something could be
    UNVERIFIED = 8
    WIPED = 9
    INTERRUPTED = 130
    # As a shell reports a process that SIGPIPE ended, which is what other tools die of here.
    BROKEN_PIPE = 141


class UnusableInput(InvalidInput):
    """Something a command was told to read and cannot use: missing, too large, not what it should be."""

    def __init__(self, source: str, reason: str) -> None:
        self.source = source
        self.reason = reason
        super().__init__(f"cannot use {source}: {reason}")


def report(error: BaseException, program: str, *, as_json: bool, debug: bool) -> int:
    """Tell the user of `program` about `error` in one line (or one JSON object); return the exit code."""
    try:
        terminal.flush()
    except OSError:
        _discard_output()
    if isinstance(error, click.exceptions.Exit):
        return error.exit_code
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not as_json:
        terminal.say(error.format_message())
        return ExitCode.USAGE
    if isinstance(error, BrokenPipeError):
        return ExitCode.BROKEN_PIPE
    if debug:
        from traceback import print_exception  # who meets no error need not load it

        print_exception(error)
    message, code, facts = _described(error, program, debug=debug)
    if code == ExitCode.INTERRUPTED and terminal.is_terminal(sys.stderr):
        terminal.say("")  # the terminal has written ^C on the line
    if as_json:
        kind = "Interrupted" if code == ExitCode.INTERRUPTED else type(error).__name__
        body = {"kind": kind, "message": message, "exit_code": int(code), "facts": facts}
        terminal.say(terminal.json_escaped(json.dumps({"error": body}, ensure_ascii=False)))
    else:
        name = terminal.painted(f"{program}:", "red", sys.stderr)
        terminal.say(f"{name} {terminal.one_line(message)}")
    return code


def _described(error: BaseException, program: str, *, debug: bool) -> tuple[str, int, dict[str, object]]:
    match error:
        case AnabranchError():
            notes = getattr(error, "__notes__", [])
            return "; ".join([str(error), *notes]), error.exit_code, _facts(error)
        case click.UsageError():
            is_bare = isinstance(error, click.exceptions.NoArgsIsHelpError)
            what = "a command is missing" if is_bare else error.format_message().rstrip(".")
            way_out = f" (see {error.ctx.command_path} --help)" if error.ctx is not None else ""
            return what + way_out, ExitCode.USAGE, {}
        case click.ClickException():
            return error.format_message(), ExitCode.OTHER, {}
        case KeyboardInterrupt() | click.Abort():
            return (
                "interrupted: what was answered with ok is kept, no change is half done",
                ExitCode.INTERRUPTED,
                {},
            )
        case OSError():
            return _os_line(error), ExitCode.OTHER, {"errno": error.errno}
        case BaseExceptionGroup() if len(error.exceptions) == 1:
            return _described(error.exceptions[0], program, debug=debug)
        case _:
            return _unexpected_line(error, program, debug=debug), ExitCode.OTHER, {}


def _facts(error: AnabranchError) -> dict[str, object]:
    """The error's attributes, as JSON has words for them."""
    return {name: _plain(value) for name, value in vars(error).items() if not name.startswith("_")}


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Violation):
        return value.facts()
    return [_plain(each) for each in value] if isinstance(value, tuple | list) else str(value)


def _os_line(error: OSError) -> str:
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename is not None else reason


def _unexpected_line(error: BaseException, program: str, *, debug: bool) -> str:
    what = f"unexpected {type(error).__name__}: this is a defect of anabranch, your data is as it was"
    if debug:
        return what
    kept = _kept(error, program)
    where = f"details are in {kept}" if kept is not None else "run it again with --debug to see where"
    return f"{what}; {where}"


def _kept(error: BaseException, program: str) -> Path | None:
    """Append the traceback to the crash file, readable by its owner only; None where that fails."""
    from traceback import format_exception

    from platformdirs import user_log_path

    try:
        path = user_log_path(program, ensure_exists=True) / "crash.log"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as log:
            if log.tell() > CRASH_FILE_BYTES_MAX:
                log.truncate(0)
            # Arguments may hold configuration values, so only the place is kept, not the command line.
            log.writelines(format_exception(error))
    except OSError:
        return None
    return path


def _discard_output() -> None:
    """Point standard output at nothing, so that the interpreter's last flush meets no closed pipe."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nothing, sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        pass  # no real standard output: nothing is left to flush
    finally:
        os.close(nothing)
