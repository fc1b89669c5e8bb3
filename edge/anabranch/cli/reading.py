"""Commands that read documents: `get`, `list`, `log`, `watch`. None waits for the network."""

import sys
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import click
from anabranch_cli import terminal
from anabranch_cli.options import AT, BELOW, KEY, POINTER
from anabranch_sync.ids import HUB_INCARNATION, DocumentId, document_id
from anabranch_sync.violation import summary

from anabranch.cli.arguments import NAMESPACE, PREFIX, Seconds, checked_prefix
from anabranch.cli.invocation import Invocation, command
from anabranch.errors import NotFound, NothingCached

if TYPE_CHECKING:
    from anabranch.answers import Changed
    from anabranch.client import Client
    from anabranch.readings import Reading
    from anabranch.replica import LogLine

# What helps a reader of one line who has mistyped a key, or asks for a version that is not here any more.
KEYS_SHOWN_MAX = 5
VERSIONS_SHOWN_MAX = 10


@command("get")
@NAMESPACE
@POINTER
@KEY
@click.option("--raw", is_flag=True, help="Print a string as it is, without quotes.")
@click.option("--head", "of_head", is_flag=True, help="All that has merged, also where it is quarantined.")
@AT
def get(
    invocation: Invocation, namespace: str, pointer: str, key: str, raw: bool, of_head: bool, at: str | None
) -> None:
    """Print a document, or a value in it, as JSON.

    POINTER is a JSON Pointer (RFC 6901). On a terminal, or with -v, a line on standard error tells
    version, source, age and state. With --at it is read as it stood: what this replica has passed
    through is known here, also offline. Where what has merged breaks the document's schema, the last
    valid version is printed, a line on standard error says so, and --head prints what has merged.

    \b
    anabranch get acme/prod/router
    anabranch get acme/prod/router /limits/requests
    anabranch get acme/prod/router --at 2h
    anabranch get acme/prod/router --head
    """
    with invocation.open() as client:
        try:
            if of_head and at is None:  # versions of the past are heads anyway
                reading = client.head(namespace, pointer, key=key)
            else:
                reading = client.get(namespace, pointer, key=key, at=at)
        except (NotFound, NothingCached) as error:
            for hint in _meant(client, error):
                error.add_note(hint)
            raise
    if invocation.json:
        terminal.write_json(described(reading))
        return
    if raw and isinstance(reading.value, str):
        seen = terminal.is_terminal(sys.stdout)
        terminal.write(terminal.printable(reading.value) if seen else reading.value)
    else:
        terminal.write_json(reading.value)
    if invocation.verbose or terminal.is_terminal(sys.stdout):
        terminal.say(terminal.painted(_provenance(reading), "dim", sys.stderr))
    if reading.quarantined:
        terminal.flush()
        quarantined = terminal.painted("quarantined", "yellow", sys.stderr)
        terminal.say(
            f"{quarantined}: this is the last valid version; what has merged since is not: "
            f"{terminal.one_line(summary(reading.violations))} (see --head)"
        )


@command("list")
@PREFIX
@click.option("-l", "--long", is_flag=True, help="Version and pending changes too.")
def list_documents(invocation: Invocation, prefix: str, long: bool) -> None:
    """List the documents of a namespace and of all below it."""
    with invocation.open() as client:
        listed = client.list(checked_prefix(prefix))
    if invocation.json:
        terminal.write_json(
            [
                {
                    "namespace": each.document.namespace,
                    "key": each.document.key,
                    "version": each.version,
                    "pending": each.pending,
                    "quarantined": each.quarantined,
                }
                for each in listed
            ]
        )
    elif long:
        heading = ["DOCUMENT", "VERSION", "PENDING"]
        rows = [[str(each.document), str(each.version), str(each.pending)] for each in listed]
        if any(each.quarantined for each in listed):
            heading.append("STATE")
            for row, each in zip(rows, listed, strict=True):
                row.append("quarantined" if each.quarantined else "")
        for line in terminal.columns(rows, heading=heading):
            terminal.write(line)
    else:
        for each in listed:
            terminal.write(str(each.document))


@command("log")
@NAMESPACE
@KEY
@BELOW
def log(invocation: Invocation, namespace: str, key: str, below: bool) -> None:
    """Tell a document's past as this replica knows it, oldest first.

    Of others' changes a replica learns the outcome; who wrote them and why is told by the hub. With
    --below: the past of all documents of the namespace and of those below it.
    """
    readable: list[str] = []
    with invocation.open() as client:
        if below:
            lines = _log_below(client, checked_prefix(namespace))
        else:
            document = document_id(namespace, key)
            lines = [(document, line) for line in client.log(namespace, key=key)]
            if not lines:
                client.get(namespace, key=key)  # says better than an empty answer why there is none
            readable = [str(each.version) for each in client.replica.known(document)]
    if invocation.json:
        terminal.write_json([_logged(document, line) for document, line in lines])
        return
    heading: tuple[str, ...] = ("VERSION", "FATE", "WRITTEN", "AUTHOR", "MESSAGE")
    rows = [_log_row(line) for _, line in lines]
    if below:
        heading = ("DOCUMENT", *heading)
        rows = [(str(document), *row) for (document, _), row in zip(lines, rows, strict=True)]
    for shown in terminal.columns(rows, heading=heading):
        terminal.write(shown)
    if readable:
        terminal.say(f"to be read here with --at: version {_listed(readable)}")


