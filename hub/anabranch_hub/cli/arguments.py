"""Arguments and options that several commands share."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from anabranch_cli.options import Decorator

TENANT: Decorator = click.argument("tenant")
EDGE: Decorator = click.argument("edge")
NAMESPACE: Decorator = click.argument("namespace")
URGENT: Decorator = click.option(
    "--urgent", is_flag=True, help="Every edge gets it at once, whatever its link and its budget."
)
IF_VERSION: Decorator = click.option(
    "--if-version",
    type=click.IntRange(min=0),
    help="Only if the document is at this version (0: not there yet).",
)


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
