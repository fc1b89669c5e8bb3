"""What an edge tells the hub of its machine and link.

All are facts for a person; by the link's class the hub also knows whether to save up what is new.
"""

from dataclasses import dataclass
from enum import StrEnum


class LinkClass(StrEnum):
    """Whether bytes cost something on an edge's link: there is a budget, or its agent was told so."""

    UNKNOWN = ""
    FREE = "free"
    METERED = "metered"


@dataclass(frozen=True, slots=True)
class Circumstances:
    """As of the beginning of an exchange.

    `byte_budget` is what the budget leaves now; 0: there is none, or it is used up, and then
    `budget_until_ms` is when there is something left again by the edge's clock (0: it is not used up).
    `disk_free_bytes` 0: it is not known.
    """

    link_class: LinkClass = LinkClass.UNKNOWN
    byte_budget: int = 0
    budget_until_ms: int = 0
    disk_free_bytes: int = 0


UNKNOWN = Circumstances()


def link_class(told: str) -> LinkClass:
    """What an edge said, as far as it has a name here."""
    return LinkClass(told) if told in set(LinkClass) else LinkClass.UNKNOWN