def _log_below(client: "Client", prefix: str) -> list[tuple[DocumentId, "LogLine"]]:
    """The lines of all documents below a namespace: in the hub's order, then those that wait."""
    from anabranch.history import documents_below

    lines = [
        (document, line)
        for document in documents_below(client.replica, prefix)
        for line in client.replica.history(document)
    ]
    return sorted(lines, key=lambda each: (each[1].hub_seq is None, each[1].hub_seq or 0, each[1].wall_ms))


def _log_row(line: "LogLine") -> tuple[str, ...]:
    return (
        "-" if line.version is None else str(line.version),
        str(line.fate),
        terminal.moment(line.wall_ms),
        line.author or ("the hub" if line.actor == HUB_INCARNATION else f"replica {line.actor}"),
        line.message,
    )


@command("watch")
@PREFIX
@click.option("--timeout", "timeout_s", type=Seconds(min=0), metavar="S", help="End after S seconds.")
@click.option("--count", type=click.IntRange(min=1), metavar="N", help="End after N changes.")
def watch(invocation: Invocation, prefix: str, timeout_s: float | None, count: int | None) -> None:
    """Print documents as they change, until Ctrl-C.

    PREFIX is a namespace; all below it belong to it. Whoever makes a change, this edge or another,
    it is shown once it stands here. With --json each change is one line.
    """
    with invocation.open() as client:
        changes = client.watch(checked_prefix(prefix), timeout_s=timeout_s)
        for number, changed in enumerate(changes, 1):
            if invocation.json:
                terminal.write_json(_watched(changed), indent=None)
            else:
                terminal.write(_watched_line(changed))
            terminal.flush()
            if number == count:
                break


def _listed(versions: Sequence[str]) -> str:
    """The latest few of the versions: ``3``, ``1, 2, 5``."""
    left_out = "... " if len(versions) > VERSIONS_SHOWN_MAX else ""
    return left_out + ", ".join(versions[-VERSIONS_SHOWN_MAX:])


def described(reading: "Reading") -> dict[str, object]:
    """A reading as --json prints it."""
    return {
        "namespace": reading.document.namespace,
        "key": reading.document.key,
        "path": reading.path,
        "value": reading.value,
        "version": reading.version,
        "pending": reading.pending,
        "source": reading.source,
        "age_s": reading.age_s,
        "state": str(reading.state),
        "quarantined": reading.quarantined,
        "violations": [each.facts() for each in reading.violations],
    }


def _provenance(reading: "Reading") -> str:
    age = "age unknown" if reading.age_s is None else f"{terminal.duration(reading.age_s)} old"
    pending = ", with changes the hub has not confirmed" if reading.pending else ""
    state = str(reading.state).replace("_", " ")
    return f"version {reading.version}, from {reading.source}{pending}, {age}, {state}"


def _meant(client: "Client", error: NotFound | NothingCached) -> Iterator[str]:
    """What was probably meant, if there is something like it."""
    if isinstance(error, NotFound) and error.path:
        return
    document = error.document
    known = [each.document for each in client.list()]
    if document in known:  # it is here, and was not there when it was asked for
        return
    keys = [each.key for each in known if each.namespace == document.namespace]
    from difflib import get_close_matches

    close = get_close_matches(document.namespace, {each.namespace for each in known}, n=1)
    # `list` prints whole addresses, which are easily taken for namespaces.
    as_address = [each for each in known if str(each) == document.namespace]
    if as_address:
        yield f"did you mean {as_address[0].namespace} --key {as_address[0].key}?"
    elif keys:
        yield f"that namespace has {', '.join(keys[:KEYS_SHOWN_MAX])}"
    elif close:
        yield f"did you mean {close[0]}?"


def _logged(document: DocumentId, line: "LogLine") -> dict[str, object]:
    return {
        "namespace": document.namespace,
        "key": document.key,
        "fate": str(line.fate),
        "written": terminal.moment(line.wall_ms),
        "wall_ms": line.wall_ms,
        "author": line.author or None,
        "message": line.message,
        "dot": None if line.dot is None else str(line.dot),
        "actor": line.actor,
        "version": line.version,
        "hub_seq": line.hub_seq,
    }


def _watched(changed: "Changed") -> dict[str, object]:
    address = {"namespace": changed.document.namespace, "key": changed.document.key}
    if changed.reading is None:
        return {**address, "deleted": True}
    return {**described(changed.reading), "deleted": False}


def _watched_line(changed: "Changed") -> str:
    when = terminal.moment(time.time_ns() // 1_000_000)
    if changed.reading is None:
        return f"{when}  {changed.document}  deleted"
    reading = changed.reading
    pending = "+" if reading.pending else ""
    text = terminal.json_text(reading.value)
    line = f"{when}  {changed.document}  {reading.version}{pending}  {text}"
    if terminal.is_terminal(sys.stdout):
        width = terminal.width()
        line = line if len(line) <= width else f"{line[: width - 1]}…"
    return line


COMMANDS = {"get": get, "list": list_documents, "log": log, "watch": watch}
