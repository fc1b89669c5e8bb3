"""Commands that carry many documents at once: `import`, `export`.

Both know two shapes: one JSON object ``{"namespace/key": content}``, and a directory tree in which
``acme/prod/router/config.json`` is the document of that address.
"""

import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import click
from anabranch_cli import terminal
from anabranch_cli.failure import UnusableInput
from anabranch_cli.given import IMPORT_BYTES_MAX, VALUE_BYTES_MAX, given_json
from anabranch_sync.document import Object, check_content
from anabranch_sync.errors import ChangeTooLarge, InvalidInput, InvalidName
from anabranch_sync.ids import DocumentId, document_id
from anabranch_sync.live import check_written
from anabranch_sync.value import Json, canonical

from anabranch.cli.arguments import MESSAGE, PREFIX, URGENT, checked_prefix
from anabranch.cli.invocation import Invocation, command
from anabranch.errors import Denied

if TYPE_CHECKING:
    from anabranch.client import Client
    from anabranch.readings import Committed

SUFFIX = ".json"
# A change spells out the path of every leaf, which makes it two to three times as large as its
# documents; a quarter of the 1 MiB that a change may have seldom needs a second try.
BATCH_BYTES = 256 * 1024

Documents: TypeAlias = Sequence[tuple[DocumentId, Object]]


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
    documents = _read(source)
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


def batches(documents: Documents) -> list[Documents]:
    """The documents in runs of about BATCH_BYTES, order kept, none empty."""
    runs: list[list[tuple[DocumentId, Object]]] = []
    room = 0
    for document, content in documents:
        size_bytes = len(canonical(content))
        if size_bytes > room or not runs:
            runs.append([])
            room = BATCH_BYTES
        runs[-1].append((document, content))
        room -= size_bytes
    return list(runs)


def parse_address(address: str) -> DocumentId:
    """The document of ``namespace/key``. Raises InvalidName."""
    namespace, slash, key = address.rpartition("/")
    if not slash:
        raise InvalidName("address", address, "it needs a namespace and a key, as in acme/prod/router/config")
    return document_id(namespace, key)


def _read(source: str) -> Documents:
    """All documents of `source`, checked, in the order of their addresses."""
    found = _read_tree(Path(source)) if source != "-" and Path(source).is_dir() else _read_object(source)
    return sorted(found, key=lambda pair: pair[0])


def _read_object(source: str) -> Iterator[tuple[DocumentId, Object]]:
    everything = given_json(source, IMPORT_BYTES_MAX)
    if not isinstance(everything, dict):
        name = "standard input" if source == "-" else source
        raise UnusableInput(name, 'it is not an object {"namespace/key": {...}}')
    for address, content in everything.items():
        document = parse_address(address)
        yield document, _checked(document, content, address)


def _read_tree(root: Path) -> Iterator[tuple[DocumentId, Object]]:
    """The documents below `root`. Hidden files and directories are not looked at, nor links followed."""
    found = False
    for folder, folders, files in os.walk(root):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for name in files:
            if name.endswith(SUFFIX) and not name.startswith("."):
                found = True
                path = Path(folder, name)
                document = parse_address(path.relative_to(root).as_posix().removesuffix(SUFFIX))
                yield document, _checked(document, _given_file(path), str(path))
    if not found:
        raise UnusableInput(str(root), f"there is no NAMESPACE/KEY{SUFFIX} below it")


def _given_file(path: Path) -> object:
    try:
        return given_json(str(path), VALUE_BYTES_MAX)
    except UnusableInput:
        raise
    except InvalidInput as error:
        raise UnusableInput(str(path), str(error)) from error


def _checked(document: DocumentId, content: object, place: str) -> Object:
    try:
        return check_content(document, content)
    except InvalidInput as error:
        if place in str(error):
            raise
        raise UnusableInput(place, str(error)) from error


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
    finally:
        draft.unlink(missing_ok=True)


COMMANDS = {"import": import_documents, "export": export_documents}
