"""Steps of a fleet's life, drawn from a seed, and the shortest story that still fails."""

import random
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from typing import TypeAlias

from anabranch_sync.document import Object
from anabranch_sync.ids import DocumentId, document_id
from anabranch_sync.path import Path
from anabranch_sync.policy import Policies, policies_from
from anabranch_sync.register import DELETED, Value
from anabranch_sync.value import Json

DOCUMENTS = (document_id("acme/prod/router"), document_id("acme/prod/limits"))

# Two versions of a schema that differ in which lists are sets and who wins: a schema changes while
# changes written under the old one still wait in outboxes.
_RULES: tuple[dict[str, str], ...] = (
    {
        "l": "latest",
        "h": "hub",
        "e": "edge",
        "a": "max",
        "i": "min",
        "u": "union",
        "k": "union:id",
        "c": "counter",
        "t": "text",
        "o": "list",
    },
    {
        "l": "union",
        "h": "manual",
        "e": "latest",
        "a": "min",
        "i": "hub",
        "u": "latest",
        "k": "union",
        "c": "latest",
        "t": "latest",
        "o": "text",
    },
)
MANUAL_KEY = "m"
# Where people type: a text, a list.
TYPED = ("t", "o")
# Each typed unit is typed once only, so that it can be told from all others: characters of one and of two
# UTF-16 code units in turn, whole numbers in lists.
FIRST_TYPED = 0x4E00


def _judges(version: int, rules: dict[str, str]) -> Policies:
    properties: dict[str, Json] = {
        key: {"x-anabranch-merge": rule} for key, rule in {**rules, MANUAL_KEY: "manual"}.items()
    }
    content: Json = {"namespaces": ["acme/*"], "schema": {"properties": properties}}
    return policies_from([(document_id("system/schemas", "all"), version, content)])


