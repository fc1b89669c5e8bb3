"""What the demo looks for at its end: every acknowledged write, and a few rows of the ledger to show."""

from typing import Any

from anabranch_sync.path import parse_pointer
from anabranch_sync.value import Json, same

from anabranch_hub.demo.plan import Edit
from anabranch_hub.demo.report import example


def is_kept(edit: Edit, exported: dict[str, Any], ledger: list[dict[str, Any]], counted: int) -> bool:
    """Whether the written value stands, or the ledger has it beside what won.

    Of edits that everyone's are kept together with: whether it is in there. `counted` is what all added.
    """
    stands: Json = exported.get(f"{edit.namespace}/{edit.key}")
    for key in parse_pointer(edit.pointer):
        stands = stands.get(key) if isinstance(stands, dict) else None
    if edit.line:
        return isinstance(stands, str) and edit.line in stands
    if edit.adds:
        return stands == counted
    if same(stands, edit.value):
        return True
    if isinstance(edit.value, list):  # a set: every element stands
        return isinstance(stands, list) and all(any(same(each, one) for one in stands) for each in edit.value)
    return any(
        row["namespace"] == edit.namespace
        and row["key"] == edit.key
        and row["path"] == edit.pointer
        and same(candidate["value"], edit.value)
        and any(write["author"] == edit.writer for write in candidate["writes"])
        for row in ledger
        for candidate in row["candidates"]
    )


def examples(ledger: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Three rows of different policies, where there are so many."""
    by_policy: dict[str, dict[str, Any]] = {}
    for row in ledger:
        by_policy.setdefault(str(row["policy"]), row)
    return [example(by_policy[policy]) for policy in sorted(by_policy)[:3]]
