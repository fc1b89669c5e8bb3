"""Violations: what a schema finds wrong with a content, said so that its author can mend it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

# A message names the first few; all of them are in its facts.
NAMED_MAX = 3
# Of a reason and of what would pass: as much as helps a reader of one line.
TEXT_CHARS_MAX = 300


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing that a schema forbids.

    `place` is a JSON Pointer into the content, `rule` the name of a cross-field rule or, after a ``#``,
    the place of a keyword in the JSON Schema. `reason` says what is wrong and `passes` what would be
    accepted there.
    """

    place: str
    rule: str
    reason: str
    passes: str

    def __str__(self) -> str:
        place = brief(self.place or "/")
        return f"{place}: {self.reason} (rule {brief(self.rule)}); what passes: {self.passes}"

    def facts(self) -> dict[str, str]:
        """The violation for programs."""
        return asdict(self)


def brief(text: str) -> str:
    """A text of a violation, cut where it is long."""
    return text if len(text) <= TEXT_CHARS_MAX else f"{text[: TEXT_CHARS_MAX - 1]}…"


def summary(violations: Sequence[Violation]) -> str:
    """The violations on one line, the first few by name."""
    named = "; ".join(str(each) for each in violations[:NAMED_MAX])
    more = len(violations) - NAMED_MAX
    return f"{named}; and {more} more" if more > 0 else named


def added(before: Sequence[Violation], after: Sequence[Violation]) -> tuple[Violation, ...]:
    """Those of `after` that were not there before: the same rule at the same place is no new one."""
    known = {(each.place, each.rule) for each in before}
    return tuple(each for each in after if (each.place, each.rule) not in known)
