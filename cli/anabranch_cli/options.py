"""The options that every command takes, before or after its name, and what a command looks like.

Each program adds options of its own and says in a dataclass what they all come to. The arguments and options
in capitals are for some commands of both.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

POINTER: Decorator = click.argument("pointer", default="", metavar="[POINTER]")
POINTER_NEEDED: Decorator = click.argument("pointer")
KEY: Decorator = click.option(
    "--key", default="config", show_default=True, help="Which document of the namespace."
)
AT: Decorator = click.option(
    "--at", metavar="REF", help="As it stood: a version (17), a position (@204), a time or an age (2h, 7d)."
)
BELOW: Decorator = click.option(
    "--below", is_flag=True, help="All documents of the namespace and of those below it."
)
MESSAGE: Decorator = click.option("-m", "--message", default="", help="Why, for the history.")
# Of a courier file.
OUTPUT: Decorator = click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file; several are FILE.001, FILE.002 and so on.",
)

DEBUG_VARIABLE = "ANABRANCH_DEBUG"
_META = "anabranch."


def option(*names: str, **settings: Any) -> click.Option:
    """An option whose value is not handed to the command: `noted` has it."""
    return click.Option([*names], expose_value=False, callback=_note, is_eager=True, default=None, **settings)


def output_options() -> list[click.Parameter]:
    """Those that say how a command speaks."""
    return [
        option("--json", is_flag=True, help="Print JSON, errors too."),
        option("-v", "--verbose", is_flag=True, help="Tell more on standard error."),
        option("--debug", is_flag=True, help=f"Show where an error came from.  [${DEBUG_VARIABLE}=1]"),
    ]


def noted(name: str, context: click.Context | None = None) -> Any:
    """What such an option says, of the command under way by default; None where it is not given."""
    return (context or click.get_current_context()).meta.get(f"{_META}{name}")


def is_flag_given(arguments: list[str], flag: str) -> bool:
    """Whether `flag` is among `arguments`, known even where they could not be parsed."""
    return flag in (arguments[: arguments.index("--")] if "--" in arguments else arguments)


def is_debugging(arguments: list[str]) -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0") or is_flag_given(arguments, "--debug")


class Command(click.Command):
    """A command that takes the common options too and lists them apart from its own."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params = [*self.params, *self.common_options()]

    @staticmethod
    def common_options() -> list[click.Parameter]:
        """Those of the program."""
        return output_options()

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # A negative number is a value, not a cluster of options.
        if any(each[:1] == "-" and each[1:2] in set("0123456789.IiNn") for each in args):
            ctx.ignore_unknown_options = True
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                (own if parameter.expose_value else common).append(record)
        for title, records in (("Options", own), ("Common options", common)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


class Size(click.ParamType[int]):
    """Bytes, as in 500kB, 2MB or 1GB; `none`: without limit."""

    name = "size"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The bytes of `value`."""
        from anabranch_sync.budget import size_bytes

        if value == "none":
            return 0
        size = size_bytes(str(value))
        if size is None:
            self.fail(f"{str(value)!r} is no size from 20kB on, as in 500kB, 2MB or none", param, ctx)
        return size


def _note(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value:
        context.meta[f"{_META}{parameter.name}"] = value
