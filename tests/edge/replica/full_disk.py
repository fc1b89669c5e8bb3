"""A full disk, run by its test in a process of its own: ``python -m tests.edge.replica.full_disk DIR``.

DIR is a small file system of its own. Prints one line for each thing it found wrong.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import anabranch
from anabranch.errors import DiskFull
from anabranch_sync.ids import DocumentId

from tests.edge.replica.sqlite_store import create

KEPT = "acme/prod/kept"
_WRITES_MAX = 200
_FILLER_BYTES = 1024 * 1024


def drill(folder: Path) -> Iterator[str]:
    """Fill the disk, see that nothing is lost and that what must work does, and free it again."""
    path = folder / "replica.db"
    create(path).close()
    with anabranch.open(path) as client:
        client.set(KEPT, "", {"safe": True})
        written = _filled(client, folder)
        if written == _WRITES_MAX:
            yield "the disk never was full"
            return
        yield from _still_served(client, written)
        if client.set(KEPT, "/safe", True).documents:
            yield "a write that says nothing new was a change"
        for name in range(3):
            client.delete(f"acme/prod/m{name}")
        client.delete(KEPT, "/other")
        try:
            client.set("acme/prod/more", "/x", 1)
            yield "a write was taken on a full disk"
        except DiskFull as error:
            if error.exit_code != 1 or "free some space" not in str(error):
                yield f"no way out: {error}"
    with anabranch.open(path) as client:
        yield from _still_served(client, written - 3)
        (folder / "filler").unlink()
        client.set("acme/prod/more", "/x", 1)
        if not client.status().reserve:
            yield "the reserve was not laid again"
        if (found := client.replica.verify()) != []:
            yield f"damaged: {found}"


def _filled(client: anabranch.Client, folder: Path) -> int:
    """Write until the disk is full to the last byte; returns how many writes were acknowledged."""
    client.set(KEPT, "/other", 1)
    filler = folder / "filler"
    filler.write_bytes(bytes(_FILLER_BYTES))
    written = 0
    with suppress(DiskFull):
        while written < _WRITES_MAX:
            client.set(f"acme/prod/m{written}", "", {"text": os.urandom(20_000).hex()})
            written += 1
    with suppress(OSError), filler.open("ab", buffering=0) as rest:
        while rest.write(bytes(4096)):
            pass
    return written


def _still_served(client: anabranch.Client, written: int) -> Iterator[str]:
    status = client.status()
    if status.documents != written + 1:
        yield f"{status.documents} documents after {written} acknowledged writes"
    if client.get(KEPT, "/safe").value is not True:
        yield "what was there before is not read"
    names = {listed.document for listed in client.list("acme/prod")}
    if DocumentId(KEPT, "config") not in names:
        yield "what was there before is not listed"


if __name__ == "__main__":
    for problem in drill(Path(sys.argv[1])):
        sys.stdout.write(f"{problem}\n")
