"""The edits that all are measured with: what people change in the workload's documents, from a fixed seed.

An edit gives one field another value: a switch is turned, a limit moved, one word of a text replaced. Fields
inside lists are left alone, so that every peer has the same work whatever it makes of lists. Files hold
edits as plain JSON that a driver in any language reads, a list of::

    {"document": "acme/prod/tools/legal/intent-when-4", "path": ["limits", "calls_per_minute"], "value": 130}
"""

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import TypeAlias

from anabranch_hub.demo.catalogue import CatalogueDocument
from anabranch_sync.path import render_pointer
from anabranch_sync.value import Json

from benchmarks.words import WORDS
from benchmarks.workload import SEED

Place: TypeAlias = tuple[str, str, tuple[str, ...]]
# Which edits of one seed: each edge's of the ten is its own.
OFFLINE, COMMITS, FRAMES, FIRST_OF_TEN = 0, 1, 2_000, 2
# A limit is moved by up to nine tenths of its size downwards, and up to three times upwards.
STEPS: Sequence[int] = [*range(-9, 0), *range(1, 31)]


@dataclass(frozen=True, slots=True)
class Edit:
    """One field of one document gets this value; the path leads through objects alone."""

    namespace: str
    key: str
    path: tuple[str, ...]
    value: Json

    @property
    def pointer(self) -> str:
        return render_pointer(self.path)


def spread(made: Sequence[CatalogueDocument], count: int, seed: int) -> Iterator[Edit]:
    """`count` edits, of any field of one of these documents after the other."""
    chance = random.Random(f"{SEED}/edits/{seed}")
    current = [dict(fields(each.content)) for each in made]
    for nth in range(count):
        each, values = made[nth % len(made)], current[nth % len(made)]
        path = chance.choice(list(values))
        values[path] = changed(values[path], chance)
        yield Edit(each.namespace, each.key, path, values[path])


def overwrites(made: Sequence[CatalogueDocument], count: int, numbers: int) -> Iterator[Edit]:
    """`count` edits of one number each of the first `numbers` documents, in turn."""
    chosen = cycle(_first_number(each) for each in made[:numbers])
    for nth, (namespace, key, path) in zip(range(count), chosen, strict=False):
        yield Edit(namespace, key, path, 1_000 + nth)


def fields(content: Mapping[str, Json], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Json]]:
    """Path and value of every number, switch and text that is reached through objects alone."""
    for name, value in content.items():
        if isinstance(value, dict):
            yield from fields(value, (*path, name))
        elif not isinstance(value, list):
            yield (*path, name), value


def changed(value: Json, chance: random.Random) -> Json:
    """Another value of the same kind, as a person would give it."""
    match value:
        case bool():
            return not value
        case int():
            digits = len(str(abs(value)))
            step = int(10 ** max(0, digits - 2))
            return value + step * chance.choice(STEPS)
        case str():
            words = value.split(" ")
            place = chance.randrange(len(words))
            words[place] = chance.choice([word for word in WORDS if word != words[place]])
            return " ".join(words)
        case _:
            return chance.randrange(1_000)


def write(file: Path, edits: Iterable[Edit]) -> Path:
    """Lay the edits into `file`, and return it."""
    rows = [
        {"document": f"{each.namespace}/{each.key}", "path": each.path, "value": each.value} for each in edits
    ]
    file.write_text(json.dumps(rows))
    return file


def read(file: Path) -> list[Edit]:
    """What `write` wrote."""
    found = []
    for row in json.loads(file.read_text()):
        namespace, _, key = row["document"].rpartition("/")
        found.append(Edit(namespace, key, tuple(row["path"]), row["value"]))
    return found


def _first_number(document: CatalogueDocument) -> Place:
    for path, value in fields(document.content):
        if type(value) is int:
            return document.namespace, document.key, path
    raise AssertionError(f"every document of the workload has a number, {document.key} has none")
