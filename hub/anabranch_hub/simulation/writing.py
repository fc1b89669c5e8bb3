"""What the authors of a simulated fleet write: any kind of value, anywhere, over whatever stands."""

import random

from anabranch_sync.ids import document_id
from anabranch_sync.value import Json, Object

from anabranch_hub.simulation.validity import RANGE, ranged

DOCUMENTS = tuple(document_id(f"acme/prod/router/r{number}") for number in range(4))
FIELDS = (
    *("hub", "edge", "max", "min", "set", "manual", "counter", "text", "list"),
    *("plain", "tree", "range", "range"),
)
# Those of them that hold plain values, each under another policy.
SCALAR_FIELDS = ("hub", "edge", "max", "min", "manual", "plain", *RANGE)
_SCALARS: tuple[Json, ...] = (None, True, 1, 1.0, "text", [1, [2]])


class Author:
    """Draws contents from a life's chance. `large`: some values take many chunks."""

    def __init__(self, chance: random.Random, *, large: bool, deletes: float) -> None:
        self._chance = chance
        self._deletes = deletes
        self._large = large

    def edited(self, before: Object | None) -> Object | None:
        """What becomes of a document; None deletes it."""
        chance = self._chance
        if before is not None and chance.random() < self._deletes:
            return None
        after: Object = dict(before or {})
        for _ in range(chance.randint(1, 3)):
            field = chance.choice(FIELDS)
            if chance.random() < 0.15:
                after.pop(field, None)
            elif field == "set":
                after[field] = list(chance.sample("abcdef", chance.randint(0, 4)))
            elif field == "counter":
                after[field] = self._counted(after.get(field))
            elif field == "range":
                ranged(after, chance)
            elif field in ("text", "list"):
                after[field] = self._typed(field, after.get(field))
            elif field == "tree":
                after[field] = self._tree(2)
            else:
                after[field] = self._scalar()
        return after

    def _counted(self, before: Json) -> Json:
        step = self._chance.choice((1, 5, -2, 0.5))
        return step if not isinstance(before, int | float) else before + step

    def _typed(self, field: str, before: Json) -> Json:
        """A few words or items more or fewer, somewhere."""
        units: list[Json] = list(before) if isinstance(before, str | list) else []
        start = self._chance.randint(0, len(units))
        stop = min(len(units), start + self._chance.choice((0, 0, 1, 3)))
        new: list[Json] = [self._chance.choice("abc é😀") for _ in range(self._chance.randint(0, 5))]
        units[start:stop] = new if field == "text" else [len(new), *new]
        return "".join(map(str, units)) if field == "text" else units

    def _tree(self, depth: int) -> Json:
        if depth == 0 or self._chance.random() < 0.3:
            return self._scalar()
        return {key: self._tree(depth - 1) for key in self._chance.sample("xyz", self._chance.randint(0, 3))}

    def _scalar(self) -> Json:
        if self._large and self._chance.random() < 0.3:
            # Incompressible: it takes many chunks, so that breaks fall inside a batch.
            return self._chance.randbytes(20_000).hex()
        return self._chance.choice((*_SCALARS, self._chance.randrange(100)))
