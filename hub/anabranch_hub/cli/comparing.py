"""What differs between two contents, as an operator or a program is told."""

import sys

from anabranch_cli import terminal
from anabranch_sync.comparison import Line, Mark, compared
from anabranch_sync.document import Object
from anabranch_sync.version import patches

from anabranch_hub.store import Pair, Stored

_COLOURS = {Mark.PLAIN: None, Mark.PLACE: "bold", Mark.GONE: "red", Mark.NEW: "green"}


def content_of(stored: Stored | None) -> Object | None:
    """What a document held; None where it was not there."""
    return None if stored is None else stored.content


def told(pair: Pair) -> None:
    """Write which versions are compared, and what differs."""
    names = f"{pair.document}  {named(pair.before)} -> {named(pair.after)}"
    terminal.write(terminal.painted(names, "dim"))
    for line in compared(content_of(pair.before), content_of(pair.after)):
        terminal.write(_painted(line))


def described(pair: Pair) -> dict[str, object]:
    """The same for programs: the patches (RFC 6902) that lead there and back."""
    forward, inverse = patches(content_of(pair.before), content_of(pair.after))
    return {
        "namespace": pair.document.namespace,
        "key": pair.document.key,
        "before": _place(pair.before),
        "after": _place(pair.after),
        "patch": forward,
        "inverse": inverse,
    }


def named(stored: Stored | None) -> str:
    """A document's state in two words."""
    if stored is None:
        return "not there"
    return f"version {stored.version}" + ("" if stored.content is not None else " (deleted)")


def _place(stored: Stored | None) -> dict[str, object] | None:
    if stored is None:
        return None
    return {
        "version": stored.version,
        "hub_seq": stored.hub_seq,
        "deleted": stored.content is None,
        "digest": f"{stored.digest:032x}",
    }


def _painted(line: Line) -> str:
    painted = []
    for span in line:
        text, colour = terminal.one_line(span.text), _COLOURS[span.mark]
        painted.append(text if colour is None else terminal.painted(text, colour, sys.stdout))
    return "".join(painted)
