"""Documents that the user gives many at once, in one of two shapes.

One JSON object ``{"namespace/key": content}``, or a directory tree in which ``acme/prod/router/config.json``
is the document of that address.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

from anabranch_sync.document import Object
from anabranch_sync.errors import InvalidInput
from anabranch_sync.ids import DocumentId, parse_address
from anabranch_sync.value import Json, canonical

from anabranch_cli.failure import UnusableInput
from anabranch_cli.given import IMPORT_BYTES_MAX, VALUE_BYTES_MAX, given_json

SUFFIX = ".json"
# A change spells out the path of every leaf, which makes it two to three times as large as its
# documents; a quarter of the 1 MiB that a change may have seldom needs a second try.
BATCH_BYTES = 256 * 1024

Documents: TypeAlias = Sequence[tuple[DocumentId, Object]]
# Returns what was given as the content of that document. Raises InvalidInput.
Check: TypeAlias = Callable[[DocumentId, Json], Object]


def given_documents(source: str, check: Check) -> Documents:
    """All documents of a file, of a directory or (``-``) of standard input, in the order of their addresses.

    Raises InvalidInput, which names the document or its file.
    """
    try:
        is_tree = source != "-" and Path(source).is_dir()
    except OSError as error:  # a name that is too long, a folder above it that is closed
        raise UnusableInput(source, error.strerror or str(error)) from error
    found = _in_tree(Path(source), check) if is_tree else _in_object(source, check)
    return sorted(found, key=lambda pair: pair[0])


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


def _in_object(source: str, check: Check) -> Iterator[tuple[DocumentId, Object]]:
    everything = given_json(source, IMPORT_BYTES_MAX)
    if not isinstance(everything, dict):
        name = "standard input" if source == "-" else source
        raise UnusableInput(name, 'it is not an object {"namespace/key": {...}}')
    for address, content in everything.items():
        document = parse_address(address)
        yield document, _checked(document, content, address, check)


def _in_tree(root: Path, check: Check) -> Iterator[tuple[DocumentId, Object]]:
    """The documents below `root`, hidden files and directories and links to directories left out."""

    def unreadable(error: OSError) -> None:
        raise UnusableInput(str(error.filename), error.strerror or str(error)) from error

    found = False
    for folder, folders, files in os.walk(root, onerror=unreadable):
        folders[:] = [each for each in folders if not each.startswith(".")]
        for name in files:
            if name.endswith(SUFFIX) and not name.startswith("."):
                found = True
                path = Path(folder, name)
                document = parse_address(path.relative_to(root).as_posix().removesuffix(SUFFIX))
                yield document, _checked(document, _given_file(path), str(path), check)
    if not found:
        raise UnusableInput(str(root), f"there is no NAMESPACE/KEY{SUFFIX} below it")


def _given_file(path: Path) -> Json:
    if path.exists() and not path.is_file():  # a pipe would be waited for, and nobody writes to it
        raise UnusableInput(str(path), "it is not a file")
    try:
        return given_json(str(path), VALUE_BYTES_MAX)
    except UnusableInput:
        raise
    except InvalidInput as error:
        raise UnusableInput(str(path), str(error)) from error


def _checked(document: DocumentId, content: Json, place: str, check: Check) -> Object:
    try:
        return check(document, content)
    except InvalidInput as error:
        if place in str(error):
            raise
        raise UnusableInput(place, str(error)) from error
