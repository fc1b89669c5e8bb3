"""The program: its commands, each imported only when it is called, and its way out."""

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from anabranch.cli import failure, terminal
from anabranch.cli.invocation import common_options, is_debugging, is_flag_given

# The variable by which the scripts of `completion` ask; click derives the same from the name.
COMPLETION_VARIABLE = "_ANABRANCH_COMPLETE"

_MODULES = {
    "init": "linking",
    "get": "reading",
    "set": "writing",
    "patch": "writing",
    "delete": "writing",
    "list": "reading",
    "import": "moving",
    "export": "moving",
    "log": "reading",
    "diff": "past",
    "rollback": "past",
    "status": "looking",
    "incidents": "looking",
    "sync": "linking",
    "agent": "linking",
    "link": "link",
    "traffic": "link",
    "courier": "courier",
    "relay": "relaying",
    "subscribe": "subscribing",
    "watch": "reading",
    "conflicts": "conflicts",
    "audit": "audit",
    "doctor": "doctor",
    "version": "about",
    "completion": "about",
}


class _Program(click.Group):
    """A group whose commands are named here and live in modules of their own."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = _MODULES.get(cmd_name)
        if module is None:
            return None
        commands: dict[str, click.Command] = import_module(f"anabranch.cli.{module}").COMMANDS
        return commands[cmd_name]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in _MODULES:
            from difflib import get_close_matches

            close = get_close_matches(args[0], _MODULES, n=1)
            meant = f": did you mean {close[0]}?" if close else ""
            ctx.fail(f"there is no command {terminal.one_line(args[0])!r}{meant}")
        return super().resolve_command(ctx, args)


program = _Program(
    "anabranch",
    params=common_options(with_variables=True),
    help="""Configuration that is written offline for weeks and merged, explained, when the link is back.

    Every command works on this machine's replica; only init, sync and agent need the hub.""",
    epilog="Exit codes: 0 ok, also offline; 1 other; 2 usage; 3 not found; 4 denied; 5 conflict or "
    "precondition; 6 not acknowledged; 7 nothing cached and unreachable; "
    "8 verification failed; 9 wiped by the hub; 130 interrupted.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line to its exit code. No exception leaves it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        terminal.prepare_streams()
        asked = os.environ.get(COMPLETION_VARIABLE)
        if asked:
            return _complete(asked)
        # Not `program.main`: it would answer Ctrl-C and a closed pipe in its own way.
        with program.make_context("anabranch", given) as context:
            program.invoke(context)
        terminal.flush()
    except BaseException as error:  # noqa: BLE001 - the top of the process: nothing may pass it
        as_json = is_flag_given(given, "--json")
        return failure.report(error, as_json=as_json, debug=is_debugging(given))
    return failure.ExitCode.OK


def _complete(asked: str) -> int:
    """Answer a shell that asks for completions."""
    from click.shell_completion import shell_complete

    code = shell_complete(program, {}, "anabranch", COMPLETION_VARIABLE, asked)
    terminal.flush()
    return code
