"""Edge-first configuration: read and write offline for weeks, merge explained and audited.

::

    import anabranch

    with anabranch.open() as client:
        client.get("acme/prod/router", "/limits/requests").value
"""

from anabranch.client import ChangeBuilder, Client, default_path, open
from anabranch.errors import AnabranchError
from anabranch.readings import Changed, Committed, Reading, State, Status

__all__ = [
    "AnabranchError",
    "ChangeBuilder",
    "Changed",
    "Client",
    "Committed",
    "Reading",
    "State",
    "Status",
    "default_path",
    "open",
]
