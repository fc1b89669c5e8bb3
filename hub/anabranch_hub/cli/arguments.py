"""Arguments and options that several commands share."""

from collections.abc import Callable
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
