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
from anabranch_cli.options import Command, noted, option, output_options
from anabranch_sync.ids import check_author

P = ParamSpec("P")

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
    return Invocation(
        data_dir=noted("data_dir"),
        postgres=noted("postgres"),
        author_given=noted("author"),
        json=bool(noted("json")),
        verbose=bool(noted("verbose")),
    )


def common_options() -> list[click.Parameter]:
    """The common options."""
    return [
        option(
            "--data-dir",
            type=_Folder(path_type=Path, readable=False),  # what it is and may be says who opens it
            help=f"Where the hub keeps everything.  [${DATA_DIR_VARIABLE}]",
        ),
        option(
            "--postgres",
            metavar="DSN|@FILE",
            help="A Postgres of your own, without a password or in a file.  [$ANABRANCH_POSTGRES]",
        ),
        option("--author", help=f"Who acts, for the history.  [${AUTHOR_VARIABLE}]"),
        *output_options(),
    ]


class _Folder(click.Path):
    """A folder, but not the present one under the name of an unset variable."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if value == "":
            self.fail("it is empty: name a folder", param, ctx)
        return super().convert(value, param, ctx)


class _Command(Command):
    """A command of the hub."""

    @staticmethod
    def common_options() -> list[click.Parameter]:
        return common_options()


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user without a name, as in a container
        return f"uid-{os.getuid()}"
