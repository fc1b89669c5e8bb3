"""The program: its commands, each imported only when it is called, and its way out."""

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

import click

from anabranch_hub.cli import failure, terminal
from anabranch_hub.cli.invocation import common_options, is_debugging, is_flag_given

# The variable by which a shell asks for completions.
COMPLETION_VARIABLE = "_ANABRANCH_HUB_COMPLETE"

_MODULES = {
    "serve": "serving",
    "tenant": "tenants",
    "edge": "edges",
    "operator": "operators",
    "courier": "courier",
    "get": "documents",
    "set": "documents",
    "delete": "documents",
    "list": "documents",
    "digest": "documents",
    "import": "importing",
    "export": "history",
    "log": "history",
    "blame": "history",
    "diff": "history",
    "rollback": "rollback",
    "retention": "retention",
    "trim": "trimming",
    "collect": "collecting",
    "merges": "merges",
    "audit": "audit",
    "quarantine": "quarantine",
    "restored": "restoring",
    "migrate": "upkeep",
    "doctor": "upkeep",
    "simulate": "simulating",
    "demo": "demo",
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
        commands: Mapping[str, click.Command] = import_module(f"anabranch_hub.cli.{module}").COMMANDS
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
    "anabranch-hub",
    params=common_options(),
    help="""The hub of anabranch: where the offline writes of many edges meet, are merged and explained.

    serve runs a hub; the other commands work on the hub that runs on --data-dir.""",
    epilog="Exit codes: 0 ok; 1 other; 2 usage; 3 not found; 4 denied; 5 conflict or precondition; "
    "7 unreachable; 8 verification failed; 130 interrupted.",
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
        with program.make_context("anabranch-hub", given) as context:
            program.invoke(context)
        terminal.flush()
    except BaseException as error:  # noqa: BLE001 - the top of the process: nothing may pass it
        as_json = is_flag_given(given, "--json")
        return failure.report(error, as_json=as_json, debug=is_debugging(given))
    return failure.ExitCode.OK


def _complete(asked: str) -> int:
    """Answer a shell that asks for completions."""
    from click.shell_completion import shell_complete

    code = shell_complete(program, {}, "anabranch-hub", COMPLETION_VARIABLE, asked)
    terminal.flush()
    return code