POLICIES = tuple(_judges(version, rules) for version, rules in enumerate(_RULES, 1))
_TOPS = (*_RULES[0], MANUAL_KEY)
PATHS: tuple[Path, ...] = (
    *((top, *rest) for top in _TOPS for rest in ((), ("x",), ("y",), ("x", "z"))),
    (),
)
VALUES: tuple[Value, ...] = (
    DELETED, 0, 1, 1.0, True, None, "a", {}, [], [1], [1, 2], [2, 1.0],
    {"x": 1}, {"x": {}}, {"x": {"z": 2}, "y": 3}, {"x": [1]},
    [{"id": 1, "v": 1}], [{"id": 1, "v": 2}, {"id": 2}],
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Typing:
    """In place of a value: some typing in the text or list that is there, drawn from a seed."""

    seed: int


@dataclass(frozen=True, slots=True)
class Edit:
    """Set what is at a path of a document, or delete it."""

    document: DocumentId
    path: Path
    value: "Value | Typing"


@dataclass(frozen=True, slots=True)
class Write:
    """One change. Replica 0 is the hub."""

    replica: int
    edits: tuple[Edit, ...]


@dataclass(frozen=True, slots=True)
class Push:
    """Offer the oldest `count` of the outbox; `again` offers what the hub has already, too."""

    replica: int
    count: int
    again: bool = False
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Fetch:
    """Pull everything up to the hub's position."""

    replica: int


@dataclass(frozen=True, slots=True)
class Jump:
    """The replica's clock jumps to this offset from the hub's."""

    replica: int
    offset_ms: int


@dataclass(frozen=True, slots=True)
class Learn:
    """The replica goes over to another version of the schema."""

    replica: int
    version: int


Step: TypeAlias = Write | Push | Fetch | Jump | Learn


def drawn(rng: random.Random, *, replicas: int, length: int) -> list[Step]:
    """Steps at random, in the manner of swarm testing: each seed has its own taste."""
    weights = [rng.random() + 0.2, rng.random() * 0.6, rng.random(), rng.random() * 0.6, 0.06, 0.04]
    paths = rng.sample(PATHS, rng.randint(2, 8))
    values = rng.sample(VALUES, rng.randint(3, len(VALUES)))
    refusals = rng.choice([0.0, 0.0, 0.2])

    def edit() -> Edit:
        path = rng.choice(paths)
        value = rng.choice(values)
        if path and path[0] in TYPED and rng.random() < 0.8:
            return Edit(rng.choice(DOCUMENTS), path, Typing(rng.randrange(2**32)))
        if not path and not isinstance(value, dict):
            value = DELETED if rng.random() < 0.5 else {}
        return Edit(rng.choice(DOCUMENTS), path, value)

    def edits() -> tuple[Edit, ...]:
        return tuple(edit() for _ in range(rng.randint(1, 3)))

    steps: list[Step] = []
    for kind in rng.choices(range(6), weights, k=length):
        replica = rng.randint(1, replicas)
        match kind:
            case 0:
                steps.append(Write(replica, edits()))
            case 1:
                steps.append(Write(0, edits()))
            case 2:
                refused = rng.random() < refusals
                steps.append(Push(replica, rng.randint(1, 4), again=rng.random() < 0.3, refused=refused))
            case 3:
                steps.append(Fetch(replica))
            case 4:
                steps.append(Jump(replica, rng.choice([0, -(10**12), 10**12, 30_000, -30_000])))
            case _:
                steps.append(Learn(rng.randint(0, replicas), rng.randint(0, 1)))
    return steps


def typed(standing: Json, typing: Typing, path: Path, first: int) -> tuple[Json, int]:
    """What somebody makes of `standing` by typing, with units from number `first` on; and the next number."""
    rng = random.Random(typing.seed)
    fresh = range(first, first + 9)
    if not isinstance(standing, str | list):
        begun = fresh[: rng.randint(1, 6)]
        text = "".join(map(_character, begun))
        return (text if path[0] == "t" else [number + 0.5 for number in begun]), first + 9
    units: list[Json] = list(standing)
    taken = 0
    for _ in range(rng.randint(1, 2)):
        start = rng.randint(0, len(units))
        stop = min(len(units), start + rng.choice([0, 0, 1, 2, 4]))
        count = rng.randint(0 if stop > start else 1, 3)
        new = fresh[taken : taken + count]
        units[start:stop] = [_character(n) if isinstance(standing, str) else n + 0.5 for n in new]
        taken += count
    return ("".join(map(str, units)) if isinstance(standing, str) else units), first + 9


def _character(number: int) -> str:
    return chr(FIRST_TYPED + number) if number % 3 else chr(0x20000 + number)


def is_typed(unit: Json) -> bool:
    """Whether a character or item was made by `typed`."""
    return (
        isinstance(unit, float) and unit % 1 == 0.5 if not isinstance(unit, str) else unit >= chr(FIRST_TYPED)
    )


def shortest(steps: list[Step], fails: Callable[[list[Step]], bool]) -> list[Step]:
    """Leave out whatever the failure does not need."""
    size = max(1, len(steps) // 2)
    while size:
        start = 0
        while start < len(steps):
            without = steps[:start] + steps[start + size :]
            if fails(without):
                steps = without
            else:
                start += size
        size //= 2
    return steps


def edited(content: Object | None, edit: Edit) -> Object | None:
    """`content` after the edit; objects are made on the way down."""
    assert not isinstance(edit.value, Typing), "typing is resolved before"
    if not edit.path:
        return deepcopy(edit.value) if isinstance(edit.value, dict) else None
    if content is None and edit.value is DELETED:
        return None
    root: Object = deepcopy(content) if content is not None else {}
    parent = root
    for key in edit.path[:-1]:
        child = parent.get(key)
        if not isinstance(child, dict):
            if edit.value is DELETED:
                return content
            child = parent[key] = {}
        parent = child
    if edit.value is DELETED:
        parent.pop(edit.path[-1], None)
    else:
        parent[edit.path[-1]] = deepcopy(edit.value)
    return root
