"""What an edge asks for of what it was granted: kept here, and told to the hub at the next handshake."""

import json
from dataclasses import dataclass

from anabranch_sync.ids import DocumentId
from anabranch_sync.scope import Scope, told_scope

from anabranch.replica.file import Connection, ReplicaFile
from anabranch.replica.queries import SQL


@dataclass(frozen=True, slots=True)
class Subscription:
    """What is `wanted` of what was `granted`, what is `held`, and what the hub was `told` last.

    `known`: the hub has taken note of that; one of an earlier release does not.
    """

    granted: Scope
    wanted: Scope
    held: Scope
    told: Scope
    known: bool

    @property
    def is_untold(self) -> bool:
        """Whether the hub is to hear of another one."""
        return self.wanted != self.told


@dataclass(frozen=True, slots=True)
class Leaving:
    """What would leave the disk: `unsent` of the documents wait in the outbox, and are sent before."""

    documents: int = 0
    size_bytes: int = 0
    unsent: int = 0


class Subscribing:
    """A replica's subscription."""

    def __init__(self, file: ReplicaFile) -> None:
        self._file = file

    def now(self) -> Subscription:
        """As it stands. Any process may change it."""
        with self._file.reading() as connection:
            granted, wanted, held, told, known = connection.execute(SQL["subscription"]).fetchone()
        return Subscription(_scope(granted or held), _scope(wanted), _scope(held), _scope(told), bool(known))

    def want(self, wanted: Scope) -> None:
        """Ask for this from the next handshake on."""
        self._file.write(lambda connection: connection.execute(SQL["subscribe"], (_packed(wanted),)))

    def told(self, asked: Scope, granted: Scope | None, *, known: bool) -> None:
        """The hub was told of a subscription and took note or not; `granted` None: it named nothing else."""
        row = (_packed(asked), known, None if granted is None else _packed(granted))
        self._file.write(lambda connection: connection.execute(SQL["subscribed"], row))

    def leaving(self, scope: Scope) -> Leaving:
        """What of the documents that are here lies outside of a scope."""
        with self._file.reading() as connection:
            rows = [
                (size_bytes, pending)
                for namespace, key, size_bytes, pending in connection.execute(SQL["kept_documents"])
                if not scope.reads(DocumentId(namespace, key))
            ]
        return Leaving(len(rows), sum(row[0] for row in rows), sum(row[1] > 0 for row in rows))


def wanted(connection: Connection) -> Scope:
    """What is asked for of what was granted."""
    return _scope(connection.execute(SQL["subscription"]).fetchone()[1])


def _packed(scope: Scope) -> str:
    return json.dumps(scope.prefixes)


def _scope(packed: str) -> Scope:
    return told_scope(tuple(json.loads(packed)))
