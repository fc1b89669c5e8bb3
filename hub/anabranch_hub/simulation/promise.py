"""The promises of a fleet, by name, and what is raised where one is broken."""

from enum import StrEnum


class Promise(StrEnum):
    """What may be broken."""

    CONVERGED = "every replica holds the same documents"
    KEPT = "no acknowledged write is lost"
    FLOWING = "no queue is stuck"
    ONCE = "nothing is applied twice"
    WRITTEN = "no value stands that nobody wrote"
    VALID = "no reader sees an invalid document"
    LOGGED = "the log is what was decided, and goes on from what was seen"
    OWN_WRITES = "whoever wrote reads it"
    FORWARD = "no reader goes back"
    COLLECTED = "collecting tombstones changes no decision"
    URGENT = "what is urgent waits for no budget"
    LEDGER = "whoever took part in a conflict is told of it"


class Violation(AssertionError):
    """A promise is broken."""

    def __init__(self, promise: Promise, message: str) -> None:
        self.promise = promise
        super().__init__(message)
