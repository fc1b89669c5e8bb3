"""The options every command takes, before or after its name, and what they come to.

Commands are declared with `command`: the function below it gets the Invocation first and its own
arguments after it.
"""

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias

import click

if TYPE_CHECKING:
    from anabranch.client import Client

P = ParamSpec("P")

_META = "anabranch."
DEBUG_VARIABLE = "ANABRANCH_DEBUG"


@dataclass(frozen=True, slots=True)
class Invocation:
    """What the common options say. Without `replica_given` the client looks where it always does."""

    replica_given: Path | None
    author: str | None
    json: bool
    verbose: bool
    debug: bool

    @property
    def replica(self) -> Path:
        """The replica's file."""
        from anabranch.client import default_path

        return self.replica_given or default_path()

    def open(self) -> "Client":
        """The replica, opened. Raises the errors of `anabranch.open`."""
        from anabranch.client import open as open_client

        return open_client(self.replica)


Body: TypeAlias = Callable[Concatenate[Invocation, P], None]


def command(name: str, **settings: Any) -> Callable[[Body[P]], click.Command]:
    """Declare a command: `click.command` with the common options and an Invocation in front."""

    def declared(body: Body[P]) -> click.Command:
        @functools.wraps(body)
        def invoked(*args: P.args, **kwargs: P.kwargs) -> None:
            body(_invocation(click.get_current_context()), *args, **kwargs)

        made: click.Command = click.command(name, cls=_Command, **settings)(invoked)
        return made

    return declared


def common_options(*, with_variables: bool) -> list[click.Parameter]:
    """The common options. Only the program's own set reads environment variables, the weaker source."""

    def option(*names: str, **settings: Any) -> click.Option:
        return click.Option(
            [*names], expose_value=False, callback=_noted, is_eager=True, default=None, **settings
        )

    return [
        option(
            "--replica",
            type=click.Path(dir_okay=False, path_type=Path),
            envvar="ANABRANCH_REPLICA" if with_variables else None,
            help="The replica's file.  [$ANABRANCH_REPLICA]",
        ),
        option(
            "--author",
            envvar="ANABRANCH_AUTHOR" if with_variables else None,
            help="Who writes, for the history.  [$ANABRANCH_AUTHOR]",
        ),
        option("--json", is_flag=True, help="Print JSON, errors too."),
        option("-v", "--verbose", is_flag=True, help="Tell more on standard error."),
        option("--debug", is_flag=True, help="Show where an error came from.  [$ANABRANCH_DEBUG=1]"),
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
        self.params = [*self.params, *common_options(with_variables=False)]

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


def _noted(context: click.Context, parameter: click.Parameter, value: object) -> None:
    if value:
        context.meta[f"{_META}{parameter.name}"] = value


def _invocation(context: click.Context) -> Invocation:
    def noted(name: str) -> Any:
        return context.meta.get(f"{_META}{name}")

    return Invocation(
        replica_given=noted("replica"),
        author=noted("author"),
        json=bool(noted("json")),
        verbose=bool(noted("verbose")),
        debug=bool(noted("debug")) or is_debugging([]),
    )
