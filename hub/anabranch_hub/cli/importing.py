"""The command `import`: many documents at once.

It knows two shapes: one JSON object ``{"namespace/key": content}``, and a directory tree in which
``acme/prod/router/config.json`` is the document of that address.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import click
from anabranch_cli import terminal
from anabranch_cli.failure import UnusableInput
from anabranch_cli.given import IMPORT_BYTES_MAX, VALUE_BYTES_MAX, read_text
from anabranch_sync.document import Object, check_content
from anabranch_sync.errors import AnabranchError, ChangeTooLarge, InvalidInput, InvalidName
from anabranch_sync.ids import DocumentId, check_message, check_tenant, document_id
from anabranch_sync.policy import check_schema_document
from anabranch_sync.value import Json, canonical, parse_json

from anabranch_hub.cli import reach
from anabranch_hub.cli.arguments import MESSAGE, TENANT
from anabranch_hub.cli.invocation import Invocation, command
from anabranch_hub.store import Edit, Store, Written

SUFFIX = ".json"
# A change spells out the path of every leaf, which makes it two to three times as large as its
# documents; a quarter of the 1 MiB that a change may have seldom needs a second try.
BATCH_BYTES = 256 * 1024

Documents: TypeAlias = Sequence[tuple[DocumentId, Object]]


@command("import")
@TENANT
@click.argument("source", metavar="FILE|DIR|-")
@MESSAGE
async def import_documents(invocation: Invocation, tenant: str, source: str, message: str) -> None:
    """Write many documents, each as a whole.

    A file or standard input holds one JSON object {"namespace/key": {...}}; in a directory,
    acme/prod/router/config.json is the document of that address. Everything is checked before anything
    is written. Small imports are one change; larger ones are several, and safe to repeat.
    """
    check_tenant(tenant)
    check_message(message)
    author = invocation.author
    documents = _read(source)
    async with reach.store(invocation) as store:
        await store.check(tenant, dict(documents))
        written = await _write(store, tenant, documents, author, message)
    hub_seq = written[-1].hub_seq if written else 0
    if invocation.json:
        terminal.write_json({"documents": len(documents), "batches": len(written), "hub_seq": hub_seq})
    else:
        imported = terminal.count(len(documents), "document")
        terminal.write(f"{terminal.painted('ok', 'green')} {imported}, position {hub_seq}")


async def _write(store: Store, tenant: str, documents: Documents, author: str, message: str) -> list[Written]:
    written: list[Written] = []
    waiting = batches(documents)
    while waiting:
        batch = waiting.pop(0)
        edits = [Edit(document, content) for document, content in batch]
        try:
            written.append(await store.write(tenant, edits, author=author, message=message))
        except ChangeTooLarge:
            if len(batch) == 1:
                raise
            half = len(batch) // 2
            waiting[:0] = [batch[:half], batch[half:]]
    return written


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


def _read(source: str) -> Documents:
    """All documents of `source`, checked, in the order of their addresses."""
    found = _read_tree(Path(source)) if source != "-" and Path(source).is_dir() else _read_object(source)
    return sorted(found, key=lambda pair: pair[0])


def _read_object(source: str) -> Iterator[tuple[DocumentId, Object]]:
    everything = parse_json(read_text(source, IMPORT_BYTES_MAX))
    if not isinstance(everything, dict):
        name = "standard input" if source == "-" else source
        raise UnusableInput(name, 'it is not an object {"namespace/key": {...}}')
    for address, content in everything.items():
        yield _checked(_address(address), content, address)


def _read_tree(root: Path) -> Iterator[tuple[DocumentId, Object]]:
    """The documents below `root`. Hidden files and directories are not looked at, nor links followed."""
    found = False
    for folder, folders, files in os.walk(root):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for name in files:
            if name.endswith(SUFFIX) and not name.startswith("."):
                found = True
                path = Path(folder, name)
                document = _address(path.relative_to(root).as_posix().removesuffix(SUFFIX))
                yield _checked(document, _given_file(path), str(path))
    if not found:
        raise UnusableInput(str(root), f"there is no NAMESPACE/KEY{SUFFIX} below it")


def _address(address: str) -> DocumentId:
    """The document of ``namespace/key``. Raises InvalidName."""
    namespace, slash, key = address.rpartition("/")
    if not slash:
        raise InvalidName("address", address, "it needs a namespace and a key, as in acme/prod/router/config")
    return document_id(namespace, key)


def _given_file(path: Path) -> Json:
    try:
        return parse_json(read_text(str(path), VALUE_BYTES_MAX))
    except AnabranchError as error:
        raise UnusableInput(str(path), str(error)) from error


def _checked(document: DocumentId, content: Json, place: str) -> tuple[DocumentId, Object]:
    try:
        checked = check_content(document, content)
        check_schema_document(document, checked)
    except InvalidInput as error:
        if place in str(error):
            raise
        raise UnusableInput(place, str(error)) from error
    return document, checked


COMMANDS = {"import": import_documents}
