"""The options every command takes, before or after its name, and what they come to.

Commands are declared with `command`: the coroutine below it gets the Invocation first and its own
arguments after it.
"""

import asyncio
import functools
import getpass
import os
import socket
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeAlias

import click
from anabranch_sync.ids import check_author

P = ParamSpec("P")

_META = "anabranch_hub."
DEBUG_VARIABLE = "ANABRANCH_DEBUG"
DATA_DIR_VARIABLE = "ANABRANCH_HUB_DATA"
AUTHOR_VARIABLE = "ANABRANCH_AUTHOR"


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the common options say; `data_dir` and `postgres` as options only, not from the environment."""

    data_dir: Path | None
    postgres: str | None
    author_given: str | None
    json: bool
    verbose: bool

    @property
    def author(self) -> str:
        """Who acts, for the history. Raises InvalidName."""
        given = self.author_given or os.environ.get(AUTHOR_VARIABLE)
        return check_author(given or f"{_user()}@{socket.gethostname()}")


Body: TypeAlias = Callable[Concatenate[Invocation, P], Coroutine[Any, Any, None]]


def command(name: str, **settings: Any) -> Callable[[Body[P]], click.Command]:
    """Declare a command: `click.command` with the common options and an Invocation in front."""

    def declared(body: Body[P]) -> click.Command:
        @functools.wraps(body)
        def invoked(*args: P.args, **kwargs: P.kwargs) -> None:
            asyncio.run(body(invocation(), *args, **kwargs))

        made: click.Command = click.command(name, cls=_Command, **settings)(invoked)
        return made

    return declared


def invocation() -> Invocation:
    """What the common options of the command under way say."""
    context = click.get_current_context()

    def noted(name: str) -> Any:
        return context.meta.get(f"{_META}{name}")

    return Invocation(
        data_dir=noted("data_dir"),
        postgres=noted("postgres"),
        author_given=noted("author"),
        json=bool(noted("json")),
        verbose=bool(noted("verbose")),
    )


def common_options() -> list[click.Parameter]:
    """The common options."""

    def option(*names: str, **settings: Any) -> click.Option:
        return click.Option(
            [*names], expose_value=False, callback=_noted, is_eager=True, default=None, **settings
        )

    return [
        option(
            "--data-dir",
            type=click.Path(path_type=Path),  # what it is and may be is said by whoever opens it
            help=f"Where the hub keeps everything.  [${DATA_DIR_VARIABLE}]",
        ),
        option(
            "--postgres",
            metavar="DSN|@FILE",
            help="A Postgres of your own, without a password or in a file.  [$ANABRANCH_POSTGRES]",
        ),
        option("--author", help=f"Who acts, for the history.  [${AUTHOR_VARIABLE}]"),
        option("--json", is_flag=True, help="Print JSON, errors too."),
        option("-v", "--verbose", is_flag=True, help="Tell more on standard error."),
        option("--debug", is_flag=True, help=f"Show where an error came from.  [${DEBUG_VARIABLE}=1]"),
    ]


def is_flag_given(arguments: list[str], flag: str) -> bool:
    """Whether `flag` is among `arguments`, known even where they could not be parsed."""
    return flag in (arguments[: arguments.index("--")] if "--" in arguments else arguments)


def is_debugging(arguments: list[str]) -> bool:
    """Whether tracebacks are wanted."""
    return os.environ.get(DEBUG_VARIABLE, "0") not in ("", "0") or is_flag_given(arguments, "--debug")


class _Command(click.Command):
    """A command that takes the common options too and lists them apart from its own."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        self.params = [*self.params, *common_options()]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # A negative number is a value, not a cluster of options.
        if any(each[:1] == "-" and each[1:2] in set("0123456789.IiNn") for each in args):
            ctx.ignore_unknown_options = True
        return super().parse_args(ctx, args)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        own: list[tuple[str, str]] = []
        common: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                (own if parameter.expose_value else common).append(record)
        for title, records in (("Options", own), ("Common options", common)):
            if records:
                with formatter.section(title):
                    formatter.write_dl(records)


def _noted(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value:
        context.meta[f"{_META}{parameter.name}"] = value


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return f"uid-{os.getuid()}"
