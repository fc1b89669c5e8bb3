"""A replica at work, drawn from a seed: each step is one transaction, and after each it is looked at."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from anabranch.replica import Edit, Link, Replica
from anabranch_hub.simulation.memory import MemoryHub
from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId
from anabranch_sync.pull import Pull
from anabranch_sync.standing import Standing

from tests.contracts.replica import NOW_MS, SCOPE, Exchange
from tests.edge.replica.sqlite_store import SqliteStore, write

DOCUMENTS = [DocumentId(f"acme/prod/m{number}", "config") for number in range(6)]
OTHERS = DocumentId("system/policies", "limits")


@dataclass(frozen=True, slots=True)
class View:
    """All that a replica was told and has acknowledged."""

    standing: Standing
    contents: tuple[Object | None, ...]
    heads: tuple[Object | None, ...]
    waiting: int
    refused: int
    notices: int


def view(replica: Replica) -> View:
    """What the replica shows. Raises ReplicaCorrupt."""
    documents = [*DOCUMENTS, OTHERS]
    read = [replica.read(document) for document in documents]
    heads = [replica.head(document) for document in documents]
    return View(
        replica.standing(),
        tuple(None if each is None else each.content for each in read),
        tuple(None if each is None else each.content for each in heads),
        len(replica.pending(replica.standing().push_mark)),
        len(replica.refused()),
        len(replica.notices()),
    )


Act: TypeAlias = Callable[["Work"], None]


class Work:
    """A replica at `path`, its hub and a seed."""

    def __init__(self, path: Path, seed: int) -> None:
        self.path = path
        self.chance = random.Random(seed)
        self.hub = MemoryHub(SCOPE, lambda: NOW_MS)
        self.replica = Replica.open(path)
        self._exchange = Exchange(SqliteStore(self.replica), self.hub)
        self._now_ms = NOW_MS
        self._pull: Pull | None = None

    def step(self) -> None:
        """One transaction, whichever the seed says."""
        self._now_ms += self.chance.randrange(2_000)
        acts: list[Act] = [
            Work.write,
            Work.write,
            Work.write,
            Work.write_several,
            Work.push,
            Work.acknowledge,
        ]
        acts += [Work.pull, Work.pull, Work.pull, Work.part, Work.heard, Work.open_again]
        if self.chance.random() < 0.08:
            acts = [Work.adopt, Work.reset]
        self.chance.choice(acts)(self)

    def write(self) -> None:
        document = self.chance.choice(DOCUMENTS)
        write(self.replica, document, self._content(), self._now_ms)

    def write_several(self) -> None:
        edits = [Edit(document, self._content()) for document in self.chance.sample(DOCUMENTS, 3)]
        self.replica.commit(edits, author="ada", message="several", now_ms=self._now_ms)

    def push(self) -> None:
        """Only the hub changes; what it said is lost."""
        self._exchange.push()
        for _ in range(self.chance.randrange(3)):
            self.hub.write(self.chance.choice([*DOCUMENTS, OTHERS]), {"by": "the hub", **self._filled()})

    def acknowledge(self) -> None:
        self._exchange.acknowledge()

    def pull(self) -> None:
        pull = self._exchange.pull()
        assert self.replica.apply(pull, self._now_ms) == pull.digest

    def part(self) -> None:
        """The next piece of a batch, or the first of another."""
        partial = self.replica.standing().partial
        if partial is None or self.chance.random() < 0.2:
            batch, total, at = self.chance.randbytes(16), 40_000, 0
        else:
            batch, total, at = partial.batch, partial.total, len(partial.received)
        piece = self.chance.randbytes(min(8_192, total - at))
        if piece:
            self.replica.store_part(batch, total, at, piece)

    def heard(self) -> None:
        self.replica.heard(link=self.chance.choice(list(Link)), now_ms=self._now_ms)

    def adopt(self) -> None:
        """A new incarnation: as after a copy of the replica was used elsewhere."""
        self._exchange.incarnation = self.hub.open_replica(0).incarnation
        self.replica.adopt(self._exchange.incarnation)

    def reset(self) -> None:
        self.replica.reset()

    def open_again(self) -> None:
        """A clean stop: SQLite writes the WAL back and removes it."""
        self.replica.close()
        self.revive()

    def revive(self) -> None:
        """Open the file anew."""
        self.replica = Replica.open(self.path)
        self._exchange.replica = SqliteStore(self.replica)

    def _content(self) -> Object | None:
        return None if self.chance.random() < 0.15 else self._filled()

    def _filled(self) -> Object:
        size = self.chance.choice((10, 200, 3_000))
        return {"text": self.chance.randbytes(size).hex(), "n": self.chance.randrange(5)}


@contextmanager
def working(path: Path, seed: int) -> Iterator[Work]:
    """Work on the replica at `path`, and let go of it."""
    work = Work(path, seed)
    try:
        yield work
    finally:
        work.replica.close()
