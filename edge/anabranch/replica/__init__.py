"""The edge's replica: one durable copy of a scope in one SQLite file.

`store` holds `Replica`; `commit` writes, `apply` and `exchange` talk with the hub, `log` keeps what
was seen of its log, `show` merges the outbox into what readers see, `shelf` keeps it in memory, `past`
keeps what stood before, `looking` lists; `file` is the only module that knows sqlite3, `queries.sql`
and `schema/` hold the SQL.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from anabranch.replica.seen import Heard, Link, Visible
from anabranch.replica.store import Replica

if TYPE_CHECKING:
    from anabranch.replica.acknowledgements import Acknowledged
    from anabranch.replica.commit import Read
    from anabranch.replica.facts import (
        Edit,
        Facts,
        Fate,
        Known,
        LinkMode,
        Listed,
        LogLine,
        Past,
        Refused,
        SetAside,
    )
    from anabranch.replica.log import LogState
    from anabranch.replica.reoffer import HubRestored

__all__ = [
    "Acknowledged",
    "Edit",
    "Facts",
    "Fate",
    "Heard",
    "HubRestored",
    "Known",
    "Link",
    "LinkMode",
    "Listed",
    "LogLine",
    "LogState",
    "Past",
    "Read",
    "Refused",
    "Replica",
    "SetAside",
    "Visible",
]

# What a reader does not come to is loaded when it is asked for.
_HOMES = {
    "Acknowledged": "acknowledgements",
    "Edit": "facts",
    "Facts": "facts",
    "Fate": "facts",
    "HubRestored": "reoffer",
    "Known": "facts",
    "LinkMode": "facts",
    "Listed": "facts",
    "LogLine": "facts",
    "LogState": "log",
    "Past": "facts",
    "Read": "commit",
    "Refused": "facts",
    "SetAside": "facts",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'anabranch.replica' has no attribute {name!r}")
    found: object = getattr(import_module(f"anabranch.replica.{home}"), name)
    return found
