"""The options every command takes, before or after its name, and what they come to.

Commands are declared with `command`: the function below it gets the Invocation first and its own
arguments after it.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeAlias

import click
from anabranch_cli.options import Command, is_debugging, noted, option, output_options

if TYPE_CHECKING:
    from anabranch.client import Client

P = ParamSpec("P")


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
            body(_invocation(), *args, **kwargs)

        made: click.Command = click.command(name, cls=_Command, **settings)(invoked)
        return made

    return declared


def common_options(*, with_variables: bool) -> list[click.Parameter]:
    """The common options. Only the program's own set reads environment variables, the weaker source."""
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
        *output_options(),
    ]


class _Command(Command):
    """A command of the edge."""

    @staticmethod
    def common_options() -> list[click.Parameter]:
        return common_options(with_variables=False)


def _invocation() -> Invocation:
    return Invocation(
        replica_given=noted("replica"),
        author=noted("author"),
        json=bool(noted("json")),
        verbose=bool(noted("verbose")),
        debug=bool(noted("debug")) or is_debugging([]),
    )
