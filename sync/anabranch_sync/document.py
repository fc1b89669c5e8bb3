"""Documents: JSON objects as maps of registers.

Objects are flattened to the paths of their leaves; an empty object is a marker register; a list is
one atomic leaf, unless the policy at its path is `union`: then each element has a slot of its own
beside the marker ``[]``. A leaf that many write at once has members beside its register (`leaf`), and
what a write says of it is what it adds. Flattening and rebuilding is exact in types, and rebuilt
objects and sets come in sorted order, so content never depends on the order in which it was written.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

import msgpack

from anabranch_sync.errors import DocumentTooLarge, InvalidValue
from anabranch_sync.ids import DocumentId, HubSeq
from anabranch_sync.later import later
from anabranch_sync.leaf import ancestry_slot, is_number, leaf_values, members, merges_edits, summed
from anabranch_sync.path import ROOT, Path, render_pointer
from anabranch_sync.policy import Policy, Rule
from anabranch_sync.register import DELETED, Increment, Operand, Register, Slot, Value, equal
from anabranch_sync.value import Json, canonical, check, kind, ordered
from anabranch_sync.value import Object as Object

if TYPE_CHECKING:
    from anabranch_sync import leaf_ancestry, leaf_edits
else:
    later(globals(), "anabranch_sync", "leaf_ancestry", "leaf_edits")

# Larger than any configuration object met in practice (Kubernetes allows 1 MiB, Apollo 1 MiB for a
# whole namespace); small enough that one document never needs more than one frame.
DOCUMENT_BYTES_MAX = 256 * 1024
DIGEST_BYTES = 16
# Documents of one kind have their fields in common; some 4 MB where they have not.
_SLOTS_MAX = 10_000

# A register of one of these shows itself at its path, and nothing else, whatever is around it.
_PLAIN = frozenset({bool, int, float, str, list, type(None)})

PolicyAt: TypeAlias = Callable[[Path], Policy]


@dataclass(frozen=True, slots=True)
class Document:
    """The registers of one document, tombstones included, and the hub's count of its versions."""

    registers: Mapping[Slot, Register] = field(default_factory=dict)
    version: int = 0

    @property
    def hub_seq(self) -> HubSeq:
        """The position of the last change; 0 for a document nobody wrote."""
        return max((register.hub_seq for register in self.registers.values()), default=0)


EMPTY = Document()


def check_content(document: DocumentId, content: object) -> Object:
    """Return `content` as a JSON object within the limits.

    Raises InvalidValue, DocumentTooLarge.
    """
    checked = check(content)
    if not isinstance(checked, dict):
        raise InvalidValue("", f"a document is a JSON object, not {kind(checked)}")
    size_bytes = len(canonical(checked))
    if size_bytes > DOCUMENT_BYTES_MAX:
        raise DocumentTooLarge(str(document), size_bytes, DOCUMENT_BYTES_MAX)
    return checked


def flatten(content: Object, policy_at: PolicyAt) -> dict[Slot, Value]:
    """The leaves of `content` by slot."""
    leaves: dict[Slot, Value] = {}
    _flatten(content, ROOT, policy_at, leaves)
    return leaves


def rebuild(registers: Mapping[Slot, Register]) -> Object | None:
    """The content of the live registers, or None when there are none: the document is deleted."""
    live = [(slot, value) for slot, value in leaf_values(registers).items() if value is not DELETED]
    return build(live) if live else None


def rebuild_after(
    content: Object | None, before: Mapping[Slot, Register], after: Mapping[Slot, Register]
) -> Object | None:
    """What `rebuild(after)` gives, where `rebuild(before)` gave `content`; they share what did not change.

    Most changes write a few scalars or lists over such: they cost their own paths, not the document.
    """
    changed = _plainly_changed(before, after)
    if content is None or changed is None:
        return rebuild(after)
    for path, value in changed:
        content = _replaced(content, path, value)
        if content is None:
            return rebuild(after)
    return content


def build(leaves: Iterable[tuple[Slot, Json]]) -> Object:
    """The object with these leaves. A leaf below a scalar is hidden by it: see `merge.decide`."""
    root: Object = {}
    parent: Object | None = root
    parent_path = ROOT
    # Sorted by path, a marker comes before the children that make it unnecessary.
    for (path, element), value in _in_order_of_place(leaves):
        if not path:
            continue
        key = path[-1]
        if path[:-1] != parent_path:  # most lie beside the one before
            parent_path = path[:-1]
            parent = _at(root, parent_path)
        if parent is None:
            continue
        if element is not None:
            elements = parent.setdefault(key, [])
            if isinstance(elements, list):
                elements.append(ordered(value))
        elif isinstance(value, dict):
            parent.setdefault(key, {})
        else:
            # A copy, for whoever changes what was read must not change what is kept.
            parent[key] = ordered(value) if isinstance(value, list) else value
    return root


def _in_order_of_place(leaves: Iterable[tuple[Slot, Json]]) -> list[tuple[Slot, Json]]:
    found = list(leaves)
    if any(slot.element is not None for slot, _ in found):
        return sorted(found, key=lambda leaf: leaf[0].order)
    return sorted(found, key=lambda leaf: leaf[0].path)  # says the same in half the time


