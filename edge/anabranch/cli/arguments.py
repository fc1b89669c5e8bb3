"""Arguments and options that several commands share, with their completions."""

import math
from typing import TYPE_CHECKING, Any

import click
from anabranch_cli.options import Decorator, noted
from anabranch_sync.errors import AnabranchError
from anabranch_sync.ids import document_id

from anabranch.cli.interval import Interval

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


def _namespaces(context: click.Context, _: click.Parameter, begun: str) -> "list[CompletionItem]":
    """The namespaces that begin so. A replica that cannot be read completes nothing, silently."""
    from click.shell_completion import CompletionItem

    from anabranch.client import open as open_client

    try:
        with open_client(noted("replica", context)) as client:
            names = {each.document.namespace for each in client.list()}
    except (AnabranchError, OSError):
        return []
    return [CompletionItem(name) for name in sorted(names) if name.startswith(begun)]


def checked_prefix(prefix: str) -> str:
    """A PREFIX argument: a namespace, or its first segments. Raises InvalidName."""
    whole = prefix.rstrip("/")
    return document_id(whole).namespace if whole else ""


NAMESPACE: Decorator = click.argument("namespace", shell_complete=_namespaces)
PREFIX: Decorator = click.argument("prefix", default="", shell_complete=_namespaces)


class Seconds(click.FloatRange):
    """So many seconds from 0 on; `inf` is for ever, and `nan`, which no clock ever reaches, is none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The seconds of `value`."""
        seconds = float(super().convert(value, param, ctx))
        if math.isnan(seconds):
            self.fail(f"{value!r} is no number of seconds", param, ctx)
        return seconds


WAIT: Decorator = click.option(
    "--wait", type=click.Choice(["stored", "merged", "visible"]), help="Return once it has come so far."
)
TIMEOUT: Decorator = click.option(
    "--timeout",
    "timeout_s",
    type=Seconds(min=0),
    default=30.0,
    show_default=True,
    metavar="S",
    help="How many seconds to --wait; exits with 6 after them.",
)
POLL: Decorator = click.option(
    "--poll",
    "poll_ms",
    type=Interval(or_none=True),
    metavar="TIME",
    help="Look in at this interval, as in 5m or 1h, instead of holding a connection; or none.",
)
METERED: Decorator = click.option(
    "--metered/--free",
    default=None,
    help="The link costs money by the byte: save changes up, and keep it awake less often.",
)
URGENT: Decorator = click.option(
    "--urgent",
    "priority",
    is_flag=True,
    flag_value=0,
    default=None,
    type=int,
    help="Send it at once, whatever the link and its budget, with what was written before it.",
)
IF_VERSION: Decorator = click.option(
    "--if-version",
    type=click.IntRange(min=0),
    metavar="N",
    help="Only if the document is at version N (0: not there).",
)
