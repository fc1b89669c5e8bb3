"""Arguments and options that several commands share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import click

Decorator: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]

TENANT: Decorator = click.argument("tenant")
EDGE: Decorator = click.argument("edge")
NAMESPACE: Decorator = click.argument("namespace")
POINTER: Decorator = click.argument("pointer", default="", metavar="[POINTER]")
POINTER_NEEDED: Decorator = click.argument("pointer")
KEY: Decorator = click.option(
    "--key", default="config", show_default=True, help="Which document of the namespace."
)
MESSAGE: Decorator = click.option("-m", "--message", default="", help="Why, for the history.")
URGENT: Decorator = click.option(
    "--urgent", is_flag=True, help="Every edge gets it at once, whatever its link and its budget."
)
IF_VERSION: Decorator = click.option(
    "--if-version",
    type=click.IntRange(min=0),
    help="Only if the document is at this version (0: not there yet).",
)
BELOW: Decorator = click.option(
    "--below", is_flag=True, help="All documents of the namespace and of those below it."
)
AT: Decorator = click.option(
    "--at", metavar="REF", help="As it stood: a version (17), a position (@204), a time or an age (2h, 7d)."
)


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


def from_afar(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the argument `far`: a hub to ask with an operator's certificate; None: the one here."""

    @functools.wraps(command)
    def called(*args: Any, identity: Path | None, hub: str | None, **kwargs: Any) -> Any:
        from anabranch_hub.cli.reach import Far, checked_address

        if identity is None and hub is not None:
            raise click.UsageError("--hub needs --identity DIR: who asks there?")
        far = None
        if identity is not None:
            far = Far(identity, "" if hub is None else checked_address("--hub", hub))
        return command(*args, far=far, **kwargs)

    given: Callable[..., Any] = called
    for option in _FAR:
        given = option(given)
    return given


_FAR: tuple[Decorator, ...] = (
    click.option("--hub", metavar="HOST:PORT", help="Where that hub is now.  [default: where you enrolled]"),
    click.option(
        "--identity",
        metavar="DIR",
        type=click.Path(path_type=Path),
        help="Ask a hub far away as the operator whose certificate is in DIR (see `operator enrol`).",
    ),
)
