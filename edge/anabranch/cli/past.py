"""Commands on the past: `diff`, `rollback`. They work offline, on what this replica has passed through."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from anabranch_cli import terminal
from anabranch_cli.options import BELOW, KEY, MESSAGE
from anabranch_sync.comparison import Line, Mark, compared
from anabranch_sync.ids import document_id

from anabranch.cli.arguments import NAMESPACE, URGENT
from anabranch.cli.invocation import Invocation, command
from anabranch.cli.writing import tell_committed

if TYPE_CHECKING:
    from anabranch.answers import Difference

_COLOURS = {Mark.PLAIN: None, Mark.PLACE: "bold", Mark.GONE: "red", Mark.NEW: "green"}


@command("diff")
@NAMESPACE
@click.argument("first", metavar="[REF]", default=None, required=False)
@click.argument("second", metavar="[REF]", default=None, required=False)
@KEY
@BELOW
@click.option("--patch", "form", flag_value="patch", help="Print the patch that leads there (RFC 6902).")
@click.option("--inverse", "form", flag_value="inverse", help="Print the patch that leads back.")
def diff(
    invocation: Invocation,
    namespace: str,
    first: str | None,
    second: str | None,
    key: str,
    below: bool,
    form: str | None,
) -> None:
    """Compare two states that this replica has passed through, of a document or of all below a namespace.

    A REF is a version (17), a position (@204), a time (2026-11-29T15:30:00Z) or an age (2h, 7d). Without
    REFs the last change is shown; with one, everything since then.

    \b
    anabranch diff acme/prod/router
    anabranch diff acme/prod/router 3 5 --patch
    anabranch diff acme/prod/router 2h
    anabranch diff acme/prod 7d --below
    """
    from anabranch import history

    if below and first is None:
        raise click.UsageError("--below needs a REF: a position (@204), a time or an age (2h, 7d)")
    with invocation.open() as client:
        if below and first is not None:
            end = None if second is None else history.moment(second)
            differences = history.differences_below(client.replica, namespace, history.moment(first), end)
        else:
            differences = [client.diff(namespace, first, second, key=key)]
    if form is not None:
        patches = {
            str(each.document): each.patch if form == "patch" else each.inverse for each in differences
        }
        terminal.write_json(patches if below else next(iter(patches.values())))
    elif invocation.json:
        described = [_described(each) for each in differences]
        terminal.write_json({"documents": described} if below else described[0])
    else:
        _tell(differences)


@command("rollback")
@NAMESPACE
@KEY
@BELOW
@click.option(
    "--to", required=True, metavar="REF", help="A version (17), a position (@204), a time or an age (2h, 7d)."
)
@click.option("--keep-new", is_flag=True, help="With --below: keep the documents that were not there then.")
@click.option("--dry-run", is_flag=True, help="Only show what it would change.")
@MESSAGE
@URGENT
def rollback(
    invocation: Invocation,
    namespace: str,
    key: str,
    below: bool,
    to: str,
    keep_new: bool,
    dry_run: bool,
    message: str,
    priority: int | None,
) -> None:
    """Bring back a state of the past as a new change; it can be rolled back like any other.

    It is written here, also offline, from the states this replica has passed through. With --below, all
    documents of the namespace and of those below it, in one change: all of them or none. Those that were
    not there then are deleted, unless --keep-new.

    \b
    anabranch rollback acme/prod/router --to 3 --urgent
    anabranch rollback acme/prod --below --to 2h --dry-run
    """
    from anabranch import history

    if keep_new and not below:
        raise click.UsageError("--keep-new goes with --below")
    with invocation.open() as client:
        if dry_run and below:
            differences = history.rollback_below(
                client.replica, namespace, history.moment(to), keep_new=keep_new
            )
        elif dry_run:
            document = document_id(namespace, key)
            differences = history.rollback(client.replica, document, history.reference(to))
        elif below:
            committed = client.rollback_below(
                namespace,
                to,
                keep_new=keep_new,
                message=message,
                author=invocation.author,
                priority=priority,
            )
        else:
            committed = client.rollback(
                namespace, to, key=key, message=message, author=invocation.author, priority=priority
            )
    if not dry_run:
        tell_committed(invocation, committed)
    elif invocation.json:
        terminal.write_json({"documents": [_described(each) for each in differences]})
    else:
        _tell(differences)


def _tell(differences: "Sequence[Difference]") -> None:
    """Write what differs, document by document."""
    differing = [each for each in differences if each.patch]
    if not differing:
        terminal.say("no difference")
    for each in differing:
        terminal.write(terminal.painted(str(each.document), "dim"))
        for line in compared(each.before, each.after):
            terminal.write(_painted(line))


def _painted(line: Line) -> str:
    painted = []
    for span in line:
        text, colour = terminal.one_line(span.text), _COLOURS[span.mark]
        painted.append(text if colour is None else terminal.painted(text, colour))
    return "".join(painted)


def _described(difference: "Difference") -> dict[str, object]:
    return {
        "namespace": difference.document.namespace,
        "key": difference.document.key,
        "patch": difference.patch,
        "inverse": difference.inverse,
    }


COMMANDS = {"diff": diff, "rollback": rollback}
