"""What `doctor` says and does of changes that rotted in the outbox, and are set aside there."""

import base64
import errno
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from anabranch_cli import terminal

if TYPE_CHECKING:
    from anabranch.client import Client
    from anabranch.replica.salvage import DamagedChange

# What one line of a terminal has room for.
_DOCUMENTS_SHOWN_MAX = 5
HINT = (
    "write them again; --export-damaged FILE keeps what is left of their bytes, --drop-damaged forgets them"
)


def export(client: "Client", target: Path) -> None:
    """Write what there is of them to a new file, as JSON, durably and for its owner only. Raises OSError."""
    from anabranch.identity import write_private

    if target.exists():  # an earlier export, which may be all that there is
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    told = [
        {
            "dot": str(each.dot),
            "merged": each.merged,
            "written_ms": each.written_ms,
            "noted_ms": each.noted_ms,
            "documents": list(each.documents),
            "bytes": None if each.body is None else base64.b64encode(each.body).decode("ascii"),
        }
        for each in client.replica.salvage.changes()
    ]
    write_private(target, f"{json.dumps(told, indent=2)}\n".encode())


def sentence(changes: Sequence["DamagedChange"]) -> str:
    """What was lost, and what only seemed so."""
    lost = [each for each in changes if not each.merged]
    told = []
    if lost:
        named = sorted({document for each in lost for document in each.documents})
        names = " ".join(named[:_DOCUMENTS_SHOWN_MAX]) + (" ..." if len(named) > _DOCUMENTS_SHOWN_MAX else "")
        of = f" of {names}" if names else ""
        told.append(f"{terminal.count(len(lost), 'unsent change')}{of} rotted on this disk, set aside")
    if len(lost) < len(changes):
        merged = terminal.count(len(changes) - len(lost), "change")
        told.append(f"{merged} that the hub has rotted here: nothing of that is lost")
    return "; ".join(told)
