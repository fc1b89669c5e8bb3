"""Commands that carry many documents at once: `import`, `export`.

Both know the shapes of `anabranch_cli.documents`.
"""

import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click
from anabranch_cli import terminal
from anabranch_cli.documents import SUFFIX, Documents, batches, given_documents
from anabranch_cli.options import MESSAGE
from anabranch_sync.document import Object, check_content
from anabranch_sync.errors import ChangeTooLarge
from anabranch_sync.ids import DocumentId
from anabranch_sync.live import check_written
from anabranch_sync.value import Json

from anabranch.cli.arguments import PREFIX, URGENT, checked_prefix
from anabranch.cli.invocation import Invocation, command
from anabranch.errors import Denied

if TYPE_CHECKING:
    from anabranch.answers import Committed
    from anabranch.client import Client


@command("import")
@click.argument("source", metavar="FILE|DIR|-")
@MESSAGE
@click.option(
    "--bulk",
    "priority",
    flag_value=2,
    default=None,
    type=int,
    help="Nobody waits for it: see agent --metered.",
)
@URGENT
def import_documents(invocation: Invocation, source: str, message: str, priority: int | None) -> None:
    """Write many documents, each as a whole.

    A file or standard input holds one JSON object {"namespace/key": {...}}; in a directory,
    acme/prod/router/config.json is the document acme/prod/router/config. Everything is checked
    before anything is written. A small import is one change; a large one is several, and safe to
    repeat.

    \b
    anabranch export acme/prod > prod.json && anabranch import prod.json
    """
    documents = given_documents(source, check_content)
    with invocation.open() as client:
        scope = client.replica.scope
        for document, _ in documents:
            if not scope.writes(document):
                raise Denied(document, scope.prefixes)
        _check_valid(client, documents)
        committed = _write(client, documents, invocation, message, priority)
    dots = [each.dot for each in committed if each.documents]
    changed = sum(len(each.documents) for each in committed)
    if invocation.json:
        terminal.write_json({"documents": len(documents), "changed": changed, "dots": dots})
        return
    terminal.write(
        f"{terminal.painted('ok', 'green')} {terminal.count(len(documents), 'document')}, "
        f"{changed:,} changed, in {terminal.count(len(dots), 'change')}"
        + (f": {_range(dots)}" if dots else "")
    )


@command("export")
@PREFIX
@click.option(
    "--to", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Into a directory."
)
@click.option("--at", metavar="REF", help="As they stood at a position (@204), a time, or so long ago (7d).")
def export_documents(invocation: Invocation, prefix: str, to: Path | None, at: str | None) -> None:
    """Print documents as one JSON object, or write a directory.

    PREFIX is a namespace; all below it belong to it. import reads both shapes.

    \b
    anabranch export acme/prod > prod.json
    anabranch export acme/prod --to backup/
    anabranch export acme/prod --at 2h
    """
    with invocation.open() as client:
        contents = _contents(client, checked_prefix(prefix), at)
    if to is None:
        terminal.write_json(contents)
        return
    for address, content in contents.items():
        _replace_file(to / f"{address}{SUFFIX}", terminal.json_text(content, indent=2) + "\n")
    if invocation.json:
        terminal.write_json({"documents": len(contents), "directory": str(to)})
    else:
        terminal.write(f"{terminal.count(len(contents), 'document')} written to {to}")


def _check_valid(client: "Client", documents: Documents) -> None:
    """Refuse all of it before anything is written, if a schema forbids one of them. Raises Invalid."""
    policies = client.replica.policies()
    for document, content in documents:
        check_written(document, partial(_head, client, document), content, policies)


def _head(client: "Client", document: DocumentId) -> Object | None:
    head = client.replica.head(document)
    return None if head is None else head.content


def _contents(client: "Client", prefix: str, at: str | None) -> dict[str, Json]:
    """The documents below a namespace, by address, as they stand or as they stood."""
    if at is None:
        return {
            str(each.document): client.get(each.document.namespace, key=each.document.key).value
            for each in client.list(prefix)
        }
    from anabranch import history

    stood = history.contents_at(client.replica, prefix, history.moment(at))
    return {str(document): content for document, content in stood.items()}


def _write(
    client: "Client", documents: Documents, invocation: Invocation, message: str, priority: int | None
) -> list["Committed"]:
    committed: list[Committed] = []
    waiting = batches(documents)
    done = 0
    with terminal.Progress(shown=not invocation.json) as progress:
        while waiting:
            batch = waiting.pop(0)
            try:
                with client.change(message, author=invocation.author, priority=priority) as change:
                    for document, content in batch:
                        change.set(document.namespace, "", content, key=document.key)
            except ChangeTooLarge:
                if len(batch) == 1:
                    raise
                half = len(batch) // 2
                waiting[:0] = [batch[:half], batch[half:]]
                continue
            assert change.committed is not None, "a change block that did not raise has committed"
            committed.append(change.committed)
            done += len(batch)
            progress.tell(f"importing: {done:,} of {terminal.count(len(documents), 'document')}")
    return committed


def _range(dots: Sequence[str]) -> str:
    return dots[0] if len(dots) == 1 else f"{dots[0]} to {dots[-1]}"


def _replace_file(path: Path, text: str) -> None:
    """Write `path` so that a reader sees the old content or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        draft.write_text(text, "utf-8")
        draft.replace(path)
    except OSError as error:
        error.filename = str(path)  # and not the draft, or none
        raise
    finally:
        draft.unlink(missing_ok=True)


COMMANDS = {"import": import_documents, "export": export_documents}
