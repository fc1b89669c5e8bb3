"""How commands of the hub fail, beside what all commands have in common (`anabranch_cli.failure`).

::

    HubError (of anabranch_hub.errors)
    ├── NotFound        3   no such document, value, edge or ledger row
    ├── Precondition    5   the document is not as the caller said it was
    └── BrokenOff     130   interrupted when a part was written
"""

from anabranch_cli.failure import ExitCode

from anabranch_hub.errors import HubError


class NotFound(HubError):
    """What was asked for does not exist."""

    exit_code = ExitCode.NOT_FOUND

    def __init__(self, what: str, way_out: str) -> None:
        self.what = what
        super().__init__(f"{what} does not exist: {way_out}")


class Precondition(HubError):
    """Something is not as the caller said it was; nothing was changed."""

    exit_code = ExitCode.CONFLICT


class BrokenOff(HubError):
    """Ctrl-C came between the changes of a command that makes several."""

    exit_code = ExitCode.INTERRUPTED

    def __init__(self, done: str) -> None:
        self.done = done
        super().__init__(f"interrupted: {done}")
