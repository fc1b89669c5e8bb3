"""Edge-first configuration: read and write offline for weeks, merge explained and audited.

::

    import anabranch

    with anabranch.open() as client:
        client.get("acme/prod/router", "/limits/requests").value
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from anabranch.answers import Changed, Committed, Difference, Status
    from anabranch.client import ChangeBuilder, Client, default_path, open
    from anabranch.errors import AnabranchError, ChangeRefused, Invalid, NotAcknowledged
    from anabranch.history import At
    from anabranch.readings import Reading, State
    from anabranch.replica import Acknowledged

__version__ = "0.1.0"

__all__ = [
    "Acknowledged",
    "AnabranchError",
    "At",
    "ChangeBuilder",
    "ChangeRefused",
    "Changed",
    "Client",
    "Committed",
    "Difference",
    "Invalid",
    "NotAcknowledged",
    "Reading",
    "State",
    "Status",
    "default_path",
    "open",
]

# Imported when first asked for: the command line starts through this package and must be able to answer
# Ctrl-C, or a question for its version, before the store and its libraries are loaded.
_HOMES = {
    "Acknowledged": "replica",
    "AnabranchError": "errors",
    "At": "history",
    "ChangeBuilder": "client",
    "ChangeRefused": "errors",
    "Changed": "answers",
    "Client": "client",
    "Committed": "answers",
    "Difference": "answers",
    "Invalid": "errors",
    "NotAcknowledged": "errors",
    "Reading": "readings",
    "State": "readings",
    "Status": "answers",
    "default_path": "client",
    "open": "client",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'anabranch' has no attribute {name!r}")
    found: object = getattr(import_module(f"anabranch.{home}"), name)
    globals()[name] = found
    return found
