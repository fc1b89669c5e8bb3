"""Whose writes are gone after many edges wrote the same fields, and can anyone still find them?"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import edits


@dataclass(frozen=True, slots=True)
class Losers:
    """Of the last writes of an edge to a field, those that the field does not hold in the end.

    `lost`: nowhere; `found`: beside what everyone reads, where one who looks for it finds it. `innocent` of
    both were to fields that no other edge wrote.
    """

    lost: int
    found: int
    innocent: int


def losers(files: Sequence[Path], values: Sequence[object], others: Sequence[Sequence[object]]) -> Losers:
    """The losers of the edits in `files`, one file an edge.

    For each edit, in their order: the value that its field holds in the end, and those found beside it.
    """
    writes: dict[tuple[str, ...], dict[int, bool | None]] = {}
    ends = iter(zip(values, others, strict=True))
    for edge, file in enumerate(files):
        for each in edits.read(file):
            value, beside = next(ends)
            fate = None if each.value == value else each.value in beside
            writes.setdefault((each.namespace, each.key, *each.path), {})[edge] = fate
    fates = [(fate, len(of_field) == 1) for of_field in writes.values() for fate in of_field.values()]
    return Losers(
        lost=sum(fate is False for fate, _ in fates),
        found=sum(fate is True for fate, _ in fates),
        innocent=sum(alone for fate, alone in fates if fate is not None),
    )