def written(
    registers: Mapping[Slot, Register], content: Object | None, policy_at: PolicyAt
) -> list[tuple[Slot, Operand]]:
    """What a write must say so that the live registers become `content` (None deletes all).

    Deletions come first, so that a place is free before something else takes it. Empty when
    nothing changes.
    """
    after = {} if content is None else flatten(content, policy_at)
    standing = leaf_values(registers)
    own = members(registers)
    deleted: list[tuple[Slot, Operand]] = [
        (slot, DELETED) for slot, value in standing.items() if value is not DELETED and slot not in after
    ]
    changed = [
        _said(
            slot, standing.get(slot, DELETED), value, policy_at(slot.path), registers, own.get(slot.path, ())
        )
        for slot, value in after.items()
        if slot not in standing or not equal(standing[slot], value)
    ]
    return sorted(deleted, key=_order) + sorted(changed, key=_order)


def digest(document: DocumentId, content: Object | None) -> int:
    """128 bits over the address and the canonical content; 0 for a deleted document."""
    return digest_rebuilt(document, None if content is None else _in_order(content))


def digest_rebuilt(document: DocumentId, content: Object | None) -> int:
    """The same of content as `rebuild` gives it, its keys in order: sorting takes longer than hashing."""
    if content is None:
        return 0
    address_and_content = msgpack.packb([document.namespace, document.key]) + msgpack.packb(content)
    return int.from_bytes(blake2b(address_and_content, digest_size=DIGEST_BYTES).digest(), "big")


def _in_order(content: Object) -> Object:
    return {key: ordered(content[key]) for key in sorted(content)}


def _said(
    slot: Slot,
    standing: Value,
    value: Value,
    policy: Policy,
    registers: Mapping[Slot, Register],
    own: Sequence[Slot],
) -> tuple[Slot, Operand]:
    """What to say so that the leaf at `slot` becomes `value`. It says `standing`, with its members `own`."""
    if value is not DELETED and merges_edits(policy.rule, standing) and merges_edits(policy.rule, value):
        leaf = leaf_edits.edited(registers[slot].value, {each: registers[each] for each in own})
        past = registers.get(ancestry_slot(slot.path))
        taken = leaf_ancestry.ancestors(past.value) if past else ()
        return (leaf and leaf_edits.compose(slot.path, leaf, value, taken)) or (slot, value)
    if policy.rule is Rule.COUNTER and is_number(value) and (standing is DELETED or is_number(standing)):
        # More than 64 bits apart, the number is written whole.
        delta = summed((value,) if standing is DELETED else (value, -standing))
        return slot, value if delta is None else Increment(delta, value)
    return slot, value


def _order(leaf: tuple[Slot, Operand]) -> tuple[Path, bytes]:
    return leaf[0].order


def _flatten(value: Object, path: Path, policy_at: PolicyAt, leaves: dict[Slot, Value]) -> None:
    if not value:
        leaves[Slot(path)] = {}
    for key, item in value.items():
        inner = (*path, key)
        if isinstance(item, dict):
            _flatten(item, inner, policy_at, leaves)
        elif isinstance(item, list) and (policy := policy_at(inner)).rule is Rule.UNION:
            leaves[_slot(inner)] = []
            for element in item:
                leaves[Slot(inner, policy.element(element))] = element
        else:
            leaves[_slot(inner)] = item


@lru_cache(maxsize=_SLOTS_MAX)
def _slot(path: Path) -> Slot:
    """One for all documents that have such a field."""
    return Slot(path)


def _at(root: Object, path: Path) -> Object | None:
    """The object at `path`, made if need be; None where a scalar hides that place."""
    found = root
    for key in path:
        child = found.setdefault(key, {})
        if not isinstance(child, dict):
            return None
        found = child
    return found


def _plainly_changed(
    before: Mapping[Slot, Register], after: Mapping[Slot, Register]
) -> list[tuple[Path, Json]] | None:
    """What each leaf says now that says something else; None where more happened than that.

    One was copied from the other, so they have their slots in one order while none came or went.
    """
    if len(before) != len(after):
        return None
    changed: dict[Path, Json] = {}
    for (place, old), (slot, new) in zip(before.items(), after.items(), strict=True):
        if slot is not place:
            return None
        if new is not old:
            if slot.element is not None or type(old.value) not in _PLAIN or type(new.value) not in _PLAIN:
                return None
            changed[slot.path] = new.value  # type: ignore[assignment]
    if any(slot.element is not None and slot.path in changed for slot in after):
        return None  # a set, or a leaf with members: it says more than its register
    return list(changed.items())


def _replaced(content: Object, path: Path, value: Json) -> Object | None:
    """A copy of `content` along `path`, with `value` at its end; None where a scalar hides that place."""
    copy = root = dict(content)
    for key in path[:-1]:
        child = copy.get(key)
        if not isinstance(child, dict):
            return None
        copy[key] = child = dict(child)
        copy = child
    copy[path[-1]] = ordered(value)
    return root


def at(content: Object, path: Path) -> Json:
    """The value at `path`. Raises KeyError naming the pointer of the first key that is absent."""
    value: Json = content
    for depth, key in enumerate(path, 1):
        if not isinstance(value, dict) or key not in value:
            raise KeyError(render_pointer(path[:depth]))
        value = value[key]
    return value
