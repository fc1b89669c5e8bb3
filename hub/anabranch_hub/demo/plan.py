"""What the demo's people do: the same for the same seed.

Everyone changes documents of their own; and on the shared documents every edge and the hub's operator
change the same field, each to another value, while nobody hears of the others. Each shared field
has another merge policy. One prompt is edited by all, and one count is added to by all.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass

from anabranch_sync.value import Json

from anabranch_hub.demo.catalogue import CatalogueDocument

OPERATOR = "operator"
SCHEMA_KEY = "model"
SCHEMA: Json = {
    "namespaces": ["*/prod/router/*"],
    "schema": {
        "properties": {
            "routing": {"properties": {"failover_after_errors": {"x-anabranch-merge": "hub"}}},
            "endpoint": {"properties": {"connect_timeout_ms": {"x-anabranch-merge": "edge"}}},
            "limits": {
                "properties": {
                    "requests_per_minute": {"x-anabranch-merge": "min"},
                    "tokens_per_minute": {"x-anabranch-merge": "max"},
                }
            },
            "access": {"properties": {"teams": {"x-anabranch-merge": "union"}}},
            "description": {"x-anabranch-merge": "manual"},
        }
    },
}
# One prompt that everyone edits at once, each a line of their own, and one count that everyone adds to.
SHARED_NAMESPACE = "acme/prod/prompts"
SHARED_KEY = "prompts"
SHARED_SCHEMA: Json = {
    "namespaces": [SHARED_NAMESPACE],
    "schema": {
        "properties": {
            "prompt": {"type": "string", "x-anabranch-merge": "text"},
            "asked": {"type": "integer", "minimum": 0, "x-anabranch-merge": "counter"},
        }
    },
}

# The fields that everyone changes at once, each on a document of its own.
CONTESTED = (
    "/routing/weight",  # latest, the default
    "/routing/failover_after_errors",  # hub
    "/endpoint/connect_timeout_ms",  # edge
    "/limits/requests_per_minute",  # min
    "/limits/tokens_per_minute",  # max
    "/access/teams",  # union
    "/description",  # manual
)
# What the shared count stands at before anybody adds to it.
ASKED_BEFORE = 100
# Each edit is a process of the CLI: some 10 seconds in all on two cores for five edges.
OWN_EDITS = 6


@dataclass(frozen=True, slots=True)
class Edit:
    """One field of one document set by one writer (an edge's name, or OPERATOR).

    What stands in the end holds `line`, or has grown by `adds`, where everyone's edits are kept together.
    """

    writer: str
    namespace: str
    key: str
    pointer: str
    value: Json
    line: str = ""
    adds: int = 0


def planned(documents: Sequence[CatalogueDocument], edges: Sequence[str], seed: int) -> list[Edit]:
    """All offline edits, in the order in which each writer makes them."""
    chance = random.Random(seed)
    shared = [each for each in documents if _has_contested(each)][: len(CONTESTED)]
    others = [each for each in documents if each not in shared]
    writers = (*edges, OPERATOR)
    edits = []
    for number, writer in enumerate(writers):
        for document, pointer in zip(shared, CONTESTED, strict=True):
            value = _contested(document, pointer, number, writer)
            edits.append(Edit(writer, document.namespace, document.key, pointer, value))
        edits += _shared(number, writer, len(writers))
        for document in chance.sample(others, OWN_EDITS):
            weight = chance.randrange(300, 1_000)  # 100 is what the catalogue has everywhere
            edits.append(Edit(writer, document.namespace, document.key, "/routing/weight", weight))
    return edits


def shared_content(writers: int) -> dict[str, Json]:
    """The shared document before anybody edits it: a prompt with a line for each writer, and a count."""
    return {"prompt": "".join(_line(number) for number in range(writers)), "asked": ASKED_BEFORE}


def _shared(number: int, writer: str, writers: int) -> list[Edit]:
    """What a writer makes of it, having seen no other's edit: a line of its own, and some more asked."""
    line, adds = f"Answer as {writer} would.\n", number + 1
    prompt = str(shared_content(writers)["prompt"]).replace(_line(number), line)
    return [
        Edit(writer, SHARED_NAMESPACE, "config", "/prompt", prompt, line=line),
        Edit(writer, SHARED_NAMESPACE, "config", "/asked", ASKED_BEFORE + adds, adds=adds),
    ]


def _line(number: int) -> str:
    return f"Line {number}: be brief.\n"


def _has_contested(document: CatalogueDocument) -> bool:
    content = document.content
    return all(
        name in content for name in ("routing", "enabled", "endpoint", "limits", "access", "description")
    )


def _contested(document: CatalogueDocument, pointer: str, number: int, writer: str) -> Json:
    """What this writer makes of a contested field: nobody writes what another one writes."""
    match pointer:
        case "/routing/failover_after_errors":
            return 10 + number
        case "/access/teams":
            return ["platform", "research", f"on-call-{writer}"]
        case "/description":
            return f"as seen from {writer}"
        case "/endpoint/connect_timeout_ms":
            return 1_050 + 250 * number
        case "/limits/requests_per_minute":
            return 590 - 20 * number
        case "/limits/tokens_per_minute":
            return 1_100_000 + 500_000 * number
        case _:
            return 210 + number
